// The keys, from one table: it acts, and it is what `?` shows.

import { byId, element } from "./dom.js";
import { accept, askForBetter, goForward, goOn, keyTargets, label, leave, lift, place, refuse, split, undo } from "./actions.js";
import { isDialogOpen, openDialog } from "./dialogs.js";
import { beginName } from "./naming.js";
import { findTile, hasClusters, nextCard } from "./page_model.js";
import { enlarge } from "./pictures.js";
import { getPoint, pointAt } from "./point.js";
import { currentPage, currentState, currentView, offersBetter } from "./store.js";
import { words } from "./words.js";

const LETTER = /^[\p{L}\p{N}]$/u;
let prefix = ""; // the first key of a class with two keys

const pointed = () => findTile(currentPage(), getPoint().tile);
const sendTo = (name) => {
  const tiles = keyTargets();
  if (tiles) place(tiles, name);
};
const isOfCheck = (name) => ({ key }) => currentView() !== "pages" && [name, name.toUpperCase()].includes(key);
const isOfPages = (event) => currentView() === "pages" || !isOfCheck("k")(event);
const STEPS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
const row = (keys, does, isKey = () => false, run = () => {}) => ({ keys, does, isKey, run });

const TYPED_NAME = row("A – Z", "Type a name for the face or card. Enter accepts, Tab completes", (event) => LETTER.test(event.key) && !event.ctrlKey && isOfPages(event), () => beginName());

/** The sections: keys as they are shown, what they do, whether an event is one of them, and what to do then. */
const TABLE = [
  ["Faces", [
    row("1–9, 0", "Label the face or card with that class", (event) => findClass(event) && !event.shiftKey, labelByKey),
    row(", 1", "More classes: two keys in sequence", ({ key }) => key === "," && hasTwoKeys(), () => { prefix = ","; }),
    row("Del", "Not a face; on a lit card, all of its faces", ({ key }) => key === "Delete", () => sendTo("not a face")),
    row("Click, Ctrl + Space", "Exclude or include a face", (event) => event.ctrlKey && event.key === " ", () => pointed() && lift(pointed())),
    row("Space", "Show the face in its image", (event) => !event.ctrlKey && event.key === " ", () => enlarge(getPoint().tile)),
    row("Right click", "Menu of a face or card"),
    row("Drag", "Face or card onto another card or a class"),
    row("Arrows", "Move to another face", (event) => !event.ctrlKey && event.key in STEPS, ({ key }) => move(STEPS[key])),
  ]],
  ["Class pages", [
    row("Enter", "Accept the page: label all unmarked faces as suggested", ({ key }) => key === "Enter", () => goForward()),
    row("Shift + 1", "Label the whole page with that class", (event) => event.shiftKey && findClass(event), labelPage),
    TYPED_NAME,
    row("Ctrl + Enter", "Page of cards without names: accept the name and the page"),
    row(".", "Nobody I collect", ({ key }) => key === ".", () => sendTo("other")),
    row("−", "Split a card", ({ key }) => key === "-" || key === "−", () => split(getPoint().card)),
    row("Ctrl + arrows", "Next or previous card", (event) => event.ctrlKey && event.key in STEPS, ({ key }) => moveCard(STEPS[key])),
    row("Ctrl + R", "Suggest again what is left", (event) => event.ctrlKey && event.key === "r" && offersBetter(), askForBetter),
    row("PgDn", "Next page", ({ key }) => key === "PageDown", leave),
  ]],
  ["Duplicates and review", [
    row("Enter", "Duplicates: keep the best copy. Review: accept the suggestion", isOfCheck("Enter"), () => goForward()),
    row("K", "Duplicates: not duplicates. Review: keep the label", isOfCheck("k"), refuse),
  ]],
  ["Window", [
    row("Ctrl + Z", "Undo", (event) => event.ctrlKey && event.key === "z", () => undo()),
    row("Ctrl + Y", "Redo", (event) => event.ctrlKey && (event.key === "y" || event.key === "Z"), () => undo("redo")),
    row("?, F1", "Show these keys", ({ key }) => key === "?" || key === "F1", showKeys),
  ]],
];

