// The administrator's page: reports beside faces with known answers, accepted, refused and undone.

import { byId, element, rescueFocus, say } from "./dom.js";
import { percent, splitForWrapping, stageClass } from "./layout.js";
import { applyAdminDecision, fetchAdminReports, fetchFacts, NOT_A_FACE, REMOVED } from "./server.js";
import { findSimilarName } from "./similar_names.js";
import { askForToken } from "./token_form.js";
import { currentLanguage, setLanguage, translated, words } from "./words.js";

const FACES = "api/v1/admin/reports";
// By number: the report, its card, its outcome, and whether it was seen.
const cards = new Map();
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) cards.get(Number(target.dataset.report)).seen = true;
  refreshAcceptAll();
}, { threshold: 0.6 });
let page = { waiting: 0, decided: 0, spooled: 0, reports: [], last: null, known: {}, classes: [], option: "" };
const facts = fetchFacts().catch(() => null);
let isOfFaces = true; // whether the model classifies faces, not whole images
let settled = false;
let described = 0; // requests about typed names
let entered = 0; // the one that was unanswered when Enter was pressed
let makesClass = false; // whether the typed name makes a class, or is only similar to one
let shownAfter; // the place behind which the shown reports begin

async function show(after) {
  shownAfter = after;
  try {
    page = await fetchAdminReports(after ?? { settled });
    isOfFaces = (await facts)?.cropping.detector !== "whole";
    // Behind the last one it begins anew: what was left out still waits.
    if (after && !page.reports.length) page = await fetchAdminReports();
    say(byId("message"), "");
    draw();
    scrollTo({ top: 0 });
  } catch (error) {
    showError(error);
  }
}

/** Show an error; without a valid token, only the form for one: no decision can be made. */
function showError(error) {
  say(byId("message"), error.message);
  byId("message").scrollIntoView({ block: "center" });
  if (error.status !== 401) return;
  askForToken(error, translated("Administrator's token"), "admin");
  seen.disconnect();
  cards.clear();
  for (const place of ["none", "tabs", "reports", "all-bar"]) byId(place).hidden = true;
}

function draw() {
  seen.disconnect();
  cards.clear();
  for (const report of page.reports) {
    const state = { report, seen: false, broken: false, became: describeOutcome(report) };
    cards.set(report.id, state);
    state.card = element("li", { class: report.rivals.length ? "report disputed" : "report", "data-report": report.id });
    fillCard(state);
    seen.observe(state.card);
  }
  byId("reports").replaceChildren(...[...cards.values()].map(({ card }) => card));
  byId("next").hidden = page.reports.length >= page.waiting;
  listClasses();
  refreshHeader();
}

const nameReported = () => (isOfFaces ? words("Reported face") : words("Reported image"));
const listClasses = () => byId("else-classes").replaceChildren(...page.classes.map((name) => new Option(name, name)));

function nameClass(name) {
  if (name === NOT_A_FACE) return words("not a face");
  if (name === REMOVED) return words("remove the image");
  return name || words("none of the classes");
}

const isClass = (name) => Boolean(name) && name !== NOT_A_FACE;

/** What became of a decided report, and how many an undo takes back: its class may be another than the claimed one. */
function describeOutcome({ step, step_size: size, status, class: name, isNew }) {
  if (!step) return null;
  const values = { name: nameClass(name) };
  let text = words("Accepted as {name}", values);
  if (status !== "accepted") text = words("Refused");
  else if (name === null) text = words("Accepted, but no longer labelled");
  else if (isNew) text = words("Accepted as {name}, a new class", values);
  return { step, size, text };
}

function refreshHeader() {
  byId("waiting").textContent = words("Pending: {count}", { count: page.waiting });
  byId("waiting").setAttribute("aria-pressed", !settled);
  byId("settled").textContent = words("Decided: {count}", { count: page.decided });
  byId("settled").setAttribute("aria-pressed", settled);

  const count = page.spooled;
  say(byId("spooled"), count ? words("{count} more will appear when another program has finished writing.", { count }) : "");
  const none = settled ? words("No decisions yet.") : words("No pending reports.");
  say(byId("none"), page.reports.length ? "" : none);
  document.title = words("User reports");
  refreshAcceptAll();
}

/** Why a seen report is not accepted together with others; "" if it is. As for `webapp reports accept all`. */
function explainLeftOut({ report, broken }) {
  if (isRemoval(report)) return words("removal requests");
  if (broken) return words("image cannot be shown");
  if (report.rivals.length) return words("contradictory");
  if (!isClass(report.class)) return nameClass(report.class);
  if (isNewClass(report.class)) return words("new classes");
  if (report.misfit) return !page.has_whole_images ? words("whole images") : words("parts of images");
  return report.copies.length ? words("similar to images of the dataset") : "";
}

