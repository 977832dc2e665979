// What is pointed at: a face, or a card as the target of a key or a name.

import { MIN_LOOK_MS } from "./seen.js";

let point = { tile: -1, card: -1 };
let litAt = 0;
let listener = () => {};

export const listenToPoint = (changed) => { listener = changed; };
export const getPoint = () => point;

export function pointAt({ tile = -1, card = -1 }) {
  if (tile === point.tile && card === point.card) return;
  if (card !== point.card) litAt = performance.now();
  point = { tile, card };
  listener();
}

/** Whether a person has hardly seen which card a key acts on. */
export const isJustLit = () => performance.now() - litAt < MIN_LOOK_MS;
