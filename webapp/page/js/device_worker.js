// Classifies on the device: the exported model of the server, computed by onnxruntime-web.

import * as ort from "../vendor/onnxruntime-web/ort.wasm.min.mjs";
import { readBox, cropRegion, resize, upperSquare } from "./cutting.js";
import { decide } from "./decision.js";

const TOP = 5;
ort.env.wasm.wasmPaths = new URL("../vendor/onnxruntime-web/", import.meta.url).href;
// Half of the cores: threads that share a core with other work wait for each other.
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, Math.max(1, Math.floor((navigator.hardwareConcurrency || 1) / 2))) : 1;
let model;

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ id: data.id, ...(await handle(data)) });
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  } finally {
    data.bitmap?.close();
  }
};

async function handle({ bytes, card, bitmap, boxes }) {
  if (bytes) {
    model = { card, session: await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }) };
    return {};
  }
  const regions = boxes ?? [null];
  return { parts: await predict(regions.map((box) => [box, readPixels(bitmap, box)])) };
}

/** The input of the model for a face, or for the whole image. */
function readPixels(bitmap, box) {
  const { card } = model;
  const fullBox = { x: 0, y: 0, width: bitmap.width, height: bitmap.height };
  const cropSettings = box ? card.cut : { ...card.cut, margin: 0 };
  const cropBox = cropRegion(box ?? fullBox, cropSettings, bitmap.width, bitmap.height);
  return resize(readBox(bitmap, card.fit === "crop" ? upperSquare(cropBox) : cropBox), card.size);
}

async function predict(crops) {
  const { card, session } = model;
  const parts = [];
  for (const [box, pixels] of crops) {
    const input = new ort.Tensor("uint8", pixels, [1, card.size, card.size, 3]);
    const outputs = await session.run({ [session.inputNames[0]]: input });
    // By position: earlier exports have other names.
    const [scores, embedding, similarities] = session.outputNames.map((name) => outputs[name].data);
    const probabilities = Array.from(scores);
    const membership = outputs.membership ? outputs.membership.data[0] : null;
    const decided = decide(card, probabilities, membership, embedding, similarities);
    const predictions = probabilities
      .map((probability, number) => ({ label: card.classes[number], confidence: probability * (membership ?? 1) }))
      .filter((one) => card.shown.includes(one.label))
      .sort((one, other) => other.confidence - one.confidence);
    parts.push({
      box: box && [box.x, box.y, box.width, box.height], score: null,
      ...decided, predictions: predictions.slice(0, TOP), nearest: [],
    });
  }
  return parts;
}
