// A picture on the page: its boxes, the list of its faces, and who they are.

import { boxEditor } from "./box_editor.js";
import { element, percent, rescueFocus } from "./dom.js";
import { paint } from "./pictures.js";
import { REMOVAL, WRONG } from "./report_dialog.js";
import { words } from "./words.js";

const FACE = 96;

/** A card for a picture. `acts`: changed, removed, reported(box, kind), look; whether it has `boxes`, there is a `server`, and it takes `reports`. */
export function pictureCard(picture, { boxes, server, reports }, acts) {
  const list = element("ul", { class: "faces" });
  const state = element("p", { class: "small", role: "status" });
  const editor = boxes
    ? boxEditor(picture, (one) => { acts.changed(one); refresh(); })
    : { stage: element("div", { class: "stage" }, element("img", { src: picture.url, alt: picture.name })), redraw() {} };
  const add = element("button", {
    type: "button", text: words("Add a face"),
    onclick: () => {
      const side = Math.round(Math.min(picture.width, picture.height) / 3);
      picture.add((picture.width - side) / 2, (picture.height - side) / 2, side, side, "hand");
      acts.changed(picture);
      refresh();
      editor.stage.querySelector(".box:last-child")?.focus();
    },
  });
  const look = element("button", { type: "button", text: words("Detect on the server"), onclick: () => acts.look(picture) });
  const report = element("button", { type: "button", text: words("Report this image"), onclick: () => acts.reported(picture, null, REMOVAL) });
  const heading = element("h2", { tabindex: -1 }, element("bdi", { text: picture.name }));
  const card = element("article", { class: "picture", "aria-label": picture.name },
    element("header", {},
      heading,
      element("button", { type: "button", text: words("Remove image"), onclick: () => acts.removed(picture) })),
    editor.stage,
    element("div", { class: "details" }, state, list, element("div", { class: "buttons" }, ...(boxes ? [add, look] : []), ...(reports ? [report] : []))));

  function refresh() {
    const hadFocus = card.contains(document.activeElement);
    const focused = buttonsOf(list).indexOf(document.activeElement);
    editor.redraw();
    state.textContent = picture.error || (boxes && !picture.whole ? found(picture, server) : "");
    look.hidden = !server || picture.looking || picture.finder === "server"
      || (picture.finder === "browser" && picture.boxes.length > 0);
    const shown = picture.boxes.map((box, number) => face(picture, box, number, { acts, reports, refresh }));
    if (picture.whole) shown.push(face(picture, null, 0, { acts, reports, refresh }));
    list.replaceChildren(...shown);
    // What had the focus was made anew, or is gone: what stands in its place has it now.
    if (focused >= 0) buttonsOf(list).slice(0, focused + 1).at(-1)?.focus();
    if (hadFocus) rescueFocus(add, heading);
  }

  refresh();
  return { card, refresh };
}

const buttonsOf = (list) => [...list.querySelectorAll("button")];

/** Who has found the faces, as far as that matters. */
function found({ looking, finder, boxes }, server) {
  if (looking) return words("looking for faces …");
  if (finder === "server") return boxes.length ? words("faces found by the server") : words("no face found: draw a box");
  if (!boxes.length) return server ? words("no face found: draw a box, or ask the server") : words("no face found: draw a box");
  return finder === "stand-in" ? words("faces found in the browser; the server, whose detector found the training faces, may find others") : "";
}

function face(picture, box, number, { acts, reports, refresh }) {
  const part = box ? box.part : picture.whole;
  const name = box ? words("Face {number}", { number: number + 1 }) : words("Whole image");
  const canvas = element("canvas", { width: FACE, height: FACE, "aria-hidden": "true" });
  paint(canvas, picture, box);
  const buttons = element("div", { class: "buttons" });
  if (box) {
    buttons.append(element("button", {
      type: "button", text: words("Remove"), "aria-label": `${words("Remove")}: ${name}`,
      onclick: () => { picture.remove(box); acts.changed(picture); refresh(); },
    }));
  }
  if (part && reports) {
    buttons.append(element("button", {
      type: "button", text: words("Wrong result?"), "aria-label": `${words("Wrong result?")} ${name}`,
      onclick: () => acts.reported(picture, box, WRONG),
    }));
  }
  return element("li", { class: "face" }, canvas, element("div", {},
    element("div", { class: "who", tabindex: -1 }, ...(part ? [`${name}: `, element("bdi", { text: part.answer ?? words("unknown") })] : [name])),
    ...(part ? [...why(part), ...blind(part), ...nearest(part.nearest)] : []), buttons));
}

/** How sure it is of each class; of what is unlike all that was learnt such shares say nothing. */
function why({ answer, unfamiliar, familiarity, predictions }) {
  if (answer !== null) return [bars(predictions)];
  const name = `\u2068${predictions[0]?.label ?? ""}\u2069`;
  const likeness = percent(Math.max(0, familiarity ?? 0));
  return unfamiliar && predictions.length
    ? [element("p", { class: "small", text: words("Unlike the training images (similarity {percent}). Nearest class: {name}.", { percent: likeness, name }) })]
    : [element("p", { class: "small", text: words("No class is likely enough.") }), bars(predictions)];
}

/** What no answer of a model without a rule for strangers may leave unsaid. */
function blind({ answer, tells_strangers: tells }) {
  return answer === null || tells !== false ? []
    : [element("p", { class: "small", text: words("This model cannot answer “unknown”: every image gets one of its classes.") })];
}

function bars(predictions) {
  return element("ol", { class: "bars" }, ...predictions.map(({ label, confidence }) => element("li", {},
    element("bdi", { class: "name", text: label }),
    element("progress", { max: 1, value: confidence, "aria-label": label }),
    element("span", { class: "percent", text: percent(confidence) }))));
}

function nearest(known) {
  if (!known.length) return [];
  const names = known.map(({ label, likeness }) => `${label} (${likeness.toFixed(2)})`).join(", ");
  return [element("p", { class: "small", text: words("nearest known: {names}", { names }) })];
}
