// Finds drawn faces in a worker, with the network of facecrop's detector `drawnface`.
// The same steps as facecrop/detectors/drawnface.py: scaled to multiples of 32, decoded, thinned out.

import * as ort from "../vendor/onnxruntime-web/ort.wasm.min.mjs";
import { sameFace, shared } from "./cutting.js";

const SIZE = 512;
const CLOSE = 128; // for faces that fill a picture
const LARGE = 0.4;
const DRAWN_IN = 0.8;
const STEP = 32;
const MOST_ENLARGED = 2;
const THRESHOLD = 0.35;
const SAME_FACE = 0.45;
const STRIDES = [8, 16, 32];

ort.env.wasm.wasmPaths = new URL("../vendor/onnxruntime-web/", import.meta.url).href;
// The network is small: a second thread takes longer to start than it saves.
ort.env.wasm.numThreads = 1;
const session = ort.InferenceSession.create(new URL("../vendor/drawnface.onnx", import.meta.url).href, { executionProviders: ["wasm"] });

self.onmessage = async ({ data: { id, bitmap } }) => {
  try {
    self.postMessage({ id, boxes: await find(await session, bitmap) });
  } catch (error) {
    self.postMessage({ id, error: String(error) });
  } finally {
    bitmap.close();
  }
};

async function find(network, bitmap) {
  const least = LARGE * Math.max(bitmap.width, bitmap.height);
  const large = (await seen(network, bitmap, CLOSE)).filter((box) => Math.max(box.width, box.height) >= least);
  const small = (await seen(network, bitmap, SIZE)).filter((box) => !large.some((other) => sameFace(box, other)));
  return [...small, ...large.map(drawnIn)];
}

function drawnIn({ x, y, width, height, score }) {
  const [across, down] = [width * DRAWN_IN, height * DRAWN_IN];
  return { x: x + (width - across) / 2, y: y + (height - down) / 2, width: across, height: down, score };
}

async function seen(network, bitmap, size) {
  const scale = Math.min(size / Math.max(bitmap.width, bitmap.height), MOST_ENLARGED) / STEP;
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(Math.round(side * scale), 1) * STEP);
  const input = new ort.Tensor("float32", pixels(bitmap, width, height), [1, 3, height, width]);
  const outputs = await network.run({ [network.inputNames[0]]: input });
  const answer = outputs[network.outputNames[0]];
  const [across, down] = [bitmap.width / width, bitmap.height / height];
  return thinned(decoded(answer.data, answer.dims[2], width, height))
    .map((box) => ({ x: box.x * across, y: box.y * down, width: box.width * across, height: box.height * down, score: box.score }));
}

/** Planes of red, green and blue, 0..1. */
function pixels(bitmap, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const plane = width * height;
  const values = new Float32Array(3 * plane);
  for (let place = 0; place < plane; place++) {
    for (let channel = 0; channel < 3; channel++) values[channel * plane + place] = data[4 * place + channel] / 255;
  }
  return values;
}

/** Boxes of all places that are sure enough: distances to four sides and a score of each. */
function decoded(values, places, width, height) {
  const found = [];
  let place = 0;
  for (const stride of STRIDES) {
    for (let row = 0; row < Math.floor(height / stride); row++) {
      for (let column = 0; column < Math.floor(width / stride); column++, place++) {
        const score = values[4 * places + place];
        if (score < THRESHOLD) continue;
        const [x, y] = [(column + 0.5) * stride, (row + 0.5) * stride];
        const [left, top, right, bottom] = [0, 1, 2, 3].map((side) => values[side * places + place]);
        found.push({ x: x - left, y: y - top, width: left + right, height: top + bottom, score });
      }
    }
  }
  return found;
}

/** The surest of boxes that share too much. */
function thinned(found) {
  const kept = [];
  for (const box of found.sort((one, other) => other.score - one.score)) {
    if (kept.every((other) => shared(box, other) <= SAME_FACE)) kept.push(box);
  }
  return kept;
}
