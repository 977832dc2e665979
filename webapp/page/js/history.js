// Previous predictions with thumbnails, stored in this browser only.

import { byId, element, rescueFocus } from "./dom.js";
import { nameAnswer } from "./image_card.js";
import { paint } from "./images.js";
import { splitForWrapping } from "./layout.js";
import { words } from "./words.js";

const KEY = "history";
const MAX_ENTRIES = 60;
const SIDE = 96;

const loadEntries = () => {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "[]");
  } catch {
    return [];
  }
};

/** Store the predictions for an image. */
export function remember(image) {
  const parts = image.boxes.map((box) => [box, box.part]).concat(image.whole ? [[null, image.whole]] : []);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const entries = parts.filter(([, part]) => part).map(([box, part]) => {
    paint(canvas, image, box);
    return { image: canvas.toDataURL("image/jpeg", 0.8), answer: part.best && nameAnswer(part) };
  });
  saveEntries([...entries, ...loadEntries()].slice(0, MAX_ENTRIES));
  showHistory();
}

function saveEntries(entries) {
  try {
    localStorage.setItem(KEY, JSON.stringify(entries));
  } catch {
    // The browser's storage is full: the older half makes room.
    if (entries.length > 1) saveEntries(entries.slice(0, Math.floor(entries.length / 2)));
  }
}

export function showHistory() {
  const entries = loadEntries();
  byId("history").hidden = !entries.length;
  byId("history-list").replaceChildren(...entries.map(({ image, answer }, number) => {
    const name = answer ?? words("unknown");
    return element("li", {},
      element("img", { src: image, alt: "" }), element("bdi", {}, ...splitForWrapping(name)),
      element("button", { type: "button", class: "small", text: words("Delete"), "aria-label": `${words("Delete")}: ${name}`, onclick: () => deleteEntry(number) }));
  }));
}

function deleteEntry(number) {
  saveEntries(loadEntries().filter((_, other) => other !== number));
  showHistory();
  rescueFocus([...byId("history-list").querySelectorAll("button")].slice(0, number + 1).at(-1), byId("choose"), byId("more"));
}

byId("history-clear").addEventListener("click", () => {
  localStorage.removeItem(KEY);
  showHistory();
  rescueFocus(byId("choose"), byId("more"));
});
