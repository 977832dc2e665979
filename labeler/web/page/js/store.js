// What is shown: the page of the view that is open, and the state of the dataset. Steps change it at once; the server confirms.

import { addStep, dropSteps, listenToOutbox, waitingSteps } from "./outbox.js";
import { isCorrected, isUntouched, openTiles, replay } from "./page_model.js";
import { CHECKS, fetchCheck, forgetSkipped, skipOne } from "./checks.js";
import { takeFirst } from "./first_answers.js";
import { fetchPage, fetchState } from "./server.js";
import { stepText } from "./step_texts.js";
import { words } from "./words.js";

const POLL_PAUSE_MS = 2000;
const ASK_AGAIN_MS = 1000;
const MANY_COMPARED = 800; // faces, after which a plain page is composed again
let view = "pages"; // or one of `CHECKS`
let base = null; // the page as the server sent it last
let state = null;
let unmeasuredBefore = 0; // faces that were not compared yet when the page came
let lastAsked = Infinity; // how many there were when cards were last asked for instead of a plain page
let loading = 0; // requests for a page, and steps with a page as answer; only the last page counts
let room = () => 24;
let listener = { changed() {}, showMessage() {}, hear() {}, failed() {}, asked() {} };

export const currentView = () => view;
/** The page with the steps that are on their way; null before the first one. */
export const currentPage = () => base && replay(base, waitingSteps());
export const currentState = () => state;
/** Whether the page takes steps: it is there, and was not left. */
export const isReady = () => Boolean(base) && !currentPage().isLeft && base.kind !== "done";

/** Whether there may be better suggestions for what is left: faces were corrected, or compared since. */
export const offersBetter = () => isReady() && (base.better || isCorrected(currentPage()) || (unmeasuredBefore > 0 && state.unmeasured === 0));

/** Begin: `findRoom()` is how many faces fill the screen; the functions hear of changes, messages and errors. */
export async function start(findRoom, functions) {
  room = findRoom;
  listener = functions;
  state = await (takeFirst("state") ?? fetchState());
  listenToOutbox({ answered, refused, denied: (error) => listener.failed(error), changed: () => listener.changed() });
  await loadPage();
  poll();
}

/** Show a view: class pages, duplicates, or review. */
export function showView(name) {
  view = name;
  base = null;
  forgetSkipped();
  listener.changed();
  loadPage();
}

/** Pass over a set of copies, or a page of doubtful labels. */
export function skipCheck() {
  skipOne();
  loadPage();
}

export async function loadPage() {
  const number = ++loading;
  try {
    const page = await (CHECKS.includes(view) ? fetchCheck(view) : takeFirst("page") ?? fetchPage(room()));
    if (number === loading) setPage(page);
  } catch (error) {
    listener.failed(error);
    if (number === loading && error.isPassing) setTimeout(loadPage, POLL_PAUSE_MS);
  }
}

function setPage(page) {
  if (page.id !== base?.id) unmeasuredBefore = state.unmeasured;
  base = page;
  // The faces that are left are on the pages of other people, who may leave some.
  if (page.kind === "done" && page.left) setTimeout(loadPage, ASK_AGAIN_MS);
  listener.changed();
  exchangePlainPage();
}

/** Do a step on the page that is shown. */
export const act = (name, tiles = [], label = "", more = {}) => addStep({ act: name, page: base.id, tiles, label, ...more });
/** Do a refused step otherwise, on the page that it was for: another one may be shown now. */
export const repeatAct = ({ act, page, tiles }, label, more = {}) => addStep({ act, page, tiles, label, ...more });
/** Undo or redo the last step, or undo one of somebody else, by its number. */
export const takeBack = (kind, step) => addStep({ act: kind, page: "", tiles: [], step });

function answered(step, answer) {
  if (answer.state) state = answer.state;
  const isHere = !step.page || step.page === base?.id;
  if (step.page && isHere) base = replay(base, [step]);
  if (view === "pages" && isHere && answer.page) {
    loading += 1;
    setPage(answer.page);
  } else if (view === "pages" && isHere) loadPage();
  else if (isHere && (!step.page || isChecked())) loadPage();
  if (answer.changed_since && step.page) listener.showMessage(words("{count} faces stay as they are: somebody else decided about them, or they were changed, since you saw them", { count: answer.changed_since }));
  const text = stepText(answer.description);
  if (text && step.page) listener.hear(text);
  else if (text) listener.showMessage(`${words(answer.kind === "redo" ? "Redo" : "Undo")}: ${text}`);
}

/** Whether the next duplicates or doubtful labels are due. */
const isChecked = () => base.isLeft || !openTiles(base).length;

function refused(step, error) {
  if (error.suggestion) {
    listener.asked(step, error.suggestion);
    return;
  }
  listener.failed(error);
  if (error.status !== 409) return;
  if (error.reason === "page gone") dropSteps(step.page);
  loadPage();
}

/** Follow what other people, the window and commands do. */
async function poll() {
  for (;;) {
    try {
      const next = await fetchState(state.version);
      if (next.version !== state.version) await follow(next);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, POLL_PAUSE_MS));
    }
  }
}

/** Ask for cards once faces are compared, as long as nothing was done on a page without cards. */
function exchangePlainPage() {
  if (base?.kind !== "plain") lastAsked = Infinity;
  const { unmeasured } = state;
  if (base?.kind === "plain") lastAsked = Math.min(lastAsked, unmeasuredBefore + 1);
  const isDue = lastAsked - unmeasured >= (unmeasured ? MANY_COMPARED : 1);
  if (isDue && isReady() && base.kind === "plain" && isUntouched(currentPage()) && !listener.isBusy()) {
    lastAsked = unmeasured;
    act("better");
  }
}

async function follow(next) {
  state = next;
  listener.changed();
  exchangePlainPage();
  // A page that somebody is typing a name for stays.
  if (view !== "pages" || waitingSteps().length || !base || base.isLeft || listener.isBusy()) return;
  const number = loading;
  const page = await fetchPage(room());
  // Steps since then are not in it, whether they wait or were answered meanwhile.
  const isNewest = number === loading && !waitingSteps().length;
  if (view === "pages" && isNewest && !listener.isBusy()) setPage(page);
}
