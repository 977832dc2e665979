// Opened images: their pixels, boxes of faces, and predictions.

import { overlap } from "./cutting.js";
import { countPixels } from "./image_size.js";
import { refusal } from "./refusals.js";
import { words } from "./words.js";

// Photos of a phone are sent unchanged; larger images are scaled, so that servers accept them.
const MAX_PIXELS = 4096 * 3072;
const MAX_SIDE = 16_384; // of a canvas
const MAX_BYTES = 8e6;
const QUALITY = 0.92;
export const TOO_LARGE = "too large";
export const OTHER_FORMAT = "other format"; // one that this browser cannot show
const MIN_SAME_FACE_OVERLAP = 0.3; // intersection over union
let lastId = 0;

/** An image. `boxes` are `{id, x, y, width, height, by, part}` in pixels of the upright image. */
export class Image {
  constructor(name, blob, bitmap) {
    Object.assign(this, { id: ++lastId, name, blob, bitmap, url: URL.createObjectURL(blob) });
    this.width = bitmap.width;
    this.height = bitmap.height;
    this.boxes = [];
    this.removed = []; // boxes that the user removed are not detected again
    this.whole = null; // the prediction of a model of whole images
    this.error = "";
    this.looking = false;
    this.finder = null; // which detector ran
  }

  /** Add a box, clipped to the image; null if it is outside, or a detection of a face that the user added or removed. */
  add(x, y, width, height, by) {
    const box = this.inside({ x, y, width, height });
    const settled = by === "hand" ? [] : [...this.removed, ...this.boxes.filter((other) => other.by === "hand")];
    if (!box || settled.some((other) => overlap(other, box) > MIN_SAME_FACE_OVERLAP)) return null;
    this.boxes.push(Object.assign(box, { id: ++lastId, by, part: null }));
    this.error = "";
    return box;
  }

  /** Move or resize a box, which removes its prediction. */
  change(box, place) {
    const inside = this.inside({ ...box, ...place });
    if (inside) Object.assign(box, inside, { part: null, by: "hand" });
  }

  remove(box) {
    this.removed.push(box);
    this.boxes = this.boxes.filter((other) => other !== box);
  }

  inside({ x, y, width, height }) {
    const left = Math.round(Math.min(Math.max(x, 0), this.width - 1));
    const top = Math.round(Math.min(Math.max(y, 0), this.height - 1));
    const right = Math.round(Math.min(x + width, this.width));
    const bottom = Math.round(Math.min(y + height, this.height));
    return right > left && bottom > top
      ? { x: left, y: top, width: right - left, height: bottom - top } : null;
  }

  /** The boxes to send; null for the whole image, or if the server detects faces. */
  get sent() {
    return this.boxes.length ? this.boxes.map((b) => [b.x, b.y, b.width, b.height]) : null;
  }

  /** Whether a part has no prediction yet; an image in which a detector found no face has none. */
  get waits() {
    if (this.looking) return false;
    return this.boxes.length ? this.boxes.some((box) => !box.part) : !this.whole && !this.error && [null, "none"].includes(this.finder);
  }

  /** Store predictions, of the boxes that were sent or of detections of the server. */
  answer(parts, sent) {
    this.error = "";
    if (sent) {
      parts.forEach((part, number) => Object.assign(sent[number], { part }));
    } else if (parts.some((part) => part.box)) {
      for (const part of parts) {
        const box = this.add(...part.box, "server");
        if (box) box.part = part;
      }
      if (!this.boxes.length) this.error = refusal("no face found");
    } else {
      [this.whole] = parts;
    }
  }

  close() {
    URL.revokeObjectURL(this.url);
    this.bitmap.close();
  }
}

const IMAGE_NAME = /\.(jpe?g|png|gif|webp|bmp|avif|heic|heif|tiff?)$/i;

export const isImage = (file) => IMAGE_NAME.test(file.name) || file.type.startsWith("image/");

// Formats that some browsers cannot show and a server can read.
const SERVER_FORMATS = /\.(heic|heif|hif|tiff?|avif)$|^image\/(heic|heif|tiff|avif)$/i;

/**
 * Open an image file, scaled if it is very large; throws if it cannot be read, or has more than `maxPixels`. `chooseConverter()` returns
 * a function that converts formats that the browser cannot show, such as HEIC and TIFF, to JPEG; null if nothing may be sent, which is `OTHER_FORMAT`.
 */
export async function openImage(file, chooseConverter, maxPixels) {
  if (await countPixels(file) > maxPixels) {
    const message = words("more than {count} megapixels, too large to open", { count: maxPixels / 1e6 });
    throw Object.assign(new Error(message), { reason: TOO_LARGE });
  }
  try {
    return await openBlob(file, file.name);
  } catch (error) {
    if (!(SERVER_FORMATS.test(file.name) || SERVER_FORMATS.test(file.type))) throw error;
    const jpeg = await chooseConverter()?.(file).catch((refused) => {
      if (chooseConverter()) throw refused;
    });
    if (!jpeg) throw Object.assign(error, { reason: OTHER_FORMAT });
    return openBlob(jpeg, file.name);
  }
}

async function openBlob(file, name) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const { width, height } = bitmap;
  const scale = Math.min(1, MAX_SIDE / Math.max(width, height), Math.sqrt(MAX_PIXELS / (width * height)));
  const blob = scale < 1 || file.size > MAX_BYTES ? await shrink(bitmap, scale) : file;
  // Scaled images are read again, so that the device gets the same pixels as a server.
  return new Image(name || "image", blob, blob === file ? bitmap : await createImageBitmap(blob));
}

async function shrink(bitmap, scale) {
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  // JPEG has no transparency: it becomes white, as everywhere.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}

/** Paint a box of an image (or all of it) onto a canvas, keeping its shape. */
export function paint(canvas, image, box) {
  const part = box ?? { x: 0, y: 0, width: image.width, height: image.height };
  const scale = Math.min(canvas.width / part.width, canvas.height / part.height);
  const [wide, high] = [part.width * scale, part.height * scale];
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(
    image.bitmap, part.x, part.y, part.width, part.height,
    (canvas.width - wide) / 2, (canvas.height - high) / 2, wide, high,
  );
}
