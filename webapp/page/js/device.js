// Answers on the device. The model is fetched once and kept, so that it answers without a network.

import { AskedWorker } from "./asked_worker.js";
import { refusal } from "./refusals.js";

const worker = new AskedWorker("device_worker.js");
let loading;

/** Have the model ready; `said(bytes)` is told how much is to be fetched. */
export function loadModel(said) {
  loading ??= load(said).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function load(said) {
  const card = await (await kept("api/v1/model.json")).json();
  said(card.bytes);
  const bytes = new Uint8Array(await (await kept("api/v1/model.onnx")).arrayBuffer());
  await worker.ask({ bytes, card }, [bytes.buffer]);
  return card;
}

/** What the server says now, or what it said last where it cannot be reached. */
async function kept(address) {
  const cache = await caches.open("model");
  try {
    const answer = await fetch(address, { cache: "no-cache" });
    if (answer.ok) await cache.put(address, answer.clone());
    if (answer.ok) return answer;
    const { reason, detail } = (await answer.json().catch(() => null))?.error ?? {};
    throw new Error(reason ? refusal(reason, detail) : `HTTP ${answer.status}`);
  } catch (error) {
    const before = await cache.match(address);
    if (before) return before;
    throw error;
  }
}

/** The parts of one picture, as the server gives them. */
export async function classify(picture, boxes) {
  const copy = await createImageBitmap(picture.bitmap);
  return (await worker.ask({ bitmap: copy, boxes }, [copy])).parts;
}
