// Finding faces in the browser.

import { AskedWorker } from "./asked_worker.js";

const worker = new AskedWorker("finder_worker.js");

/**
 * The faces in a picture, `{x, y, width, height}`, boxed as the detector does whose faces the model
 * learnt from: `style` is the `box_style` that the server tells. Throws where it cannot look.
 */
export async function findFaces(picture, style) {
  const copy = await createImageBitmap(picture.bitmap);
  return (await worker.ask({ bitmap: copy }, [copy])).boxes.map((box) => asLearnt(box, style));
}

/** As wide, as high, as far up as that detector draws it. */
function asLearnt(box, [width, height, right, down]) {
  const [wide, high] = [box.width * width, box.height * height];
  return {
    x: box.x + box.width * (0.5 + right) - wide / 2, y: box.y + box.height * (0.5 + down) - high / 2,
    width: wide, height: high,
  };
}
