// Checking a folder: images of one class to tick and save as a list.

import { byId, element, percent, rescueFocus } from "./dom.js";
import { isImage, paint } from "./images.js";
import { words } from "./words.js";

const SIDE = 160;
let controller = new AbortController();
let showCounts = () => {};

/** Attributes of an element whose text follows the language of the page. */
const translated = (text) => ({ text: words(text), "data-words": text });

/** Show the counts of the folder in the present language. */
export const translateFolder = () => showCounts();

/**
 * Check files. `open(file)` returns an image and `predict(image, signal)` its parts; both null if it is unreadable. They throw
 * without a connection, or if aborted. Images with a confidence from `sure` are ticked when first shown; ticks are kept when
 * another class is shown. Nothing is changed or deleted. Another check aborts this one.
 */
export async function checkFolder(files, classes, sure, open, predict) {
  const images = [...files].filter(isImage)
    .sort((one, other) => filePath(one).localeCompare(filePath(other), undefined, { numeric: true }));
  const place = byId("bulk");
  const progressText = element("p", { role: "status" });
  const errorText = element("p", { class: "message", role: "alert", hidden: true });
  const canvas = element("canvas", { width: SIDE, height: SIDE });
  const rows = [];
  let [done, unreadable, isChosen] = [0, 0, false];
  const classChoice = element("select", { id: "bulk-class", onchange: () => { isChosen = true; show(); } },
    ...classes.map((name) => new Option(name, name)));
  const list = element("ul", { class: "bulk-list" });
  const tickedText = element("p", { role: "status" });
  const stop = element("button", { type: "button", ...translated("Stop"), onclick: () => controller.abort() });
  const resume = element("button", { type: "button", ...translated("Resume"), hidden: true, onclick: () => goOn() });
  const save = element("button", { type: "button", class: "primary", ...translated("Save the list"), onclick: () => saveList(rows) });
  const close = element("button", { type: "button", ...translated("Close"), onclick: () => { controller.abort(); place.hidden = true; rescueFocus(byId("folder"), byId("more")); } });
  place.replaceChildren(
    element("h2", { id: "bulk-title", ...translated("Check a folder") }), progressText, errorText,
    element("p", { class: "small", ...translated("Tick the correct ones; confident ones are already ticked. Nothing is deleted.") }),
    element("label", {}, element("span", translated("Images of")), classChoice), tickedText, list,
    element("div", { class: "buttons" }, save, stop, resume, close));
  place.hidden = false;
  place.scrollIntoView({ block: "start" });
  rescueFocus(stop);

  const filterByClass = (name) => rows.filter((one) => one.label === name);
  const count = () => {
    for (const option of classChoice.options) option.text = `${option.value} (${filterByClass(option.value).length})`;
    const ticked = rows.filter((one) => one.ticked).length;
    tickedText.textContent = words("{count} ticked", { count: ticked });
    save.hidden = !ticked;
  };

  function show() {
    list.replaceChildren(...filterByClass(classChoice.value).map(buildRow));
    count();
  }

  /** Select the first class with an image, until the user chooses one. */
  function selectFirstClass(label) {
    if (isChosen || !classes.includes(label) || filterByClass(classChoice.value).length) return;
    classChoice.value = label;
    show();
  }

  function buildRow(one) {
    one.ticked ??= one.confidence >= sure;
    const box = element("input", { type: "checkbox", onchange: (event) => { one.ticked = event.target.checked; count(); } });
    box.checked = one.ticked;
    return element("li", {}, element("label", {},
      element("img", { src: one.image, alt: "" }),
      element("span", {}, box, " ", element("bdi", { text: one.path }), ` (${percent(one.confidence)})`)));
  }

  function showProgress() {
    progressText.textContent = words("{done} of {count} checked", { done, count: images.length })
      + (unreadable ? ` · ${words("{count} cannot be read", { count: unreadable })}` : "");
  }

  /** Check the remaining files, until all are done, the user stops, or no model can be reached. */
  async function goOn() {
    controller.abort();
    const { signal } = controller = new AbortController();
    [stop.hidden, resume.hidden, errorText.hidden] = [false, true, true];
    rescueFocus(stop);
    try {
      for (; done < images.length; done++) {
        showProgress();
        await checkFile(images[done], signal);
      }
    } catch (error) {
      errorText.textContent = error.message;
      errorText.hidden = signal.aborted;
    }
    showProgress();
    const hadFocus = document.activeElement === stop;
    [stop.hidden, resume.hidden] = [true, done === images.length];
    if (hadFocus) rescueFocus(resume, classChoice);
  }

  async function checkFile(file, signal) {
    const image = await open(file);
    const parts = image && await predict(image, signal).finally(() => {
      paint(canvas, image, null);
      image.close();
    });
    signal.throwIfAborted();
    if (!parts) unreadable++;
    for (const [label, confidence] of listMostConfident(parts ?? [])) {
      selectFirstClass(label);
      const one = { path: filePath(file), label, confidence, image: canvas.toDataURL("image/webp", 0.8) };
      rows.push(one);
      if (label === classChoice.value) list.append(buildRow(one));
    }
    count();
  }

  showCounts = () => { showProgress(); count(); };
  count();
  await goOn();
}

const filePath = (file) => file.webkitRelativePath || file.name;

/** The highest confidence of each predicted class. */
function listMostConfident(parts) {
  const best = new Map();
  for (const { answer, predictions } of parts) {
    const sure = predictions.find(({ label }) => label === answer)?.confidence;
    if (answer && sure > (best.get(answer) ?? 0)) best.set(answer, sure);
  }
  return best;
}

function saveList(rows) {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const lines = rows.filter((one) => one.ticked).map((one) => [quoted(one.path), quoted(one.label), one.confidence.toFixed(4)].join(","));
  const blob = new Blob([`path,class,confidence\n${lines.join("\n")}\n`], { type: "text/csv" });
  const link = element("a", { href: URL.createObjectURL(blob), download: "images.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}
