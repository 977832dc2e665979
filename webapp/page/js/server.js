// The REST API of this page's server.

import { fetchAnswer, jsonPost, readProblem } from "./api.js";
import { refusal } from "./refusals.js";

const MAX_RETRY_SECONDS = 60;
let sending = new AbortController();

/** A refusal of the server, or that it cannot be reached (`status` 0). */
export class ServerError extends Error {
  constructor({ status, reason, detail = "", hint = "" }) {
    super(refusal(reason, detail, hint));
    Object.assign(this, { status, reason, detail });
  }
}

/** Abort the requests with images, which the user wants to stay on the device; reports are sent. */
export function stopSendingImages() {
  sending.abort();
  sending = new AbortController();
}

/** Post a form with images, until `signal` or `stopSendingImages` aborts. */
const postImages = (path, body, signal) => request(path, { method: "POST", body, signal: AbortSignal.any([sending.signal, ...(signal ? [signal] : [])]) });

async function request(path, options) {
  let answer;
  const start = performance.now();
  do {
    answer = await fetchAnswer(path, options);
    if (answer?.ok) return answer;
  } while (answer && performance.now() - start < 1000 * MAX_RETRY_SECONDS && await waitToRetry(answer, options?.signal));
  throw new ServerError(await readProblem(answer));
}

/** Wait as the server requests, or until `signal` aborts; returns whether to retry. */
async function waitToRetry(answer, signal) {
  const seconds = Number(answer.headers.get("retry-after") ?? NaN);
  if (!(seconds <= MAX_RETRY_SECONDS)) return false;
  await new Promise((resolve) => {
    setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", resolve);
  });
  return true;
}

/** Latency of the server in milliseconds. */
export async function ping() {
  const start = performance.now();
  await request("health", { cache: "no-store" });
  return performance.now() - start;
}

export const fetchFacts = async () => (await request("classes")).json();

/** Predictions for images `{name, blob, boxes}`, boxes `[x, y, width, height]` or null. */
export async function predict(images, signal) {
  const form = new FormData();
  for (const image of images) form.append("file", image.blob, image.name);
  form.append("boxes", JSON.stringify(images.map((image) => image.boxes)));
  return (await postImages("predict", form, signal)).json();
}

/** Faces detected by the server, `{box, score}`; throws for an unreadable image. */
export async function faces({ name, blob }) {
  const form = new FormData();
  form.append("file", blob, name);
  const { images: [body] } = await (await postImages("faces", form)).json();
  if (body.error) throw new ServerError({ ...body.error, status: 422 });
  return body.faces;
}

/** Convert an image that the browser cannot show to JPEG. */
export async function convertToJpeg(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  return (await postImages("jpeg", form)).blob();
}

/** Data URIs of JPEGs: `faces` of the classes by name, and an `example` to try or null. */
export const portraits = async () => (await request("portraits")).json();

export const card = async () => (await request("card")).json();

/** The form of a report: a wrong result, or a removal request. */
export function reportForm(blob, name, report) {
  const form = new FormData();
  form.append("file", blob, name);
  form.append("report", JSON.stringify(report));
  return form;
}

/** Send the form of a report; the response says whether it is new. */
export const sendReport = async (body, headers = {}) => (await request("reports", { method: "POST", body, headers })).json();

/** Claim of a report that a box has no face. */
export const NOT_A_FACE = "<not a face>";
/** What a removal request claims of the faces of its image. */
export const REMOVED = "<removal>";

/** Reports for the administrator: the last decided ones (`settled`), or pending ones after `kind`, `claimed` and `after`. */
export const fetchAdminReports = async (place = {}) => (await request(`admin/reports?${new URLSearchParams(place)}`, { cache: "no-store" })).json();

/** Accept reports (`accept`: names by number), refuse some, or `undo` a step. */
export const applyAdminDecision = async (decision) => (await request("admin/decisions", jsonPost(decision))).json();