const listSeen = () => [...cards.values()].filter(({ seen, became }) => seen && !became);
/** Those that one button accepts. */
const listAcceptable = () => listSeen().filter((state) => !explainLeftOut(state));

function refreshAcceptAll() {
  byId("all-bar").hidden = settled || !cards.size;
  byId("accept-all").hidden = !listAcceptable().length;
  byId("accept-all").textContent = words("Accept all you have seen: {count}", { count: listAcceptable().length });
  const reasons = listSeen().map(explainLeftOut).filter(Boolean);
  const countOf = (reason) => reasons.filter((other) => other === reason).length;
  const counts = [...new Set(reasons)].map((reason) => `${reason}: ${countOf(reason)}`);
  const values = { count: reasons.length, reasons: counts.join(", ") };
  say(byId("left-out"), reasons.length ? words("Seen, but left for you to decide one by one: {count} ({reasons})", values) : "");
}

function fillCard(state) {
  const { report, card, became } = state;
  const isPending = !became;
  const canChangeTest = (report.in_test || report.copy_in_test) && !isRemoval(report);
  card.classList.toggle("settled", !isPending);
  card.replaceChildren(
    buildFace(state),
    buildHeading(report),
    report.misfit ? element("p", { class: "wide small misfit", text: isPending ? `⚠ ${warnOfMisfit()}` : nameExtent() }) : "",
    isPending && canChangeTest ? element("p", { class: "wide small", text: `⚠ ${warnOfTest(report)}` }) : "",
    isPending && report.rivals.length ? describeDispute(report) : "",
    isPending && report.copies.length && !isRemoval(report) ? warnOfCopies(report) : "",
    isRemoval(report) ? listCopies(report, became) : element("div", { class: "compare wide" }, ...buildComparison(report)),
    element("div", { class: "buttons wide" }, ...(isPending ? buildChoices(state) : buildOutcome(state))));
}

function buildFace(state) {
  const { report } = state;
  const face = element("img", { src: `${FACES}/${report.id}/face`, alt: nameReported(), onerror: () => markBroken(state) });
  const label = words("Show the whole image");
  return element("button", { type: "button", class: "look", "aria-label": label, onclick: () => showImage(report) }, face);
}

function buildHeading(report) {
  const when = new Date(report.at).toLocaleString(currentLanguage(), { dateStyle: "medium", timeStyle: "short" });
  const number = words("Report {number}", { number: report.id });
  const heading = isRemoval(report)
    ? [element("h2", { text: words("Removal") })]
    : [
      element("h2", {}, element("bdi", {}, ...splitForWrapping(nameClass(report.claimed))), "?"),
      element("p", { class: "small" }, ...describeAnswer(report)),
    ];
  return element("div", {},
    ...heading,
    element("p", { class: "small", text: `${number} · ${when}` }),
    report.note ? element("p", { text: report.note }) : "");
}

const warnOfTest = (report) => (report.in_test
  ? words("In the test split: accepting changes the test set.")
  : words("A similar image is in the test split: if it is a copy, the next search for duplicates changes the test set."));

const nameExtent = () => (page.has_whole_images ? words("Part of an image") : words("Whole image"));
const warnOfMisfit = () => (page.has_whole_images
  ? words("Accepting adds a part of the image to a dataset of whole images.")
  : words("Accepting adds the whole image to a dataset of faces."));

function describeAnswer({ answer, confidence }) {
  if (confidence === null) return [words("The model found no face.")];
  if (answer === null) return [words("The model answered “unknown”.")];
  // The name gets an element of its own, wherever it is in the sentence of a language.
  const values = { name: "\0", percent: percent(confidence).replace(" ", "\u00a0") };
  const [before, after] = words("The model answered {name}, {percent}.", values).split("\0");
  return [before, element("bdi", { text: answer }), after];
}

/** Faces with known answers: of who is claimed, and of whom the model named. */
function buildComparison({ claimed, answer }) {
  const none = isOfFaces ? words(": no face yet") : words(": no image yet");
  const names = new Set([claimed, answer].filter(isClass));
  return [...names].map((name) => {
    const faces = page.known[name] ?? [];
    return element("figure", {},
      element("div", { class: "faces" }, ...faces.map((src) => element("img", { src, alt: "" }))),
      element("figcaption", {}, element("bdi", {}, ...splitForWrapping(name)), faces.length ? "" : none));
  });
}

const isRemoval = ({ kind }) => kind === "removal";

