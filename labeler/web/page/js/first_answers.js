// Asks for the state and the first page at once, while the other modules are on their way: two round trips earlier.

import { findRoom } from "./face_size.js";
import { fetchPage, fetchState } from "./server.js";

let answers = { state: fetchState(), page: fetchPage(findRoom(document.getElementById("page"))) };
// An error of the page comes again when it is asked for.
answers.page.catch(() => {});
answers.state.catch(() => {});

/** Take the answer to a first request, `state` or `page`; undefined later. */
export function takeFirst(name) {
  const { [name]: answer, ...others } = answers;
  answers = others;
  return answer;
}
