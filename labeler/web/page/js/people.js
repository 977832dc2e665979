// For the owner: who has joined and how many faces each decided, links for others, and their steps with undo.

import { element, fill, rescueFocus } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { fetchPeople, invitePerson, revokePerson } from "./server.js";
import { newsText } from "./step_texts.js";
import { currentState, takeBack } from "./store.js";
import { words } from "./words.js";

const content = element("div", { class: "people" });
export async function openPeople() {
  openDialog(words("People"), content);
  fill(content, []);
  await change(fetchPeople());
}

/** Show the people once a request is answered, or why it was refused. */
async function change(request) {
  try {
    draw(await request);
  } catch (error) {
    content.prepend(element("p", { role: "alert", text: error.message }));
  }
}

function draw({ decided, invited, links }) {
  const owner = currentState().person;
  const names = [...new Set([owner, ...invited, ...Object.keys(decided)])];
  const rows = names.map((name) => buildPerson(name, decided[name] ?? 0, { isOwner: name === owner, isInvited: invited.includes(name) }));
  content.replaceChildren(element("ul", { class: "rows" }, ...rows), ...links.map(buildLink), buildForm(), ...buildNews());
  keepFocus();
  content.querySelector(".link")?.select();
}

/** Keep the focus in the dialog where the row of a button is gone. */
const keepFocus = () => rescueFocus(content.querySelector(".link"), content.querySelector("form button"));

function buildPerson(name, count, { isOwner, isInvited }) {
  const state = isOwner ? words("you") : isInvited ? "" : words("no longer invited");
  return element("li", { class: "person" },
    element("span", { class: "name", text: name }), element("span", { class: "muted", text: state }),
    element("span", { class: "number", text: words("{count} faces", { count: count.toLocaleString() }) }),
    isInvited && element("button", { text: words("Revoke"), "aria-label": words("Revoke {name}", { name }), onclick: () => change(revokePerson(name)) }));
}

/** A new link, which is shown once: nobody can read it again. */
function buildLink(link) {
  const field = element("input", { class: "link", readonly: true, value: link, "aria-label": words("Link") });
  const copy = ({ target }) => {
    field.select();
    // Without HTTPS there is no clipboard but the one of the selected text.
    if (navigator.clipboard) navigator.clipboard.writeText(link);
    else document.execCommand("copy");
    target.textContent = words("Copied");
  };
  return element("p", { class: "one-line" }, field, element("button", { class: "primary", text: words("Copy"), onclick: copy }));
}

function buildForm() {
  const name = element("input", { required: true, placeholder: words("Name of a person"), "aria-label": words("Name of a person") });
  const invite = (event) => {
    event.preventDefault();
    change(invitePerson(name.value));
  };
  return element("form", { class: "one-line", onsubmit: invite }, name, element("button", { text: words("Invite") }));
}

/** What others have done last. */
function buildNews() {
  const news = currentState().news.filter(canUndo).reverse();
  if (!news.length) return [];
  return [element("h3", { text: words("Latest steps of others") }), element("ul", { class: "rows" }, ...news.map(buildStep))];
}

function buildStep(news) {
  const row = element("li", { class: "person" }, element("span", { class: "name", text: newsText(news) }), element("button", { text: words("Undo"), onclick: () => { row.remove(); keepFocus(); undoStep(news); } }));
  return row;
}

/** Whether a step of somebody else is in force, as far as is known, and undid nothing itself. */
export const canUndo = ({ step, undoes }) => !undoes && !currentState().news.some((other) => other.undoes === step);

export const undoStep = ({ step }) => takeBack("undo", step);