/** The images of the dataset that a removal may mean, and the command that removes them. */
function listCopies({ id, sha256, copies }, became) {
  const exact = copies.filter(({ bits }) => bits === 0);
  const others = (list) => list.filter((copy) => copy.sha256 !== sha256);
  const options = (list) => others(list).map((copy) => ` --image ${copy.sha256.slice(0, 12)}`).join("");
  const forget = `gleanset forget --report ${id}${options(exact)}`;
  const alike = options(copies.filter(({ bits }) => bits > 0));
  const command = (text, line) => [element("p", { class: "small", text }), element("pre", { text: `${line} ${page.option}` })];
  let text = words("Similar images in the dataset: {count}", { count: copies.length });
  if (exact.length) text = words("The dataset has this image.");
  if (!copies.length) text = words("No near-identical image in the dataset. Crops and edited copies are not searched.");
  return element("div", { class: "wide removal" },
    element("p", { text }),
    showCopies(copies),
    ...(became ? [] : command(words("This removes the image and this request for good:"), forget)),
    ...(became || !alike ? [] : command(words("This removes the similar ones too:"), `${forget}${alike}`)));
}

function showCopies(copies) {
  const shown = copies.filter(({ src }) => src);
  return element("div", { class: "compare" }, ...shown.map(({ src, classes, sha256 }) => element("figure", {},
    element("div", { class: "faces" }, element("img", { src, alt: "" })),
    element("figcaption", {},
      element("bdi", {}, ...splitForWrapping(classes.join(", "))), " ",
      element("span", { class: "hash", text: sha256.slice(0, 12) })))));
}

/** A copy in another file gets a second sample: `labeler dedup` finds it. An image of the dataset is not added again. */
const warnOfCopies = ({ copies, in_dataset: isKnown }) => element("div", { class: "wide removal" },
  element("p", { text: `⚠ ${words("Similar images in the dataset: {count}", { count: copies.length })}` }),
  showCopies(copies),
  ...(isKnown ? [] : [
    element("p", { class: "small", text: words("Accepting adds this image too; this finds copies afterwards:") }),
    element("pre", { text: `labeler dedup ${page.option}` })]));

function describeDispute({ rivals }) {
  const others = [...new Set(rivals.map(([, claimed, status]) => {
    const name = nameClass(claimed);
    if (status === "accepted") return words("{name} (accepted)", { name });
    return status === "pending" ? name : words("{name} (in the dataset)", { name });
  }))];
  let text = words("Reports disagree. Others say: {names}", { names: others.join(", ") });
  if (rivals.every(([id]) => id === null)) {
    const names = nameClass(rivals[0][1]);
    text = isOfFaces
      ? words("The dataset has this face already: {names}", { names })
      : words("The dataset has this image already: {names}", { names });
  }
  return element("p", { class: "dispute wide", text: `⚠ ${text}` });
}

/** Whether the user should look closer before accepting a report. */
const needsThought = ({ rivals, misfit }) => rivals.length > 0 || misfit;

function buildChoices(state) {
  const { report } = state;
  const button = (text, onclick, more = {}) => element("button", { type: "button", text, onclick, ...more });
  const refuse = button(words("Refuse"), () => decide({ refuse: [report.id] }), { class: "refuse" });
  if (isRemoval(report)) return [refuse];

  const name = nameClass(report.class);
  const isNew = isNewClass(report.class);
  let text = words("Accept");
  if (report.rivals.length || name !== nameClass(report.claimed)) text = words("It is {name}", { name });
  if (isNew) text = words("Create class “{name}”", { name });
  const accept = () => acceptAs(report, report.rivals.length ? report.claimed : null, isNew ? [report.class] : []);
  const other = button(words("Another class…"), () => askForName(report), { disabled: state.broken });

  const first = needsThought(report) ? null : "primary";
  const similar = isNew ? findSimilarName(report.claimed, page.classes) : null;
  const choices = [button(text, accept, { class: isNew ? null : first, disabled: state.broken }), other, refuse];
  if (similar) {
    const correct = () => acceptAs(report, similar);
    choices.unshift(button(words("It is {name}", { name: similar }), correct, { class: first, disabled: state.broken }));
  }
  return choices;
}

function buildOutcome({ became }) {
  const text = became.size > 1 ? words("Undo all {count}", { count: became.size }) : words("Undo");
  return [
    element("p", { class: "became", text: became.text }),
    element("button", { type: "button", class: "undo", text, onclick: () => undo(became.step) }),
  ];
}

/** Detail of a refused undo, and reason of a refused class, after which the cards stay. */
const LABEL_CHANGED = "a label changed since";
const NO_SUCH_CLASS = "no such class";

