// Class pages in the browser.

import { byId, element, fill, rescueFocus } from "./dom.js";
import { buildClassList, drawClasses } from "./class_list.js";
import { closeDialogs, openSheet } from "./dialogs.js";
import { buildEnd } from "./end_page.js";
import { findRoom, narrow } from "./face_size.js";
import { buildTabs, drawHeader } from "./header.js";
import { showKeys } from "./keys.js";
import { askAgain, hasText, listenToNaming, placeField, renewTarget } from "./naming.js";
import { hear, showMessage, showNews, showWaiting } from "./notes.js";
import { hasClusters, nextCard } from "./page_model.js";
import { canUndo, openPeople, undoStep } from "./people.js";
import { drawPage, forgetPage, markPage } from "./page_view.js";
import { showDetails } from "./pictures.js";
import { listenToPoint, pointAt } from "./point.js";
import { newsText } from "./step_texts.js";
import { currentPage, currentState, repeatAct, start } from "./store.js";
import { askForToken } from "./token_form.js";
import { currentLanguage, setLanguage, words } from "./words.js";
import "./drag.js";
import "./touch.js";

const LANGUAGES = { en: "English", ja: "日本語", zh: "简体中文" };
let shownNews = null; // the last step of other people that was shown
let heardEnd = ""; // what a screen reader heard of the last page

function draw() {
  const page = currentPage();
  if (!currentState()) return;
  drawClasses();
  drawHeader();
  showWaiting();
  showLatestNews();
  if (page?.kind === "done") showEnd(page);
  else if (page) showPage(page);
  else clearPage();
  placeField();
  // A button that was pressed may be gone or disabled now.
  rescueFocus(byId("title"));
}

function showPage(page) {
  if (!drawPage(page)) return;
  pointAt({ tile: -1, card: hasClusters(page) ? nextCard(page) : -1 });
  renewTarget();
  markPage(page);
  showDetails();
  heardEnd = "";
  hear([byId("title"), byId("subtitle")].map((part) => part.textContent).join(", "));
}

function markCurrent() {
  if (currentPage()?.cards.length) markPage(currentPage());
}

/** What is there belongs to the view before. */
function clearPage() {
  forgetPage();
  byId("page").replaceChildren();
}

function showEnd(page) {
  forgetPage();
  byId("page").className = "page done";
  fill(byId("page"), buildEnd(page));
  showDetails();
  const heading = [byId("title"), byId("page").querySelector("h2")].map((part) => part.textContent).join(", ");
  if (heading !== heardEnd) hear(heading);
  heardEnd = heading;
}

/** What other people have done since; the owner can undo it. */
function showLatestNews() {
  const { news, owner } = currentState();
  const newest = news.at(-1);
  const step = newest?.step ?? 0;
  // What was done before the page was opened is not new.
  if (shownNews !== null && step > shownNews) showNews(newsText(newest), ...(owner && canUndo(newest) ? [[words("Undo"), () => undoStep(newest)]] : []));
  shownNews = step;
}

const REASONS = {
  "page gone": "That page is no longer yours: nothing was changed. This is the present one.",
  "decided elsewhere": "Somebody else has decided about this face",
};

function showError(error) {
  if (error.status === 401) askForToken(error);
  else if (!error.isPassing) showMessage(words(REASONS[error.reason] ?? error.message));
  else showWaiting();
}

/** Label what was asked about with the class that was meant. */
function repeatStep(step, suggestion) {
  askAgain(step, suggestion, (name, more) => repeatAct(step, name, more));
}

function openMenu() {
  openSheet(words("Classes and settings"),
    element("nav", { class: "tabs", "aria-label": words("Views") }, ...buildTabs(closeDialogs)),
    element("div", { class: "classes" }, ...buildClassList(false)),
    ...buildSettings());
}

function buildSettings() {
  const languages = Object.entries(LANGUAGES).map(([code, name]) => element("option", { value: code, text: name, selected: code === currentLanguage() }));
  const select = element("select", { onchange: ({ target }) => changeLanguage(target.value) }, ...languages);
  return [
    element("p", {}, element("label", {}, element("span", { text: words("Language") }), select)),
    element("p", {}, element("button", { text: words("All keys"), onclick: () => { closeDialogs(); showKeys(); } })),
    ...(currentState()?.owner ? [element("p", {}, element("button", { text: words("People"), onclick: () => { closeDialogs(); openPeople(); } }))] : []),
  ];
}

function changeLanguage(code) {
  closeDialogs();
  setLanguage(code);
  forgetPage();
  draw();
}

const RETRY_MS = 2000;

async function begin() {
  try {
    await start(() => findRoom(byId("page")), { changed: draw, showMessage, hear, failed: showError, asked: repeatStep, isBusy: hasText });
  } catch (error) {
    showError(error);
    if (error.isPassing) setTimeout(begin, RETRY_MS);
  }
}

byId("menu-button").addEventListener("click", openMenu);
byId("settings-button").addEventListener("click", () => openSheet(words("Settings"), ...buildSettings()));
listenToPoint(() => {
  markCurrent();
  showDetails();
});
listenToNaming(markCurrent);
narrow.addEventListener("change", () => {
  forgetPage();
  draw();
});
setLanguage();
await begin();
