// The API of `labeler serve`.

const API = "api/v1";
const hadToken = clearToken();

/** A refusal of the server, or that it cannot be reached (`status` 0). */
export class ServerError extends Error {
  constructor(status, { reason = `HTTP ${status}`, detail = "", hint = "", suggestion = "" }) {
    super([detail || reason, hint].filter(Boolean).join(": "));
    Object.assign(this, { status, reason, suggestion });
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Remove a token that the server did not accept from the address bar; returns whether there was one. */
function clearToken() {
  const address = new URL(location);
  if (!address.searchParams.has("token")) return false;
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
  return true;
}

async function request(path, options) {
  let answer;
  try {
    answer = await fetch(`${API}/${path}`, { cache: "no-store", ...options });
  } catch {
    throw new ServerError(0, { reason: "no connection" });
  }
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({}));
  throw new ServerError(answer.status, answer.status === 401 && hadToken ? { ...body, reason: "wrong token" } : body);
}

const post = (path, body) => request(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

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
export const sendStep = (step) => post("steps", step);

const SIDES = [128, 256, 512];

/** The address of a face, at least `side` pixels large where the server has it so. */
export function faceAddress({ key, image }, side) {
  return `${API}/faces/${key}?side=${SIDES.find((other) => other >= side) ?? SIDES.at(-1)}&v=${image?.box?.join("-") ?? ""}`;
}

export const imageAddress = ({ key }) => `${API}/faces/${key}?side=1600`;
