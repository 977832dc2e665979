// The page: opened images, face detection for models of faces, and the button that asks for predictions.

import { checkFolder, translateFolder } from "./bulk.js";
import { classify, isCached, loadModel } from "./device.js";
import { byId, rescueFocus, say } from "./dom.js";
import { detectOnServer, cacheFinder, detectFaces, prepareFinder, waitForServiceWorker } from "./finder.js";
import { showClasses, showPrivacyNotice } from "./first_screen.js";
import { remember, showHistory } from "./history.js";
import { listenForImages, takeShared } from "./incoming.js";
import { imageCard } from "./image_card.js";
import { sendKeptReports, showKept } from "./kept_reports.js";
import { openImage, OTHER_FORMAT, TOO_LARGE } from "./images.js";
import { refusal } from "./refusals.js";
import { askForReport, offerClasses } from "./report_dialog.js";
import * as server from "./server.js";
import { askForToken } from "./token_form.js";
import { chooseOffered, currentLanguage, setLanguage, translated, words } from "./words.js";

const NO_FACE = "no face found";
const PING_SECONDS = 15;
const NOTICE_SECONDS = 12;
const SLOW_SECONDS = 0.5; // opening a file takes longer only if it is very large
const WHERE = "where";
const FACTS_SECONDS = 2; // then those of the last visit are shown, until the server answers
const MAX_NAMED_FILES = 5; // files that cannot be read are named
// `looking` resolves after faces were detected in all images, one by one. `asking` is true until all have a prediction.
// `isLocked`: the server did not accept the token, or there is none.
const page = { images: [], cards: new Map(), about: null, factsLoaded: null, looking: Promise.resolve(), asking: false, isLocked: false };

/** Whether this model classifies faces, not whole images. */
const ofFaces = () => Boolean(page.about && page.about.cropping.detector !== "whole");
const onDevice = () => byId("where").value === "device";
/** Whether images may be sent to the server. Ask just before each is sent: the user may choose the device meanwhile. */
const maySend = () => !isAlone() && !onDevice();
/** Whether the page is a static export without a server. */
const isAlone = () => page.about?.server === false;

/** Show an error; without a valid token, ask for one: nothing can be sent. */
function fail(error) {
  showError(error.message);
  if (error.status === 0) watchServer();
  if (error.status !== 401) return;
  page.isLocked = true;
  askForToken(error, translated("Token"), "./");
  showLock();
}

/** Take images only where they can be classified, and offer the device only if it has the model. */
async function showLock() {
  byId("drop").hidden = page.isLocked && !onDevice();
  const isUseless = !(await isCached());
  byId("promise").parentNode.hidden = byId("drop").hidden && isUseless;
}

/** Show an error where it can be seen. */
function showError(text) {
  say(byId("message"), text);
  byId("message").scrollIntoView({ block: "nearest" });
}

/** Show a message for some seconds; screen readers read it once. */
function showNotice(text) {
  byId("said").textContent = text;
  byId("said").scrollIntoView({ block: "nearest" });
  clearTimeout(page.noticeTimer);
  page.noticeTimer = setTimeout(() => { byId("said").textContent = ""; }, 1000 * NOTICE_SECONDS);
}

async function addFiles(files) {
  // The facts say whether faces are detected.
  await page.factsLoaded;
  if (byId("drop").hidden) return;
  if (files.length) {
    say(byId("message"), "");
    showUnread("");
    byId("said").textContent = ""; // it was about what was done before
  }
  const unread = new Map(); // names of files by what is wrong with them
  const before = page.images.length;
  const slow = setTimeout(() => showNotice(words("opening …")), 1000 * SLOW_SECONDS);
  for (const file of files) {
    try {
      addImage(await openFile(file));
    } catch (error) {
      const text = adviseOnFile(error);
      if (!isFileError(error)) fail(error);
      else unread.set(text, [...(unread.get(text) ?? []), `\u2068${file.name}\u2069`]); // a name in Arabic, say, does not turn the sentence round
    }
    if (page.images.length === before + 1) bringIntoView(page.images[before]);
  }
  clearTimeout(slow);
  if (byId("said").textContent === words("opening …")) byId("said").textContent = "";
  if (unread.size) showUnread([...unread].map(([text, names]) => describeUnread(text, names)).join("\n"));
}

/** Say which files were not opened, until it is closed or more are added. */
function showUnread(text) {
  byId("unread-files").textContent = text;
  byId("unread").hidden = !text;
  if (text) byId("unread").scrollIntoView({ block: "nearest" });
}

/** Which files cannot be opened: by `text`, or because they are not images. */
function describeUnread(text, names) {
  const rest = names.length - MAX_NAMED_FILES;
  const name = names.slice(0, MAX_NAMED_FILES).join(", ") + (rest > 0 ? `, … (+${rest})` : "");
  return text ? `${name}: ${text}` : words("{name} cannot be read as an image", { name });
}

