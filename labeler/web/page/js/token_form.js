// The page asks for the token, where an address without one was opened.

import { byId, element } from "./dom.js";
import { buildTokenForm } from "./token_field.js";
import { translated, words } from "./words.js";

/** Ask for a token. */
export function askForToken({ reason }) {
  if (byId("token")) return; // somebody may be typing
  const text = reason === "wrong token" ? translated("This token is not right, or was revoked. Enter the one at the end of the address that you were given.") : translated("Enter the token at the end of the address that “labeler serve” printed, or that you were given.");
  const form = buildTokenForm("./", translated("Token"), { class: "token" }, { id: "token" });
  form.prepend(element("p", text));
  byId("page").replaceChildren(form);
  byId("title").textContent = words("Who are you?");
  byId("token").focus();
}
