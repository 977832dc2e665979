// Steps on their way to the server: kept on this device, sent one by one in their order, each with an id of its own.

import { sendStep } from "./server.js";

const KEY = "steps";
const RETRY_SECONDS = [1, 2, 4, 8];
let steps = read();
let isSending = false;
let failures = 0;
let timer = 0;
let listener = { answered() {}, refused() {}, denied() {}, changed() {} };

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? [];
  } catch {
    return [];
  }
}

function store(changed) {
  steps = changed;
  localStorage.setItem(KEY, JSON.stringify(steps));
}

/** Set what to call: `answered(step, answer)`, `refused(step, error)`, `denied(error)` without a right token, and `changed()` after each change. */
export function listenToOutbox(functions) {
  listener = functions;
  addEventListener("online", sendNow);
  sendNow();
}

export const waitingSteps = () => steps;
/** Whether steps wait because the server cannot be reached. */
export const isCutOff = () => failures > 0;

export function addStep(step) {
  store([...steps, { id: crypto.randomUUID?.() ?? makeId(), ...step }]);
  listener.changed();
  if (!timer) send();
}

/** `crypto.randomUUID` is missing where the page was opened over HTTP from another machine. */
function makeId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Forget the steps of a page that the server no longer takes. */
export const dropSteps = (page) => store(steps.filter((step) => step.page !== page));

/** Try again at once. */
export function sendNow() {
  clearTimeout(timer);
  timer = 0;
  send();
}

async function send() {
  if (isSending || !steps.length) return;
  isSending = true;
  const [step] = steps;
  const outcome = await sendStep(step).then((answer) => ({ answer }), (error) => ({ error }));
  isSending = false;
  // The owner's token is another one after the server was started again: steps wait for it.
  const isDenied = outcome.error?.status === 401;
  if (isDenied || outcome.error?.isPassing) {
    retry();
    if (isDenied) listener.denied(outcome.error);
    return;
  }
  failures = 0;
  store(steps.filter(({ id }) => id !== step.id));
  if (outcome.error) listener.refused(step, outcome.error);
  else listener.answered(step, outcome.answer);
  listener.changed();
  send();
}

function retry() {
  const seconds = RETRY_SECONDS[Math.min(failures, RETRY_SECONDS.length - 1)];
  failures += 1;
  timer = setTimeout(sendNow, 1000 * seconds);
  listener.changed();
}
