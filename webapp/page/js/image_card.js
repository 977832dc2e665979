// The card of an image: its boxes, and its faces with their predictions.

import { boxEditor, imageStage } from "./box_editor.js";
import { element, rescueFocus } from "./dom.js";
import { paint } from "./images.js";
import { buildName, percent, splitForWrapping } from "./layout.js";
import { refusal } from "./refusals.js";
import { REMOVAL, showReported, WRONG } from "./report_dialog.js";
import { words } from "./words.js";

const FACE_SIZE = 96;
const LARGE_SIDE = 2500; // pixels
const LONG_SHAPE = 2.5; // longer side divided by the shorter one
const MIN_SHOWN_REST = 0.0005; // less is 0.0 %

/** A card for an image. `acts`: changed, removed, reported(box, kind, addFace), detect; whether it has `boxes`, it `maySend()` now, the server `hasOtherDetector` than the browser, and it takes `reports`. */
export function imageCard(image, { boxes, maySend, hasOtherDetector, reports }, acts) {
  const list = element("ul", { class: "faces" });
  const mark = element("div");
  const state = element("p", { class: "small", role: "status" });
  const editor = boxes
    ? boxEditor(image, () => { acts.changed(image); refresh(); })
    : { stage: imageStage(image, element("img", { src: image.url, alt: image.name })), redraw() {}, show() {}, reveal() {} };
  const add = element("button", {
    type: "button", text: words("Add a face"),
    onclick: () => {
      const side = Math.round(Math.min(image.width, image.height) / 3);
      const [x, y] = editor.middle();
      image.add(x - side / 2, y - side / 2, side, side, "hand");
      acts.changed(image);
      refresh();
      editor.stage.querySelector(".box:last-child")?.focus();
    },
  });
  const look = element("button", { type: "button", text: words("Detect on the server"), onclick: () => acts.detect() });
  const report = element("button", { type: "button", text: words("Report or remove this image"), onclick: () => acts.reported(null, REMOVAL, () => add.click()) });
  const heading = element("h2", { tabindex: -1 }, element("bdi", { text: image.name }));
  const card = element("article", { class: "image", "aria-label": image.name },
    element("header", {},
      heading,
      element("button", { type: "button", class: "more", "aria-expanded": "false", text: words("Details"), onclick: toggleDetails }),
      element("button", { type: "button", class: "close", "aria-label": words("Remove image"), title: words("Remove image"), text: "×", onclick: () => acts.removed(image) })),
    editor.stage,
    element("div", { class: "details" }, state, mark, list, element("div", { class: "buttons" }, ...(boxes ? [add, look] : []), ...(reports ? [report] : []))));

  /** Whether the server may find faces that the browser does not: by another detector, or because the browser has none. */
  const mayAskServer = () => maySend() && (hasOtherDetector || image.finder === "none");

  /** In a grid, a card shows only names until it is opened. */
  function toggleDetails({ currentTarget }) {
    const isOpen = card.classList.toggle("open");
    currentTarget.setAttribute("aria-expanded", String(isOpen));
    currentTarget.textContent = isOpen ? words("Close") : words("Details");
    card.scrollIntoView({ block: "nearest" });
  }

  function refresh() {
    const hadFocus = card.contains(document.activeElement);
    const focused = listButtons(list).indexOf(document.activeElement);
    editor.redraw();
    state.textContent = image.error || (boxes && !image.whole ? describeDetection(image, mayAskServer()) : "");
    mark.replaceChildren(...showReported(image));
    look.hidden = !mayAskServer() || image.looking || image.finder === "server";
    editor.reveal();
    const items = image.boxes.map((box, number) => buildFace(image, box, number, { acts, reports, refresh }));
    for (const [number, box] of image.boxes.entries()) {
      items[number].addEventListener("click", () => editor.show(box));
      items[number].addEventListener("focusin", ({ target }) => { if (target.matches("button")) editor.show(box); });
    }
    if (image.whole) items.push(buildFace(image, null, 0, { acts, reports, refresh }));
    list.replaceChildren(...items);
    // The focused element was replaced: focus the one in its place.
    if (focused >= 0) listButtons(list).slice(0, focused + 1).at(-1)?.focus();
    if (hadFocus) rescueFocus(add, heading);
  }

  refresh();
  return { card, refresh };
}

const listButtons = (list) => [...list.querySelectorAll("button")];

/** State of the face detection, if the user can do something. */
function describeDetection({ looking, finder, boxes, removed, width, height }, mayAskServer) {
  if (looking) return words("looking for faces …");
  if (!boxes.length && removed.length) return "";
  if (finder === "none") return boxes.length ? "" : refusal("no detector");
  if (!boxes.length) {
    const text = mayAskServer && finder !== "server"
      ? words("No face was found in the browser. Draw a box around a face, if there is one, or ask the server.")
      : refusal("no face found");
    if (!isHardToSearch(width, height)) return text;
    return `${text} ${words("In a large or long image, such as a row of faces, small faces are easily missed: crop it to one face.")}`;
  }
  if (boxes.every(({ by }) => by === "hand")) return "";
  if (finder === "server") return words("faces found by the server");
  if (finder !== "stand-in") return "";
  return words("faces found in the browser; the server, whose detector found the training faces, may find others");
}