const hasTwoKeys = () => currentState().classes.some(({ key }) => key?.length > 1);

/** The class of a digit, or of a comma and a key after it. */
function findClass({ key, code, ctrlKey, altKey }) {
  if (ctrlKey || altKey) return undefined;
  const digit = /^Digit\d$/.test(code) ? code.at(-1) : key;
  const typed = prefix ? `${prefix} ${digit}` : digit;
  const isKey = (other) => other === typed || other === typed.replace(" ", "");
  return /^\d$/.test(digit) || prefix ? currentState()?.classes.find((row) => row.key && isKey(row.key)) : undefined;
}

function labelByKey(event) {
  const { name } = findClass(event);
  prefix = "";
  const tiles = keyTargets();
  if (tiles) label(tiles, name);
}

/** With Shift: the page of one class, or what is pointed at on a page of cards. */
function labelPage(event) {
  if (hasClusters(currentPage())) labelByKey(event);
  else accept(findClass(event).name);
}

/** Point at the nearest face in a direction. */
function move([dx, dy]) {
  const faces = [...byId("page").querySelectorAll(".face")];
  const from = faces.find((face) => Number(face.dataset.n) === getPoint().tile) ?? null;
  // Without one, begin where Tab would.
  const next = from ? findNeighbour(from, faces, dx, dy) : faces.find((face) => face.tabIndex === 0);
  if (next) pointAtFace(next);
}

function findNeighbour(from, faces, dx, dy) {
  if (dx) return faces[faces.indexOf(from) + dx];
  const middle = (node) => {
    const { left, top, width, height } = node.getBoundingClientRect();
    return [left + width / 2, top + height / 2];
  };
  const [x, y] = middle(from);
  const distance = (face) => {
    const [otherX, otherY] = middle(face);
    const down = (otherY - y) * dy;
    return down > 4 ? down + 2 * Math.abs(otherX - x) : Infinity;
  };
  const nearest = faces.reduce((best, face) => (distance(face) < distance(best) ? face : best), from);
  return nearest === from ? undefined : nearest;
}

function pointAtFace(face) {
  const n = Number(face.dataset.n);
  pointAt({ tile: n, card: findTile(currentPage(), n).card });
  face.focus({ preventScroll: true });
  face.scrollIntoView({ block: "nearest" });
}

function moveCard([dx, dy]) {
  const page = currentPage();
  const count = page.cards.length;
  const card = (getPoint().card + dx + dy + count) % count;
  goOn(nextCard(page, card) === card ? card : nextCard(page, card));
}

export function showKeys() {
  const rows = TABLE.flatMap(([title, keys]) => [
    element("h3", { text: words(title) }),
    element("dl", { class: "keys" }, ...keys.flatMap((key) => [element("dt", {}, element("kbd", { text: words(key.keys) })), element("dd", { text: words(key.does) })])),
  ]);
  openDialog(words("All keys"), element("div", { class: "key-table" }, ...rows));
}

/** Do what a key means, unless it is typed into a field or a dialog; the field for a name keeps what it uses. */
function press(event) {
  if (!currentState() || isDialogOpen() || event.isComposing || event.metaKey || event.altKey) return;
  if (isOfButton(event) || event.target.matches("select, input:not(#name)")) return;
  const pressed = TABLE.flatMap(([, keys]) => keys).find(({ isKey }) => isKey(event));
  if (!pressed || (event.repeat && !(event.key in STEPS))) return;
  // A letter of a name is typed into the field, which gets the focus.
  if (pressed !== TYPED_NAME) event.preventDefault();
  pressed.run(event);
}

/** Whether the browser itself presses a button for this key. */
const isOfButton = ({ key, target }) => (key === "Enter" || key === " ") && target.matches("button:not(.face), select, a");

addEventListener("keydown", press);
