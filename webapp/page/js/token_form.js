// The page asks for the token, where an address without one was opened.

import { byId } from "./dom.js";
import { buildTokenForm } from "./token_field.js";

const FORM = "token-form";

/** Ask for a token, with the message of an error below the field; nothing was wrong before one was entered. */
export function askForToken({ reason }, label, address) {
  if (byId(FORM)) return;
  const message = byId("message");
  message.classList.toggle("instruction", reason !== "wrong token");
  const form = buildTokenForm(address, label, { id: FORM, class: "buttons" }, { "aria-describedby": message.id });
  message.after(form);
  form.append(message);
}
