// Boxes on an image: draw, move, resize and remove them by mouse, touch and keyboard.

import { element } from "./dom.js";
import { words } from "./words.js";

const MIN_BOX_SIDE = 8; // pixels of the image
const STEP = 0.01; // per arrow key, relative to the longer side of the image
const MAX_TREMOR_PIXELS = 8; // movements of a finger below this are ignored
const MIN_SCROLL_SLOPE = 4; // steeper drags of a finger scroll: no face is this narrow

/** Build the editor of an image's boxes; `changed(picture)` is called after every change. */
export function boxEditor(picture, changed) {
  const image = element("img", { src: picture.url, alt: picture.name, draggable: "false" });
  const frame = element("div", { class: "frame" });
  const stage = element("div", { class: "stage" }, image, frame);
  const redraw = () => drawBoxes(frame, picture, changed, stage);
  const place = () => {
    // The frame covers the visible image, which keeps its aspect ratio within the element.
    const scale = Math.min(image.clientWidth / picture.width, image.clientHeight / picture.height);
    const [wide, high] = [picture.width * scale, picture.height * scale];
    frame.style.left = `${image.offsetLeft + (image.clientWidth - wide) / 2}px`;
    frame.style.top = `${image.offsetTop + (image.clientHeight - high) / 2}px`;
    frame.style.width = `${wide}px`;
    frame.style.height = `${high}px`;
  };
  image.addEventListener("load", place);
  new ResizeObserver(place).observe(stage);
  frame.addEventListener("pointerdown", (event) => {
    if (event.target === frame && event.button === 0 && event.isPrimary) draw(event, frame, picture, changed, redraw);
  });
  redraw();
  return { stage, redraw };
}

function drawBoxes(frame, picture, changed, stage) {
  const focused = frame.contains(document.activeElement) ? document.activeElement.dataset.box : null;
  frame.replaceChildren(...picture.boxes.map((box, number) => {
    const corner = element("span", { class: "corner" });
    const handle = element("button", {
      type: "button", class: "box", "data-box": box.id,
      "aria-label": words("Face {number}: arrows move it, Shift and arrows resize it, Delete removes it", { number: number + 1 }),
    }, element("span", { class: "number", text: String(number + 1), "aria-hidden": "true" }), corner);
    position(handle, picture, box);
    const onChange = () => { changed(picture); drawBoxes(frame, picture, changed, stage); };
    handle.addEventListener("keydown", (event) => handleKey(event, picture, box, frame, onChange));
    handle.addEventListener("pointerdown", (event) => {
      if (event.button === 0) drag(event, frame, picture, box, event.target === corner, handle, onChange);
    });
    return handle;
  }));
  frame.querySelector(`[data-box="${focused}"]`)?.focus();
}

function position(handle, picture, box) {
  handle.style.left = `${(100 * box.x) / picture.width}%`;
  handle.style.top = `${(100 * box.y) / picture.height}%`;
  handle.style.width = `${(100 * box.width) / picture.width}%`;
  handle.style.height = `${(100 * box.height) / picture.height}%`;
}

function handleKey(event, picture, box, frame, onChange) {
  const step = Math.max(1, Math.round(STEP * Math.max(picture.width, picture.height)));
  const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
  if (event.key === "Delete" || event.key === "Backspace") {
    const next = picture.boxes[picture.boxes.indexOf(box) + 1] ?? picture.boxes[picture.boxes.indexOf(box) - 1];
    picture.remove(box);
    onChange();
    frame.querySelector(`[data-box="${next?.id}"]`)?.focus();
  } else if (across || down) {
    if (event.shiftKey) {
      picture.change(box, {
        width: Math.max(MIN_BOX_SIDE, box.width + across * step), height: Math.max(MIN_BOX_SIDE, box.height + down * step),
      });
    } else {
      picture.change(box, moveBox(picture, box, across * step, down * step));
    }
    onChange();
  } else {
    return;
  }
  event.preventDefault();
}

/** Move a box within the image. */
function moveBox(picture, box, across, down) {
  return {
    x: Math.min(Math.max(box.x + across, 0), picture.width - box.width),
    y: Math.min(Math.max(box.y + down, 0), picture.height - box.height),
  };
}

function drag(event, frame, picture, box, resizes, handle, onChange) {
  event.preventDefault();
  handle.focus();
  const scale = picture.width / frame.clientWidth;
  const before = { ...box };
  const follow = (now) => {
    const across = (now.clientX - event.clientX) * scale;
    const down = (now.clientY - event.clientY) * scale;
    const place = resizes
      ? { width: Math.max(MIN_BOX_SIDE, before.width + across), height: Math.max(MIN_BOX_SIDE, before.height + down) }
      : moveBox(picture, before, across, down);
    picture.change(box, place);
    position(handle, picture, box);
  };
  capture(handle, event.pointerId, follow, () => {
    if (["x", "y", "width", "height"].some((key) => box[key] !== before[key])) onChange();
  });
}

function draw(event, frame, picture, changed, redraw) {
  event.preventDefault();
  const scale = picture.width / frame.clientWidth;
  const corner = frame.getBoundingClientRect();
  const at = (now) => [(now.clientX - corner.left) * scale, (now.clientY - corner.top) * scale];
  const [x, y] = at(event);
  const shade = element("div", { class: "box" });
  frame.append(shade);
  let place = { x, y, width: 0, height: 0 };
  let [scrolls, last] = [event.pointerType === "touch" ? null : false, event.clientY];
  const follow = (now) => {
    const [aside, along] = [Math.abs(now.clientX - event.clientX), Math.abs(now.clientY - event.clientY)];
    if (scrolls === null && Math.hypot(aside, along) > MAX_TREMOR_PIXELS) scrolls = along > MIN_SCROLL_SLOPE * aside;
    if (scrolls) window.scrollBy(0, last - now.clientY);
    last = now.clientY;
    if (scrolls !== false) return;
    const [right, bottom] = at(now);
    place = { x: Math.min(x, right), y: Math.min(y, bottom), width: Math.abs(right - x), height: Math.abs(bottom - y) };
    position(shade, picture, place);
  };
  capture(frame, event.pointerId, follow, ({ type }) => {
    shade.remove();
    // A second finger, which zooms, cancels the pointer.
    if (type === "pointerup" && Math.min(place.width, place.height) >= MIN_BOX_SIDE) {
      picture.add(place.x, place.y, place.width, place.height, "hand");
      changed(picture);
    }
    redraw();
  });
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
