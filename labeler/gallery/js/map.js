// The map: every sample that is kept, drawn with its picture where its likeness puts it.

const canvas = byId("canvas");
const LEAST = 1, MOST = 40, MARGIN = 28;
const view = { x: 0.5, y: 0.5, zoom: 1 };
let mapped = [];
let pointed = null;
let due = false;

const hue = (place) => (place * 137.508 + 10) % 360;
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Pixels for 1 of the map, across and down, at the present zoom: it fills the canvas, for its axes mean nothing. */
function units() {
  return [canvas.clientWidth, canvas.clientHeight].map((pixels) => (pixels - 2 * MARGIN) * view.zoom);
}

function toScreen([x, y]) {
  const [across, down] = units();
  return [(x - view.x) * across + canvas.clientWidth / 2, (y - view.y) * down + canvas.clientHeight / 2];
}

/** How large a picture is drawn: so that most have room where they stand. */
function drawnSide() {
  const some = Math.max(mapped.length, 1);
  const room = Math.sqrt((canvas.clientWidth * canvas.clientHeight) / some) * 0.55;
  return Math.min(Math.max(side, 72), Math.max(12, Math.min(room, 56)) * view.zoom ** 0.7);
}

function frameColour(sample) {
  return `hsl(${hue(sample.class)} 65% ${dark.matches ? 62 : 42}%)`;
}

/** Draw again with the next frame. */
function draw() {
  if (due || byId("map").hidden) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    drawNow();
  });
}

function drawNow() {
  const sharp = devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * sharp;
  canvas.height = canvas.clientHeight * sharp;
  const pen = canvas.getContext("2d");
  pen.scale(sharp, sharp);
  const size = drawnSide();
  for (const sample of mapped.filter((one) => !one.fits)) drawDot(pen, sample);
  for (const sample of mapped.filter((one) => one.fits)) drawFace(pen, sample, size);
  if (pointed) drawFace(pen, pointed, size * 1.35);
}

function drawDot(pen, sample) {
  const [x, y] = toScreen(sample.at);
  pen.globalAlpha = 0.35;
  pen.fillStyle = frameColour(sample);
  pen.beginPath();
  pen.arc(x, y, 2, 0, 7);
  pen.fill();
  pen.globalAlpha = 1;
}

function drawFace(pen, sample, size) {
  const [x, y] = toScreen(sample.at);
  if (x < -size || y < -size || x > canvas.clientWidth + size || y > canvas.clientHeight + size) return;
  const [wide, high] = (sample.size ?? [side, side]).map((one) => (one / side) * size);
  const edge = size > 24 ? 2.5 : 1.5;
  pen.fillStyle = frameColour(sample);
  pen.fillRect(x - wide / 2 - edge, y - high / 2 - edge, wide + 2 * edge, high + 2 * edge);
  if (sample.size) {
    const { sheet, x: left, y: top } = placeOf(sample);
    pen.drawImage(sheets[sheet], left, top, ...sample.size, x - wide / 2, y - high / 2, wide, high);
  }
  const mark = marksOf(sample)[0];
  if (mark && size >= 20) drawMark(pen, mark, x + wide / 2, y - high / 2, Math.min(9, size / 5));
}

