// The field for a name: in the heading of the card that it is for, above a page of one class, or in the bar of a phone.

import { byId, element, rescueFocus } from "./dom.js";
import { accept, goOn, label } from "./actions.js";
import { narrow } from "./face_size.js";
import { completeName, findTypo, matchName, resolveName } from "./names.js";
import { showMessage } from "./notes.js";
import { countFaces, findTile, hasClusters, numbersOf, targetsOf, tilesOf } from "./page_model.js";
import { getPoint } from "./point.js";
import { currentPage, currentState, isReady } from "./store.js";
import { words } from "./words.js";

const MAX_OFFERED = 8;
let target = null; // what the name is for: `{tiles: numbers}`, or `{isForPage}`
let offered = []; // names that complete the text
let at = -1; // the one in the field
let listener = () => {};

const field = element("input", {
  id: "name", autocomplete: "off", autocapitalize: "words", spellcheck: "false", enterkeyhint: "done",
  role: "combobox", "aria-expanded": "false", "aria-controls": "names", "aria-autocomplete": "list", "aria-describedby": "name-hint",
  oninput: () => { at = -1; begin(); showOffers(); },
  onfocus: () => { begin(); showOffers(); },
  onblur: () => setTimeout(endWithoutFocus),
  onkeydown: pressKey,
});
const hint = element("span", { id: "name-hint", class: "muted" });
const list = element("ul", { id: "names", role: "listbox" });
const form = element("form", { class: "namer", onsubmit: (event) => { event.preventDefault(); submit(); } }, field, hint, list);

export const isNaming = () => target !== null && document.activeElement === field;
export const hasText = () => field.value.trim() !== "";
/** The numbers of the faces that the typed name is for. */
export const namedTiles = () => (target?.isForPage ? [] : target?.tiles ?? []);
export const listenToNaming = (changed) => { listener = changed; };
const namesKnown = () => currentState()?.names ?? [];

/** Begin a name for what is pointed at, or for some faces; the key that is pressed types its letter. */
export function beginName(tiles = null) {
  target = tiles && { tiles: numbersOf(tiles) };
  begin();
  placeField();
  field.focus();
  listener();
}

function begin() {
  if (target) return;
  const page = currentPage();
  if (!page || !isReady()) return;
  const tiles = targetsOf(page, getPoint());
  if (tiles.length) target = { tiles: numbersOf(tiles) };
  else if (page.kind === "class") target = { isForPage: true };
  placeField();
  listener();
}

function endWithoutFocus() {
  if (document.activeElement !== field) end();
}

export function end() {
  if (hasText()) showMessage(words("Typed, but not used: {name}", { name: field.value.trim() }));
  clear();
}

function clear() {
  field.value = "";
  target = null;
  offered = [];
  showOffers();
  placeField();
  listener();
}

/** What was typed ahead is for the page that has come. */
export function renewTarget() {
  target = null;
  if (document.activeElement === field || hasText()) begin();
}

/** Where the field is now. */
export function placeField() {
  field.placeholder = words("Who is this?");
  const tiles = currentPage() ? tilesOf(currentPage()).filter(({ n }) => namedTiles().includes(n)) : [];
  field.setAttribute("aria-label", tiles.length ? `${field.placeholder} ${words("{count} faces", { count: countFaces(tiles) })}` : field.placeholder);
  list.setAttribute("aria-label", words("Names"));
  const home = findHome();
  if (form.parentNode === home) return;
  const hadFocus = document.activeElement === field;
  if (home) home.prepend(form);
  else form.remove();
  if (hadFocus) field.focus();
}

function findHome() {
  const page = currentPage();
  const asks = page && ["clusters", "class", "plain"].includes(page.kind);
  if (narrow.matches) return (asks && page.kind !== "class") || target ? byId("bar-name") : null;
  const card = page && target?.tiles ? findTile(page, target.tiles[0])?.card : -1;
  const slot = document.querySelector(`.card[data-box="${card}"] .name-slot`);
  return slot ?? (asks && page.kind !== "clusters" ? byId("head-name") : target ? byId("head-name") : null);
}

function showOffers() {
  const text = field.value.trim();
  offered = text ? completeName(text, namesKnown()) : [];
  const shown = text ? offered.map(([name]) => name) : listFrequent();
  list.replaceChildren(...shown.slice(0, MAX_OFFERED).map(buildOffer));
  field.setAttribute("aria-expanded", String(shown.length > 0 && target !== null));
  field.removeAttribute("aria-activedescendant");
  hint.textContent = describeMeaning(text);
}

