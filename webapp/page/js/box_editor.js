// Boxes over a picture: drawn, moved, resized and taken away by mouse, touch and keyboard.

import { element } from "./dom.js";
import { words } from "./words.js";

const LEAST = 8; // pixels of the picture
const STEP = 0.01; // of the picture's longer side, a press of an arrow key
const SLOP = 8; // pixels of the screen that a finger may tremble
const STEEP = 4; // a finger that goes so much more up or down than aside scrolls: no face is so narrow

/** Show a picture with its boxes; `changed(picture)` is called after every change. */
export function boxEditor(picture, changed) {
  const image = element("img", { src: picture.url, alt: picture.name, draggable: "false" });
  const frame = element("div", { class: "frame" });
  const stage = element("div", { class: "stage" }, image, frame);
  const redraw = () => show(frame, picture, changed, stage);
  const place = () => {
    // The picture keeps its shape within the element: the frame lies over what is seen of it.
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

function show(frame, picture, changed, stage) {
  const focused = frame.contains(document.activeElement) ? document.activeElement.dataset.box : null;
  frame.replaceChildren(...picture.boxes.map((box, number) => {
    const corner = element("span", { class: "corner" });
    const made = element("button", {
      type: "button", class: "box", "data-box": box.id,
      "aria-label": words("Face {number}: arrows move it, Shift and arrows resize it, Delete removes it", { number: number + 1 }),
    }, element("span", { class: "number", text: String(number + 1), "aria-hidden": "true" }), corner);
    position(made, picture, box);
    const done = () => { changed(picture); show(frame, picture, changed, stage); };
    made.addEventListener("keydown", (event) => press(event, picture, box, frame, done));
    made.addEventListener("pointerdown", (event) => {
      if (event.button === 0) drag(event, frame, picture, box, event.target === corner, made, done);
    });
    return made;
  }));
  frame.querySelector(`[data-box="${focused}"]`)?.focus();
}

function position(made, picture, box) {
  made.style.left = `${(100 * box.x) / picture.width}%`;
  made.style.top = `${(100 * box.y) / picture.height}%`;
  made.style.width = `${(100 * box.width) / picture.width}%`;
  made.style.height = `${(100 * box.height) / picture.height}%`;
}

function press(event, picture, box, frame, done) {
  const step = Math.max(1, Math.round(STEP * Math.max(picture.width, picture.height)));
  const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
  if (event.key === "Delete" || event.key === "Backspace") {
    const next = picture.boxes[picture.boxes.indexOf(box) + 1] ?? picture.boxes[picture.boxes.indexOf(box) - 1];
    picture.remove(box);
    done();
    frame.querySelector(`[data-box="${next?.id}"]`)?.focus();
  } else if (across || down) {
    if (event.shiftKey) {
      picture.change(box, {
        width: Math.max(LEAST, box.width + across * step), height: Math.max(LEAST, box.height + down * step),
      });
    } else {
      picture.change(box, moved(picture, box, across * step, down * step));
    }
    done();
  } else {
    return;
  }
  event.preventDefault();
}

/** Where a box is after a move: as a whole inside the picture. */
function moved(picture, box, across, down) {
  return {
    x: Math.min(Math.max(box.x + across, 0), picture.width - box.width),
    y: Math.min(Math.max(box.y + down, 0), picture.height - box.height),
  };
}

function drag(event, frame, picture, box, resizes, made, done) {
  event.preventDefault();
  made.focus();
  const scale = picture.width / frame.clientWidth;
  const begun = { ...box };
  const follow = (now) => {
    const across = (now.clientX - event.clientX) * scale;
    const down = (now.clientY - event.clientY) * scale;
    const place = resizes
      ? { width: Math.max(LEAST, begun.width + across), height: Math.max(LEAST, begun.height + down) }
      : moved(picture, begun, across, down);
    picture.change(box, place);
    position(made, picture, box);
  };
  capture(made, event.pointerId, follow, () => {
    if (["x", "y", "width", "height"].some((key) => box[key] !== begun[key])) done();
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
    if (scrolls === null && Math.hypot(aside, along) > SLOP) scrolls = along > STEEP * aside;
    if (scrolls) window.scrollBy(0, last - now.clientY);
    last = now.clientY;
    if (scrolls !== false) return;
    const [right, bottom] = at(now);
    place = { x: Math.min(x, right), y: Math.min(y, bottom), width: Math.abs(right - x), height: Math.abs(bottom - y) };
    position(shade, picture, place);
  };
  capture(frame, event.pointerId, follow, ({ type }) => {
    shade.remove();
    // A second finger, which zooms, takes the pointer away.
    if (type === "pointerup" && Math.min(place.width, place.height) >= LEAST) {
      picture.add(place.x, place.y, place.width, place.height, "hand");
      changed(picture);
    }
    redraw();
  });
}

/** Follow a pointer, and no other finger, until it is let go or taken away; `ended` is called with that event. */
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
