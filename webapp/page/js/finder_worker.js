// Finds drawn faces in a worker, with the network of facecrop's detector `drawnface`.
// The same steps, limits and rounding as in facecrop/detectors/drawnface.py and tiling.py.

import * as ort from "../vendor/onnxruntime-web/ort.wasm.min.mjs";
import { isSameFace, overlap, readBox } from "./cutting.js";
import { reduceTo, roundHalfToEven, scaleTo } from "./scaling.js";

const SIZES = [512, 384, 256, 128]; // scales of an image in pixels; the last is for faces that fill it
const LAST_SCALE = SIZES.length - 1;
const MIN_LAST_SCALE_SHARE = 0.3; // of the longer side: smaller faces are not trusted at the last scale,
const MAX_FACE_SHARE = 0.4; // larger ones not at the others
const RANGE_MARGIN = 0.06; // nearer to these limits, only scales that find a face count
const MIN_FACE_PIXELS = 12; // smaller faces are trusted at the first scale only
const STEP = 32;
const MAX_ENLARGEMENT = 2;
const THRESHOLD = 0.35;
const SCORE_DECIMALS = 4;
const MIN_SCORE = 0.15;
const MAX_OVERLAP = 0.45;
const MIN_GROUP_OVERLAP = 0.35;
const MAX_ORNAMENT_SIDE = 0.25; // of the side of the face that it is in or beside
const ORNAMENT_MARGIN = 0.15;
const STRIDES = [8, 16, 32];
const MAX_SEARCHED_SIDE = 1920; // pixels; elongated images with a longer side are searched in tiles
const MAX_ASPECT_RATIO = 2;

ort.env.wasm.wasmPaths = new URL("../vendor/onnxruntime-web/", import.meta.url).href;
// The network is small: a second thread takes longer to start than it saves.
ort.env.wasm.numThreads = 1;
const session = ort.InferenceSession.create(new URL("../vendor/drawnface.onnx", import.meta.url).href, { executionProviders: ["wasm"] });

self.onmessage = async ({ data: { id, bitmap } }) => {
  try {
    self.postMessage({ id, boxes: await findFaces(await session, bitmap) });
  } catch (error) {
    self.postMessage({ id, error: String(error) });
  } finally {
    bitmap.close();
  }
};

async function findFaces(network, bitmap) {
  const parts = tiles(bitmap.width, bitmap.height);
  const faces = [];
  for (const tile of parts) {
    const image = reduceTo(readBox(bitmap, tile), MAX_SEARCHED_SIDE);
    const [across, down] = [tile.width / image.width, tile.height / image.height];
    for (const { x, y, width, height, score } of await findInTile(network, image)) {
      faces.push({ x: tile.x + x * across, y: tile.y + y * down, width: width * across, height: height * down, score });
    }
  }
  return parts.length > 1 ? dropRepeated(faces, isSameFace) : faces;
}

/** Boxes that repeat no other with a higher score. */
function dropRepeated(boxes, repeats) {
  const distinct = [];
  for (const box of boxes.sort((first, second) => second.score - first.score)) {
    if (!distinct.some((other) => repeats(box, other))) distinct.push(box);
  }
  return distinct;
}

/** Tiles of an elongated image, which overlap by its shorter side; else the image as one tile. */
function tiles(width, height) {
  const [long, short] = [Math.max(width, height), Math.min(width, height)];
  if (long <= Math.max(MAX_SEARCHED_SIDE, MAX_ASPECT_RATIO * short)) return [{ x: 0, y: 0, width, height }];
  const length = Math.max(MAX_ASPECT_RATIO * short, MAX_SEARCHED_SIDE);
  const starts = [];
  for (let start = 0; start < long - length; start += length - short) starts.push(start);
  return [...starts, long - length].map((start) =>
    (width > height ? { x: start, y: 0, width: length, height } : { x: 0, y: start, width, height: length }));
}

async function findInTile(network, image) {
  const longerSide = Math.max(image.width, image.height);
  const detections = [];
  for (const [level, size] of SIZES.entries()) {
    for (const box of await detect(network, image, size)) if (isReliable(level, box, longerSide)) detections.push({ level, ...box });
  }
  const faces = groupDetections(detections).map((group) => mergeGroup(group, longerSide));
  return dropRepeated(faces, (face, other) => isSameFace(face, other) || isOrnament(face, other))
    .filter((face) => face.score >= THRESHOLD);
}

