// Dragging with the mouse: a face, or a card by its heading, onto another card or a class.

import { byId, element } from "./dom.js";
import { label } from "./actions.js";
import { beginName } from "./naming.js";
import { findTile, hasClusters, isOpen, nameOfCard, targetsOfCard } from "./page_model.js";
import { currentPage, isReady } from "./store.js";
import { words } from "./words.js";

const BEGIN_PIXELS = 8;
const ghost = element("p", { class: "swipe-sign ready drag-sign", "aria-hidden": "true", hidden: true });
let drag = null; // what is dragged: `{tiles, card, x, y, isMoving}`
let wasDragged = false; // the click at the end means nothing

byId("page").addEventListener("pointerdown", (event) => {
  wasDragged = false;
  if (event.pointerType !== "mouse" || event.button !== 0 || !isReady()) return;
  const page = currentPage();
  const face = event.target.closest(".face");
  const head = event.target.closest(".card-head");
  const tile = face && findTile(page, Number(face.dataset.n));
  const card = tile?.card ?? Number(head?.closest(".card").dataset.card ?? -1);
  const tiles = tile ? [tile] : card >= 0 ? targetsOfCard(page, card) : [];
  const canMove = ["clusters", "class", "mixed", "plain"].includes(page.kind);
  if (canMove && tiles.length) drag = { tiles, card, x: event.clientX, y: event.clientY, isMoving: false };
});

addEventListener("pointermove", ({ clientX, clientY }) => {
  if (!drag) return;
  drag.isMoving ||= Math.hypot(clientX - drag.x, clientY - drag.y) > BEGIN_PIXELS;
  if (!drag.isMoving) return;
  ghost.hidden = false;
  ghost.textContent = words("{count} faces", { count: drag.tiles.length });
  ghost.style.left = `${clientX}px`;
  ghost.style.top = `${clientY}px`;
  mark(findTarget(clientX, clientY));
});

addEventListener("pointerup", ({ clientX, clientY }) => {
  const dragged = drag;
  endDrag();
  if (!dragged?.isMoving) return;
  wasDragged = true;
  const target = findTarget(clientX, clientY);
  if (target && isReady()) drop(dragged, target);
});
addEventListener("pointercancel", endDrag);
addEventListener("click", (event) => {
  if (wasDragged) event.stopPropagation();
  wasDragged = false;
}, true);

function endDrag() {
  drag = null;
  ghost.hidden = true;
  mark(null);
}

const findTarget = (x, y) => document.elementFromPoint(x, y)?.closest(".card, #classes [data-class]");

function mark(target) {
  for (const node of document.querySelectorAll(".drop-here")) node.classList.toggle("drop-here", node === target);
  target?.classList.add("drop-here");
}

/** Label with the class; on a card, with the name that one of both has. Without any, ask for one for both. */
function drop({ tiles, card }, target) {
  const page = currentPage();
  const onto = Number(target.dataset.card ?? -1);
  if (target.dataset.class) label(tiles, target.dataset.class);
  else if (onto !== card && page.cards[onto]) join(page, tiles, card, onto);
}

function join(page, tiles, card, onto) {
  const others = targetsOfCard(page, onto);
  const name = nameOfCard(page, onto);
  const ownName = nameOfCard(page, card);
  if (name) label(tiles, name);
  else if (ownName && tiles.length > 1) label(others, ownName);
  else if (hasClusters(page)) beginName([...tiles.filter(isOpen), ...others]);
}

byId("page").after(ghost);