const adviseOnFormat = () => (isAlone() ? words("this browser cannot open the format: save it as JPEG")
  : words("this browser cannot open the format: choose “On the server”, or save it as JPEG"));

/** What to do about a file that cannot be opened; "" if there is nothing to do. */
const adviseOnFile = ({ reason, message }) => (reason === TOO_LARGE ? message : reason === OTHER_FORMAT ? adviseOnFormat() : "");

/** Open an image file. Formats that the browser cannot show are converted by the server, if images may be sent. */
const openFile = (file) => openImage(file, () => (maySend() ? server.convertToJpeg : null), page.about?.max_pixels);

/** Whether an error is about the file, not about the connection to the server. */
const isFileError = ({ status }) => [undefined, 413, 422].includes(status);

function addImage(image) {
  page.images.push(image);
  byId("images").append(buildCard(image));
  refreshSubmit();
  if (ofFaces()) detect(image);
}

/** Scroll to the first new image, and focus the button that asks for predictions, unless the user is in a card or a dialog. */
function bringIntoView(image) {
  const { card } = page.cards.get(image);
  card.scrollIntoView({ block: "start" });
  if (document.activeElement.matches("#drop *, #submit-bar *")) byId("submit").focus({ preventScroll: true });
  rescueFocus(byId("submit"), card.querySelector("h2"));
}

async function tryExample(file) {
  await addFiles([file]);
  await submit();
}

/** Build the card of an image. */
function buildCard(image) {
  const entry = imageCard(image, { boxes: ofFaces(), maySend, hasOtherDetector: page.about?.finder === "server", reports: page.about?.reports !== false }, {
    changed: refreshSubmit,
    removed: remove,
    detect: () => detect(image, () => maySend() && detectOnServer(image)),
    reported: (box, kind, addFace) => askForReport(image, box, kind, {
      addFace,
      onSent: (text) => {
        page.cards.get(image)?.refresh();
        if (text) showNotice(text);
      },
    }),
  });
  page.cards.set(image, entry);
  return entry.card;
}

async function detect(image, by = () => detectFaces(image, page.about, maySend)) {
  image.looking = true;
  page.cards.get(image).refresh();
  refreshSubmit();
  page.looking = page.looking.then(() => page.cards.has(image) && by()).catch((error) => maySend() && fail(error));
  await page.looking;
  image.looking = false;
  page.cards.get(image)?.refresh();
  const hadFocus = document.activeElement === byId("submit");
  refreshSubmit(); // without a face, there is nothing to ask
  if (hadFocus) rescueFocus(page.cards.get(image)?.card.querySelector("h2"), byId("choose"));
  cacheFinder();
}

function remove(image) {
  const next = page.images[page.images.indexOf(image) + 1] ?? page.images.at(-2);
  page.images = page.images.filter((other) => other !== image);
  page.cards.get(image).card.remove();
  page.cards.delete(image);
  image.close();
  refreshSubmit();
  rescueFocus(page.cards.get(next)?.card.querySelector("h2"), byId("choose"));
}

/** Refresh the bar at the bottom: it has only the buttons that apply now. */
function refreshSubmit() {
  const hasImages = page.images.length > 0;
  document.body.classList.toggle("with-images", hasImages);
  byId("submit-bar").hidden = !hasImages;
  const submit = byId("submit");
  const count = page.images.reduce((sum, image) => sum + Math.max(1, image.boxes.length), 0);
  if (page.asking) submit.textContent = words("classifying …");
  else if (ofFaces()) submit.textContent = count > 1 ? words("Who are they?") : words("Who is this?");
  else submit.textContent = count > 1 ? words("What are these?") : words("What is this?");
  submit.hidden = !page.asking && !page.images.some((image) => image.waits || image.looking);
  byId("more").classList.toggle("primary", submit.hidden);
}

async function submit() {
  if (page.asking) return;
  say(byId("message"), "");
  page.asking = true;
  refreshSubmit();
  await page.looking;
  const pending = page.images.filter((image) => image.waits);
  try {
    if (onDevice()) await predictOnDevice(pending);
    else await predictOnServer(pending);
  } catch (error) {
    fail(error);
  }
  page.asking = false;
  if (!onDevice()) watchServer();
  refreshSubmit();
  const answer = page.cards.get(pending[0])?.card.querySelector(".who");
  answer?.scrollIntoView({ block: "nearest" });
  rescueFocus(answer);
}

/** Ask the server for predictions; once the user has chosen the device, the rest are predicted there. */
async function predictOnServer(images) {
  for (const [number, image] of images.entries()) {
    const sent = image.boxes.length ? [...image.boxes] : null;
    const result = await askServer(image);
    if (!result) {
      await predictOnDevice(images.slice(number));
      return;
    }
    finish(image, result, sent);
  }
}

