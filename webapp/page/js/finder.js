// Finding faces: in the browser, or by the server where the model learnt from another detector's faces.

import { AskedWorker } from "./asked_worker.js";
import * as server from "./server.js";

const worker = new AskedWorker("finder_worker.js");
const PARTS = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"]
  .map((name) => `vendor/onnxruntime-web/${name}`).concat("vendor/drawnface.onnx");
let kept = false;

/** Have the browser's finder ready: a person is about to open a picture. */
export const prepareFinder = () => worker.start();

/** Have the service worker keep the browser's finder, for when there is no network. */
export async function keepFinder() {
  if (kept || navigator.connection?.saveData || !("serviceWorker" in navigator)) return;
  kept = true;
  await controlled();
  for (const part of PARTS) await fetch(part).catch(() => { kept = false; });
}

/** Wait until the service worker sees what this page fetches: it is ready a moment before that. */
async function controlled() {
  const { serviceWorker } = navigator;
  await serviceWorker.ready;
  if (serviceWorker.controller) return;
  await new Promise((done) => serviceWorker.addEventListener("controllerchange", done, { once: true }));
}

/**
 * Put a box around each face of a picture. `about` is what the server tells of its model; it is asked
 * where `online`, and looks with the browser's finder as well as with the model's. `picture.finder` then
 * says who has found them: "server", "browser", or "stand-in" for a browser in the server's place.
 */
export async function lookForFaces(picture, about, online) {
  if (online && about.finder === "server" && await askServer(picture).catch(() => false)) return;
  try {
    const found = await findFaces(picture, about.box_style);
    for (const { x, y, width, height } of inOrder(found)) picture.add(x, y, width, height, "browser");
    picture.finder = about.finder === "server" ? "stand-in" : "browser";
  } catch {
    // The browser has no finder: boxes are drawn by hand, if the server cannot look.
    if (online) await askServer(picture).catch(() => false);
  }
}

/** Let the server find the faces, in place of those that the browser has found; true when it has looked. */
export async function askServer(picture) {
  const found = await server.faces(picture);
  picture.boxes = picture.boxes.filter((box) => box.by === "hand");
  const boxes = found.map(({ box: [x, y, width, height] }) => ({ x, y, width, height }));
  for (const { x, y, width, height } of inOrder(boxes)) picture.add(x, y, width, height, "server");
  picture.finder = "server";
  return true;
}

/**
 * The faces in a picture, `{x, y, width, height}`, boxed as the detector does whose faces the model
 * learnt from: `style` is the `box_style` that the server tells. Throws where it cannot look.
 */
export async function findFaces(picture, style) {
  const copy = await createImageBitmap(picture.bitmap);
  return (await worker.ask({ bitmap: copy }, [copy])).boxes.map((box) => asLearnt(box, style));
}

/** As they are numbered: from left to right. */
const inOrder = (boxes) => boxes.sort((one, other) => one.x - other.x || one.y - other.y);

/** As wide, as high, as far up as that detector draws it. */
function asLearnt(box, [width, height, right, down]) {
  const [wide, high] = [box.width * width, box.height * height];
  return {
    x: box.x + box.width * (0.5 + right) - wide / 2, y: box.y + box.height * (0.5 + down) - high / 2,
    width: wide, height: high,
  };
}
