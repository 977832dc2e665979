// The dialogs: one in the middle, one that rises from the bottom of a phone.

import { byId, element, rescueFocus } from "./dom.js";
import { words } from "./words.js";

const notes = document.querySelector(".notes");

/** Open a dialog with a title and parts; it closes by its button, Esc, or a tap outside. */
export const openDialog = (title, ...parts) => open(byId("dialog"), byId("dialog-content"), title, parts);
export const openSheet = (title, ...parts) => open(byId("sheet"), byId("sheet-content"), title, parts);

function open(dialog, content, title, parts) {
  content.replaceChildren(element("div", { class: "dialog-head" }, element("h2", { text: title, id: `${dialog.id}-title` }), buildClose(dialog)), ...parts.filter(Boolean));
  dialog.setAttribute("aria-labelledby", `${dialog.id}-title`);
  if (!dialog.open) dialog.showModal();
  // Outside of a modal dialog messages are dark, and a screen reader does not hear them.
  dialog.append(notes);
}

const buildClose = (dialog) => element("button", { class: "quiet", text: "✕", "aria-label": words("Close"), onclick: () => dialog.close() });

export const isDialogOpen = () => document.querySelector("dialog[open]") !== null;
export const closeDialogs = () => {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
};

for (const dialog of document.querySelectorAll("dialog")) {
  // Not at a click: one follows the long press that opened the dialog.
  dialog.addEventListener("pointerdown", ({ target }) => target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    if (!isDialogOpen()) document.body.append(notes);
    rescueFocus(byId("title"));
  });
}
