// The page: pictures come in, faces are found where it judges faces, one button asks who or what they are.

import { checkFolder, translateFolder } from "./bulk.js";
import { classify, isKept, loadModel } from "./device.js";
import { byId, rescueFocus, say } from "./dom.js";
import { askServer, keepFinder, lookForFaces, prepareFinder } from "./finder.js";
import { showKnown, showPromise } from "./first_screen.js";
import { remember, showHistory } from "./history.js";
import { listenForPictures, takeShared } from "./incoming.js";
import { pictureCard } from "./picture_card.js";
import { openPicture } from "./pictures.js";
import { refusal } from "./refusals.js";
import { askForReport, offerClasses } from "./report_dialog.js";
import * as server from "./server.js";
import { amongOffered, currentLanguage, speak, words } from "./words.js";

const NO_FACE = "no face found";
const PING_SECONDS = 15;
const TOLD_SECONDS = 12;
const WHERE = "where";
const NAMED = 5; // files that cannot be read are named
// `looking` ends when faces were looked for in all pictures: one after the other. `asking` is true until all have an answer.
const page = { pictures: [], cards: new Map(), about: null, known: null, looking: Promise.resolve(), asking: false };

/** Whether this model judges faces, and not pictures as a whole. */
const ofFaces = () => Boolean(page.about && page.about.cropping.detector !== "whole");
const onDevice = () => byId("where").value === "device";
/** Whether there is no server behind the page, only files: an export. */
const isAlone = () => page.about?.server === false;
const fail = (error) => say(byId("message"), error.message);

/** Say something in passing: read out once, and gone after a while. */
function tell(text) {
  byId("said").textContent = text;
  clearTimeout(page.said);
  page.said = setTimeout(() => { byId("said").textContent = ""; }, 1000 * TOLD_SECONDS);
}

async function take(files) {
  // Whether faces are looked for is known only then.
  await page.known;
  if (files.length) say(byId("message"), "");
  const unread = [];
  const before = page.pictures.length;
  for (const file of files) {
    try {
      show(await open(file));
    } catch (error) {
      if (!isOfFile(error)) fail(error);
      else unread.push(`\u2068${file.name}\u2069`); // a name in Arabic, say, does not turn the sentence round
    }
    if (page.pictures.length === before + 1) bringIntoView(page.pictures[before]);
  }
  const rest = unread.length - NAMED;
  const name = unread.slice(0, NAMED).join(", ") + (rest > 0 ? `, … (+${rest})` : "");
  if (unread.length) say(byId("message"), words("{name} cannot be read as an image", { name }));
}

/** The picture in a file. What the browser does not show is sent to the server, where pictures may be sent. */
const open = (file) => openPicture(file, onDevice() ? null : server.jpegOf);

/** Whether an error in opening a file is about the file, and not about the way to the server. */
const isOfFile = ({ status }) => [undefined, 413, 422].includes(status);

function show(picture) {
  page.pictures.push(picture);
  byId("pictures").append(cardOf(picture));
  refreshSubmit();
  if (ofFaces()) look(picture);
}

/** The first of the pictures that have come is what a visitor sees, and where the keyboard goes on. */
function bringIntoView(picture) {
  const { card } = page.cards.get(picture);
  card.scrollIntoView({ block: "start" });
  rescueFocus(card.querySelector("h2"));
}

async function tryExample(file) {
  await take([file]);
  await submit();
}

/** The card of a picture, made anew. */
function cardOf(picture) {
  const made = pictureCard(picture, { boxes: ofFaces(), server: !isAlone(), reports: page.about?.reports !== false }, {
    changed: refreshSubmit,
    removed: remove,
    look: (one) => look(one, askServer),
    reported: (one, box, kind) => askForReport(one, box, kind, tell),
  });
  page.cards.set(picture, made);
  return made.card;
}

async function look(picture, by = (one) => lookForFaces(one, page.about, !onDevice())) {
  picture.looking = true;
  page.cards.get(picture).refresh();
  refreshSubmit();
  page.looking = page.looking.then(() => page.cards.has(picture) && by(picture)).catch(fail);
  await page.looking;
  picture.looking = false;
  page.cards.get(picture)?.refresh();
  refreshSubmit();
  keepFinder();
}

