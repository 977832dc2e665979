// How large faces are, so that a page fills the screen, and how many make a page.

const SIDES = [128, 112, 96, 84, 72, 64, 56, 48]; // pixels
const USUAL_SIDE = 64;
const MIN_TOUCH_SIDE = 84; // pixels of a face whose lens can be touched
const MIN_ROOM = 24;
const MAX_ROOM = 240; // faces, as MIN_PAGE_FACES and MAX_PAGE_FACES of the window
const GAP = 6;
const NARROW_PITCH = 96; // pixels from one face to the next on a phone, about
const BIG = { duplicates: [240, 165], review: [132, 112] }; // on a wide and on a narrow screen
const touch = matchMedia("(pointer: coarse)");
/** Whether the page is laid out for a phone, upright or not: style.css has the same conditions. */
export const narrow = matchMedia("(width < 45rem), (height < 30rem)");

/** Choose the largest size with which the page needs no scrolling; on an upright phone, four faces in a row. */
export function fitFaces(place, { kind }) {
  const setSide = (side) => place.style.setProperty("--face", `${side}px`);
  if (kind in BIG) return setSide(BIG[kind][Number(narrow.matches)]);
  if (narrow.matches) return setSide(narrowSide(place));
  for (const side of listSides()) {
    setSide(side);
    if (place.scrollHeight <= place.clientHeight) return null;
  }
  return setSide(usualSide());
}

const listSides = () => (touch.matches ? SIDES.filter((side) => side >= MIN_TOUCH_SIDE) : SIDES);
const usualSide = () => (touch.matches ? MIN_TOUCH_SIDE : USUAL_SIDE);

function narrowSide({ clientWidth }) {
  const columns = Math.round(clientWidth / NARROW_PITCH);
  return Math.floor((clientWidth - 2 * 12 - 2 * 8 - (columns - 1) * GAP) / columns);
}

/** How many faces fill the screen. */
export function findRoom(place) {
  const side = (narrow.matches ? narrowSide(place) : usualSide()) + GAP;
  const count = Math.floor(place.clientWidth / side) * Math.floor(place.clientHeight / side);
  return Math.min(Math.max(count, MIN_ROOM), MAX_ROOM);
}