/** The classes with most faces, for a tap; with a keyboard they have keys. */
const listFrequent = () => (narrow.matches && target ? [...(currentState()?.classes ?? [])].sort((a, b) => b.count - a.count).map(({ name }) => name) : []);

function buildOffer(name, number) {
  // Pressing it must not take the focus from the field, and with it the target.
  return element("li", { id: `name-${number}`, role: "option", "aria-selected": "false", text: name, onpointerdown: (event) => event.preventDefault(), onclick: () => { field.value = name; submit(); } });
}

function describeMeaning(text) {
  const match = matchName(text, namesKnown());
  if (!text) return "";
  if (match) return match[1] === text ? "" : `= ${match[1]}`;
  return offered.length && !narrow.matches ? words("Tab: {name} · new", { name: offered[0][0] }) : words("new");
}

/** Write the next or previous name that completes the text into the field. */
function complete(step) {
  if (!offered.length) return;
  at = (at + step + (at < 0 && step < 0 ? 1 : 0) + offered.length) % offered.length;
  const completions = offered;
  [field.value] = offered[at];
  hint.textContent = describeMeaning(field.value);
  offered = completions;
  for (const [number, offer] of [...list.children].entries()) offer.setAttribute("aria-selected", String(number === at));
  field.setAttribute("aria-activedescendant", `name-${at}`);
  list.children[at]?.scrollIntoView({ block: "nearest" });
}

const COMPLETION_STEPS = { Tab: 1, ArrowDown: 1, ArrowUp: -1 };

function pressKey(event) {
  if (event.isComposing) return;
  const step = COMPLETION_STEPS[event.key];
  if (step && hasText()) complete(event.key === "Tab" && event.shiftKey ? -1 : step);
  else if (event.key === "Escape") leaveField();
  else if (event.key === "Enter" && !event.repeat) submit(event.ctrlKey);
  else if (hasText() || event.key === "Backspace" || event.key.length === 1) {
    event.stopPropagation();
    return;
  } else return; // an empty field leaves other keys to the page
  event.preventDefault();
  event.stopPropagation();
}

function leaveField() {
  clear();
  field.blur();
}

/** Use the typed name; with Ctrl also accept the page. An empty field accepts the page, as Enter does. */
function submit(isLast = false) {
  const text = field.value.trim();
  if (!text) {
    field.blur();
    clear();
    accept();
    return;
  }
  const typo = findTypo(text, namesKnown());
  if (typo) askWhich(text, typo, isLast);
  else give(resolveName(text, namesKnown()), isLast);
}

/** Ask whether a name that is nearly that of a class means this class. */
function askWhich(text, typo, isLast) {
  const own = target;
  const choose = (name, isSure) => {
    target = own;
    give(name, isLast, isSure);
  };
  clear();
  showMessage(words("Is “{text}” {name}?", { text, name: typo }), [typo, () => choose(typo, false)], [words("New: {text}", { text }), () => choose(text, true)]);
  // In the field Tab completes a name, and so would not lead to the buttons.
  byId("said").querySelector("button").focus();
}

/** Ask the same about a step that the server refused. */
export function askAgain(step, suggestion, repeat) {
  showMessage(words("Is “{text}” {name}?", { text: step.label, name: suggestion }), [suggestion, () => repeat(suggestion)], [words("New: {text}", { text: step.label }), () => repeat(step.label, { sure: true })]);
}

function give(name, isLast, isSure = false) {
  const page = currentPage();
  const { isForPage, tiles = [] } = target ?? {};
  if (!target) {
    showMessage(words("Point at a face or a card, then type its name"));
    return;
  }
  if (isForPage) {
    clear();
    field.blur();
    accept(name);
    return;
  }
  const named = tilesOf(page).filter(({ n }) => tiles.includes(n));
  if (!label(named, name, isSure)) return;
  const { card } = named[0];
  clear();
  // The keyboard of a phone stays open for the next card.
  if (!narrow.matches || isLast) field.blur();
  if (hasClusters(page)) goOn(card);
  if (getPoint().card < 0) field.blur();
  else if (document.activeElement === field) begin();
  rescueFocus(document.querySelector(".face.pointed"), byId("title"));
  if (isLast && hasClusters(page)) accept();
}
narrow.addEventListener("change", placeField);
