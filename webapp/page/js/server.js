// The REST API of this page's server.

const API = "api/v1";

/** What a server refused, or that it cannot be reached (`status` 0). */
export class ServerError extends Error {
  constructor(status, reason, detail = "", mend = "") {
    super([reason, detail, mend].filter(Boolean).join(" – "));
    Object.assign(this, { status, reason });
  }
}

async function asked(path, options) {
  let answer;
  try {
    answer = await fetch(`${API}/${path}`, options);
  } catch {
    throw new ServerError(0, "no connection");
  }
  if (answer.ok) return answer;
  const told = (await answer.json().catch(() => ({}))).error ?? {};
  throw new ServerError(answer.status, told.reason ?? `HTTP ${answer.status}`, told.detail, told.mend);
}

/** Milliseconds that an answer of the server takes. */
export async function ping() {
  const begun = performance.now();
  await asked("ping", { cache: "no-store" });
  return performance.now() - begun;
}

export const about = async () => (await asked("classes")).json();

export const modelFile = () => asked("model.onnx");

/** Ask about pictures: `{name, blob, boxes}`, boxes `[x, y, width, height]` or null. */
export async function predict(pictures) {
  const form = new FormData();
  for (const one of pictures) form.append("files", one.blob, one.name);
  form.append("boxes", JSON.stringify(pictures.map((one) => one.boxes)));
  return (await asked("predict", { method: "POST", body: form })).json();
}

/** Report who it is in truth; whether that is new. */
export async function report(blob, name, told) {
  const form = new FormData();
  form.append("file", blob, name);
  form.append("report", JSON.stringify(told));
  return (await asked("reports", { method: "POST", body: form })).json();
}
