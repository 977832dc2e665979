// What is shown when no face waits.

import { element } from "./dom.js";
import { currentState, currentView, showView } from "./store.js";
import { words } from "./words.js";

const VIEWS = { pages: "Class pages", review: "Review doubtful labels", duplicates: "Choose among duplicates" };

function buildViews() {
  const others = Object.entries(VIEWS).filter(([name]) => name !== currentView());
  return element("div", { class: "buttons" }, ...others.map(([name, text]) => element("button", { text: words(text), onclick: () => showView(name) })));
}

/** The parts of the last page: how much was sorted, or who has what is left. */
export function buildEnd({ left }) {
  const { labelled, total, classes } = currentState();
  const buildPart = (title, text = "") => [element("section", { class: "end" }, element("h2", { text: title }), element("p", { text }), buildViews())];
  if (currentView() !== "pages") return buildPart(words("Nothing is left here"));
  if (left) return buildPart(words("Other people have the last {count} faces", { count: left }));
  if (!total) return buildPart(words("There are no faces yet"), words("Detect them first: facecrop run"));
  const facts = { count: labelled.toLocaleString(), total: total.toLocaleString(), classes: classes.length };
  return buildPart(words("Everything is sorted"), words("{count} of {total} faces, {classes} classes", facts));
}
