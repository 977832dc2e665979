// A form for the token, where an address without one was opened.

import { byId, element } from "./dom.js";
import { words } from "./words.js";

/** Ask for a token; the server stores it in a cookie and opens the page again. A whole address may be entered, too. */
export function askForToken({ reason }) {
  document.body.classList.add("locked");
  const field = element("input", { id: "token", name: "token", type: "password", required: true, autocomplete: "current-password" });
  const text = reason === "wrong token" ? "This token is not right, or was revoked. Enter the one at the end of the address that you were given." : "Enter the token at the end of the address that “labeler serve” printed, or that you were given.";
  byId("page").replaceChildren(element("form", { class: "token", action: "./", onsubmit: () => { field.value = extractToken(field.value); } },
    element("p", { text: words(text) }),
    element("label", { for: "token", text: words("Token") }), field,
    element("button", { type: "submit", class: "primary", text: words("Open") })));
  byId("title").textContent = words("Who are you?");
}

/** The token in a text: that of an address, or else the text without blanks around it. */
const extractToken = (text) => new URLSearchParams(text.trim().split(/[?#]/)[1]).get("token") ?? text.trim();
