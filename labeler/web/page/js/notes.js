// Messages that pass, and how many steps wait for a connection.

import { byId, element, say } from "./dom.js";
import { isCutOff, sendNow, waitingSteps } from "./outbox.js";
import { words } from "./words.js";

const SHOWN_MS = 6000;
const NEWS_MS = 10_000;
let timer = 0;
let isAsking = false; // a question stays until it is answered

/** Show a message for a while, with buttons `[text, press]`; those stay until one is pressed. */
export function showMessage(text, ...buttons) {
  const place = byId("said");
  clearTimeout(timer);
  isAsking = buttons.length > 0;
  place.replaceChildren(text, ...buttons.map(([name, press]) => element("button", { text: name, onclick: () => { showMessage(""); press(); } })));
  if (!buttons.length) timer = setTimeout(() => place.replaceChildren(), SHOWN_MS);
}

/** Show what somebody else has done, for a while, also with buttons, unless there is a question. */
export function showNews(text, ...buttons) {
  if (isAsking) return;
  showMessage(text, ...buttons);
  isAsking = false;
  clearTimeout(timer);
  timer = setTimeout(() => byId("said").replaceChildren(), NEWS_MS);
}

/** Say something to screen readers only; what was said before stays for a while, because a step and the page after it come at once. */
export function hear(text) {
  const part = element("p", { text });
  byId("heard").append(part);
  setTimeout(() => part.remove(), SHOWN_MS);
}

export function showWaiting() {
  const count = waitingSteps().length;
  say(byId("waiting"), isCutOff() ? words("No connection: {count} decisions wait", { count }) : "");
}

byId("waiting").addEventListener("click", sendNow);