/** Whether detections of this size are reliable at a scale. */
function isReliable(level, box, longerSide, margin = 0) {
  const side = Math.sqrt(box.width * box.height);
  if (level === LAST_SCALE) return side >= (MIN_LAST_SCALE_SHARE + margin) * longerSide;
  const scale = Math.min(SIZES[level] / longerSide, MAX_ENLARGEMENT);
  return side < (MAX_FACE_SHARE - margin) * longerSide && (level === 0 || side * scale >= MIN_FACE_PIXELS);
}

/** Whether a box is too small and too close to a face to be another one. */
function isOrnament(box, face) {
  if (box.width * box.height > MAX_ORNAMENT_SIDE ** 2 * face.width * face.height) return false;
  const across = (box.x + box.width / 2 - face.x) / face.width;
  const down = (box.y + box.height / 2 - face.y) / face.height;
  return [across, down].every((share) => share >= -ORNAMENT_MARGIN && share <= 1 + ORNAMENT_MARGIN);
}

/** Groups of overlapping detections, most confident first. */
function groupDetections(detections) {
  const groups = [];
  for (const box of detections.sort((first, second) => second.score - first.score)) {
    const nearness = groups.map((group) => Math.max(...group.map((second) => overlap(box, second))));
    const best = nearness.indexOf(Math.max(...nearness));
    if (nearness[best] >= MIN_GROUP_OVERLAP) groups[best].push(box);
    else groups.push([box]);
  }
  return groups;
}

/** Mean box weighted by squared scores, and the mean score of the reliable scales. */
function mergeGroup(group, longerSide) {
  const total = group.reduce((sum, box) => sum + box.score ** 2, 0);
  const mean = (edge) => group.reduce((sum, box) => sum + box[edge] * box.score ** 2, 0) / total;
  const face = { x: mean("x"), y: mean("y"), width: mean("width"), height: mean("height") };
  const scores = SIZES.map((_, level) => group.find((box) => box.level === level)?.score);
  const reliable = scores.filter((score, level) => score !== undefined || isReliable(level, face, longerSide, RANGE_MARGIN));
  const score = reliable.reduce((sum, score) => sum + (score ?? 0), 0) / reliable.length;
  return { ...face, score: Number(score.toFixed(SCORE_DECIMALS)) };
}

async function detect(network, image, size) {
  const scale = Math.min(size / Math.max(image.width, image.height), MAX_ENLARGEMENT) / STEP;
  const [width, height] = [image.width, image.height].map((side) => Math.max(roundHalfToEven(side * scale), 1) * STEP);
  const input = new ort.Tensor("float32", pixels(scaleTo(image, width, height)), [1, 3, height, width]);
  const outputs = await network.run({ [network.inputNames[0]]: input });
  const answer = outputs[network.outputNames[0]];
  const [across, down] = [image.width / width, image.height / height];
  return dropRepeated(decode(answer.data, answer.dims[2], width, height), (box, other) => overlap(box, other) > MAX_OVERLAP)
    .map((box) => ({ x: box.x * across, y: box.y * down, width: box.width * across, height: box.height * down, score: box.score }));
}

/** Planes of red, green and blue, 0..1. */
function pixels({ data, width, height }) {
  const plane = width * height;
  const values = new Float32Array(3 * plane);
  for (let position = 0; position < plane; position++) {
    for (let channel = 0; channel < 3; channel++) values[channel * plane + position] = data[4 * position + channel] / 255;
  }
  return values;
}

/** Boxes above the minimum score, from the distances to four sides and the score of each position. */
function decode(values, positions, width, height) {
  const boxes = [];
  let position = 0;
  for (const stride of STRIDES) {
    for (let row = 0; row < Math.floor(height / stride); row++) {
      for (let column = 0; column < Math.floor(width / stride); column++, position++) {
        const score = values[4 * positions + position];
        if (score < MIN_SCORE) continue;
        const [x, y] = [(column + 0.5) * stride, (row + 0.5) * stride];
        const [left, top, right, bottom] = [0, 1, 2, 3].map((side) => values[side * positions + position]);
        boxes.push({ x: x - left, y: y - top, width: left + right, height: top + bottom, score });
      }
    }
  }
  return boxes;
}
