// The menu of a face or a card: by a long press, the right mouse button, or its button.

import { element } from "./dom.js";
import { check, label, lift, place, split } from "./actions.js";
import { closeDialogs, openSheet } from "./dialogs.js";
import { beginName } from "./naming.js";
import { countFaces, hasClusters, isOpen, nameOfCard, nameTarget, targetsOfCard } from "./page_model.js";
import { describeFace } from "./page_view.js";
import { enlarge } from "./pictures.js";
import { faceAddress } from "./server.js";
import { currentPage, currentState } from "./store.js";
import { words } from "./words.js";

const PLACES = [["not a face", "Not a face"], ["other", "Nobody I collect"], ["later", "Not sure"]];

/** A button that closes the menu and does something. */
const item = (text, press, name = "") => element("button", { class: `item ${name}`, text, onclick: () => { closeDialogs(); press(); } });
const grid = (...items) => element("div", { class: "items" }, ...items);

export function openFaceMenu(tile) {
  const page = currentPage();
  const isReview = page.kind === "review";
  openSheet(describeFace(page, tile),
    element("button", { class: "menu-face", "aria-label": words("Show this face in its image"), onclick: () => { closeDialogs(); enlarge(tile.n); } }, element("img", { alt: "", src: faceAddress(tile, 256) })),
    isReview && grid(...buildReview(tile)),
    grid(item(words("Type a name…"), () => beginName([tile])), ...(isReview ? [] : buildChoices(tile))),
    buildClasses([tile]));
}

const buildChoices = (tile) => [...buildPlaces([tile]), item(words(tile.lifted ? "Include it again" : "Exclude it"), () => lift(tile))];

/** What can be done with a doubtful label. */
function buildReview(tile) {
  return [item(words("Change to {name}", { name: nameTarget(tile.name) }), () => check(tile, "settle"), "primary"), item(words("Keep {name}", { name: nameTarget(tile.label) }), () => check(tile, "confirm"))];
}

export function openCardMenu(card) {
  const page = currentPage();
  const tiles = targetsOfCard(page, card);
  const name = nameOfCard(page, card);
  openSheet(words("{count} faces", { count: countFaces(tiles) }),
    grid(item(words(name ? "Rename…" : "Type a name…"), () => beginName(tiles)), ...buildPlaces(tiles), ...(hasClusters(page) && tiles.filter(isOpen).length > 1 ? [item(words("Split this card"), () => split(card))] : [])),
    buildClasses(tiles));
}

const buildPlaces = (tiles) => [
  ...PLACES.map(([target, text]) => item(words(text), () => place(tiles, target))),
  ...(tiles.some((tile) => tile.sent) ? [item(words("Not sorted yet"), () => place(tiles, "queue"))] : []),
];

function buildClasses(tiles) {
  const rows = [...(currentState()?.classes ?? [])].sort((a, b) => b.count - a.count);
  return element("div", { class: "items classes-items" }, ...rows.map(({ name, portraits }) => {
    const button = item("", () => label(tiles, name), "class-item");
    button.append(buildPortrait(portraits), element("span", { text: name }));
    return button;
  }));
}

/** The portrait of a class; without one, a disc. */
export function buildPortrait([portrait]) {
  return portrait ? element("img", { class: "round", alt: "", src: faceAddress({ key: portrait }, 128) }) : element("span", { class: "round" });
}
