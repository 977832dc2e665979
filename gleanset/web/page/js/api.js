// Requests to the API of the page's server; its errors are `application/problem+json` (RFC 9457).

const API = "api/v1";
const hadToken = clearToken();

export const apiAddress = (path) => `${API}/${path}`;

/** Send a request; returns the response, or null if the server cannot be reached. */
export const fetchAnswer = (path, options) => fetch(apiAddress(path), options).catch(() => null);

/** The error in a response (null: no connection): `status` (0), `reason`, `detail` and `hint`, and what else the server sent. */
export async function readProblem(answer) {
  if (!answer) return { status: 0, reason: "no connection" };
  const { status } = answer;
  const body = await answer.json().catch(() => ({}));
  // The server stores a right token of an address in a cookie, and redirects.
  const wrongToken = status === 401 && hadToken ? { reason: "wrong token" } : {};
  return { reason: `HTTP ${status}`, ...body, status, ...wrongToken };
}

export const jsonPost = (body) => ({ method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** Remove a token that the server did not accept from the address bar; returns whether there was one. */
function clearToken() {
  const address = new URL(location);
  if (!address.searchParams.has("token")) return false;
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
  return true;
}
