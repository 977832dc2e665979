// A whole folder: which pictures are of one class, for a person to check and to save as a list.

import { byId, element, percent, rescueFocus } from "./dom.js";
import { isPicture, paint } from "./pictures.js";
import { words } from "./words.js";

const SIDE = 160;
let ending = new AbortController();
let showCounts = () => {};

/** Attributes of an element whose text follows the language of the page. */
const translated = (text) => ({ text: words(text), "data-words": text });

/** Show the counts of the folder in the present language. */
export const translateFolder = () => showCounts();

/**
 * Go through files. `open(file)` gives a picture and `judge(picture, signal)` its parts; both null where it cannot be read. They
 * throw where nothing can be asked, or the signal ends it. Ticked is what is as probable as `sure`, once it is shown; what a
 * person ticks in one class stays when another is shown. Nothing is changed or deleted. Another check ends this one.
 */
export async function checkFolder(files, classes, sure, open, judge) {
  const pictures = [...files].filter(isPicture)
    .sort((one, other) => pathOf(one).localeCompare(pathOf(other), undefined, { numeric: true }));
  const place = byId("bulk");
  const state = element("p", { role: "status" });
  const trouble = element("p", { class: "message", role: "alert", hidden: true });
  const small = element("canvas", { width: SIDE, height: SIDE });
  const found = [];
  let [done, unreadable, isChosen] = [0, 0, false];
  const wanted = element("select", { id: "bulk-class", onchange: () => { isChosen = true; show(); } },
    ...classes.map((name) => new Option(name, name)));
  const list = element("ul", { class: "bulk-list" });
  const counted = element("p", { role: "status" });
  const stop = element("button", { type: "button", ...translated("Stop"), onclick: () => ending.abort() });
  const on = element("button", { type: "button", ...translated("Resume"), hidden: true, onclick: () => goOn() });
  const save = element("button", { type: "button", class: "primary", ...translated("Save the list"), onclick: () => saveList(found) });
  const close = element("button", { type: "button", ...translated("Close"), onclick: () => { ending.abort(); place.hidden = true; rescueFocus(byId("folder"), byId("more")); } });
  place.replaceChildren(
    element("h2", { id: "bulk-title", ...translated("Check a folder") }), state, trouble,
    element("p", { class: "small", ...translated("Tick the correct ones; confident ones are already ticked. Nothing is deleted.") }),
    element("label", {}, element("span", translated("Images of")), wanted), counted, list,
    element("div", { class: "buttons" }, save, stop, on, close));
  place.hidden = false;
  place.scrollIntoView({ block: "start" });
  rescueFocus(stop);

  const ofClass = (name) => found.filter((one) => one.label === name);
  const count = () => {
    for (const option of wanted.options) option.text = `${option.value} (${ofClass(option.value).length})`;
    const ticked = found.filter((one) => one.ticked).length;
    counted.textContent = words("{count} ticked", { count: ticked });
    save.hidden = !ticked;
  };

  function show() {
    list.replaceChildren(...ofClass(wanted.value).map(row));
    count();
  }

  /** Until a person has chosen a class, it is the first of which there is a picture. */
  function openOn(label) {
    if (isChosen || !classes.includes(label) || ofClass(wanted.value).length) return;
    wanted.value = label;
    show();
  }

  function row(one) {
    one.ticked ??= one.confidence >= sure;
    const box = element("input", { type: "checkbox", onchange: (event) => { one.ticked = event.target.checked; count(); } });
    box.checked = one.ticked;
    return element("li", {}, element("label", {},
      element("img", { src: one.image, alt: "" }),
      element("span", {}, box, " ", element("bdi", { text: one.path }), ` (${percent(one.confidence)})`)));
  }

  function tell() {
    state.textContent = words("{done} of {count} checked", { done, count: pictures.length })
      + (unreadable ? ` · ${words("{count} cannot be read", { count: unreadable })}` : "");
  }

  /** Look at what was not looked at yet, until all is done, a person stops it, or nothing can be asked. */
  async function goOn() {
    ending.abort();
    const { signal } = ending = new AbortController();
    [stop.hidden, on.hidden, trouble.hidden] = [false, true, true];
    rescueFocus(stop);
    try {
      for (; done < pictures.length; done++) {
        tell();
        await lookAt(pictures[done], signal);
      }
    } catch (error) {
      trouble.textContent = error.message;
      trouble.hidden = signal.aborted;
    }
    tell();
    const hadFocus = document.activeElement === stop;
    [stop.hidden, on.hidden] = [true, done === pictures.length];
    if (hadFocus) rescueFocus(on, wanted);
  }

  async function lookAt(file, signal) {
    const picture = await open(file);
    const parts = picture && await judge(picture, signal).finally(() => {
      paint(small, picture, null);
      picture.close();
    });
    signal.throwIfAborted();
    if (!parts) unreadable++;
    for (const [label, confidence] of surest(parts ?? [])) {
      openOn(label);
      const one = { path: pathOf(file), label, confidence, image: small.toDataURL("image/webp", 0.8) };
      found.push(one);
      if (label === wanted.value) list.append(row(one));
    }
    count();
  }

  showCounts = () => { tell(); count(); };
  count();
  await goOn();
}

const pathOf = (file) => file.webkitRelativePath || file.name;

/** How sure each class is that was answered, in the part where it is surest. */
function surest(parts) {
  const best = new Map();
  for (const { answer, predictions } of parts) {
    const sure = predictions.find(({ label }) => label === answer)?.confidence;
    if (answer && sure > (best.get(answer) ?? 0)) best.set(answer, sure);
  }
  return best;
}

function saveList(found) {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const lines = found.filter((one) => one.ticked).map((one) => [quoted(one.path), quoted(one.label), one.confidence.toFixed(4)].join(","));
  const blob = new Blob([`path,class,confidence\n${lines.join("\n")}\n`], { type: "text/csv" });
  const link = element("a", { href: URL.createObjectURL(blob), download: "pictures.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}
