// The API of `labeler serve`.

import { apiAddress, fetchAnswer, jsonPost, readProblem } from "./api.js";

/** A refusal of the server, or that it cannot be reached (`status` 0). */
export class ServerError extends Error {
  constructor({ status, reason, detail, hint, suggestion = "" }) {
    super([detail || reason, hint].filter(Boolean).join(": "));
    Object.assign(this, { status, reason, suggestion });
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

// A request that is lost on the way may never fail by itself. Composing goes on in the server until the page is asked for again.
const MAX_ANSWER_MS = 30_000;

async function request(path, options) {
  const answer = await fetchAnswer(path, { cache: "no-store", signal: AbortSignal.timeout(MAX_ANSWER_MS), ...options });
  if (!answer?.ok) throw new ServerError(await readProblem(answer));
  return answer.json().catch(() => { throw new ServerError({ status: 0, reason: "no connection" }); });
}

export const fetchState = (since = "") => request(since === "" ? "state" : `state?since=${since}`);
/** The page that this person holds; `room` is how many faces fill the screen. */
export const fetchPage = (room) => request(`page?room=${room}`);

export const fetchDuplicates = (skip) => request(`duplicates?skip=${skip}`);
export const fetchReview = (skip) => request(`review?skip=${skip}`);

/** The people who were invited, and how many faces each decided; the owner changes who is. */
export const fetchPeople = () => request("people");
export const invitePerson = (name) => request(`people?name=${encodeURIComponent(name)}`, { method: "POST" });
export const revokePerson = (name) => request(`people?name=${encodeURIComponent(name)}`, { method: "DELETE" });

/** Send a step, an undo or a redo. */
export const sendStep = (step) => request("steps", jsonPost(step));

const SIDES = [128, 256, 512];

/** The address of a face, at least `side` pixels large where the server has it so. */
export function faceAddress({ key, image }, side) {
  return apiAddress(`faces/${key}?side=${SIDES.find((other) => other >= side) ?? SIDES.at(-1)}&v=${image?.box?.join("-") ?? ""}`);
}

export const imageAddress = ({ key }) => apiAddress(`faces/${key}?side=1600`);
