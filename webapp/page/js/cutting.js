// Cutting and scaling pictures as the model's training pictures were: gleanset/images/cropping.py and
// baseline/data/pixels.py in JavaScript, on RGBA bytes.

const even = (value) => {
  // As Python rounds: halves to the even neighbour.
  const whole = Math.floor(value);
  return value - whole === 0.5 ? whole + (whole % 2) : Math.round(value);
};

/** Where a face is cut: its box grown by a margin, squared, clamped or padded. */
export function region(face, cut, width, height) {
  const whole = face.x === 0 && face.y === 0 && face.width === width && face.height === height;
  const margin = whole ? 0 : cut.margin;
  const [across, down] = [even(face.width * margin), even(face.height * margin)];
  const grown = { x: face.x - across, y: face.y - down, width: face.width + 2 * across, height: face.height + 2 * down };
  const box = cut.square ? squared(grown) : grown;
  if (cut.pad) return box;
  return cut.square ? squareWithin(box, face, width, height) : clamped(box, width, height);
}

function squared(box) {
  const side = Math.max(box.width, box.height);
  return { x: box.x - Math.floor((side - box.width) / 2), y: box.y - Math.floor((side - box.height) / 2), width: side, height: side };
}

function clamped(box, width, height) {
  const [left, top] = [Math.max(0, box.x), Math.max(0, box.y)];
  const [right, bottom] = [Math.min(width, box.x + box.width), Math.min(height, box.y + box.height)];
  return { x: left, y: top, width: Math.max(1, right - left), height: Math.max(1, bottom - top) };
}

function squareWithin(box, face, width, height) {
  const side = Math.min(box.width, Math.max(Math.min(width, height), face.width, face.height));
  const smaller = Math.floor((box.width - side) / 2);
  const moved = (start, length) => (side > length ? Math.floor((length - side) / 2) : Math.min(Math.max(start, 0), length - side));
  return { x: moved(box.x + smaller, width), y: moved(box.y + smaller, height), width: side, height: side };
}

/** The largest square of a picture: the middle of a wide one, the upper end of a tall one. */
export function upperSquare({ x, y, width, height }) {
  const side = Math.min(width, height);
  return { x: x + Math.floor((width - side) / 2), y, width: side, height: side };
}

/** Pixels of a box, whose border is repeated where the box leaves the picture. */
export function pixelsOf(bitmap, box) {
  const inside = clamped(box, bitmap.width, bitmap.height);
  const canvas = new OffscreenCanvas(inside.width, inside.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  // Transparency is laid on white, as everywhere.
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
export function scaled(image, size) {
  let { data, width, height } = image;
  const [reduceX, reduceY] = [width, height].map((side) => Math.max(1, Math.floor(side / size / 2)));
  let [spanX, spanY] = [width, height];
  if (reduceX > 1 || reduceY > 1) {
    [spanX, spanY] = [width / reduceX, height / reduceY];
    ({ data, width, height } = reduced(image, reduceX, reduceY));
  }
  const across = passed(data, width, height, spanX, size, 4, 4 * width);
  // Now `size` columns in `height` rows: the same along the other side.
  return passed(across, height, size, spanY, size, 4 * size, 4, true);
}

/** Means of blocks of pixels; those at the far borders are what is left. */
function reduced({ data, width, height }, byX, byY) {
  const [wide, high] = [Math.ceil(width / byX), Math.ceil(height / byY)];
  const made = new Uint8ClampedArray(4 * wide * high);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      const [right, bottom] = [Math.min((x + 1) * byX, width), Math.min((y + 1) * byY, height)];
      const count = (right - x * byX) * (bottom - y * byY);
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let row = y * byY; row < bottom; row++) {
          for (let column = x * byX; column < right; column++) sum += data[4 * (row * width + column) + c];
        }
        made[4 * (y * wide + x) + c] = Math.floor(sum / count + 0.5);
      }
    }
  }
  return { data: made, width: wide, height: high };
}

/** One pass of the scaling: `length` values along one side become `size`, in each of `lines`. */
function passed(data, length, lines, span, size, step, jump, last = false) {
  const scale = span / size;
  const support = Math.max(scale, 1);
  const made = last ? new Uint8Array(3 * size * lines) : new Uint8ClampedArray(4 * size * lines);
  for (let place = 0; place < size; place++) {
    const centre = (place + 0.5) * scale;
    const from = Math.max(0, Math.floor(centre - support + 0.5));
    const until = Math.min(length, Math.floor(centre + support + 0.5));
    const weights = [];
    for (let at = from; at < until; at++) weights.push(Math.max(0, 1 - Math.abs((at + 0.5 - centre) / support)));
    const sum = weights.reduce((one, other) => one + other, 0);
    for (let line = 0; line < lines; line++) {
      for (let c = 0; c < 3; c++) {
        let value = 0;
        for (let n = 0; n < weights.length; n++) value += weights[n] * data[line * jump + (from + n) * step + c];
        const rounded = Math.min(255, Math.max(0, Math.floor(value / sum + 0.5)));
        // First rows of `size` columns; in the last pass lines are columns, and RGB is made.
        if (last) made[3 * (place * lines + line) + c] = rounded;
        else made[4 * (line * size + place) + c] = rounded;
      }
    }
  }
  return made;
}

/** Intersection over union. */
export function shared(one, other) {
  const both = common(one, other);
  return both / (one.width * one.height + other.width * other.height - both);
}

/** Whether two boxes show one face, or what lies in it: half of the smaller one is common. */
export function sameFace(one, other) {
  return common(one, other) >= Math.min(one.width * one.height, other.width * other.height) / 2;
}

function common(one, other) {
  const across = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
  const down = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
  return Math.max(across, 0) * Math.max(down, 0);
}