function remove(picture) {
  const next = page.pictures[page.pictures.indexOf(picture) + 1] ?? page.pictures.at(-2);
  page.pictures = page.pictures.filter((one) => one !== picture);
  page.cards.get(picture).card.remove();
  page.cards.delete(picture);
  picture.close();
  refreshSubmit();
  rescueFocus(page.cards.get(next)?.card.querySelector("h2"), byId("choose"));
}

/** The bar at the bottom: what can be done now is there, and nothing else. */
function refreshSubmit() {
  const some = page.pictures.length > 0;
  document.body.classList.toggle("with-pictures", some);
  byId("submit-bar").hidden = !some;
  const submit = byId("submit");
  const asked = page.pictures.reduce((sum, one) => sum + Math.max(1, one.boxes.length), 0);
  if (page.asking) submit.textContent = words("thinking …");
  else if (ofFaces()) submit.textContent = asked > 1 ? words("Who are they?") : words("Who is this?");
  else submit.textContent = asked > 1 ? words("What are these?") : words("What is this?");
  submit.hidden = !page.asking && !page.pictures.some((one) => one.waits || one.looking);
  byId("more").classList.toggle("primary", submit.hidden);
}

async function submit() {
  if (page.asking) return;
  say(byId("message"), "");
  page.asking = true;
  refreshSubmit();
  await page.looking;
  const waiting = page.pictures.filter((one) => one.waits);
  try {
    if (onDevice()) await judgeHere(waiting);
    else await judgeThere(waiting);
  } catch (error) {
    fail(error);
  }
  page.asking = false;
  if (!onDevice()) watchServer();
  refreshSubmit();
  const answer = page.cards.get(waiting[0])?.card.querySelector(".who");
  answer?.scrollIntoView({ block: "nearest" });
  rescueFocus(answer);
}

async function judgeThere(pictures) {
  for (const picture of pictures) {
    const sent = picture.boxes.length ? [...picture.boxes] : null;
    finish(picture, await askedThere(picture), sent);
  }
}

/** What the server says of a picture, or why it refuses this one; throws where it answers nothing at all. */
async function askedThere({ name, blob, sent }, signal) {
  try {
    return (await server.predict([{ name, blob, boxes: sent }], signal)).pictures[0];
  } catch (error) {
    if (error.status === 413) return { error };
    throw error;
  }
}

async function judgeHere(pictures) {
  await ready();
  const begun = performance.now();
  let judged = 0;
  for (const picture of pictures) {
    const sent = picture.boxes.length ? [...picture.boxes] : null;
    const parts = await askedHere(picture);
    judged += parts.length;
    finish(picture, parts.length ? { parts } : { error: { reason: NO_FACE } }, sent);
  }
  const ms = Math.round((performance.now() - begun) / Math.max(1, judged));
  tell(words("on this device: {ms} ms", { ms }));
}

/** What the model says on the device: of the faces, or of the whole where it has learnt from whole pictures. */
async function askedHere(picture) {
  const boxes = picture.boxes.map(({ x, y, width, height }) => ({ x, y, width, height }));
  if (ofFaces() && !boxes.length) return [];
  return classify(picture, ofFaces() ? boxes : null);
}

function finish(picture, told, sent) {
  if (!page.cards.has(picture)) return; // removed meanwhile
  if (told.error) picture.error = refusal(told.error.reason, told.error.detail);
  else picture.answer(told.parts, sent);
  page.cards.get(picture).refresh();
  remember(picture);
}

const ready = () => loadModel(({ run, bytes }, error) => (error
  ? say(byId("message"), words("The latest model could not be downloaded; using {run}, which is stored here.", { run }))
  : tell(words("downloading the model, {mb} MB …", { mb: (bytes / 1e6).toFixed(1) }))));

async function folder(files) {
  const openOrNull = (file) => open(file).catch((error) => {
    if (isOfFile(error)) return null;
    throw error;
  });
  const judge = async (picture, signal) => {
    if (onDevice() && ofFaces()) await lookForFaces(picture, page.about, false);
    if (onDevice()) return askedHere(picture);
    const { parts, error } = await askedThere(picture, signal);
    return error?.reason === NO_FACE ? [] : parts;
  };
  try {
    await page.known;
    if (onDevice()) await ready();
    await checkFolder(files, page.about?.classes ?? [], page.about?.sure_from ?? 1, openOrNull, judge);
  } catch (error) {
    fail(error);
  }
}