/** Whether faces are small in an image, which is scaled to be searched. */
function isHardToSearch(width, height) {
  const longer = Math.max(width, height);
  return longer > LARGE_SIDE || longer > LONG_SHAPE * Math.min(width, height);
}

function buildFace(image, box, number, { acts, reports, refresh }) {
  const part = box ? box.part : image.whole;
  const name = box ? words("Face {number}", { number: number + 1 }) : words("Whole image");
  const canvas = element("canvas", { width: FACE_SIZE, height: FACE_SIZE, "aria-hidden": "true" });
  paint(canvas, image, box);
  const buttons = element("div", { class: "buttons" });
  if (box) {
    buttons.append(element("button", {
      type: "button", text: words("Remove box"), "aria-label": `${words("Remove box")}: ${name}`,
      onclick: () => { image.remove(box); acts.changed(image); refresh(); },
    }));
  }
  if (part && reports) {
    buttons.append(element("button", {
      type: "button", text: words("Wrong result?"), "aria-label": `${words("Wrong result?")} ${name}`,
      onclick: () => acts.reported(box, WRONG),
    }));
  }
  const heading = part ? [`${name}: `, buildName(nameAnswer(part))] : [name];
  return element("li", { class: "face" }, canvas, element("div", {},
    element("div", { class: "who", tabindex: -1 }, ...heading),
    ...(part ? describePart(part) : []),
    buttons));
}

function describePart(part) {
  return [
    ...warnIfUnsure(part),
    ...(part.unsure ? [] : showSimilarity(part)),
    ...explain(part),
    ...warnWithoutUnknown(part),
    ...listNearest(part.nearest),
    ...showReported(part),
  ];
}

/** The named class, with a question mark if it is more likely wrong than right. */
export const nameAnswer = (part) => `${part.best ?? words("unknown")}${part.unsure ? "?" : ""}`;

function warnIfUnsure({ unsure }) {
  if (!unsure) return [];
  return [element("p", { class: "unsure", text: words("Not sure: this is more likely wrong than right.") })];
}

/** Whether the image is like the training images: in words, and on a scale with the limit. */
function showSimilarity({ similarity, unfamiliar, unfamiliar_below: limit }) {
  if (typeof similarity !== "number" || typeof limit !== "number") return [];
  const share = (value) => Math.min(Math.max(value, 0), 1);
  const fill = element("span", { class: "fill" });
  const mark = element("span", { class: "limit" });
  const [shown, bound] = [share(similarity), share(limit)];
  fill.style.width = `${100 * shown}%`;
  mark.style.left = `${100 * bound}%`;
  const decimals = Math.round(100 * shown) === Math.round(100 * bound) ? 1 : 0;
  const format = (value) => `${(100 * value).toFixed(decimals)} %`;
  const numbers = words("similarity {percent}, limit {limit}", { percent: format(shown), limit: format(bound) });
  return [element("div", { class: unfamiliar ? "similarity unfamiliar" : "similarity" },
    element("strong", { text: unfamiliar ? words("Unlike the training images") : words("Similar to the training images") }),
    element("span", { class: "scale", "aria-hidden": "true" }, fill, mark),
    element("span", { class: "small", text: numbers }))];
}

/** Confidences of the classes; not for unfamiliar images, for which they mean nothing. */
function explain({ best, unfamiliar, predictions }) {
  if (best !== null) return [buildBars(predictions)];
  const name = `\u2068${predictions[0]?.label ?? ""}\u2069`;
  return unfamiliar && predictions.length
    ? [element("p", { class: "small", text: words("Nearest class: {name}.", { name }) })]
    : [element("p", { class: "small", text: words("No class is likely enough.") }), buildBars(predictions)];
}

/** Warning for models without a rule for unknown. */
function warnWithoutUnknown({ best, has_unknown_rule: tells }) {
  return best === null || tells !== false ? []
    : [element("p", { class: "small", text: words("This model cannot answer “unknown”: every image gets one of its classes.") })];
}

/** A bar for each class, and one for all else. */
function buildBars(predictions) {
  const bar = (label, name, confidence) => element("li", {}, name,
    element("progress", { max: 1, value: confidence, "aria-label": label }),
    element("span", { class: "percent", text: percent(confidence) }));
  const bars = predictions.map(({ label, confidence }) => {
    const name = element("bdi", { class: "name" }, ...splitForWrapping(label));
    return bar(label, name, confidence);
  });
  const rest = predictions.reduce((left, { confidence }) => left - confidence, 1);
  const none = words("none of these");
  if (rest >= MIN_SHOWN_REST) bars.push(bar(none, element("span", { class: "name rest", text: none }), rest));
  return element("ol", { class: "bars" }, ...bars);
}

function listNearest(images) {
  if (!images.length) return [];
  const names = images.map(({ label, similarity }) => `${label} (${similarity.toFixed(2)})`).join(", ");
  return [element("p", { class: "small", text: words("nearest known: {names}", { names }) })];
}
