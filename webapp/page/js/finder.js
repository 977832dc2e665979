// Face detection: in the browser, or by the server if the model was trained with another detector.

import { WorkerClient } from "./worker_client.js";
import * as server from "./server.js";

const worker = new WorkerClient("finder_worker.js");
const FILES = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]
  .map((name) => `vendor/onnxruntime-web/${name}`).concat("vendor/drawnface.onnx");
let isCached = false;

/** Start the browser's detector in advance. */
export const prepareFinder = () => worker.start();

/** Let the service worker cache the browser's detector for offline use. */
export async function cacheFinder() {
  if (isCached || navigator.connection?.saveData || !("serviceWorker" in navigator)) return;
  isCached = true;
  await waitForServiceWorker();
  for (const part of FILES) await fetch(part).catch(() => { isCached = false; });
}

/** Wait until the service worker intercepts requests of this page, shortly after it is ready. */
export async function waitForServiceWorker() {
  const { serviceWorker } = navigator;
  await serviceWorker.ready;
  if (serviceWorker.controller) return;
  await new Promise((done) => serviceWorker.addEventListener("controllerchange", done, { once: true }));
}

/**
 * Add a box for each face of an image. `about` are the facts of the model. If `maySend()` and the model
 * needs it, the server detects the faces, otherwise the browser. `image.finder` becomes "server",
 * "browser", "stand-in" for the browser instead of the server, or "none" if no detector can be reached.
 */
export async function detectFaces(image, about, maySend) {
  if (maySend() && about.finder === "server" && await detectOnServer(image).catch(() => false)) return;
  try {
    const faces = await findFaces(image, about.box_style);
    for (const { x, y, width, height } of sortBoxes(faces)) image.add(x, y, width, height, "browser");
    image.finder = about.finder === "server" ? "stand-in" : "browser";
  } catch {
    // The browser's detector failed: ask the server, else boxes are drawn by hand.
    if (!(maySend() && await detectOnServer(image).catch(() => false))) image.finder = "none";
  }
}

/** Replace the browser's detections by those of the server, which keep the predictions of equal boxes; returns true. */
export async function detectOnServer(image) {
  const faces = await server.faces(image);
  const before = image.boxes;
  image.boxes = before.filter((box) => box.by === "hand");
  const boxes = faces.map(({ box: [x, y, width, height] }) => ({ x, y, width, height }));
  for (const { x, y, width, height } of sortBoxes(boxes)) {
    const box = image.add(x, y, width, height, "server");
    const same = box && before.find((other) => ["x", "y", "width", "height"].every((side) => other[side] === box[side]));
    if (same) box.part = same.part;
  }
  image.finder = "server";
  return true;
}

/**
 * Detect faces in the browser, `{x, y, width, height}`, with boxes in the `style` (`box_style`) of the
 * detector of the training images. Throws if the detector fails.
 */
export async function findFaces(image, style) {
  const copy = await createImageBitmap(image.bitmap);
  return (await worker.ask({ bitmap: copy }, [copy])).boxes.map((box) => applyBoxStyle(box, style));
}

/** Sort in order of their numbers: by rows from the top, each from left to right, as facecrop/detectors/tiling.py does. */
function sortBoxes(boxes) {
  const rows = [];
  for (const box of boxes.sort((first, second) => first.y - second.y || first.x - second.x)) {
    const top = rows.at(-1)?.[0];
    const shared = top && Math.min(top.y + top.height, box.y + box.height) - box.y;
    if (top && 2 * shared >= Math.min(top.height, box.height)) rows.at(-1).push(box);
    else rows.push([box]);
  }
  return rows.flatMap((row) => row.sort((first, second) => first.x - second.x || first.y - second.y));
}

/** Convert a box to the size and position that detector would draw. */
function applyBoxStyle(box, [width, height, right, down]) {
  const [wide, high] = [box.width * width, box.height * height];
  return {
    x: box.x + box.width * (0.5 + right) - wide / 2, y: box.y + box.height * (0.5 + down) - high / 2,
    width: wide, height: high,
  };
}
