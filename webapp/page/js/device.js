// Answers on the device. The model is fetched once and kept, so that it answers without a network.

import { AskedWorker } from "./asked_worker.js";
import { refusal } from "./refusals.js";
import { words } from "./words.js";

const CARD = "api/v1/model.json";
const NETWORK = "api/v1/model.onnx";

const worker = new AskedWorker("device_worker.js");
let loading;

/** Have the model ready; `said(card, error)` is told what is fetched, or, with an error, which one stands in for a newer one. */
export function loadModel(said) {
  loading ??= load(said).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function load(said) {
  const { card, bytes } = await newest(said);
  await worker.ask({ bytes, card }, [bytes.buffer]);
  return card;
}

/** Whether a model is here, so that it answers without a network. */
export const isKept = async () => "caches" in self && Boolean(await (await caches.open("model")).match(CARD));

/**
 * The card of the model and the network that it names by its hash. The pair that was kept stands in, as a whole,
 * where the server cannot be reached or gives no network of that hash: names of one never go with weights of another.
 */
async function newest(said) {
  const cache = await caches.open("model");
  const before = await kept(cache);
  let card;
  try {
    const answer = await asked(CARD);
    card = await answer.clone().json();
    const bytes = before?.card.sha256 === card.sha256 ? before.bytes : await network(cache, card, said);
    // The card comes last: what is named by a card that is kept is there.
    await cache.put(CARD, answer);
    for (const { url } of await cache.keys()) {
      if (![CARD, place(card)].some((address) => url === new URL(address, location).href)) await cache.delete(url);
    }
    return { card, bytes };
  } catch (error) {
    if (!before) throw error;
    if (card) said(before.card, error);
    return before;
  }
}

const place = ({ sha256 }) => `${NETWORK}?sha256=${sha256}`;

/** The pair that was kept; null where there is none, or either is damaged. */
async function kept(cache) {
  const card = await (await cache.match(CARD))?.json().catch(() => null);
  const bytes = card && await cache.match(place(card)).then((answer) => answer && bytesOf(answer));
  return bytes && await hashOf(bytes) === card.sha256 ? { card, bytes } : null;
}

/** The network of a card, fetched and kept. Throws where what comes is another one. */
async function network(cache, card, said) {
  said(card);
  const answer = await asked(place(card));
  const bytes = await bytesOf(answer.clone());
  if (await hashOf(bytes) !== card.sha256) throw new Error(words("The downloaded model is not the announced one. Try again."));
  await cache.put(place(card), answer);
  return bytes;
}

async function asked(address) {
  const answer = await fetch(address, { cache: "no-cache" });
  if (answer.ok) return answer;
  const { reason, detail } = (await answer.json().catch(() => null)) ?? {};
  throw new Error(reason ? refusal(reason, detail) : `HTTP ${answer.status}`);
}

const bytesOf = async (answer) => new Uint8Array(await answer.arrayBuffer());

async function hashOf(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The parts of one picture, as the server gives them. */
export async function classify(picture, boxes) {
  const copy = await createImageBitmap(picture.bitmap);
  return (await worker.ask({ bitmap: copy, boxes }, [copy])).parts;
}