/** The response of the server; null if the user chose the device before it came, which ends the request. */
async function askServer(image, signal) {
  try {
    return maySend() ? await requestPrediction(image, signal) : null;
  } catch (error) {
    if (maySend() || signal?.aborted) throw error;
    return null;
  }
}

/** The server's predictions for an image, or its refusal; throws without a response. */
async function requestPrediction({ name, blob, sent }, signal) {
  try {
    return (await server.predict([{ name, blob, boxes: sent }], signal)).images[0];
  } catch (error) {
    if (error.status === 413) return { error };
    if (error.status === 0) watchServer();
    throw error;
  }
}

async function predictOnDevice(images) {
  await loadDeviceModel();
  const start = performance.now();
  let predicted = 0;
  for (const image of images) {
    if (image.finder === "none" && !image.boxes.length) await detectFaces(image, page.about, () => false);
    const sent = image.boxes.length ? [...image.boxes] : null;
    const parts = await predictParts(image);
    predicted += parts.length;
    finish(image, parts.length ? { parts } : { error: { reason: image.finder === "none" ? "no detector" : NO_FACE } }, sent);
  }
  const ms = Math.round((performance.now() - start) / Math.max(1, predicted));
  if (predicted && !page.olderRun) showDeviceState(words("on this device: {ms} ms", { ms }));
}

/** Predictions on the device for the faces, or for the whole image. */
async function predictParts(image) {
  const boxes = image.boxes.map(({ x, y, width, height }) => ({ x, y, width, height }));
  if (ofFaces() && !boxes.length) return [];
  return classify(image, ofFaces() ? boxes : null);
}

function finish(image, result, sent) {
  if (!page.cards.has(image)) return; // removed meanwhile
  if (result.error) {
    image.error = refusal(result.error.reason, result.error.detail);
    if (result.error.reason === NO_FACE && !onDevice()) image.finder = "server";
  } else {
    image.answer(result.parts, sent);
  }
  page.cards.get(image).refresh();
  remember(image);
}

/** Load the model of the device, and say so beside the choice of the place. */
async function loadDeviceModel() {
  try {
    await loadModel(({ run, bytes }, error) => {
      if (error) page.olderRun = run;
      else showDeviceState(words("downloading the model, {mb} MB …", { mb: (bytes / 1e6).toFixed(1) }));
    });
  } catch (error) {
    showDeviceState(error.message);
    throw error;
  }
  showDeviceState(page.olderRun && words("The latest model could not be downloaded; using {run}, which is stored here.", { run: page.olderRun }));
}

/** Say whether the model is on the device; without a `text`, look whether it is cached. */
async function showDeviceState(text = "") {
  const ready = text || !onDevice() || !(await isCached()) ? text : words("The model is on this device.");
  say(byId("device-state"), onDevice() ? ready : "");
}

async function addFolder(files) {
  const openOrAdvise = (file) => openFile(file).catch((error) => {
    if (isFileError(error)) return adviseOnFile(error);
    throw error;
  });
  const predict = async (image, signal) => {
    const result = await askServer(image, signal);
    if (result) {
      const { parts, error } = result;
      if (!error) return parts;
      return error.reason === NO_FACE ? [] : refusal(error.reason, error.detail);
    }
    await loadDeviceModel(); // the place may have changed
    if (ofFaces()) await detectFaces(image, page.about, () => false);
    return predictParts(image);
  };
  try {
    await page.factsLoaded;
    if (byId("drop").hidden) return;
    if (onDevice()) await loadDeviceModel();
    await checkFolder(files, page.about?.classes ?? [], page.about?.sure_from ?? 1, openOrAdvise, predict);
  } catch (error) {
    fail(error);
  }
}

/** Show the latency of the server; if it cannot be reached, offer the device if it has the model. */
async function watchServer() {
  await page.factsLoaded;
  if (isAlone()) return;
  let isThere = true;
  try {
    say(byId("server"), words("server: {ms} ms", { ms: Math.round(await server.ping()) }));
    sendKeptReports(showNotice).catch(fail);
  } catch {
    isThere = false;
    say(byId("server"), words("server: no connection"));
  }
  byId("for-programs").hidden = !isThere;
  const isOffered = !isThere && !onDevice() && await isCached();
  // The offer says it, too.
  if ((isThere || isOffered) && byId("message").textContent === refusal("no connection")) say(byId("message"), "");
  offerDevice(isOffered);
}

function offerDevice(isOffered) {
  const hadFocus = byId("offline").contains(document.activeElement);
  byId("offline").hidden = !isOffered;
  if (hadFocus) rescueFocus(byId("submit"), byId("choose"), byId("more"));
}

/** Fetch the face detector (some megabytes) while the user chooses an image. */
function prepare() {
  if (ofFaces() && (onDevice() || page.about.finder === "browser")) prepareFinder();
}

