// The pictures a person has opened: their pixels, the boxes of faces in them, and the answers.

import { shared } from "./cutting.js";
import { refusal } from "./refusals.js";

// What a phone's camera makes passes as it is; larger ones are scaled: faces stay large enough, and a server takes them.
const MOST_SIDE = 4096; // pixels
const MOST_BYTES = 8e6;
const QUALITY = 0.92;
const SAME_FACE = 0.3; // intersection over union
let numbers = 0;

/** A picture. `boxes` are `{id, x, y, width, height, by, part}` in pixels of the upright picture. */
export class Picture {
  constructor(name, blob, bitmap) {
    Object.assign(this, { id: ++numbers, name, blob, bitmap, url: URL.createObjectURL(blob) });
    this.width = bitmap.width;
    this.height = bitmap.height;
    this.boxes = [];
    this.removed = []; // what a person took away is not found again
    this.whole = null; // the answer to the whole picture, of a model that takes pictures whole
    this.error = "";
    this.looking = false;
    this.finder = null; // who has looked for faces
  }

  /** Add a box, within the picture; null where nothing of it is, or a finder's is of a face that a person has settled. */
  add(x, y, width, height, by) {
    const box = this.inside({ x, y, width, height });
    const settled = by === "hand" ? [] : [...this.removed, ...this.boxes.filter((one) => one.by === "hand")];
    if (!box || settled.some((one) => shared(one, box) > SAME_FACE)) return null;
    this.boxes.push(Object.assign(box, { id: ++numbers, by, part: null }));
    this.error = "";
    return box;
  }

  /** Move or resize a box; its answer does not hold any more. */
  change(box, place) {
    const inside = this.inside({ ...box, ...place });
    if (inside) Object.assign(box, inside, { part: null, by: "hand" });
  }

  remove(box) {
    this.removed.push(box);
    this.boxes = this.boxes.filter((one) => one !== box);
  }

  inside({ x, y, width, height }) {
    const left = Math.round(Math.min(Math.max(x, 0), this.width - 1));
    const top = Math.round(Math.min(Math.max(y, 0), this.height - 1));
    const right = Math.round(Math.min(x + width, this.width));
    const bottom = Math.round(Math.min(y + height, this.height));
    return right > left && bottom > top
      ? { x: left, y: top, width: right - left, height: bottom - top } : null;
  }

  /** What is sent: boxes, or null where the whole picture is judged or the server is to look. */
  get sent() {
    return this.boxes.length ? this.boxes.map((b) => [b.x, b.y, b.width, b.height]) : null;
  }

  /** Whether something in it has no answer yet. */
  get waits() {
    if (this.looking) return false;
    return this.boxes.length ? this.boxes.some((box) => !box.part) : !this.whole && !this.error;
  }

  /** Take the parts of an answer: those of boxes that were sent, or those the server found. */
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

const PICTURE = /\.(jpe?g|png|gif|webp|bmp|avif|heic|heif|tiff?|jxl)$/i;

export const isPicture = (file) => PICTURE.test(file.name) || file.type.startsWith("image/");

// What some browsers do not show and a server reads. A damaged JPEG is not sent.
const FOR_SERVERS = /\.(heic|heif|hif|tiff?|avif|jxl)$|^image\/(heic|heif|tiff|avif|jxl)$/i;

/**
 * Open a file as a picture, scaled where it is very large; throws where it cannot be read. `jpegOf(file)` gives a JPEG
 * of what the browser does not show, such as HEIC and TIFF; null where nothing may be sent.
 */
export async function openPicture(file, jpegOf) {
  try {
    return await openBlob(file, file.name);
  } catch (error) {
    if (!jpegOf || !(FOR_SERVERS.test(file.name) || FOR_SERVERS.test(file.type))) throw error;
    return openBlob(await jpegOf(file), file.name);
  }
}

async function openBlob(file, name) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const scale = Math.min(1, MOST_SIDE / Math.max(bitmap.width, bitmap.height));
  const blob = scale < 1 || file.size > MOST_BYTES ? await smaller(bitmap, scale) : file;
  // What was scaled is read again: the device sees the pixels that a server would.
  return new Picture(name || "picture", blob, blob === file ? bitmap : await createImageBitmap(blob));
}

async function smaller(bitmap, scale) {
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  // JPEG has no transparency: it is laid on white, as everywhere.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}

/** Paint a box of a picture (or all of it) onto a canvas, keeping its shape. */
export function paint(canvas, picture, box) {
  const part = box ?? { x: 0, y: 0, width: picture.width, height: picture.height };
  const scale = Math.min(canvas.width / part.width, canvas.height / part.height);
  const [wide, high] = [part.width * scale, part.height * scale];
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(
    picture.bitmap, part.x, part.y, part.width, part.height,
    (canvas.width - wide) / 2, (canvas.height - high) / 2, wide, high,
  );
}
