// What gestures do, by mouse, keyboard or touch. A face that a person has hardly seen is not labelled.

import { act, currentPage, currentState, currentView, isReady, skipCheck, takeBack } from "./store.js";
import { countFaces, findTile, hasClusters, hasSuggestions, isBegun, isOpen, nextCard, numbersOf, openTiles, targetsOf, targetsOfCard, tilesOf } from "./page_model.js";
import { getPoint, isJustLit, pointAt } from "./point.js";
import { areNew, listUnseen } from "./seen.js";
import { hear, showMessage } from "./notes.js";
import { words } from "./words.js";

/** Whether faces may be labelled now; otherwise says why, and scrolls to those that were not on the screen. */
function maySee(numbers) {
  const unseen = listUnseen(numbers);
  if (unseen.length) {
    document.querySelector(`.face[data-n="${unseen[0]}"]`)?.scrollIntoView({ block: "center" });
    showMessage(words("{count} more faces: look at them, then accept", { count: unseen.length }));
    return false;
  }
  if (areNew(numbers)) showMessage(words("This has just appeared: look at it, then press again"));
  return !areNew(numbers);
}

function isTaking() {
  if (!isReady()) showMessage(words("Preparing pages…"));
  return isReady();
}

/** Label faces with a class, and go on to the next card after a whole one. */
export function label(tiles, name, isSure = false) {
  return send(tiles, "label", name, isSure ? { sure: true } : {});
}

/** Send faces to a place: `not a face`, `other`, `later` or `queue`. */
export function place(tiles, name) {
  return send(tiles, "place", name);
}

const UNDECIDED = ["later", "queue"]; // faces may be sent there without a look

function send(tiles, name, to, more = {}) {
  if (!isTaking()) return false;
  if (!tiles.length) {
    showMessage(words("Point at a face first"));
    return false;
  }
  if (currentPage().kind === "review" && name === "label") {
    check(tiles[0], "settle", to);
    return true;
  }
  const numbers = numbersOf(tiles);
  if (!UNDECIDED.includes(to) && !maySee(numbers)) return false;
  const page = currentPage();
  const card = findTile(page, numbers[0]).card;
  const isWhole = hasClusters(page) && targetsOfCard(page, card).every(({ n }) => numbers.includes(n));
  act(name, numbers, to, more);
  if (isWhole) goOn(card);
  return true;
}

/** Point at the next card without a name. */
export function goOn(card) {
  const page = currentPage();
  const next = page ? nextCard(page, card) : -1;
  pointAt({ tile: -1, card: next });
  const node = document.querySelector(`.card[data-card="${next}"]`);
  node?.scrollIntoView({ block: "nearest" });
  // A screen reader goes on with the next card; on the card itself all keys work. The keyboard of a phone stays open.
  if (!document.activeElement.matches("#name")) node?.focus({ preventScroll: true });
}

/** What a key is for; null, with a message, for a whole card that was lit a moment ago. */
export function keyTargets() {
  const tiles = targetsOf(currentPage(), getPoint());
  if (tiles.length < 2 || !isJustLit()) return tiles;
  showMessage(words("This has just appeared: look at it, then press again"));
  return null;
}

/** Label all open faces as suggested, or with one class, and leave the page. */
export function accept(name = "") {
  if (!isTaking()) return;
  const page = currentPage();
  if (!hasSuggestions(page) && !isBegun(page) && !name) {
    showMessage(words("Name somebody first, or go to the next page"));
    return;
  }
  if (maySee(numbersOf(tilesOf(page)))) act("accept", numbersOf(openTiles(page)), name);
}

/** Show the next page; nothing more is labelled on this one. */
export function leave() {
  if (currentView() !== "pages") skipCheck();
  else if (isTaking()) act("leave");
}

/** Keep one copy of a set; without one, they are not copies. */
export function keep(n = null) {
  if (isTaking() && maySee(numbersOf(tilesOf(currentPage())))) act("settle", n === null ? [] : [n]);
}

/** Give doubtful labels their suggestion or another class, or keep them (`confirm`). */
export function check(tile, step, name = "") {
  if (!isTaking()) return;
  if (!tile) showMessage(words("Point at a face first"));
  else if (maySee([tile.n])) {
    // A place, such as not a face, is neither confirmed nor suggested, but chosen.
    const target = name || (step === "confirm" ? tile.label : tile.name);
    if (target.startsWith(":")) act("settle", [tile.n], target);
    else act(step, [tile.n], name);
    pointAtNext(tile);
  }
}

function pointAtNext({ n }) {
  const open = openTiles(currentPage());
  const next = open.find((tile) => tile.n > n) ?? open[0];
  pointAt({ tile: next?.n ?? -1, card: next?.card ?? -1 });
  const face = document.querySelector(`.face[data-n="${next?.n}"]`);
  if (document.activeElement.matches(".face")) face?.focus({ preventScroll: true });
  face?.scrollIntoView({ block: "nearest" });
}

/** The key Enter and the main button: what is most likely right. */
export function goForward() {
  const page = currentPage();
  if (page?.kind === "duplicates") keepBest(page);
  else if (page?.kind === "review") check(findTile(page, getPoint().tile), "settle");
  else accept();
}

function keepBest(page) {
  if (page.isUncertain) showMessage(words("Not certain: tap the copy to keep, or say that they are not the same"));
  else keep(0);
}

/** The key K: they are not copies, or the label is right. */
export function refuse() {
  const page = currentPage();
  if (page?.kind === "duplicates") keep();
  else check(findTile(page, getPoint().tile), "confirm");
}

/** Take a face out of its card and its label away, or put it back. */
export function lift(tile) {
  if (!isTaking()) return;
  act("lift", [tile.n]);
  hear(document.querySelector(`.face[data-n="${tile.n}"]`)?.getAttribute("aria-label") ?? "");
}

export function split(card) {
  const page = currentPage();
  const tiles = page.cards[card]?.tiles.filter(isOpen) ?? [];
  if (!isTaking()) return;
  if (tiles.length < 2) showMessage(words("Point at a card first"));
  else act("split", numbersOf(tiles));
}

export function askForBetter() {
  if (isTaking()) act("better");
}

export function undo(kind = "undo") {
  if (!currentState()?.[kind] && kind === "redo") showMessage(words("Nothing to redo"));
  else takeBack(kind);
}

/** How many faces Enter would label. */
export const countOpen = (page) => countFaces(openTiles(page));