function setPlace(where) {
  byId("where").value = where;
  localStorage.setItem(WHERE, where);
  if (onDevice()) server.stopSendingImages();
  showPrivacyNotice(onDevice());
  showDeviceState();
  showLock();
  if (onDevice()) offerDevice(false);
  for (const { refresh } of page.cards.values()) refresh();
  refreshSubmit();
}

/** The user chose a place: the device fetches now what it needs to work without a connection. */
async function choosePlace(where) {
  setPlace(where);
  if (!onDevice()) return;
  showDeviceState(words("loading the model …"));
  prepare();
  cacheFinder();
  await loadDeviceModel().catch(() => {}); // it says so; a prediction tries again
}

function listen() {
  listenForImages(incoming);
  byId("submit").addEventListener("click", submit);
  byId("clear").addEventListener("click", () => [...page.images].forEach(remove));
  byId("unread-close").addEventListener("click", () => {
    showUnread("");
    rescueFocus(byId("submit"), byId("more"), byId("choose"));
  });
  byId("language").value = currentLanguage();
  byId("language").addEventListener("change", ({ target }) => translate(target.value));
  setPlace(localStorage.getItem(WHERE) ?? "server");
  byId("where").addEventListener("change", ({ target }) => choosePlace(target.value));
  byId("go-device").addEventListener("click", () => {
    setPlace("device");
    say(byId("message"), "");
    if (page.images.some((image) => image.waits)) submit();
  });
  for (const kind of ["online", "offline"]) addEventListener(kind, watchServer);
}

function translate(language) {
  setLanguage(language);
  showTitle();
  showDeviceState();
  showPrivacyNotice(onDevice());
  for (const image of page.images) page.cards.get(image).card.replaceWith(buildCard(image));
  refreshSubmit();
  showHistory();
  showKept();
  translateFolder();
  watchServer();
}

function showTitle() {
  byId("purpose").textContent = ofFaces() ? words("It finds the faces and says who they are.") : words("It says what they show.");
  document.title = byId("title").textContent = !page.about ? "Gleanset" : page.about.title || (ofFaces() ? words("Who is this?") : words("What is this?"));
  byId("report-who").textContent = ofFaces() ? words("Who is it?") : words("What is it?");
}

async function loadFacts() {
  const stored = JSON.parse(localStorage.getItem("about") ?? "null");
  const answer = server.fetchFacts().then((about) => {
    localStorage.setItem("about", JSON.stringify(about));
    return about;
  });
  try {
    const late = stored && new Promise((resolve) => { setTimeout(resolve, 1000 * FACTS_SECONDS, null); });
    const about = await Promise.race([answer, ...(late ? [late] : [])]);
    page.about = about ?? stored;
    if (!about) answer.then(showFacts, () => {}); // the network hangs
  } catch (error) {
    page.about = stored;
    if (error.status) fail(error);
  }
  showFacts(page.about);
}

function showFacts(about) {
  page.about = about;
  offerLanguages(page.about?.languages ?? []);
  showTitle();
  offerClasses(about);
  showClasses(about, tryExample);
  showPlaceChoice();
}

/** Offer the choice between server and device only if there are both. */
function showPlaceChoice() {
  byId("where-choice").hidden = isAlone() || page.about?.on_device === false;
  byId("for-programs").hidden = isAlone();
  if (isAlone()) setPlace("device");
  else if (page.about?.on_device === false) setPlace("server");
  if (page.about && !navigator.connection?.saveData) cacheFacts().catch(() => {});
}

/** Cache what the page shows offline, and the model of a page without a server. */
async function cacheFacts() {
  if (isAlone()) await Promise.all([loadDeviceModel(), cacheFinder()]);
  // The service worker takes control during the first visit, after the rest was requested.
  else if (navigator.serviceWorker?.controller === null) await waitForServiceWorker();
  else return;
  await Promise.all([server.card(), page.about.portraits && server.portraits()]);
}

/** Offer the configured languages (none: all), in their order. */
function offerLanguages(offered) {
  const choice = byId("language");
  if (offered.length) choice.replaceChildren(...offered.map((name) => choice.querySelector(`[value=${name}]`)).filter(Boolean));
  choice.closest("label").hidden = choice.options.length < 2;
  const language = chooseOffered(offered);
  if (language !== currentLanguage()) translate(language);
  choice.value = language;
}

const incoming = { addFiles, addFolder, prepare, refuse: showError };
setLanguage();
listen();
performance.mark("images can be dropped");
showHistory();
showKept();
refreshSubmit();
page.factsLoaded = loadFacts();
watchServer();
setInterval(() => { if (!document.hidden) watchServer(); }, 1000 * PING_SECONDS);
navigator.serviceWorker?.register("sw.js").catch(() => {});
await takeShared(incoming);
