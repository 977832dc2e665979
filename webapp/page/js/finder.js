// Finding faces in the browser.

import { AskedWorker } from "./asked_worker.js";

const worker = new AskedWorker("finder_worker.js");

/** Boxes of the faces in a picture, `{x, y, width, height, score}`; throws where it cannot look. */
export async function findFaces(picture) {
  const copy = await createImageBitmap(picture.bitmap);
  return (await worker.ask({ bitmap: copy }, [copy])).boxes;
}
