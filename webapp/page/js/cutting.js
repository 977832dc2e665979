// Cropping and scaling images like the training images: gleanset/images/cropping.py and
// baseline/data/pixels.py in JavaScript, on RGBA bytes.

const roundHalfEven = (value) => {
  // As Python rounds: halves to the even neighbour.
  const whole = Math.floor(value);
  return value - whole === 0.5 ? whole + (whole % 2) : Math.round(value);
};

/** The crop of a face: its box with a margin, square, clamped or padded. */
export function cropRegion(face, settings, width, height) {
  const whole = face.x === 0 && face.y === 0 && face.width === width && face.height === height;
  const margin = whole ? 0 : settings.margin;
  const [across, down] = [roundHalfEven(face.width * margin), roundHalfEven(face.height * margin)];
  const padded = { x: face.x - across, y: face.y - down, width: face.width + 2 * across, height: face.height + 2 * down };
  const box = settings.square ? makeSquare(padded) : padded;
  if (settings.pad) return box;
  return settings.square ? squareWithin(box, face, width, height) : clampBox(box, width, height);
}

function makeSquare(box) {
  const side = Math.max(box.width, box.height);
  return { x: box.x - Math.floor((side - box.width) / 2), y: box.y - Math.floor((side - box.height) / 2), width: side, height: side };
}

function clampBox(box, width, height) {
  const [left, top] = [Math.max(0, box.x), Math.max(0, box.y)];
  const [right, bottom] = [Math.min(width, box.x + box.width), Math.min(height, box.y + box.height)];
  return { x: left, y: top, width: Math.max(1, right - left), height: Math.max(1, bottom - top) };
}

function squareWithin(box, face, width, height) {
  const side = Math.min(box.width, Math.max(Math.min(width, height), face.width, face.height));
  const smaller = Math.floor((box.width - side) / 2);
  const shift = (start, length) => (side > length ? Math.floor((length - side) / 2) : Math.min(Math.max(start, 0), length - side));
  return { x: shift(box.x + smaller, width), y: shift(box.y + smaller, height), width: side, height: side };
}

/** The largest square of an image: the middle of a wide one, the top of a tall one. */
export function upperSquare({ x, y, width, height }) {
  const side = Math.min(width, height);
  return { x: x + Math.floor((width - side) / 2), y, width: side, height: side };
}

/** Pixels of a box; outside of the image its border is repeated. */
export function readBox(bitmap, box) {
  const inside = clampBox(box, bitmap.width, bitmap.height);
  const canvas = new OffscreenCanvas(inside.width, inside.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  // Transparency becomes white, as everywhere.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, inside.width, inside.height);
  context.drawImage(bitmap, -inside.x, -inside.y);
  const image = context.getImageData(0, 0, inside.width, inside.height);
  const [left, top] = [inside.x - box.x, inside.y - box.y];
  if (!left && !top && inside.width === box.width && inside.height === box.height) return image;
  const filled = new ImageData(box.width, box.height);
  for (let y = 0; y < box.height; y++) {
    const row = Math.min(Math.max(y - top, 0), inside.height - 1);
    for (let x = 0; x < box.width; x++) {
      const column = Math.min(Math.max(x - left, 0), inside.width - 1);
      for (let c = 0; c < 4; c++) {
        filled.data[4 * (y * box.width + x) + c] = image.data[4 * (row * inside.width + column) + c];
      }
    }
  }
  return filled;
}

/** RGB bytes of size x size, scaled with antialiasing as Pillow does it (bilinear, reducing gap 2). */
export function resize(image, size) {
  let { data, width, height } = image;
  const [reduceX, reduceY] = [width, height].map((side) => Math.max(1, Math.floor(side / size / 2)));
  let [spanX, spanY] = [width, height];
  if (reduceX > 1 || reduceY > 1) {
    [spanX, spanY] = [width / reduceX, height / reduceY];
    ({ data, width, height } = reduceBlocks(image, reduceX, reduceY));
  }
  const across = resizeLines(data, width, height, spanX, size, 4, 4 * width);
  // Now `size` columns in `height` rows: the same along the other side.
  return resizeLines(across, height, size, spanY, size, 4 * size, 4, true);
}

/** Means of blocks of pixels; blocks at the far borders may be smaller. */
function reduceBlocks({ data, width, height }, byX, byY) {
  const [wide, high] = [Math.ceil(width / byX), Math.ceil(height / byY)];
  const output = new Uint8ClampedArray(4 * wide * high);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      const [right, bottom] = [Math.min((x + 1) * byX, width), Math.min((y + 1) * byY, height)];
      const count = (right - x * byX) * (bottom - y * byY);
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let row = y * byY; row < bottom; row++) {
          for (let column = x * byX; column < right; column++) sum += data[4 * (row * width + column) + c];
        }
        output[4 * (y * wide + x) + c] = Math.floor(sum / count + 0.5);
      }
    }
  }
  return { data: output, width: wide, height: high };
}

/** One pass of the scaling: `length` values along one side become `size`, in each of `lines`. */
function resizeLines(data, length, lines, span, size, step, jump, last = false) {
  const scale = span / size;
  const support = Math.max(scale, 1);
  const output = last ? new Uint8Array(3 * size * lines) : new Uint8ClampedArray(4 * size * lines);
  for (let position = 0; position < size; position++) {
    const centre = (position + 0.5) * scale;
    const from = Math.max(0, Math.floor(centre - support + 0.5));
    const until = Math.min(length, Math.floor(centre + support + 0.5));
    const weights = [];
    for (let at = from; at < until; at++) weights.push(Math.max(0, 1 - Math.abs((at + 0.5 - centre) / support)));
    const sum = weights.reduce((first, second) => first + second, 0);
    for (let line = 0; line < lines; line++) {
      for (let c = 0; c < 3; c++) {
        let value = 0;
        for (let n = 0; n < weights.length; n++) value += weights[n] * data[line * jump + (from + n) * step + c];
        const rounded = Math.min(255, Math.max(0, Math.floor(value / sum + 0.5)));
        // First rows of `size` columns; in the last pass lines are columns, and RGB is made.
        if (last) output[3 * (position * lines + line) + c] = rounded;
        else output[4 * (line * size + position) + c] = rounded;
      }
    }
  }
  return output;
}

/** Intersection over union. */
export function overlap(first, second) {
  const common = intersection(first, second);
  return common / (first.width * first.height + second.width * second.height - common);
}

/** Whether two boxes show the same face: they share half of the smaller one. */
export function isSameFace(first, second) {
  return intersection(first, second) >= Math.min(first.width * first.height, second.width * second.height) / 2;
}

function intersection(first, second) {
  const across = Math.min(first.x + first.width, second.x + second.width) - Math.max(first.x, second.x);
  const down = Math.min(first.y + first.height, second.y + second.height) - Math.max(first.y, second.y);
  return Math.max(across, 0) * Math.max(down, 0);
}
