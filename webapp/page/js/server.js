// The REST API of this page's server.

import { refusal } from "./refusals.js";

const API = "api/v1";
const PATIENCE_SECONDS = 60;

/** What a server refused, or that it cannot be reached (`status` 0). */
export class ServerError extends Error {
  constructor(status, reason, detail = "", hint = "") {
    super(refusal(reason, detail, hint));
    Object.assign(this, { status, reason, detail });
  }
}

async function asked(path, options) {
  let answer;
  const begun = performance.now();
  do {
    try {
      answer = await fetch(`${API}/${path}`, options);
    } catch {
      throw new ServerError(0, "no connection");
    }
    if (answer.ok) return answer;
  } while (performance.now() - begun < 1000 * PATIENCE_SECONDS && await welcomeAgain(answer, options?.signal));
  const told = await answer.json().catch(() => ({}));
  throw new ServerError(answer.status, told.reason ?? `HTTP ${answer.status}`, told.detail, told.hint);
}

/** Wait as long as the server asks to, unless `signal` ends it; whether it does: it has too much to do, or was asked too often. */
async function welcomeAgain(answer, signal) {
  const seconds = Number(answer.headers.get("retry-after") ?? NaN);
  if (!(seconds <= PATIENCE_SECONDS)) return false;
  await new Promise((resolve) => {
    setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", resolve);
  });
  return true;
}

/** Milliseconds that an answer of the server takes. */
export async function ping() {
  const begun = performance.now();
  await asked("ping", { cache: "no-store" });
  return performance.now() - begun;
}

export const about = async () => (await asked("classes")).json();

/** Ask about pictures: `{name, blob, boxes}`, boxes `[x, y, width, height]` or null; `signal` ends it. */
export async function predict(pictures, signal) {
  const form = new FormData();
  for (const one of pictures) form.append("files", one.blob, one.name);
  form.append("boxes", JSON.stringify(pictures.map((one) => one.boxes)));
  return (await asked("predict", { method: "POST", body: form, signal })).json();
}

/** The faces that the server's detector finds in a picture, `{box, score}`; throws where it cannot read it. */
export async function faces({ name, blob }) {
  const form = new FormData();
  form.append("files", blob, name);
  const { pictures: [told] } = await (await asked("faces", { method: "POST", body: form })).json();
  if (told.error) throw new ServerError(422, told.error.reason, told.error.detail);
  return told.faces;
}

/** A picture that the browser does not show, as a JPEG. */
export async function jpegOf(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  return (await asked("jpeg", { method: "POST", body: form })).blob();
}

/** Data URIs of JPEGs: `faces` of the classes by name, and an `example` to try or null. */
export const portraits = async () => (await asked("portraits")).json();

export const card = async () => (await asked("card")).json();

/** Report who it is in truth, or that a picture should be removed; whether that is new. */
export async function report(blob, name, told) {
  const form = new FormData();
  form.append("file", blob, name);
  form.append("report", JSON.stringify(told));
  return (await asked("reports", { method: "POST", body: form })).json();
}

/** Reports for the administrator: those `settled` last, or the next that wait behind `claimed` and `after`. */
export const adminReports = async (place = {}) => (await asked(`admin/reports?${new URLSearchParams(place)}`, { cache: "no-store" })).json();

/** Accept reports (`accept`: names by number), refuse some, or `undo` a step. */
export async function adminDecides(decision) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(decision) };
  return (await asked("admin/decisions", options)).json();
}
