// Title, progress and buttons above the page, and the bar at the bottom of a phone.

import { byId, element, fill, say } from "./dom.js";
import { askForBetter, countOpen, goForward, leave, refuse, undo } from "./actions.js";
import { openCardMenu } from "./menus.js";
import { countFaces, hasClusters, hasSuggestions, isBegun, openTiles, tilesOf } from "./page_model.js";
import { getPoint } from "./point.js";
import { stepText } from "./step_texts.js";
import { currentPage, currentState, currentView, isReady, offersBetter, showView } from "./store.js";
import { words } from "./words.js";

const VIEWS = { pages: "Class pages", duplicates: "Duplicates", review: "Review" };
const MAX_WRONG_OF_CORRECT = 0.1; // expected errors up to which all are "probably correct"
const MIN_CORRECT = 4; // faces for that: the last few are unusual

export function drawHeader() {
  const page = currentPage();
  fill(byId("tabs"), buildTabs());
  drawProgress();
  drawTitle(page);
  drawButtons(page);
  drawBar(page);
  fill(byId("hints"), buildHints(page));
}

export const buildTabs = (after = () => {}) => Object.entries(VIEWS).map(([name, text]) => element("button", {
  class: "tab", text: words(text), "aria-current": name === currentView() && "page",
  onclick: () => { after(); showView(name); },
}));

function drawProgress() {
  const { labelled, total, undo: undoable, redo } = currentState();
  byId("progress").replaceChildren(element("span", { text: words("{done} of {total}", { done: labelled.toLocaleString(), total: total.toLocaleString() }) }), element("progress", { max: Math.max(total, 1), value: labelled, "aria-label": words("Sorted faces") }));
  for (const [id, step, title] of [["undo", undoable, "Undo"], ["redo", redo, "Redo"]]) {
    const name = step ? `${words(title)}: ${stepText(step)}` : words(title);
    byId(id).title = name;
    byId(id).setAttribute("aria-label", name);
    // Not `disabled`: the focus would fall to the page, where the next Enter accepts it.
    byId(id).setAttribute("aria-disabled", String(!step));
  }
}

function drawTitle(page) {
  const [title, subtitle] = isReady() || page?.isLeft ? TITLES[page.kind](page) : [words(page ? VIEWS[currentView()] : "Preparing pages…"), ""];
  say(byId("title"), title);
  say(byId("subtitle"), subtitle);
}

const describeNumber = (page) => {
  const shown = countFaces(tilesOf(page));
  return !page.total || shown === page.total ? words("{count} faces", { count: shown }) : words("{shown} of {count} faces", { shown, count: page.total });
};

const TITLES = {
  clusters: (page) => [words(page.cards.length > 1 ? "Who are they?" : "Who is this?"), page.cards.length > 1 ? words("{count} people to name · {number}", { count: page.cards.length, number: describeNumber(page) }) : describeNumber(page)],
  class: (page) => [words("{name}?", { name: page.cards[0].name }), describeSuggestions(page)],
  mixed: (page) => [words("Several classes"), describeSuggestions(page)],
  plain: describePlain,
  duplicates: (page) => [words("Which one to keep?"), words("Duplicate sets left: {count}", { count: page.left })],
  review: () => [words("Are these labels right?"), words("Tap a face, to change its label or to keep it")],
};

/** Faces without cards: they are compared yet, or are what no card and no suggestion has. */
function describePlain(page) {
  const { unmeasured } = currentState();
  if (!unmeasured) return [words("Who are they?"), describeNumber(page)];
  return [words("Comparing faces… {count} left", { count: unmeasured.toLocaleString() }), words("Cards of similar ones follow; or point and type a name")];
}

function describeSuggestions(page) {
  return `${describeNumber(page)} · ${describeQuality(page)}`;
}

function describeQuality({ wrong, total }) {
  if (wrong === null || wrong === undefined) return words("accuracy unknown: check each face");
  if (wrong > MAX_WRONG_OF_CORRECT || total < MIN_CORRECT) return words("about {wrong} may be wrong", { wrong: Math.max(1, Math.round(wrong)) });
  return words("probably all correct");
}

/** The text of the main button; "" for none. */
function describeMain(page) {
  if (!page || page.isLeft || page.kind === "done") return "";
  if (hasSuggestions(page)) return words("All correct ({count})", { count: countOpen(page) });
  if (page.kind === "duplicates") return page.isUncertain ? "" : words("Keep the best");
  if (page.kind === "clusters" && isBegun(page)) return words("Next page ({count} left)", { count: countFaces(openTiles(page)) });
  return page.kind === "plain" && isBegun(page) ? words("Next page") : "";
}

function drawButtons(page) {
  const main = describeMain(page);
  say(byId("accept"), main && (byId("accept").dataset.key = "Enter", main));
  byId("leave").hidden = !page || page.isLeft || page.kind === "done" || (hasClusters(page) && isBegun(page));
  byId("better").hidden = !offersBetter();
  byId("refuse").hidden = page?.kind !== "duplicates" || page.isLeft;
}

/** The bar of a phone: a menu for the card, the next page, and the main action, within reach of a thumb. */
function drawBar(page) {
  const main = describeMain(page);
  const isShown = Boolean(page) && !page.isLeft && page.kind !== "done";
  const buttons = isShown ? [
    hasClusters(page) && element("button", { text: "⋯", "aria-label": words("Menu of this card"), onclick: () => openCardMenu(Math.max(0, getPoint().card)) }),
    !byId("better").hidden && element("button", { text: words("Better suggestions"), onclick: askForBetter }),
    !byId("refuse").hidden && element("button", { text: words("Not the same"), onclick: refuse }),
    !byId("leave").hidden && element("button", { class: "grow", text: words("Skip"), onclick: leave }),
    main && element("button", { class: "primary grow", text: main, onclick: goForward }),
  ].filter(Boolean) : [];
  fill(byId("bar-buttons"), buttons);
  document.querySelector(".bar").hidden = !isShown;
}

function buildHints(page) {
  const hints = !page || !isReady() ? [["Ctrl + Z", "undo"]] : HINTS[page.kind] ?? [];
  return [...hints, ["F1", "all keys"]].flatMap(([key, text]) => [element("kbd", { text: words(key) }), element("span", { text: words(text) })]);
}

const NAMES = [["A – Z", "type a name"], ["1–9", "its class"]];
const SUGGESTION_HINTS = [["Enter", "all correct"], ...NAMES, ["Click", "exclude a face"], ["Ctrl + Z", "undo"]];
const HINTS = {
  class: SUGGESTION_HINTS,
  mixed: SUGGESTION_HINTS,
  plain: [...NAMES, ["Ctrl + Z", "undo"]],
  duplicates: [["Enter", "keep the best"], ["Click", "keep this one"], ["K", "not duplicates"]],
  review: [["Enter", "accept the suggestion"], ["K", "keep the label"], ...NAMES],
  clusters: [...NAMES, ["Ctrl + Enter", "name, then next page"], ["Click", "exclude a face"], [".", "nobody I collect"], ["−", "split"]],
};

byId("undo").addEventListener("click", () => undo());
byId("redo").addEventListener("click", () => undo("redo"));
byId("accept").addEventListener("click", () => goForward());
byId("leave").addEventListener("click", leave);
byId("refuse").addEventListener("click", refuse);
byId("better").addEventListener("click", askForBetter);
