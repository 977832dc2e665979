// What was asked before: small pictures and answers, kept in this browser alone.

import { byId, element, rescueFocus } from "./dom.js";
import { paint } from "./pictures.js";
import { words } from "./words.js";

const KEY = "history";
const MOST = 60;
const SIDE = 96;

const stored = () => {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "[]");
  } catch {
    return [];
  }
};

/** Keep the answers to a picture. */
export function remember(picture) {
  const found = picture.boxes.map((box) => [box, box.part]).concat(picture.whole ? [[null, picture.whole]] : []);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const seen = found.filter(([, part]) => part).map(([box, part]) => {
    paint(canvas, picture, box);
    return { image: canvas.toDataURL("image/jpeg", 0.8), answer: part.answer };
  });
  keep([...seen, ...stored()].slice(0, MOST));
  showHistory();
}

function keep(entries) {
  try {
    localStorage.setItem(KEY, JSON.stringify(entries));
  } catch {
    // The browser's storage is full: the older half makes room.
    if (entries.length > 1) keep(entries.slice(0, Math.floor(entries.length / 2)));
  }
}

export function showHistory() {
  const entries = stored();
  byId("history").hidden = !entries.length;
  byId("history-list").replaceChildren(...entries.map(({ image, answer }, number) => {
    const name = answer ?? words("unknown");
    return element("li", {},
      element("img", { src: image, alt: "" }), element("bdi", { text: name }),
      element("button", { type: "button", class: "small", text: words("Delete"), "aria-label": `${words("Delete")}: ${name}`, onclick: () => forget(number) }));
  }));
}

function forget(number) {
  keep(stored().filter((_, other) => other !== number));
  showHistory();
  rescueFocus([...byId("history-list").querySelectorAll("button")].slice(0, number + 1).at(-1), byId("choose"), byId("more"));
}

byId("history-clear").addEventListener("click", () => {
  localStorage.removeItem(KEY);
  showHistory();
  rescueFocus(byId("choose"), byId("more"));
});
