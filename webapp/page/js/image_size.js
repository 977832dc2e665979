// The number of pixels of an image, from the header of its file: browsers decode without a limit.

const HEAD_BYTES = 32;

/** Width times height of an image file, read without decoding; null for an unknown format or a damaged header. */
export async function countPixels(file) {
  const head = new DataView(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const readAll = async () => new DataView(await file.arrayBuffer());
  try {
    if (readText(head, 1, 3) === "PNG") return head.getUint32(16) * head.getUint32(20);
    if (readText(head, 0, 2) === "BM") return Math.abs(head.getInt32(18, true) * head.getInt32(22, true));
    if (readText(head, 8, 4) === "WEBP") return countWebp(head);
    if (head.getUint16(0) === 0xffd8) return countJpeg(await readAll());
    if (readText(head, 0, 4) === "GIF8") return countGif(await readAll());
    if (readText(head, 4, 4) === "ftyp") return countAvif(await readAll());
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file ends within its header
  }
  return null;
}

const readText = (view, start, length) => String.fromCharCode(...Array.from({ length }, (_, number) => view.getUint8(start + number)));

/** The three kinds of WebP: extended, lossless and lossy. */
function countWebp(view) {
  const kind = readText(view, 12, 4);
  const side = (start) => 1 + view.getUint16(start, true) + (view.getUint8(start + 2) << 16);
  if (kind === "VP8X") return side(24) * side(27);
  const bits = view.getUint32(21, true);
  if (kind === "VP8L") return (1 + (bits & 0x3fff)) * (1 + ((bits >> 14) & 0x3fff));
  return (view.getUint16(26, true) & 0x3fff) * (view.getUint16(28, true) & 0x3fff);
}

/** Go from segment to segment to the start of the frame. */
function countJpeg(view) {
  for (let start = 2; ;) {
    const marker = view.getUint16(start);
    const isFrame = marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker);
    if (isFrame) return view.getUint16(start + 5) * view.getUint16(start + 7);
    if (marker < 0xff01 || marker === 0xffff) start += 1; // fill bytes
    else if (marker === 0xff01 || (marker >= 0xffd0 && marker <= 0xffd8)) start += 2; // no length
    else start += 2 + view.getUint16(start + 2);
  }
}

/** The screen of a GIF or its first frame, to which browsers enlarge the screen. */
function countGif(view) {
  const tableBytes = (flags) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);
  let start = 13 + tableBytes(view.getUint8(10));
  while (view.getUint8(start) === 0x21) { // an extension, with blocks up to an empty one
    start += 2;
    while (view.getUint8(start)) start += 1 + view.getUint8(start);
    start += 1;
  }
  const side = (screen, offset, size) => Math.max(view.getUint16(screen, true), view.getUint16(start + offset, true) + view.getUint16(start + size, true));
  return side(6, 1, 5) * side(8, 3, 7);
}

/** The largest image in the `meta` box of an AVIF or HEIC file; a grid has its tiles there, too. */
function countAvif(view) {
  let start = 0;
  while (readText(view, start + 4, 4) !== "meta") start += view.getUint32(start) || view.byteLength;
  const end = start + view.getUint32(start);
  let pixels = 0;
  for (; start + 16 <= end; start++) {
    // `ispe`: the width and height of an image, after version and flags.
    if (view.getUint32(start) === 0x69737065) pixels = Math.max(pixels, view.getUint32(start + 8) * view.getUint32(start + 12));
  }
  return pixels;
}
