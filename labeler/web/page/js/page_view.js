// Draws a page: cards with faces. It is built once; later only marks change, so that nothing moves under the hand.

import { byId, element } from "./dom.js";
import { fitFaces } from "./face_size.js";
import { countFaces, findTile, hasClusters, isOpen, nameOfCard, nameTarget, targetsOf, targetsOfCard, tilesOf } from "./page_model.js";
import { isNaming, namedTiles } from "./naming.js";
import { getPoint } from "./point.js";
import { watchFaces } from "./seen.js";
import { faceAddress } from "./server.js";
import { currentState } from "./store.js";
import { words } from "./words.js";

const PLAIN_KINDS = ["class", "plain", "duplicates", "review"]; // pages without cards
const TOGGLED_KINDS = ["clusters", "class", "mixed"]; // where a click excludes a face, or includes it again
const hasMouse = matchMedia("(hover: hover)"); // and so a keyboard
const MAX_PIXEL_RATIO = 1.5; // more is hardly seen, and slow on a phone's line
const MAX_TRIES = 5;
const RETRY_MS = 1000;
let drawn = ""; // id of the page
let boxes = new Map(); // by the number of a face: the card in whose box it is drawn
let faces = new Map(); // by the number of a face: its button

/** Draw a page, or only its marks if it is there already. Returns whether it is another one. */
export function drawPage(page) {
  const isNew = page.id !== drawn;
  if (isNew) build(page);
  markPage(page);
  return isNew;
}

export const forgetPage = () => { drawn = ""; };

function build(page) {
  drawn = page.id;
  boxes = new Map(tilesOf(page).map(({ n, card }) => [n, card]));
  const place = byId("page");
  place.className = `page ${page.kind}`;
  place.replaceChildren(...page.cards.flatMap((card, number) => (PLAIN_KINDS.includes(page.kind) ? buildParts(page, card) : [buildCard(page, card, number)])));
  place.scrollTop = 0;
  fitFaces(place, page);
  loadImages(place, page);
  faces = new Map([...place.querySelectorAll(".face")].map((face) => [Number(face.dataset.n), face]));
  watchFaces(faces.values());
}

/** The parts of a page of one class: doubtful faces first, and larger. */
function buildParts(page, { tiles }) {
  const doubtful = tiles.filter((tile) => tile.doubtful);
  const others = tiles.filter((tile) => !tile.doubtful);
  if (!doubtful.length) return [buildFaces(page, tiles)];
  const part = (title, members, name) => element("section", { class: `part ${name}` }, element("h2", { class: "small", text: title }), buildFaces(page, members));
  return [part(words("Low confidence"), doubtful, "doubtful"), ...(others.length ? [part(words("High confidence"), others, "")] : [])];
}

function buildCard(page, card, number) {
  const node = element("div", { class: "card", role: "group", tabindex: -1, "data-card": number, "data-box": number, "aria-labelledby": `who-${number} place-${number}` }, buildHeading(page, card, number), buildFaces(page, card.tiles));
  node.style.setProperty("--columns", countColumns(card.tiles.length));
  return node;
}

/** How many faces a row of a card has on a wide screen. */
const countColumns = (count) => Math.max(3, Math.ceil(count / (count <= 3 ? 1 : count <= 20 ? 2 : count <= 40 ? 4 : 6)));

function buildHeading(page, card, number) {
  const portrait = card.tiles.find((tile) => !tile.doubtful) ?? card.tiles[0];
  return element("header", { class: "card-head" },
    element("button", { class: "portrait", "data-enlarge": portrait.n, "aria-label": words("Show face {number} in its image", { number: portrait.n + 1 }) }, element("img", { alt: "", "data-face": portrait.n })),
    element("div", { class: "name-slot" }, element("h2", {}, element("button", { class: "who", id: `who-${number}`, "data-name": number })), element("div", { class: "under" }, element("p", { class: "muted count" }), buildPlace(page, number), element("button", { class: "quiet more", "data-menu": number, "aria-haspopup": "dialog", "aria-label": words("Menu of this card"), text: "⋯" }))));
}

/** For screen readers: without names all cards have the same title. */
const buildPlace = ({ cards }, number) => element("span", { id: `place-${number}`, hidden: true, text: words("Card {number} of {count}", { number: number + 1, count: cards.length }) });

const buildFaces = (page, tiles) => element("ul", { class: "faces" }, ...tiles.map((tile) => buildFace(page, tile)));

/** A click does what the role says: it checks a face or not, opens its menu, or keeps it of its copies. */
function describeRole({ kind }) {
  if (TOGGLED_KINDS.includes(kind)) return { role: "checkbox" };
  return kind === "duplicates" ? {} : { "aria-haspopup": "dialog" };
}

function buildFace(page, tile) {
  return element("li", { class: tile.size > 1 ? "stack" : "" },
    element("button", { class: "face", "data-n": tile.n, tabindex: -1, ...describeRole(page) }, element("img", { alt: "", "data-face": tile.n }), element("span", { class: "tag" }), tile.size > 1 && element("span", { class: "size", text: tile.size })),
    element("button", { class: "magnify", "data-enlarge": tile.n, tabindex: -1, "aria-label": words("Show face {number} in its image", { number: tile.n + 1 }) }, element("span", { class: "lens" })));
}

