// How large faces are, so that a page fills the screen, and how many make a page.

const SIDES = [128, 112, 96, 84, 72, 64, 56, 48]; // pixels
const USUAL_SIDE = 64;
const MIN_ROOM = 24;
const MAX_ROOM = 240; // faces, as MIN_PAGE_FACES and MAX_PAGE_FACES of the window
const GAP = 6;
const NARROW_COLUMNS = 4;
const BIG = { duplicates: [240, 165], review: [132, 112] }; // on a wide and on a narrow screen
export const narrow = matchMedia("(width < 45rem)");

/** Choose the largest size with which the page needs no scrolling; on a phone, four faces in a row. */
export function fitFaces(place, { kind }) {
  const setSide = (side) => place.style.setProperty("--face", `${side}px`);
  if (kind in BIG) return setSide(BIG[kind][Number(narrow.matches)]);
  if (narrow.matches) return setSide(narrowSide(place));
  for (const side of SIDES) {
    setSide(side);
    if (place.scrollHeight <= place.clientHeight) return null;
  }
  return setSide(USUAL_SIDE);
}

const narrowSide = (place) => Math.floor((place.clientWidth - 2 * 12 - 2 * 8 - (NARROW_COLUMNS - 1) * GAP) / NARROW_COLUMNS);

/** How many faces fill the screen. */
export function findRoom(place) {
  const side = (narrow.matches ? narrowSide(place) : USUAL_SIDE) + GAP;
  const count = Math.floor(place.clientWidth / side) * Math.floor(place.clientHeight / side);
  return Math.min(Math.max(count, MIN_ROOM), MAX_ROOM);
}
