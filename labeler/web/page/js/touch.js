// Taps, clicks, long presses and swipes on the page.

import { byId, element } from "./dom.js";
import { countOpen, goForward, keep, leave, lift } from "./actions.js";
import { openCardMenu, openFaceMenu } from "./menus.js";
import { beginName } from "./naming.js";
import { findTile, hasSuggestions, isBegun, targetsOfCard } from "./page_model.js";
import { enlarge } from "./pictures.js";
import { pointAt } from "./point.js";
import { currentPage, isReady } from "./store.js";
import { words } from "./words.js";

const LONG_PRESS_MS = 450;
const SWIPE_BEGIN = 12; // pixels
const SWIPE_END = 90;
const page = byId("page");
const sign = element("p", { class: "swipe-sign", "aria-hidden": "true", hidden: true });
let press = null; // where a finger is: `{x, y, timer, dx, isSwipe}`
const LATE_CLICK_MS = 300;
let wasHandled = false; // the click that follows a swipe or a long press means nothing, wherever it is

const faceOf = (target) => {
  const face = target.closest(".face");
  return face && findTile(currentPage(), Number(face.dataset.n));
};

// A menu opens under the finger, which would press one of its items.
addEventListener("click", (event) => {
  if (wasHandled) event.stopPropagation();
}, true);
addEventListener("pointerdown", () => { wasHandled = false; }, true);
addEventListener("pointerup", () => setTimeout(() => { wasHandled = false; }, LATE_CLICK_MS), true);

page.addEventListener("click", (event) => {
  const { target } = event;
  const { enlarge: n, menu, name } = target.closest("button")?.dataset ?? {};
  const tile = faceOf(target);
  if (tile) clickFace(tile, event);
  else if (n !== undefined) enlarge(Number(n));
  else if (menu !== undefined) openCardMenu(Number(menu));
  else if (name !== undefined) clickHeading(Number(name));
  else pointAtCard(target);
});

/** Exclude a face; before faces are compared a page has no cards, and a tap opens the menu instead. */
function clickFace(tile, event) {
  const { kind } = currentPage();
  if (kind === "duplicates") keep(tile.n);
  else if (kind === "review") openFaceMenu(tile);
  else if (kind !== "plain") lift(tile);
  else if (event.pointerType !== "mouse") openFaceMenu(tile);
}

/** Name a card by its heading, or rename it. */
function clickHeading(card) {
  if (!isReady()) return;
  pointAt({ tile: -1, card });
  const tiles = targetsOfCard(currentPage(), card);
  if (["clusters", "mixed"].includes(currentPage().kind) && tiles.length) beginName(tiles);
}

/** The keys act on what has the focus, which Tab moves. */
page.addEventListener("focusin", ({ target }) => {
  if (!isReady() || !target.matches(":focus-visible")) return;
  const tile = faceOf(target);
  const card = target.closest(".card");
  if (tile) pointAt({ tile: tile.n, card: tile.card });
  else if (card && !target.matches("#name")) pointAtCard(target);
});

function pointAtCard(target) {
  const card = target.closest(".card");
  if (card) pointAt({ tile: -1, card: Number(card.dataset.card) });
}

page.addEventListener("pointermove", (event) => {
  if (event.pointerType !== "mouse" || !isReady()) return;
  const tile = faceOf(event.target);
  const card = event.target.closest(".card");
  if (tile) pointAt({ tile: tile.n, card: tile.card });
  else if (card) pointAt({ tile: -1, card: Number(card.dataset.card) });
});

page.addEventListener("contextmenu", (event) => {
  event.preventDefault();
  // The menu key has no pointer, and in some browsers the mouse has none here; touch has its long press.
  if (event.pointerType !== "touch") openMenu(event.target);
});

function openMenu(target) {
  if (!isReady()) return;
  const tile = faceOf(target);
  const card = target.closest(".card");
  if (tile) openFaceMenu(tile);
  else if (card) openCardMenu(Number(card.dataset.card));
}

page.addEventListener("pointerdown", (event) => {
  if (event.pointerType === "mouse" || !event.isPrimary) return;
  const { target, clientX: x, clientY: y } = event;
  press = { x, y, dx: 0, isSwipe: false, timer: setTimeout(() => holdDown(target), LONG_PRESS_MS) };
});

function holdDown(target) {
  wasHandled = true;
  press = null;
  openMenu(target);
}

page.addEventListener("pointermove", (event) => {
  if (!press || !event.isPrimary) return;
  press.dx = event.clientX - press.x;
  const dy = event.clientY - press.y;
  if (Math.hypot(press.dx, dy) > SWIPE_BEGIN) clearTimeout(press.timer);
  if (!press.isSwipe && Math.abs(press.dx) > SWIPE_BEGIN && Math.abs(press.dx) > 1.5 * Math.abs(dy) && isReady()) {
    press.isSwipe = true;
    page.setPointerCapture(event.pointerId);
  }
  if (press.isSwipe) showSwipe(press.dx);
});

function showSwipe(dx) {
  page.style.translate = `${dx}px`;
  const shown = currentPage();
  sign.hidden = Math.abs(dx) < SWIPE_BEGIN;
  sign.classList.toggle("ready", Math.abs(dx) >= SWIPE_END);
  sign.textContent = dx < 0 ? words("Skip") : hasSuggestions(shown) ? words("All correct ({count})", { count: countOpen(shown) }) : words(isBegun(shown) ? "Next page" : "Name somebody first, or go to the next page");
}

page.addEventListener("pointerup", () => {
  const { dx = 0, isSwipe = false } = press ?? {};
  endPress();
  if (!isSwipe) return;
  wasHandled = true;
  if (dx >= SWIPE_END) goForward();
  else if (dx <= -SWIPE_END) leave();
});
page.addEventListener("pointercancel", endPress);

function endPress() {
  clearTimeout(press?.timer);
  press = null;
  page.style.translate = "";
  sign.hidden = true;
}

page.after(sign);