/** Load the faces in the size that they are shown in; the first ones first. */
function loadImages(place, page) {
  for (const image of place.querySelectorAll("[data-face]")) {
    const side = image.clientWidth * Math.min(devicePixelRatio, MAX_PIXEL_RATIO);
    loadImage(image, faceAddress(findTile(page, Number(image.dataset.face)), side));
  }
}

/** Load an image; after an error again and again for a while, because the server may be busy or the network away. */
function loadImage(image, address, tries = 0) {
  image.onerror = () => {
    if (tries === MAX_TRIES) image.classList.add("broken");
    else setTimeout(() => loadImage(image, address, tries + 1), RETRY_MS * (tries + 1));
    image.dispatchEvent(new Event("settled"));
  };
  image.src = tries ? `${address}&try=${tries}` : address;
}

/** Draw what was done on the page, and what is pointed at. */
export function markPage(page) {
  byId("page").classList.toggle("left", Boolean(page.isLeft));
  const lit = new Set(listLit(page));
  const tiles = tilesOf(page);
  const stop = findStop(page);
  for (const tile of tiles) markFace(page, tile, lit, stop);
  page.cards.forEach((_, card) => markCard(page, card, lit));
}

/** The faces that a key or the typed name is for. */
function listLit(page) {
  if (isNaming()) return namedTiles();
  return targetsOf(page, getPoint()).map(({ n }) => n);
}

/** The one face that Tab goes to: what is pointed at, or the first one of that card. Arrows go to the others. */
function findStop({ cards }) {
  const { tile, card } = getPoint();
  return tile >= 0 ? tile : cards[card]?.tiles[0]?.n ?? 0;
}

function markFace(page, tile, lit, stop) {
  const face = faces.get(tile.n);
  if (!face) return;
  const point = getPoint();
  const box = boxes.get(tile.n);
  // The heading says the name of a card that is done.
  const isOfCard = hasClusters(page) && tile.sent !== "" && page.cards[box] && nameOfCard(page, box) === tile.sent;
  face.classList.toggle("lifted", Boolean(tile.lifted));
  face.classList.toggle("sent", Boolean(tile.sent || tile.others) && !isOfCard);
  face.classList.toggle("best", isBest(page, tile));
  face.classList.toggle("pointed", tile.n === point.tile);
  face.classList.toggle("lit", lit.has(tile.n));
  face.tabIndex = tile.n === stop ? 0 : -1;
  face.querySelector(".tag").textContent = isOfCard ? "" : nameTarget(tile.sent) || (tile.lifted ? "×" : tile.card === box ? tile.caption ?? "" : letterOf(tile.card));
  face.setAttribute("aria-label", describeFace(page, tile));
  if (TOGGLED_KINDS.includes(page.kind)) face.setAttribute("aria-checked", String(!tile.lifted));
}

const isBest = (page, { n }) => page.kind === "duplicates" && !page.isUncertain && n === 0;
const letterOf = (card) => String.fromCharCode(65 + (card % 26));

/** What a face is: its place and suggestion, and what was done with it. */
export function describeFace(page, tile) {
  const place = { number: tile.n + 1, count: tilesOf(page).length };
  const suggestion = tile.caption?.replaceAll("\n", " ") ?? (tile.name && words("{name}?", { name: tile.name }));
  const state = tile.sent ? nameTarget(tile.sent) : tile.lifted ? words("excluded") : isBest(page, tile) && words("best copy");
  return [words(page.kind === "duplicates" ? "Keep face {number} of {count}" : "Face {number} of {count}", place), suggestion, tile.doubtful && words("Low confidence"), tile.size > 1 && words("{count} similar", { count: tile.size }), state].filter(Boolean).join(", ");
}

function markCard(page, card, lit) {
  const node = document.querySelector(`.card[data-box="${card}"]`);
  const who = node?.querySelector(".who");
  if (!who) return;
  const targets = targetsOfCard(page, card);
  const isLit = targets.length > 0 && targets.every(({ n }) => lit.has(n)) && (targets.length > 1 || getPoint().card === card);
  const name = nameOfCard(page, card);
  const isDone = !page.cards[card].tiles.some(isOpen);
  node.classList.toggle("lit", isLit);
  node.classList.toggle("done", isDone);
  const title = isDone ? nameTarget(name) : words("{name}?", { name });
  who.textContent = name ? title : words("Who is this?");
  who.title = words("Type a name…");
  who.dataset.key = (hasMouse.matches && currentState()?.classes.find((row) => row.name === name)?.key) || "";
  who.classList.toggle("asks", !name && hasClusters(page));
  node.querySelector(".count").textContent = describeCount(page, targets, isLit);
}

function describeCount(page, targets, isLit) {
  const count = countFaces(targets);
  if (isLit && isNaming()) return words("Enter: {count} faces", { count });
  if (isLit && targets.length > 1 && hasClusters(page) && hasMouse.matches) return words("Del: reject {count}", { count });
  return count.toLocaleString();
}
