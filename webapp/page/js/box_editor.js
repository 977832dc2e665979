// Boxes on an image: draw, move, resize and remove them by mouse, touch and keyboard.

import { element } from "./dom.js";
import { stageClass } from "./layout.js";
import { words } from "./words.js";

const MIN_BOX_SIDE = 8; // pixels of the image
const STEP = 0.01; // per arrow key, relative to the longer side of the image
const MAX_TREMOR_PIXELS = 8; // movements of a finger below this are ignored
const MIN_SCROLL_SLOPE = 4; // steeper drags of a finger scroll: no face is this narrow

/** The place of an image on its card. That of a strip scrolls, also by keyboard. */
export function imageStage(image, ...children) {
  const shape = stageClass(image);
  return element("div", { class: shape, ...(shape === "stage" ? {} : { tabindex: 0, role: "group", "aria-label": image.name }) }, ...children);
}

/** Build the editor of an image's boxes; `changed(image)` is called after every change. */
export function boxEditor(image, changed) {
  const view = element("img", { src: image.url, alt: image.name, draggable: "false" });
  const frame = element("div", { class: "frame" });
  const stage = imageStage(image, view, frame);
  let marked = null;
  let shownWidth = 0;
  let isRevealed = false;
  const mark = () => [...frame.children].forEach((handle) => handle.classList.toggle("marked", handle.dataset.box === String(marked)));
  const redraw = () => { drawBoxes(frame, image, changed, stage); mark(); };
  const place = () => {
    // The frame covers the visible image, which keeps its aspect ratio within the element.
    const scale = Math.min(view.clientWidth / image.width, view.clientHeight / image.height);
    const [wide, high] = [image.width * scale, image.height * scale];
    frame.style.left = `${view.offsetLeft + (view.clientWidth - wide) / 2}px`;
    frame.style.top = `${view.offsetTop + (view.clientHeight - high) / 2}px`;
    frame.style.width = `${wide}px`;
    frame.style.height = `${high}px`;
    if (wide === shownWidth) return;
    shownWidth = wide;
    isRevealed = false; // in another size the box is elsewhere
    reveal();
  };
  view.addEventListener("load", place);
  new ResizeObserver(place).observe(stage);
  frame.addEventListener("pointerdown", (event) => {
    if (event.target === frame && event.button === 0 && event.isPrimary) draw(event, frame, stage, image, changed, redraw);
  });
  /** The middle of what is seen of the image, in its pixels. */
  const middle = () => {
    const scale = image.width / frame.clientWidth;
    return [(stage.scrollLeft + stage.clientWidth / 2 - frame.offsetLeft) * scale, (stage.scrollTop + stage.clientHeight / 2 - frame.offsetTop) * scale];
  };
  const scrollTo = (box) => {
    const scale = frame.clientWidth / image.width;
    const start = (offset, middle, seen) => offset + middle * scale - seen / 2;
    stage.scrollTo(start(frame.offsetLeft, box.x + box.width / 2, stage.clientWidth), start(frame.offsetTop, box.y + box.height / 2, stage.clientHeight));
  };
  /** Mark a box, and scroll a strip to it. */
  const show = (box) => {
    marked = box.id;
    mark();
    scrollTo(box);
  };
  /** Scroll a strip to the first detected box, once: it may be out of sight. */
  const reveal = () => {
    const box = image.boxes.find(({ by }) => by !== "hand");
    if (!box || isRevealed || !frame.clientWidth) return;
    isRevealed = true;
    scrollTo(box);
  };
  redraw();
  return { stage, redraw, middle, show, reveal };
}

function drawBoxes(frame, image, changed, stage) {
  const focused = frame.contains(document.activeElement) ? document.activeElement.dataset.box : null;
  frame.replaceChildren(...image.boxes.map((box, number) => {
    const corner = element("span", { class: "corner" });
    const handle = element("button", {
      type: "button", class: "box", "data-box": box.id,
      "aria-label": words("Face {number}: arrows move it, Shift and arrows resize it, Delete removes it", { number: number + 1 }),
    }, element("span", { class: "number", text: String(number + 1), "aria-hidden": "true" }), corner);
    position(handle, image, box);
    const onChange = () => { changed(image); drawBoxes(frame, image, changed, stage); };
    handle.addEventListener("keydown", (event) => handleKey(event, image, box, frame, onChange));
    handle.addEventListener("pointerdown", (event) => {
      if (event.button === 0) drag(event, frame, image, box, event.target === corner, handle, onChange);
    });
    return handle;
  }));
  frame.querySelector(`[data-box="${focused}"]`)?.focus();
}