/** Whether accepting a name makes a class. */
const isNewClass = (name) => isClass(name) && !page.classes.includes(name);

function markBroken(state) {
  state.broken = true;
  state.card.querySelector(".look").replaceChildren(element("span", { text: words("The image cannot be shown") }));
  if (!state.became && !isRemoval(state.report)) {
    for (const button of state.card.querySelectorAll(".buttons button:not(.refuse)")) button.disabled = true;
  }
  refreshAcceptAll();
}

/** Carry a decision out; each of its reports says what became of it, and how many an undo takes back. */
async function decide(decision) {
  await sendDecision(decision, ({ step, reports, classes, created }) => {
    page.waiting -= reports.length;
    page.decided += reports.length;
    for (const id of reports) {
      const name = classes[id];
      setOutcome(id, name === undefined ? { step, step_size: reports.length, status: "refused" }
        : { step, step_size: reports.length, status: "accepted", class: name, isNew: created.includes(name) });
    }
    const first = cards.get(reports[0]);
    if (reports.length === 1) first?.card.querySelector(".undo").focus({ preventScroll: true });
    say(byId("said"), reports.length === 1 ? "" : words("{count} accepted", { count: reports.length }));
    refreshSameImages(reports);
  });
}

async function undo(step) {
  await sendDecision({ undo: step }, async ({ reports }) => {
    page.waiting += reports.length;
    page.decided -= reports.length;
    for (const id of reports) setOutcome(id, { step: 0 });
    say(byId("said"), words("Pending again: {count}", { count: reports.length }));
    await refreshSameImages(reports);
    cards.get(reports[0])?.card.querySelector(".buttons button")?.focus({ preventScroll: true });
  });
}

async function sendDecision(decision, then) {
  try {
    say(byId("message"), "");
    await then(await applyAdminDecision(decision));
    refreshHeader();
    await refreshClasses();
  } catch (error) {
    if (error.status === 409 && error.detail !== LABEL_CHANGED && error.reason !== NO_SUCH_CLASS) await reload(decision, error);
    else {
      // Only that error is shown.
      if (error.detail === LABEL_CHANGED) await refreshOutcomes().catch(() => {});
      if (error.reason === NO_SUCH_CLASS) await refreshClasses().catch(() => {});
      refreshHeader();
      showError(error);
    }
  }
  rescueFocus(byId("accept-all"), byId("next"), byId("waiting"));
}

/** Show what is pending or decided now, after a refused decision: somebody else may have decided or undone it, or removed the image. */
async function reload({ accept = {}, refuse = [] }, { message }) {
  await show(shownAfter);
  const isPending = [...Object.keys(accept), ...refuse].some((id) => cards.has(Number(id)));
  if (byId("message").hidden) say(byId("message"), isPending ? message : words("This was decided, undone or removed meanwhile. The reports were loaded again."));
}

const NO_REPORTS = { kind: "\uffff" }; // after all kinds

/** Reload the classes, which a decision may create, and rebuild the cards with buttons that name them. */
async function refreshClasses() {
  const { classes } = await fetchAdminReports(NO_REPORTS);
  if (JSON.stringify(classes) === JSON.stringify(page.classes)) return;
  page.classes = classes;
  listClasses();
  const { reports } = await fetchAdminReports(shownAfter);
  const current = new Map(reports.map((report) => [report.id, report.class]));
  for (const state of cards.values()) {
    if (state.became) continue;
    state.report.class = current.get(state.report.id) ?? state.report.class;
    fillCard(state);
  }
  refreshAcceptAll();
}

/** Show a decision, or with step 0 that the report is pending again. */
function setOutcome(id, decision) {
  const state = cards.get(id);
  if (!state) return;
  Object.assign(state.report, decision);
  state.became = describeOutcome(state.report);
  fillCard(state);
}

/** Show what the decided reports are labelled now: somebody may have changed it since. */
async function refreshOutcomes() {
  for (const { id, step, step_size, status, class: name } of (await fetchAdminReports({ settled: true })).reports) {
    if (cards.get(id)?.became) setOutcome(id, { step, step_size, status, class: name, isNew: false });
  }
}

/** Reload the pending reports of the same images, these included: what contradicts them, and whether the dataset has the image. */
function refreshSameImages(reports) {
  const images = new Set(reports.map((id) => cards.get(id)?.report.sha256));
  return Promise.all([...cards.values()].filter(({ report }) => images.has(report.sha256)).map(({ report }) => refreshReport(report.id)));
}

