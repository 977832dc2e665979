// Finds drawn faces in a worker, with the network of facecrop's detector `drawnface`.
// The same steps, limits and rounding as in facecrop/detectors/drawnface.py and tiling.py.

import * as ort from "../vendor/onnxruntime-web/ort.wasm.min.mjs";
import { isSameFace, overlap, readBox } from "./cutting.js";
import { reduceTo, roundHalfToEven, scaleTo } from "./scaling.js";

const SIZE = 512; // pixels of the longer side at the first scale
const SCALES = [1, 0.75, 0.5]; // relative to it
const LAST_SIZE = 128; // pixels at the last scale, for faces that fill an image
const LAST_SCALE = SCALES.length;
const MIRRORED_SCALES = [1, 3];
const MIN_LAST_SCALE_SHARE = 0.3; // of the longer side: smaller faces are not trusted at the last scale,
const MAX_FACE_SHARE = 0.4; // larger ones not at the others
const RANGE_MARGIN = 0.06; // nearer to these limits, only scales that find a face count
const MIN_FACE_PIXELS = 12; // smaller faces are trusted at the first scale only
const STEP = 32;
const MAX_ENLARGEMENT = 2;
const THRESHOLD = 0.31;
const MAX_SCALED_ASPECT_RATIO = 2.5; // in more elongated images, the shorter side determines the scales
const MIN_CROWD = 8; // images with this many faces of this score are searched again,
const MIN_CROWD_SCORE = 0.2;
const CROWD_FACE_SIDE = 160; // enlarged until the sides of their faces have this many pixels
const MIN_CROWD_ENLARGEMENT = 1.25;
const SCORE_DECIMALS = 4;
const MIN_SCORE = 0.15;
const MAX_OVERLAP = 0.45;
const MIN_GROUP_OVERLAP = 0.35;
const MAX_ORNAMENT_SIDE = 0.25; // of the side of the face that it is in or beside
const ORNAMENT_MARGIN = 0.15;
const STRIDES = [8, 16, 32];
const MAX_SEARCHED_SIDE = 1920; // pixels; elongated images with a longer side are searched in tiles
const MAX_ASPECT_RATIO = 2;
const CUT_MARGIN = 0.02; // of the shorter side: nearer to the end of a tile are parts of faces

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
      const face = { x: tile.x + x * across, y: tile.y + y * down, width: width * across, height: height * down, score };
      if (!isCut(face, tile, bitmap)) faces.push(face);
    }
  }
  return parts.length > 1 ? dropRepeated(faces, isSameFace) : faces;
}

/** Whether a box reaches an end of its tile that is not one of the image; the next tile contains the whole face. */
function isCut(box, tile, image) {
  const [start, length] = image.width > image.height ? ["x", "width"] : ["y", "height"];
  const margin = CUT_MARGIN * Math.min(image.width, image.height);
  const [first, end] = [roundHalfToEven(box[start]), roundHalfToEven(box[start] + box[length])];
  const tileEnd = tile[start] + tile[length];
  return (tile[start] > 0 && Math.max(first, 0) < tile[start] + margin)
    || (tileEnd < image[length] && end > tileEnd - margin);
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
  const [longer, shorter] = [Math.max(image.width, image.height), Math.min(image.width, image.height)];
  const size = roundHalfToEven(SIZE * Math.max(longer / shorter / MAX_SCALED_ASPECT_RATIO, 1));
  let faces = await findAtSize(network, image, size);
  const crowd = faces.filter((face) => face.score >= MIN_CROWD_SCORE);
  if (crowd.length >= MIN_CROWD) {
    const largerSize = Math.min(roundHalfToEven(CROWD_FACE_SIDE * longer / median(crowd.map(side))), MAX_SEARCHED_SIDE);
    if (largerSize >= MIN_CROWD_ENLARGEMENT * size) faces = dropParts([...faces, ...await findAtSize(network, image, largerSize)]);
  }
  return faces.filter((face) => face.score >= THRESHOLD);
}

/** All faces; `size` is the longer side in pixels at the first scale. */
async function findAtSize(network, image, size) {
  const search = {
    sizes: [...SCALES.map((scale) => roundHalfToEven(size * scale)), LAST_SIZE], longerSide: Math.max(image.width, image.height),
  };
  const detections = [];
  for (const level of search.sizes.keys()) {
    const boxes = await detect(network, image, search.sizes[level], MIRRORED_SCALES.includes(level));
    for (const box of boxes) if (isReliable(level, box, search)) detections.push({ level, ...box });
  }
  return dropParts(groupDetections(detections).map((group) => mergeGroup(group, search)));
}

const dropParts = (faces) => dropRepeated(faces, (face, other) => isSameFace(face, other) || isOrnament(face, other));

const side = (box) => Math.sqrt(box.width * box.height);

function median(values) {
  const sorted = values.sort((first, second) => first - second);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Whether detections of this size are reliable at a scale. */
function isReliable(level, box, { sizes, longerSide }, margin = 0) {
  if (level === LAST_SCALE) return side(box) >= (MIN_LAST_SCALE_SHARE + margin) * longerSide;
  const scale = Math.min(sizes[level] / longerSide, MAX_ENLARGEMENT);
  return side(box) < (MAX_FACE_SHARE - margin) * longerSide && (level === 0 || side(box) * scale >= MIN_FACE_PIXELS);
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
function mergeGroup(group, search) {
  const total = group.reduce((sum, box) => sum + box.score ** 2, 0);
  const mean = (edge) => group.reduce((sum, box) => sum + box[edge] * box.score ** 2, 0) / total;
  const face = { x: mean("x"), y: mean("y"), width: mean("width"), height: mean("height") };
  const scores = search.sizes.map((_, level) => group.find((box) => box.level === level)?.score);
  const reliable = scores.filter((score, level) => score !== undefined || isReliable(level, face, search, RANGE_MARGIN));
  const score = reliable.reduce((sum, score) => sum + (score ?? 0), 0) / reliable.length;
  return { ...face, score: Number(score.toFixed(SCORE_DECIMALS)) };
}

/** Boxes at a scale, in pixels of the image, which is searched mirrored if `isMirrored`. */
async function detect(network, image, size, isMirrored) {
  const scale = Math.min(size / Math.max(image.width, image.height), MAX_ENLARGEMENT) / STEP;
  const [width, height] = [image.width, image.height].map((side) => Math.max(roundHalfToEven(side * scale), 1) * STEP);
  const input = new ort.Tensor("float32", pixels(scaleTo(image, width, height), isMirrored), [1, 3, height, width]);
  const outputs = await network.run({ [network.inputNames[0]]: input });
  const answer = outputs[network.outputNames[0]];
  const [across, down] = [image.width / width, image.height / height];
  return dropRepeated(decode(answer.data, answer.dims[2], width, height), (box, other) => overlap(box, other) > MAX_OVERLAP)
    .map((box) => ({ x: (isMirrored ? width - box.x - box.width : box.x) * across, y: box.y * down, width: box.width * across, height: box.height * down, score: box.score }));
}

/** Planes of red, green and blue, 0..1. */
function pixels({ data, width, height }, isMirrored) {
  const plane = width * height;
  const values = new Float32Array(3 * plane);
  for (let position = 0; position < plane; position++) {
    const column = position % width;
    const to = isMirrored ? position - column + width - 1 - column : position;
    for (let channel = 0; channel < 3; channel++) values[channel * plane + to] = data[4 * position + channel] / 255;
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
