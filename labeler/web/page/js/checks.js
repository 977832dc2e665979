// Duplicates and doubtful labels, as pages: their faces are shown larger, and each step asks for the next ones.

import { nameTarget } from "./page_model.js";
import { fetchDuplicates, fetchReview } from "./server.js";

const FETCHES = { duplicates: fetchDuplicates, review: fetchReview };
export const CHECKS = Object.keys(FETCHES);
let skipped = 0; // sets or pages that were passed over

export const forgetSkipped = () => { skipped = 0; };
export const skipOne = () => { skipped += 1; };

/** The next set of copies, or the next doubtful labels, as a page with one card. */
export async function fetchCheck(kind) {
  const { id, left, faces, is_uncertain: isUncertain } = await FETCHES[kind](skipped);
  if (!faces.length) return { id: "", kind: "done", left: 0, cards: [] };
  const tiles = faces.map((face, n) => buildTile(face, n, kind));
  return { id, kind, left, isUncertain, cards: [{ name: "", tiles }] };
}

function buildTile(face, n, kind) {
  const { key, label, other, size: [width, height], confidence } = face;
  return { n, key, size: 1, name: kind === "review" ? other : "", label, caption: describeFace(face, kind), doubtful: false, sent: "", others: false, lifted: false, top: other ? [[nameTarget(other), confidence]] : [], image: { width, height, box: null } };
}

/** The label and the other one, with the people who disagree; the size of a copy. */
function describeFace({ label, other, people, size: [width, height] }, kind) {
  if (kind !== "review") return `${width} x ${height} ${label}`.trim();
  return [`${nameTarget(label)} →`, `${nameTarget(other)}?`, people].filter(Boolean).join("\n");
}
