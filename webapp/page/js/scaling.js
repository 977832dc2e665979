// Scaling images for the face detector as facecrop does, with the filters of Pillow and OpenCV: a browser's own give
// pixels that differ, by which a face near the threshold is found or not. On RGBA bytes.

/** Reduce an image to at most `maxSide` pixels a side, as `cut_tile` in facecrop/detectors/tiling.py. */
export function reduceTo(image, maxSide) {
  const shrink = Math.max(image.width, image.height) / maxSide;
  if (shrink <= 1) return image;
  const [width, height] = [image.width, image.height].map((side) => Math.max(roundHalfToEven(side / shrink), 1));
  return resample(image, width, height, weighBox, true);
}

/** Scale an image, as `ImagePyramid` in facecrop/detectors/drawnface.py. */
export function scaleTo(image, width, height) {
  const reduction = () => Math.min(image.width / width, image.height / height);
  // Kept for the other scales of this image.
  while (reduction() > 2) image = image.half ??= resample(image, Math.floor(image.width / 2), Math.floor(image.height / 2), weighHalf);
  const isHalf = image.width === 2 * width && image.height === 2 * height; // OpenCV takes the mean of four pixels then
  return resample(image, width, height, isHalf ? weighHalf : weighLinear);
}

/** As `round` in Python: `Math.round` makes 5 of 4.5. */
export function roundHalfToEven(value) {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}

// Filters return the first of `length` pixels, and the weights of the following ones, for each of `size` pixels.

/** Pixels whose center is in the new pixel (Pillow's BOX). */
function weighBox(length, size) {
  const scale = length / size;
  const support = Math.max(scale, 1) / 2;
  return Array.from({ length: size }, (_, position) => {
    const center = (position + 0.5) * scale;
    const isInside = (at) => at + 0.5 - center > -support && at + 0.5 - center <= support;
    let [first, end] = [Math.max(Math.floor(center - support + 0.5), 0), Math.min(Math.floor(center + support + 0.5), length)];
    if (!isInside(first)) first += 1;
    if (!isInside(end - 1)) end -= 1;
    return { first, weights: new Float64Array(end - first).fill(1 / (end - first)) };
  });
}

/** Pairs of pixels; an odd last one is left out. */
const weighHalf = (_, size) => Array.from({ length: size }, (_, position) => ({ first: 2 * position, weights: Float64Array.of(0.5, 0.5) }));

/** The two nearest pixels (OpenCV's INTER_LINEAR). */
function weighLinear(length, size) {
  const scale = length / size;
  return Array.from({ length: size }, (_, position) => {
    const place = Math.min(Math.max((position + 0.5) * scale - 0.5, 0), length - 1);
    const first = Math.min(Math.floor(place), Math.max(length - 2, 0));
    return { first, weights: length > 1 ? Float64Array.of(1 - (place - first), place - first) : Float64Array.of(1) };
  });
}

/** Scale an image with a filter, first each row, then each column; `rounding`: also between. */
function resample(image, width, height, weigh, rounding = false) {
  const rows = scaleRows(image, width, weigh(image.width, width), rounding);
  return { data: scaleColumns(rows, width, height, weigh(image.height, height)), width, height };
}

// These are two functions, each with one type of numbers to read, because engines compile that to faster code.

function scaleRows({ data, width, height }, size, filter, rounding) {
  const output = new Float32Array(3 * size * height);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < size; x++) {
      const { first, weights } = filter[x];
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let n = 0, from = 4 * (y * width + first); n < weights.length; n++, from += 4) {
        red += weights[n] * data[from];
        green += weights[n] * data[from + 1];
        blue += weights[n] * data[from + 2];
      }
      output[to++] = rounding ? Math.floor(red + 0.5) : red;
      output[to++] = rounding ? Math.floor(green + 0.5) : green;
      output[to++] = rounding ? Math.floor(blue + 0.5) : blue;
    }
  }
  return output;
}

function scaleColumns(rows, width, height, filter) {
  const output = new Uint8ClampedArray(4 * width * height);
  const line = 3 * width;
  for (let y = 0, to = 0; y < height; y++) {
    const { first, weights } = filter[y];
    for (let x = 0; x < width; x++, to++) {
      for (let channel = 0; channel < 3; channel++) {
        let value = 0.5;
        for (let n = 0, from = first * line + 3 * x + channel; n < weights.length; n++, from += line) value += weights[n] * rows[from];
        output[to++] = Math.floor(value);
      }
    }
  }
  return output;
}
