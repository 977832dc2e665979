// What is shown when no face waits.

import { element } from "./dom.js";
import { currentState } from "./store.js";
import { words } from "./words.js";

/** The parts of the last page: how much was sorted, or who has what is left. */
export function buildEnd({ left }) {
  const { labelled, total, classes } = currentState();
  const buildPart = (title, text = "") => [element("section", { class: "end" }, element("h2", { text: title }), element("p", { text }))];
  if (left) return buildPart(words("Other people have the last {count} faces", { count: left }));
  if (!total) return buildPart(words("There are no faces yet"), words("Detect them first: facecrop run"));
  const facts = { count: labelled.toLocaleString(), total: total.toLocaleString(), classes: classes.length };
  return buildPart(words("Everything is sorted"), words("{count} of {total} faces, {classes} classes", facts));
}
