// The page: pictures come in, faces are found where it judges faces, one button asks who or what they are.

import { checkFolder } from "./bulk.js";
import { classify, loadModel } from "./device.js";
import { byId, say } from "./dom.js";
import { askServer, keepFinder, lookForFaces, prepareFinder } from "./finder.js";
import { remember, showHistory } from "./history.js";
import { pictureCard } from "./picture_card.js";
import { openPicture } from "./pictures.js";
import { refusal } from "./refusals.js";
import { askWhoItIs, offerClasses } from "./report_dialog.js";
import * as server from "./server.js";
import { amongOffered, currentLanguage, speak, words } from "./words.js";

const NO_FACE = "no face found";
const PING_SECONDS = 15;
const TOLD_SECONDS = 12;
const WHERE = "where";
const NAMED = 5; // files that cannot be read are named
// `looking` ends when faces were looked for in all pictures: one after the other.
const page = { pictures: [], cards: new Map(), about: null, known: null, looking: Promise.resolve() };

/** Whether this model judges faces, and not pictures as a whole. */
const ofFaces = () => Boolean(page.about && page.about.cropping.detector !== "whole");
const onDevice = () => byId("where").value === "device";
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
  for (const file of files) {
    try {
      show(await openPicture(file));
    } catch {
      unread.push(`\u2068${file.name}\u2069`); // a name in Arabic, say, does not turn the sentence round
    }
  }
  const rest = unread.length - NAMED;
  const name = unread.slice(0, NAMED).join(", ") + (rest > 0 ? `, … (+${rest})` : "");
  if (unread.length) say(byId("message"), words("{name} cannot be read as a picture", { name }));
}

function show(picture) {
  page.pictures.push(picture);
  byId("pictures").append(cardOf(picture));
  refreshSubmit();
  if (ofFaces()) look(picture);
}

/** The card of a picture, made anew. */
function cardOf(picture) {
  const made = pictureCard(picture, { boxes: ofFaces(), reports: page.about?.reports !== false }, {
    changed: refreshSubmit,
    removed: remove,
    look: (one) => look(one, askServer),
    reported: (one, box) => askWhoItIs(one, box, tell),
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
  page.pictures = page.pictures.filter((one) => one !== picture);
  page.cards.get(picture).card.remove();
  page.cards.delete(picture);
  picture.close();
  refreshSubmit();
  byId("choose").focus();
}

function refreshSubmit() {
  byId("submit-bar").hidden = !page.pictures.length;
  const submit = byId("submit");
  const asked = page.pictures.reduce((sum, one) => sum + Math.max(1, one.boxes.length), 0);
  if (ofFaces()) submit.textContent = asked > 1 ? words("Who are they?") : words("Who is this?");
  else submit.textContent = asked > 1 ? words("What are these?") : words("What is this?");
  submit.disabled = !page.pictures.some((one) => one.waits);
}

async function submit() {
  const waiting = page.pictures.filter((one) => one.waits);
  say(byId("message"), "");
  byId("submit").disabled = true;
  byId("submit").textContent = words("thinking …");
  try {
    if (onDevice()) await judgeHere(waiting);
    else await judgeThere(waiting);
  } catch (error) {
    fail(error);
  }
  if (!onDevice()) watchServer();
  refreshSubmit();
  page.cards.get(waiting[0])?.card.querySelector(".who")?.scrollIntoView({ block: "nearest" });
}

async function judgeThere(pictures) {
  for (const picture of pictures) {
    const sent = picture.boxes.length ? [...picture.boxes] : null;
    finish(picture, await askedThere(picture), sent);
  }
}

/** What the server says of a picture, or why it refuses this one; throws where it answers nothing at all. */
async function askedThere({ name, blob, sent }) {
  try {
    return (await server.predict([{ name, blob, boxes: sent }])).pictures[0];
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
  ? say(byId("message"), words("The newest model could not be fetched: {run} answers, which was kept here.", { run }))
  : tell(words("fetching the model, {mb} MB …", { mb: (bytes / 1e6).toFixed(1) }))));

async function folder(files) {
  const judge = async (picture) => {
    if (onDevice() && ofFaces()) await lookForFaces(picture, page.about, false);
    if (onDevice()) return askedHere(picture);
    const { parts, error } = await askedThere(picture);
    return error?.reason === NO_FACE ? [] : parts;
  };
  try {
    await page.known;
    if (onDevice()) await ready();
    await checkFolder(files, page.about?.classes ?? [], page.about?.sure_from ?? 1, judge);
  } catch (error) {
    fail(error);
  }
}

async function watchServer() {
  try {
    say(byId("server"), words("server: {ms} ms", { ms: Math.round(await server.ping()) }));
  } catch {
    say(byId("server"), words("server: no connection"));
  }
}

/** Looking for faces takes a network of some megabytes: it is fetched while a person still chooses a picture. */
function prepare() {
  if (ofFaces() && (onDevice() || page.about.finder === "browser")) prepareFinder();
}

function opens(button, input, then) {
  byId(button).addEventListener("pointerdown", prepare);
  byId(button).addEventListener("click", () => byId(input).click());
  byId(input).addEventListener("change", ({ target }) => {
    then([...target.files]);
    target.value = "";
  });
}

function listen() {
  opens("choose", "files", take);
  opens("photograph", "camera", take);
  opens("folder", "folder-files", folder);
  byId("submit").addEventListener("click", submit);
  byId("clear").addEventListener("click", () => [...page.pictures].forEach(remove));
  document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      byId("drop").classList.toggle("over", kind === "dragover");
      if (kind === "dragover") prepare();
      if (kind === "drop") take([...event.dataTransfer.files]);
    });
  }
  byId("language").value = currentLanguage();
  byId("language").addEventListener("change", ({ target }) => translate(target.value));
  byId("where").value = localStorage.getItem(WHERE) ?? "server";
  byId("where").addEventListener("change", ({ target }) => localStorage.setItem(WHERE, target.value));
}

function translate(language) {
  speak(language);
  showTitle();
  for (const picture of page.pictures) page.cards.get(picture).card.replaceWith(cardOf(picture));
  refreshSubmit();
  showHistory();
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
  const device = byId("where").querySelector("[value=device]");
  device.disabled = page.about?.on_device === false;
  if (device.disabled) byId("where").value = "server";
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

/** Pictures that another app shared with this one wait in the cache of the service worker. */
async function takeShared() {
  if (!("caches" in self)) return;
  const cache = await caches.open("shared");
  for (const request of await cache.keys()) {
    const blob = await (await cache.match(request)).blob();
    await cache.delete(request);
    await take([new File([blob], decodeURIComponent(new URL(request.url).pathname.split("/").pop()), { type: blob.type })]);
  }
}

speak();
listen();
performance.mark("pictures can be dropped");
showHistory();
refreshSubmit();
page.known = learnAbout();
watchServer();
setInterval(() => { if (!document.hidden) watchServer(); }, 1000 * PING_SECONDS);
navigator.serviceWorker?.register("sw.js").catch(() => {});
await takeShared();