function drawMark(pen, mark, x, y, radius) {
  const style = getComputedStyle(document.documentElement);
  pen.fillStyle = style.getPropertyValue(`--${mark}`);
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fill();
  pen.fillStyle = style.getPropertyValue("--on-mark");
  pen.font = `700 ${radius * 1.5}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(MARKS[mark], x, y + radius * 0.1);
}

/** The sample drawn at a point of the canvas; the one on top where several are. */
function sampleAt(x, y, reach = drawnSide() / 2) {
  const near = mapped.filter((sample) => sample.fits).map((sample) => [sample, toScreen(sample.at)]);
  const hit = near.filter(([, at]) => Math.abs(at[0] - x) <= reach && Math.abs(at[1] - y) <= reach);
  const far = ([, at]) => Math.hypot(at[0] - x, at[1] - y);
  return hit.sort((one, other) => far(one) - far(other))[0]?.[0] ?? null;
}

/** Zoom about a point of the canvas, which stays where it is. */
function zoomBy(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const before = units();
  view.zoom = Math.min(Math.max(view.zoom * factor, LEAST), MOST);
  const after = units();
  view.x += (x - canvas.clientWidth / 2) * (1 / before[0] - 1 / after[0]);
  view.y += (y - canvas.clientHeight / 2) * (1 / before[1] - 1 / after[1]);
  keepInSight();
}

function moveBy(x, y) {
  const [across, down] = units();
  view.x -= x / across;
  view.y -= y / down;
  keepInSight();
}

function keepInSight() {
  view.x = Math.min(Math.max(view.x, 0), 1);
  view.y = Math.min(Math.max(view.y, 0), 1);
  draw();
}

function fitAll() {
  Object.assign(view, { x: 0.5, y: 0.5, zoom: 1 });
  draw();
}

function point(sample) {
  if (sample === pointed) return;
  pointed = sample;
  byId("pointed").hidden = !sample;
  byId("pointed").textContent = sample ? spoken(sample) : "";
  draw();
}

function openAt(x, y, reach) {
  const sample = sampleAt(x, y, reach);
  if (sample) look(mapped.filter((one) => one.fits), sample.slot);
}

// Fingers and mouse: one moves, two zoom, a press that hardly moved is a click.
const held = new Map();
let wandered = 0;

const within = (event) => [event.offsetX, event.offsetY];

function spread() {
  const [[ax, ay], [bx, by]] = [...held.values()];
  return { apart: Math.hypot(ax - bx, ay - by), x: (ax + bx) / 2, y: (ay + by) / 2 };
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  held.set(event.pointerId, within(event));
  if (held.size === 1) wandered = 0;
});
canvas.addEventListener("pointermove", (event) => {
  const [x, y] = within(event);
  const last = held.get(event.pointerId);
  if (!last) return point(sampleAt(x, y));
  const before = held.size === 2 ? spread() : null;
  held.set(event.pointerId, [x, y]);
  wandered += Math.hypot(x - last[0], y - last[1]);
  if (!before) return moveBy(x - last[0], y - last[1]);
  const after = spread();
  zoomBy(after.apart / Math.max(before.apart, 1), after.x, after.y);
  moveBy(after.x - before.x, after.y - before.y);
});
canvas.addEventListener("pointerup", (event) => {
  const single = held.size === 1;
  held.delete(event.pointerId);
  if (single && wandered < 6) openAt(...within(event), Math.max(drawnSide() / 2, event.pointerType === "touch" ? 18 : 0));
});
canvas.addEventListener("pointercancel", (event) => held.delete(event.pointerId));
canvas.addEventListener("pointerleave", () => point(null));
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...within(event));
}, { passive: false });

const STEP = 60;
const KEYS = {
  ArrowLeft: () => moveBy(STEP, 0), ArrowRight: () => moveBy(-STEP, 0), ArrowUp: () => moveBy(0, STEP), ArrowDown: () => moveBy(0, -STEP),
  "+": () => zoomBy(1.4), "=": () => zoomBy(1.4), "-": () => zoomBy(1 / 1.4), 0: fitAll,
};

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const middle = [canvas.clientWidth / 2, canvas.clientHeight / 2];
  if (event.key === "Enter") openAt(...middle, Infinity);
  else if (event.key in KEYS) KEYS[event.key]();
  else return;
  event.preventDefault();
  point(sampleAt(...middle, Infinity));
});
byId("nearer").addEventListener("click", () => zoomBy(1.6));
byId("farther").addEventListener("click", () => zoomBy(1 / 1.6));
byId("fit").addEventListener("click", fitAll);
new ResizeObserver(draw).observe(canvas);
dark.addEventListener("change", draw);

const MAP_WORDS = {
  "t-SNE": "Samples that look alike lie near each other; a frame has the colour of its class. What lies far apart says little.",
  PCA: "The two directions in which the samples differ most; a frame has the colour of its class. A clearer map is drawn where the training extra is installed.",
};

function showMap(found) {
  const fitting = new Set(found);
  // What is marked is drawn last, and lies on top.
  mapped = samples.filter((sample) => sample.at).sort((one, other) => marksOf(one).length - marksOf(other).length);
  for (const sample of mapped) sample.fits = fitting.has(sample);
  const count = mapped.filter((sample) => sample.fits).length;
  canvas.setAttribute("aria-label", words("Map of {count} samples", { count: number(count) }));
  byId("map-says").textContent = count ? words(MAP_WORDS[facts.method]) : words("Nothing of what matches is on the map.");
  point(null);
  draw();
}
