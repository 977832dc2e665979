// Predictions on the device. The model is downloaded once and cached for offline use.

import { WorkerClient } from "./worker_client.js";
import { refusal } from "./refusals.js";
import { words } from "./words.js";

const CARD = "api/v1/model.json";
const NETWORK = "api/v1/model.onnx";

const worker = new WorkerClient("device_worker.js");
let loading;

/** Load the model; `notify(card, error)` is called with what is fetched, or on an error with the cached one that is used. */
export function loadModel(notify) {
  loading ??= load(notify).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function load(notify) {
  const { card, bytes } = await loadLatest(notify);
  await worker.ask({ bytes, card }, [bytes.buffer]);
  return card;
}

/** Whether a model is cached, for offline use, or loaded where a browser caches nothing. */
export const isCached = async () => ("caches" in self ? Boolean(await (await caches.open("model")).match(CARD)) : Boolean(loading));

/**
 * The card of the model and the network that it names by its hash. The cached pair is used as a whole
 * if the server cannot be reached or has no network of that hash: a card is never used with other weights.
 */
async function loadLatest(notify) {
  const cache = await caches.open("model");
  const cached = await loadCached(cache);
  let card;
  try {
    const answer = await fetchChecked(CARD);
    card = await answer.clone().json();
    const bytes = cached?.card.sha256 === card.sha256 ? cached.bytes : await downloadModel(cache, card, notify);
    // The card comes last, so that the model of a cached card is there.
    await cache.put(CARD, answer);
    for (const { url } of await cache.keys()) {
      if (![CARD, modelAddress(card)].some((address) => url === new URL(address, location).href)) await cache.delete(url);
    }
    return { card, bytes };
  } catch (error) {
    if (!cached) throw error;
    if (card) notify(cached.card, error);
    return cached;
  }
}

const modelAddress = ({ sha256 }) => `${NETWORK}?sha256=${sha256}`;

/** The cached card and model; null if missing or damaged. */
async function loadCached(cache) {
  const card = await (await cache.match(CARD))?.json().catch(() => null);
  const bytes = card && await cache.match(modelAddress(card)).then((answer) => answer && readBytes(answer));
  return bytes && await computeHash(bytes) === card.sha256 ? { card, bytes } : null;
}

/** Download and cache the model of a card. Throws if its hash differs. */
async function downloadModel(cache, card, notify) {
  notify(card);
  const answer = await fetchChecked(modelAddress(card));
  const bytes = await readBytes(answer.clone());
  if (await computeHash(bytes) !== card.sha256) throw new Error(words("The downloaded model is not the announced one. Try again."));
  await cache.put(modelAddress(card), answer);
  return bytes;
}

async function fetchChecked(address) {
  const answer = await fetch(address, { cache: "no-cache" }).catch(() => {
    throw new Error(words("The model is not on this device yet: connect once to load it."));
  });
  if (answer.ok) return answer;
  const { reason, detail } = (await answer.json().catch(() => null)) ?? {};
  throw new Error(reason ? refusal(reason, detail) : `HTTP ${answer.status}`);
}

const readBytes = async (answer) => new Uint8Array(await answer.arrayBuffer());

async function computeHash(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Predictions for one image, in the format of the server. */
export async function classify(image, boxes) {
  const copy = await createImageBitmap(image.bitmap);
  return (await worker.ask({ bitmap: copy, boxes }, [copy])).parts;
}