async function refreshReport(id) {
  const state = cards.get(id);
  if (!state || state.became) return;
  const { reports, known } = await fetchAdminReports({ kind: state.report.kind, claimed: state.report.claimed, after: id - 1 });
  Object.assign(page.known, known); // an undone decision may have labelled the only face of a class
  const now = reports.find((one) => one.id === id);
  if (now) Object.assign(state.report, { class: now.class, rivals: now.rivals, in_dataset: now.in_dataset });
  fillCard(state);
  refreshAcceptAll();
}

function askForName(report) {
  byId("else-face").src = `${FACES}/${report.id}/face`;
  byId("else-face").alt = nameReported();
  byId("else-title").textContent = isOfFaces ? words("Who is it?") : words("What is it?");
  byId("else-no-face").hidden = !isOfFaces;
  byId("else-name").value = "";
  describeTypedName(report);
  byId("else").showModal();
  byId("else-name").focus();
  byId("else-name").oninput = () => describeTypedName(report);
  byId("else-name").onkeydown = (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    const accept = byId("else-accept");
    if (accept.disabled) {
      entered = described;
    } else if (makesClass) {
      // The button may have changed since the last letter: a second Enter presses it.
      event.preventDefault();
      accept.focus();
    }
  };
  for (const [button, claim] of [["else-unlisted", ""], ["else-no-face", NOT_A_FACE]]) {
    byId(button).onclick = () => {
      byId("else").close();
      acceptAs(report, claim);
    };
  }
}

/** Accept a report as a class (null: the claimed one); without `create`, the dataset has to have it still. */
const acceptAs = (report, name, create = []) => decide({ accept: { [report.id]: name }, create });

/** Say on the buttons of the dialog what the typed name means, by the server's answer: a class, a similar one first, or a new one.
 *
 * An Enter accepts a class that the dataset has, also before the answer; for a new one, it goes to the button.
 */
async function describeTypedName(report) {
  const number = ++described;
  const typed = byId("else-name").value.trim();
  const accept = byId("else-accept");
  accept.textContent = words("Accept");
  accept.disabled = Boolean(typed); // until it says what Enter does
  makesClass = false;
  say(byId("else-create"), "");
  // A name that is refused or not answered is refused when it is sent.
  const { named = "" } = typed ? await fetchAdminReports({ ...NO_REPORTS, name: typed }).catch(() => ({})) : {};
  if (number !== described) return;
  accept.disabled = false;
  const similar = isNewClass(named) ? findSimilarName(named, page.classes) : null;
  const name = similar ?? (named || typed);
  const create = isNewClass(named) ? words("Create class “{name}”", { name: named }) : "";
  accept.textContent = create && !similar ? create : name !== typed ? words("It is {name}", { name }) : words("Accept");
  say(byId("else-create"), similar ? create : "");
  byId("else").querySelector("form").onsubmit = () => acceptAs(report, name, name === named && create ? [named] : []);
  byId("else-create").onclick = () => {
    byId("else").close();
    acceptAs(report, named, [named]);
  };
  makesClass = create !== "";
  if (entered !== number || !byId("else").open) return;
  if (makesClass) accept.focus();
  else accept.click();
}

function showImage({ id, box: [x, y, width, height] }) {
  const image = byId("whole-image");
  const place = byId("whole-box");
  place.hidden = true;
  image.alt = words("Reported image");
  image.src = `${FACES}/${id}/image`;
  image.onload = () => {
    const stage = image.parentNode;
    stage.className = stageClass({ width: image.naturalWidth, height: image.naturalHeight });
    stage.tabIndex = stage.className === "stage" ? -1 : 0;
    const scale = image.clientWidth / image.naturalWidth;
    const sides = { left: image.offsetLeft + x * scale, top: image.offsetTop + y * scale, width: width * scale, height: height * scale };
    for (const [side, pixels] of Object.entries(sides)) place.style[side] = `${pixels}px`;
    place.hidden = false;
    place.scrollIntoView({ block: "center", inline: "center" });
  };
  byId("whole").showModal();
}

byId("else-cancel").addEventListener("click", () => byId("else").close());
byId("whole-close").addEventListener("click", () => byId("whole").close());
byId("next").addEventListener("click", () => show(page.last));
byId("accept-all").addEventListener("click", () => decide({ accept: Object.fromEntries(listAcceptable().map(({ report }) => [report.id, null])) }));
for (const tab of ["waiting", "settled"]) {
  byId(tab).addEventListener("click", () => {
    settled = tab === "settled";
    show();
  });
}
byId("language").value = currentLanguage();
byId("language").addEventListener("change", (event) => {
  setLanguage(event.target.value);
  draw();
});
setLanguage();
await show();