function position(handle, image, box) {
  handle.style.left = `${(100 * box.x) / image.width}%`;
  handle.style.top = `${(100 * box.y) / image.height}%`;
  handle.style.width = `${(100 * box.width) / image.width}%`;
  handle.style.height = `${(100 * box.height) / image.height}%`;
}

function handleKey(event, image, box, frame, onChange) {
  const step = Math.max(1, Math.round(STEP * Math.max(image.width, image.height)));
  const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
  if (event.key === "Delete" || event.key === "Backspace") {
    const next = image.boxes[image.boxes.indexOf(box) + 1] ?? image.boxes[image.boxes.indexOf(box) - 1];
    image.remove(box);
    onChange();
    frame.querySelector(`[data-box="${next?.id}"]`)?.focus();
  } else if (across || down) {
    if (event.shiftKey) {
      image.change(box, {
        width: Math.max(MIN_BOX_SIDE, box.width + across * step), height: Math.max(MIN_BOX_SIDE, box.height + down * step),
      });
    } else {
      image.change(box, moveBox(image, box, across * step, down * step));
    }
    onChange();
  } else {
    return;
  }
  event.preventDefault();
}

/** Move a box within the image. */
function moveBox(image, box, across, down) {
  return {
    x: Math.min(Math.max(box.x + across, 0), image.width - box.width),
    y: Math.min(Math.max(box.y + down, 0), image.height - box.height),
  };
}

function drag(event, frame, image, box, resizes, handle, onChange) {
  event.preventDefault();
  handle.focus({ preventScroll: true });
  const scale = image.width / frame.clientWidth;
  const before = { ...box };
  const follow = (now) => {
    const across = (now.clientX - event.clientX) * scale;
    const down = (now.clientY - event.clientY) * scale;
    const place = resizes
      ? { width: Math.max(MIN_BOX_SIDE, before.width + across), height: Math.max(MIN_BOX_SIDE, before.height + down) }
      : moveBox(image, before, across, down);
    image.change(box, place);
    position(handle, image, box);
  };
  capture(handle, event.pointerId, follow, () => {
    if (["x", "y", "width", "height"].some((key) => box[key] !== before[key])) onChange();
  });
}

function draw(event, frame, stage, image, changed, redraw) {
  event.preventDefault();
  const scale = image.width / frame.clientWidth;
  const at = (now) => {
    const corner = frame.getBoundingClientRect(); // a wheel may scroll meanwhile
    return [(now.clientX - corner.left) * scale, (now.clientY - corner.top) * scale];
  };
  const [x, y] = at(event);
  const shade = element("div", { class: "box" });
  frame.append(shade);
  let place = { x, y, width: 0, height: 0 };
  const isWide = stage.scrollWidth > stage.clientWidth;
  let [scrolls, last] = [event.pointerType === "touch" ? null : false, event];
  const follow = (now) => {
    const [aside, along] = [Math.abs(now.clientX - event.clientX), Math.abs(now.clientY - event.clientY)];
    if (scrolls === null && Math.hypot(aside, along) > MAX_TREMOR_PIXELS) scrolls = along > MIN_SCROLL_SLOPE * aside || (isWide && aside > MIN_SCROLL_SLOPE * along);
    if (scrolls) scroll(stage, last.clientX - now.clientX, last.clientY - now.clientY);
    last = now;
    if (scrolls !== false) return;
    const [right, bottom] = at(now);
    place = { x: Math.min(x, right), y: Math.min(y, bottom), width: Math.abs(right - x), height: Math.abs(bottom - y) };
    position(shade, image, place);
  };
  capture(frame, event.pointerId, follow, ({ type }) => {
    shade.remove();
    // A second finger, which zooms, cancels the pointer.
    if (type === "pointerup" && Math.min(place.width, place.height) >= MIN_BOX_SIDE) {
      image.add(place.x, place.y, place.width, place.height, "hand");
      changed(image);
    }
    redraw();
  });
}

/** Scroll a strip, and the page by what is left at its ends. */
function scroll(stage, across, down) {
  const before = stage.scrollTop;
  stage.scrollBy(across, down);
  window.scrollBy(0, down - (stage.scrollTop - before));
}

/** Follow one pointer until it is released or cancelled; `ended` is called with that event. */
function capture(place, pointer, follow, ended) {
  place.setPointerCapture(pointer);
  const over = new AbortController();
  const on = (kind, act) => place.addEventListener(kind, (event) => {
    if (event.pointerId === pointer) act(event);
  }, { signal: over.signal });
  const end = (event) => {
    over.abort();
    ended(event);
  };
  on("pointermove", follow);
  on("pointerup", end);
  on("pointercancel", end);
}
