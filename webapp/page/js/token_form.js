// A form for the token, where an address without one was opened.

import { byId, element } from "./dom.js";
import { translated } from "./words.js";

const FORM = "token-form";

/**
 * Ask for a token, with the message of an error below the field (`label`: its attributes); the server stores it in a cookie and
 * opens the page at `address` again. A whole address that has the token may be entered, too. What is useless without a token is
 * hidden. Nothing was wrong before one was entered.
 */
export function askForToken({ reason }, label, address) {
  if (byId(FORM)) return;
  const message = byId("message");
  message.classList.toggle("instruction", reason !== "wrong token");
  document.body.classList.add("locked");
  const field = element("input", { name: "token", type: "password", required: true, autocomplete: "current-password", "aria-describedby": message.id });
  const form = element("form", { id: FORM, class: "buttons", action: address, onsubmit: () => { field.value = extractToken(field.value); } },
    element("label", {}, element("span", label), field),
    element("button", { type: "submit", class: "primary", ...translated("Open") }));
  message.after(form);
  form.append(message);
}

/** The token in a text: that of an address, or else the text without blanks around it. */
const extractToken = (text) => new URLSearchParams(text.trim().split(/[?#]/)[1]).get("token") ?? text.trim();
