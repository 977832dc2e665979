// A form for the token, where an address without one was opened.

import { byId, element } from "./dom.js";
import { translated } from "./words.js";

const FORM = "token-form";

/**
 * Ask for a token, with the message of an error below the field (`label`: its attributes); the server stores it in a cookie and
 * opens the page at `address` again. What is useless without a token is hidden. Nothing was wrong before one was entered.
 */
export function askForToken({ reason }, label, address) {
  if (byId(FORM)) return;
  const message = byId("message");
  message.classList.toggle("instruction", reason !== "wrong token");
  document.body.classList.add("locked");
  const form = element("form", { id: FORM, class: "buttons", action: address },
    element("label", {}, element("span", label),
      element("input", { name: "token", type: "password", required: true, autocomplete: "current-password", "aria-describedby": message.id })),
    element("button", { type: "submit", class: "primary", ...translated("Open") }));
  message.after(form);
  form.append(message);
}
