// Finds drawn faces in a worker, with the network of facecrop's detector `drawnface`.
// The same steps as facecrop/detectors/drawnface.py: scaled to multiples of 32, decoded, thinned out.

import * as ort from "../vendor/onnxruntime-web/ort.wasm.min.mjs";
import { sameFace, shared } from "./cutting.js";

const SIZES = [512, 384, 256, 128]; // looks at a picture; the last is for faces that fill it
const LAST = SIZES.length - 1;
const LARGE = 0.3; // of the longer side: from here on the last look has a say,
const LARGEST = 0.4; // and up to here the others
const SMALLEST = 12; // pixels: of smaller faces all but the first look say nothing
const STEP = 32;
const MOST_ENLARGED = 2;
const THRESHOLD = 0.35;
const LEAST_SCORE = 0.15;
const SAME_FACE = 0.45;
const SAME_PLACE = 0.35;
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
  const longest = Math.max(bitmap.width, bitmap.height);
  const sightings = [];
  for (const [look, size] of SIZES.entries()) {
    for (const box of await seen(network, bitmap, size)) if (hasSay(look, box, longest)) sightings.push({ look, ...box });
  }
  const faces = grouped(sightings).map((place) => merged(place, longest));
  const kept = [];
  for (const face of faces.sort((one, other) => other.score - one.score)) {
    if (!kept.some((other) => sameFace(face, other))) kept.push(face);
  }
  return kept.filter((face) => face.score >= THRESHOLD);
}

/** Whether a look can see a face of that size. */
function hasSay(look, box, longest) {
  const side = Math.sqrt(box.width * box.height);
  if (look === LAST) return side >= LARGE * longest;
  const scale = Math.min(SIZES[look] / longest, MOST_ENLARGED);
  return side < LARGEST * longest && (look === 0 || side * scale >= SMALLEST);
}

/** What lies in one place, the surest first. */
function grouped(sightings) {
  const places = [];
  for (const box of sightings.sort((one, other) => other.score - one.score)) {
    const nearness = places.map((place) => Math.max(...place.map((other) => shared(box, other))));
    const best = nearness.indexOf(Math.max(...nearness));
    if (nearness[best] >= SAME_PLACE) places[best].push(box);
    else places.push([box]);
  }
  return places;
}

/** The mean box by the squares of the scores; how sure the looks that have a say are on average. */
function merged(place, longest) {
  const total = place.reduce((sum, box) => sum + box.score ** 2, 0);
  const mean = (edge) => place.reduce((sum, box) => sum + box[edge] * box.score ** 2, 0) / total;
  const face = { x: mean("x"), y: mean("y"), width: mean("width"), height: mean("height") };
  const surest = SIZES.map((_, look) => place.find((box) => box.look === look)?.score);
  const asked = surest.filter((score, look) => score !== undefined || hasSay(look, face, longest));
  return { ...face, score: asked.reduce((sum, score) => sum + (score ?? 0), 0) / asked.length };
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
        if (score < LEAST_SCORE) continue;
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
