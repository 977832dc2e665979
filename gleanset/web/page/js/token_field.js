// The form for the token, where an address without one was opened.

import { element } from "./dom.js";
import { translated } from "./words.js";

/**
 * Build a form that sends the token to `address`; the server stores it in a cookie and opens the page again (`label`: attributes of
 * the text at its field). A whole address that has the token may be entered, too. What is useless without a token is hidden.
 */
export function buildTokenForm(address, label, attributes = {}, fieldAttributes = {}) {
  document.body.classList.add("locked");
  const field = element("input", { name: "token", type: "password", required: true, autocomplete: "current-password", ...fieldAttributes });
  return element("form", { ...attributes, action: address, onsubmit: () => { field.value = extractToken(field.value); } },
    element("label", {}, element("span", label), field),
    element("button", { type: "submit", class: "primary", ...translated("Open") }));
}

/** The token in a text: that of an address, or else the text without blanks around it. */
const extractToken = (text) => new URLSearchParams(text.trim().split(/[?#]/)[1]).get("token") ?? text.trim();
