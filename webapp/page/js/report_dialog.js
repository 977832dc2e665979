// The report dialog: a wrong result, or an image to be removed.

import { byId, element, say } from "./dom.js";
import { paint } from "./images.js";
import { describeKept, keepReport } from "./kept_reports.js";
import { openDialog } from "./layout.js";
import { refusal } from "./refusals.js";
import { NOT_A_FACE, reportForm, sendReport } from "./server.js";
import { findSimilarName } from "./similar_names.js";
import { words } from "./words.js";

export const WRONG = "wrong answer";
export const REMOVAL = "removal";
const NO_FACE = "not a face";
const WHOLE = "whole image"; // noted for a wrong answer about an image whose faces have answers of their own
// As on the server: what folder names cannot have, device names of Windows, and the words for "unknown".
const INVALID_NAME = /^\.|[/\\:*?"<>|\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]|^[\p{C}\p{Z}]+$|^(con|conin\$|conout\$|prn|aux|nul|(com|lpt)[\p{Nd}¹²³]) *(\.|$)/iu;
const UNKNOWN = /^(unknown|未知|不明)$/iu;

const dialog = byId("report");
let current = null;
let contact = "";
let classes = [];
let isOfFaces = false;
let suggestedNote = "";
let offeredFor = ""; // the typed name for which a similar class was offered when it was sent

/** What was reported of an image or a prediction, or is kept to be, as elements. */
export function showReported({ reported = [], kept = [] }) {
  const sentTexts = { [REMOVAL]: words("✓ removal requested"), [WHOLE]: words("✓ whole image reported") };
  const keptTexts = { [REMOVAL]: words("Removal request kept; it will be sent later"), [WHOLE]: words("Report of the whole image kept; it will be sent later") };
  const texts = [
    ...reported.map((kind) => sentTexts[kind] ?? words("✓ reported")),
    ...kept.map((kind) => keptTexts[kind] ?? words("Report kept; it will be sent later"))];
  return [...new Set(texts)].map((text) => element("p", { class: "small reported", text }));
}

/** Offer the classes that are known. `about` are the facts of the model, if they are known. */
export function offerClasses(about) {
  contact = about?.contact ?? "";
  classes = about?.classes ?? [];
  isOfFaces = Boolean(about && about.cropping.detector !== "whole");
  byId("report-classes").replaceChildren(...classes.map((name) => new Option(name, name)));
}

/** "None of the classes", in words for people or for things. */
const nameUnlisted = () => (isOfFaces ? words("Somebody else, or none of these") : words("Something else, or none of these"));

/**
 * Ask for a report about a box (null: the whole image); `onSent` is called with a message after marking what was reported, and
 * without one when a kept report is settled. A wrong result of a model of faces is that of a face: `addFace()` adds a box.
 */
export function askForReport(image, box, kind, { onSent, addFace }) {
  current = { image, box, onSent };
  const isRemoval = isOfFaces && !box;
  byId("report-kind").parentNode.hidden = isRemoval;
  byId("report-face-needed").hidden = !isRemoval;
  byId("report-add-face").textContent = words("Add a face");
  byId("report-add-face").onclick = () => {
    dialog.close();
    addFace();
  };
  byId("report-kind").value = kind;
  byId("report-class").value = offeredFor = "";
  byId("report-unlisted").checked = false;
  byId("report-no-face").hidden = byId("report-no-face").disabled = !box;
  byId("report-note").value = suggestedNote = "";
  say(byId("report-message"), "");
  showKind();
  openDialog(dialog);
  byId(kind === WRONG ? "report-class" : "report-note").focus();
}

/** Show the fields of the chosen kind. */
function showKind() {
  const kind = byId("report-kind").value;
  const removal = kind === REMOVAL;
  const box = removal ? null : current.box;
  const part = box ? words("Face {number}", { number: current.image.boxes.indexOf(box) + 1 }) : words("Whole image");
  byId("report-title").textContent = isOfFaces && !current.box ? words("Remove my image") : `${words("Report")}: ${part}`;
  paint(byId("report-face"), current.image, box);
  byId("report-name").hidden = byId("report-unlisted-label").hidden = kind !== WRONG;
  byId("report-unlisted-words").textContent = nameUnlisted();
  byId("report-class").disabled = kind !== WRONG || byId("report-unlisted").checked;
  describeName();
  byId("report-what").hidden = !removal;
  byId("report-contact").textContent = removal && contact ? words("Contact: {contact}", { contact }) : "";
  byId("report-note").required = removal;
  suggestNote(removal ? undefined : findTarget(kind).claims?.at(-1));
  byId("report-why").textContent = removal ? words("Reason, and how to contact you") : suggestedNote ? words("Note (change or delete it)") : words("Note (optional)");
}

/** What a report is about: a prediction, of a face or of the whole image; without one, and for a removal, the image. */
const findTarget = (kind) => (kind !== REMOVAL && (current.box?.part ?? current.image.whole)) || current.image;

/** Say in the note, which the user may change, that this report corrects one made before, which the server cannot know. `earlier`: what that one claimed. */
function suggestNote(earlier) {
  const name = earlier === NOT_A_FACE ? words("Not a face") : earlier || nameUnlisted();
  const text = earlier === undefined ? "" : words("I reported “{name}” before, by mistake.", { name });
  if (byId("report-note").value === suggestedNote) byId("report-note").value = text;
  suggestedNote = text;
}

const typedName = () => byId("report-class").value.trim().replace(/\s+/gu, " ");

/** Why the typed name cannot be reported; "" if it can. */
function findNameError() {
  const name = typedName();
  if (byId("report-class").disabled) return "";
  if (UNKNOWN.test(name)) return words("“{name}” is a reserved word. Choose “{none}” instead.", { name, none: nameUnlisted() });
  if (INVALID_NAME.test(name)) return refusal("no name of a class");
  return isAnswer(name) && !isNewBox() ? words("This is already the answer.") : "";
}

/** Whether the user drew or moved the box: no detector found it. */
const isNewBox = () => current.box?.by === "hand";

/** Whether a name is that of the predicted class. */
function isAnswer(name) {
  const { best: answer } = (current.box?.part ?? current.image.whole) ?? {};
  return Boolean(name) && name.toLowerCase() === answer?.toLowerCase();
}

/** What the server refused: the answer itself may have been typed by another name, which only the server knows. */
function explainRefusal({ reason, detail, message }) {
  const { best: name } = (current.box?.part ?? current.image.whole) ?? {};
  const isAlias = reason === "already the answer" && name && detail?.includes(name) && !isAnswer(typedName());
  return isAlias ? words("“{typed}” is {name}, which is already the answer.", { typed: typedName(), name }) : message;
}

/** Say if the typed name cannot be reported or is of no class of the model, and offer one that is similar. */
function describeName() {
  const name = typedName();
  const error = findNameError();
  const isNew = name && classes.length && !byId("report-class").disabled && !error
    && !classes.some((known) => known.toLowerCase() === name.toLowerCase());
  const similar = isNew ? findSimilarName(name, classes) : null;
  const isFace = isAnswer(name) && isNewBox() && !byId("report-class").disabled;
  say(byId("report-new"), error || (isFace ? words("This is already the answer. Your box is new, so it can be reported.") : "")
    || (isNew ? words("“{name}” is not a class of this model. If it is another name of one, that class is reported; otherwise the operator of this page decides who is meant.", { name }) : ""));
  say(byId("report-similar"), similar ? words("It is {name}", { name: similar }) : "");
  byId("report-similar").onclick = () => {
    byId("report-class").value = similar;
    describeName();
    byId("report-class").focus();
  };
}

const add = (target, list, item) => { target[list] = [...(target[list] ?? []), item]; };
const discard = (target, list, item) => target[list].splice(target[list].indexOf(item), 1);

/**
 * Send a report about `target`, or keep it if there is no connection; returns what happened. `typed` is the typed name, if any.
 * The claims of a target are those that were sent or are kept.
 */
async function sendOrKeep(form, { kind, claimed }, target, typed, onSettled) {
  try {
    const { new: isNew, class: name } = await sendReport(form);
    add(target, "reported", kind);
    if (kind !== REMOVAL) add(target, "claims", claimed);
    if (!isNew) return words("This was already reported.");
    if (kind !== REMOVAL && typed && name && name.toLowerCase() !== typed.toLowerCase()) return words("Thank you, your report was sent: “{typed}” is {name}.", { typed, name });
    if (kind !== REMOVAL) return words("Thank you, your report was sent.");
    const thanks = words("Thank you, the removal was requested. A person reviews it.");
    return contact ? `${thanks} ${words("Contact: {contact}", { contact })}` : thanks;
  } catch (error) {
    const settle = (isSent) => {
      discard(target, "kept", kind);
      if (isSent) add(target, "reported", kind);
      else if (kind !== REMOVAL) discard(target, "claims", claimed);
      onSettled();
    };
    if (error.status !== 0) throw error;
    add(target, "kept", kind);
    if (kind !== REMOVAL) add(target, "claims", claimed);
    if (!(await keepReport(form, kind === REMOVAL, settle))) {
      settle(false);
      throw error;
    }
    return describeKept();
  }
}

for (const field of ["report-kind", "report-unlisted"]) byId(field).addEventListener("change", showKind);
dialog.addEventListener("input", () => {
  say(byId("report-message"), "");
  describeName();
});
byId("report-cancel").addEventListener("click", () => dialog.close());
dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { image, box, onSent } = current;
  if (findNameError()) return byId("report-class").focus();
  if (!byId("report-similar").hidden && offeredFor !== typedName()) {
    offeredFor = typedName();
    say(byId("report-message"), words("To report “{typed}” as it is typed, send it again.", { typed: offeredFor }));
    return byId("report-similar").focus();
  }
  const send = byId("report-send");
  send.disabled = true;
  try {
    const kind = byId("report-kind").value;
    const removal = kind === REMOVAL;
    const claimed = kind === NO_FACE ? NOT_A_FACE : byId("report-unlisted").checked ? null : typedName();
    const fields = {
      kind: removal ? REMOVAL : WRONG, claimed: removal ? "" : claimed, note: byId("report-note").value,
      box: !removal && box ? [box.x, box.y, box.width, box.height] : null, new_box: !removal && isNewBox(),
    };
    const target = findTarget(kind);
    const noted = !removal && target === image ? WHOLE : kind;
    const text = await sendOrKeep(reportForm(image.blob, image.name, fields), { kind: noted, claimed: claimed ?? "" }, target, typedName(), onSent);
    dialog.close(); // before the card is rebuilt, which keeps the focus of its buttons
    onSent(text);
  } catch (error) {
    say(byId("report-message"), explainRefusal(error));
  } finally {
    send.disabled = false;
  }
});
