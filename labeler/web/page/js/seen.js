// Which faces were on the screen, and for how long: nothing is labelled that a person has hardly seen.

export const MIN_LOOK_MS = 300; // as MIN_LOOK_SECONDS of the window
const VISIBLE_SHARE = 0.5;
let seenAt = new Map();
const visible = new Set();

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target);
    else visible.delete(target);
    note(target);
  }
}, { threshold: VISIBLE_SHARE });

/** Note a face (an element with `data-n`) that is visible with its image, or with the sign of one that cannot be read. */
function note(face) {
  const n = Number(face.dataset.n);
  const image = face.querySelector("img");
  if (visible.has(face) && (image.naturalWidth || image.classList.contains("broken")) && !seenAt.has(n)) seenAt.set(n, performance.now());
}

/** Watch the faces of a new page. */
export function watchFaces(faces) {
  observer.disconnect();
  visible.clear();
  seenAt = new Map();
  for (const face of faces) {
    observer.observe(face);
    for (const event of ["load", "settled"]) face.querySelector("img").addEventListener(event, () => note(face));
  }
}

/** The numbers that were not on the screen yet. */
export const listUnseen = (numbers) => numbers.filter((n) => !seenAt.has(n));
/** Whether one of some faces has only just appeared. */
export const areNew = (numbers) => numbers.some((n) => performance.now() - seenAt.get(n) < MIN_LOOK_MS);
