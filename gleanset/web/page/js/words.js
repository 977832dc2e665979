// The language of the page, and the translation of its texts, which are in its own `catalogue.js`.

import { WORDS } from "./catalogue.js";

const KEY = "language";
let language = localStorage.getItem(KEY) ?? chooseLanguage(navigator.languages ?? []);

function chooseLanguage(preferred) {
  const known = preferred.map((code) => code.slice(0, 2)).find((code) => code === "en" || code in WORDS);
  return known ?? "en";
}

export const currentLanguage = () => language;

/** The language to use if only some are offered (none: all): the current, a preferred, or the first one. */
export function chooseOffered(offered) {
  if (!offered.length || offered.includes(language)) return language;
  const preferred = (navigator.languages ?? []).map((code) => code.slice(0, 2));
  return preferred.find((code) => offered.includes(code)) ?? offered[0];
}

/** Translate a text to the current language; the English text is the key. It has another form for a `count` of 1. */
export function words(text, values = {}) {
  const isOne = language === "en" && String(values.count) === "1";
  const translation = WORDS[isOne ? "one" : language]?.[text] ?? text;
  return translation.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Attributes of an element whose text follows the language of the page. */
export const translated = (text) => ({ text: words(text), "data-words": text });

/** Translate all fixed texts and labels of the page, and store the choice. */
export function setLanguage(preferred = language) {
  language = preferred;
  localStorage.setItem(KEY, language);
  document.documentElement.lang = language;
  for (const place of document.querySelectorAll("[data-words]")) place.textContent = words(place.dataset.words);
  for (const place of document.querySelectorAll("[data-label]")) place.setAttribute("aria-label", words(place.dataset.label));
}
