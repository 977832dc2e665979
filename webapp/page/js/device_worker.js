// Classifies on the device: the exported model of the server, computed by onnxruntime-web.

import * as ort from "../vendor/onnxruntime-web/ort.wasm.min.mjs";
import { pixelsOf, region, scaled, upperSquare } from "./cutting.js";
import { decided } from "./decision.js";

const TOP = 5;
ort.env.wasm.wasmPaths = new URL("../vendor/onnxruntime-web/", import.meta.url).href;
// Half of the cores: threads that have to share one with other work wait for each other.
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, Math.max(1, Math.floor((navigator.hardwareConcurrency || 1) / 2))) : 1;
let model;

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ id: data.id, ...(await done(data)) });
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  } finally {
    data.bitmap?.close();
  }
};

async function done({ bytes, card, bitmap, boxes }) {
  if (bytes) {
    model = { card, session: await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }) };
    return {};
  }
  const wanted = boxes ?? [null];
  return { parts: await answered(wanted.map((box) => [box, face(bitmap, box)])) };
}

/** The pixels that the model sees of a face, or of the whole picture. */
function face(bitmap, box) {
  const { card } = model;
  const whole = { x: 0, y: 0, width: bitmap.width, height: bitmap.height };
  const cut = box ? card.cut : { ...card.cut, margin: 0 };
  const place = region(box ?? whole, cut, bitmap.width, bitmap.height);
  return scaled(pixelsOf(bitmap, card.fit === "crop" ? upperSquare(place) : place), card.size);
}

async function answered(pictures) {
  const { card, session } = model;
  const parts = [];
  for (const [box, pixels] of pictures) {
    const input = new ort.Tensor("uint8", pixels, [1, card.size, card.size, 3]);
    const told = await session.run({ pictures: input });
    const probabilities = Array.from(told.probabilities.data);
    const { label, ...rule } = decided(card, probabilities, told.embedding.data, told.likeness?.data);
    const predictions = probabilities
      .map((confidence, number) => ({ label: card.classes[number], confidence }))
      .filter((one) => card.shown.includes(one.label))
      .sort((one, other) => other.confidence - one.confidence);
    parts.push({
      box: box && [box.x, box.y, box.width, box.height], score: null,
      answer: label, ...rule, predictions: predictions.slice(0, TOP), nearest: [],
    });
  }
  return parts;
}
