// The classes with portraits and counts: at the left of a wide screen, in a sheet on a phone.

import { byId, element } from "./dom.js";
import { keyTargets, label } from "./actions.js";
import { buildPortrait } from "./menus.js";
import { currentState } from "./store.js";
import { words } from "./words.js";

const PLACES = [["reject", "Not a face", "Del"], ["other", "Nobody I collect", "."], ["later", "Not sure", ""], ["queue", "Not sorted yet", ""]];
let drawn = "";

/** Draw the list again if it has changed. */
export function drawClasses() {
  const state = currentState();
  const facts = JSON.stringify([state.classes, state.places, document.documentElement.lang]);
  if (facts === drawn) return;
  drawn = facts;
  byId("classes").replaceChildren(...buildClassList(true));
}

/** The parts of the list; with `labels`, a click gives the class to what is pointed at. */
export function buildClassList(labels) {
  const { classes, places = {} } = currentState();
  return [
    element("h2", { class: "small", text: words("Classes") }),
    element("ul", { class: "rows" }, ...classes.map((row) => element("li", {}, buildClass(row, labels)))),
    element("h2", { class: "small", text: words("Everything else") }),
    element("ul", { class: "rows" }, ...PLACES.map(([name, text, key]) => element("li", { class: "row" }, element("span", { class: "name", text: words(text) }), ...buildCount(places[name] ?? 0, key)))),
  ];
}

function buildClass({ name, count, key, portraits }, labels) {
  const parts = [buildPortrait(portraits), element("span", { class: "name", text: name }), ...buildCount(count, key)];
  if (!labels) return element("div", { class: "row" }, ...parts);
  const give = () => {
    const tiles = keyTargets();
    if (tiles) label(tiles, name);
    // The keys go on where the face or card is.
    document.querySelector(".face.pointed, .card.lit")?.focus({ preventScroll: true });
  };
  return element("button", { class: "row", "data-class": name, onclick: give, "aria-label": words("{name}, {count} faces", { name, count }) }, ...parts);
}

const buildCount = (count, key) => [element("span", { class: "muted number", text: count.toLocaleString() }), key ? element("kbd", { text: key }) : element("span")];