/** Say how far the server is; where it cannot be reached, offer the device if it has the model. */
async function watchServer() {
  await page.known;
  if (isAlone()) return;
  let isThere = true;
  try {
    say(byId("server"), words("server: {ms} ms", { ms: Math.round(await server.ping()) }));
  } catch {
    isThere = false;
    say(byId("server"), words("server: no connection"));
  }
  offerDevice(!isThere && !onDevice() && await isKept());
}

function offerDevice(isOffered) {
  const hadFocus = byId("offline").contains(document.activeElement);
  byId("offline").hidden = !isOffered;
  if (hadFocus) rescueFocus(byId("submit"), byId("choose"), byId("more"));
}

/** Looking for faces takes a network of some megabytes: it is fetched while a person still chooses a picture. */
function prepare() {
  if (ofFaces() && (onDevice() || page.about.finder === "browser")) prepareFinder();
}

function judgeOn(where) {
  byId("where").value = where;
  localStorage.setItem(WHERE, where);
  showPromise(onDevice());
  if (onDevice()) offerDevice(false);
}

function listen() {
  listenForPictures(incoming);
  byId("submit").addEventListener("click", submit);
  byId("clear").addEventListener("click", () => [...page.pictures].forEach(remove));
  byId("language").value = currentLanguage();
  byId("language").addEventListener("change", ({ target }) => translate(target.value));
  judgeOn(localStorage.getItem(WHERE) ?? "server");
  byId("where").addEventListener("change", ({ target }) => judgeOn(target.value));
  byId("go-device").addEventListener("click", () => {
    judgeOn("device");
    say(byId("message"), "");
    if (page.pictures.some((one) => one.waits)) submit();
  });
  for (const kind of ["online", "offline"]) addEventListener(kind, watchServer);
}

function translate(language) {
  speak(language);
  showTitle();
  showPromise(onDevice());
  for (const picture of page.pictures) page.cards.get(picture).card.replaceWith(cardOf(picture));
  refreshSubmit();
  showHistory();
  translateFolder();
  watchServer();
}

function showTitle() {
  document.title = byId("title").textContent = page.about?.title || (ofFaces() ? words("Who is this?") : words("What is this?"));
  byId("report-who").textContent = ofFaces() ? words("Who is it?") : words("What is it?");
}

async function learnAbout() {
  try {
    page.about = await server.about();
    localStorage.setItem("about", JSON.stringify(page.about));
  } catch (error) {
    page.about = JSON.parse(localStorage.getItem("about") ?? "null");
    if (error.status) fail(error);
  }
  offerLanguages(page.about?.languages ?? []);
  showTitle();
  offerClasses(page.about?.classes ?? []);
  showKnown(page.about, tryExample);
  offerPlaces();
}

/** Where answers come from is a choice only where there are two places. */
function offerPlaces() {
  byId("where-choice").hidden = isAlone() || page.about?.on_device === false;
  byId("for-programs").hidden = isAlone();
  if (isAlone()) judgeOn("device");
  else if (page.about?.on_device === false) judgeOn("server");
  if (isAlone() && !navigator.connection?.saveData) keepAll().catch(() => {});
}

/** Fetch all that a page without a server is made of: then it answers without a network, too. */
async function keepAll() {
  await Promise.all([loadModel(() => {}), keepFinder()]);
  await Promise.all([server.card(), page.about.portraits && server.portraits()]);
}

/** Offer the languages that whoever runs the page has named (none: all), in their order. */
function offerLanguages(wanted) {
  const choice = byId("language");
  if (wanted.length) choice.replaceChildren(...wanted.map((name) => choice.querySelector(`[value=${name}]`)).filter(Boolean));
  choice.closest("label").hidden = choice.options.length < 2;
  const language = amongOffered(wanted);
  if (language !== currentLanguage()) translate(language);
  choice.value = language;
}

const incoming = { take, folder, prepare, refuse: (text) => say(byId("message"), text) };
speak();
listen();
performance.mark("pictures can be dropped");
showHistory();
refreshSubmit();
page.known = learnAbout();
watchServer();
setInterval(() => { if (!document.hidden) watchServer(); }, 1000 * PING_SECONDS);
navigator.serviceWorker?.register("sw.js").catch(() => {});
await takeShared(incoming);
