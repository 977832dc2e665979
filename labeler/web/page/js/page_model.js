// What is on a page, and what steps make of it. A page is what the server sent; nothing here changes one, each function
// returns a new one. A tile keeps its number `n` as long as the page is shown.

import { words } from "./words.js";

const SUGGESTIONS = ["class", "mixed"];
const PLACE_NAMES = { ":not a face": "Not a face", ":other": "Nobody I collect", ":later": "Not sure", ":queue": "Not sorted yet" };
const MIN_MOVED = 3; // faces sent from a page to one class, after which better suggestions are offered

/** The name of a class, or of a place such as `:later`. */
export const nameTarget = (target) => (target in PLACE_NAMES ? words(PLACE_NAMES[target]) : target);

/** The tiles of a page in their order, each with the number of its card. */
export const tilesOf = (page) => page.cards.flatMap(({ tiles }, card) => tiles.map((tile) => ({ ...tile, card })));
export const findTile = (page, n) => tilesOf(page).find((tile) => tile.n === n);

/** Whether Enter labels all open faces as suggested. */
export const hasSuggestions = (page) => SUGGESTIONS.includes(page?.kind);
export const hasClusters = (page) => page?.kind === "clusters";
export const isOpen = (tile) => !tile.sent && !tile.lifted && !tile.others;
export const openTiles = (page) => tilesOf(page).filter(isOpen);
export const countFaces = (tiles) => tiles.reduce((sum, tile) => sum + (tile.size ?? 1), 0);
export const isBegun = (page) => tilesOf(page).some((tile) => tile.sent);
export const isUntouched = (page) => tilesOf(page).every(isOpen);
export const numbersOf = (tiles) => tiles.map(({ n }) => n);

/** The name that all faces of a card of clusters got; "" while one of them is open. */
export function nameOfCard(page, card) {
  const { name, tiles } = page.cards[card];
  if (!hasClusters(page)) return name;
  if (tiles.some(isOpen)) return "";
  const names = tiles.map((tile) => tile.sent).filter(Boolean);
  return names.sort((a, b) => countOf(names, b) - countOf(names, a))[0] ?? "";
}

const countOf = (names, name) => names.filter((other) => other === name).length;

/** The open tiles of a card; without any, those that have its name. */
export function targetsOfCard(page, card) {
  const { tiles } = page.cards[card];
  const open = tiles.filter(isOpen);
  const name = nameOfCard(page, card);
  return open.length ? open : tiles.filter((tile) => name && tile.sent === name);
}

/** What a key or a name is for: an open face of a cluster stands for all of them, any other face for itself. */
export function targetsOf(page, { tile: n = -1, card = -1 }) {
  const tile = findTile(page, n);
  if (tile && !(hasClusters(page) && isOpen(tile))) return [tile];
  const at = tile ? tile.card : card;
  return page.cards[at] ? targetsOfCard(page, at) : [];
}

/** The first card from one on, then from the first, that has an open face; -1 for none. */
export function nextCard(page, from = 0) {
  const numbers = page.cards.map((_, card) => card).filter((card) => page.cards[card].tiles.some(isOpen));
  return numbers.find((card) => card >= from) ?? numbers[0] ?? -1;
}

/** Whether so many faces went to one class that better suggestions of the rest can be made. */
export function isCorrected(page) {
  const sent = tilesOf(page).filter((tile) => tile.sent).map((tile) => tile.sent);
  return hasSuggestions(page) && sent.some((name) => countOf(sent, name) >= MIN_MOVED);
}

/** A page with other tiles where `change(tile)` returns one. */
function changeTiles(page, numbers, change) {
  const cards = page.cards.map((card) => ({ ...card, tiles: card.tiles.map((tile) => (numbers.includes(tile.n) ? { ...tile, ...change(tile) } : tile)) }));
  return { ...page, cards };
}

/** Duplicates are left with one step; doubtful labels get another class each. */
function settle(page, tiles, label) {
  if (page.kind === "duplicates") return { ...page, isLeft: true };
  return changeTiles(page, tiles, ({ name }) => ({ sent: label || name }));
}

const CHANGES = {
  label: (page, { tiles, label }) => changeTiles(page, tiles, () => ({ sent: label, lifted: false })),
  place: (page, { tiles, label }) => changeTiles(page, tiles, () => ({ sent: `:${label}`, lifted: false })),
  lift: (page, { tiles }) => changeTiles(page, tiles, (tile) => ({ sent: "", lifted: !tile.lifted })),
  confirm: (page, { tiles }) => changeTiles(page, tiles, ({ label }) => ({ sent: label })),
  settle: (page, { tiles, label }) => settle(page, tiles, label),
};
const LEAVING = ["accept", "leave", "better"];

/** Take the last saved step back; excluding a face is none. */
function dropLast(steps) {
  const at = steps.findLastIndex(({ act }) => act !== "lift");
  if (at >= 0) steps.splice(at, 1);
}

const apply = (page, step) => (LEAVING.includes(step.act) ? { ...page, isLeft: true } : CHANGES[step.act]?.(page, step) ?? page);

/** A page after steps that the server has not answered yet; an undo takes the step before it back. */
export function replay(page, steps) {
  const made = [];
  for (const step of steps) {
    if (step.act === "undo" && !step.step) dropLast(made);
    else if (step.page === page.id) made.push(step);
  }
  return made.reduce(apply, page);
}
