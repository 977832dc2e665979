// Checking a folder: images of one class to tick and save as a list.

import { byId, element, rescueFocus, say } from "./dom.js";
import { isImage, paint } from "./images.js";
import { percent } from "./layout.js";
import { translated, words } from "./words.js";

const SIDE = 160;
// Lists of files without a class, in the order of the choice. No class has a name with a colon.
const WITHOUT_CLASS = { ":unknown": () => words("unknown"), ":faceless": () => words("no face found"), ":unread": () => words("cannot be read") };
const lacksClass = (name) => Object.hasOwn(WITHOUT_CLASS, name);
let controller = new AbortController();
let showCounts = () => {};

/** Show the counts of the folder in the present language. */
export const translateFolder = () => showCounts();

/**
 * Check files. `open(file)` returns an image and `predict(image, signal)` its parts; both a text if it is unreadable, which says
 * why, where that helps. They throw without a connection, or if aborted. Images with a confidence from `sure` are ticked, which the user may change in percent;
 * what the user ticked or unticked stays so. Files without a class are listed, too, so that none is missing. Nothing is changed or
 * deleted. Another check aborts this one.
 */
export async function checkFolder(files, classes, sure, open, predict) {
  const images = [...files].filter(isImage)
    .sort((one, other) => filePath(one).localeCompare(filePath(other), undefined, { numeric: true }));
  const place = byId("bulk");
  const progressText = element("p", { role: "status" });
  const errorText = element("p", { class: "message", role: "alert", hidden: true });
  const canvas = element("canvas", { width: SIDE, height: SIDE });
  const rows = [];
  let [done, isChosen] = [0, false];
  const classChoice = element("select", { id: "bulk-class", onchange: () => { isChosen = true; show(); } },
    ...classes.map((name) => new Option(name, name)));
  const limit = element("input", { id: "bulk-sure", type: "number", min: 0, max: 100, step: 1, value: Math.round(100 * sure), oninput: () => show() });
  const list = element("ul", { class: "bulk-list" });
  const adviceText = element("p", { class: "small", hidden: true });
  const tickedText = element("p", { role: "status" });
  const stop = element("button", { type: "button", ...translated("Stop"), onclick: () => controller.abort() });
  const resume = element("button", { type: "button", ...translated("Resume"), hidden: true, onclick: () => goOn() });
  const save = element("button", { type: "button", class: "primary", ...translated("Save the ticked images as a list"), onclick: () => saveList(rows.filter(isTicked)) });
  const close = element("button", { type: "button", ...translated("Close"), onclick: () => { controller.abort(); place.hidden = true; rescueFocus(byId("folder"), byId("more")); } });
  place.replaceChildren(
    element("header", {}, element("h2", { id: "bulk-title", ...translated("Check a folder") }), close), progressText, adviceText, errorText,
    element("p", { class: "small", ...translated("Tick the correct ones; confident ones are already ticked. Nothing is deleted.") }),
    element("label", {}, element("span", translated("Images of")), " ", classChoice),
    element("label", {}, element("span", translated("Tick from a confidence of (%)")), " ", limit), tickedText, list,
    element("div", { class: "buttons" }, save, stop, resume));
  place.hidden = false;
  place.scrollIntoView({ block: "start" });
  rescueFocus(stop);

  const isTicked = ({ label, ticked, confidence }) => !lacksClass(label) && (ticked ?? (limit.value !== "" && 100 * confidence >= limit.value));
  const filterByClass = (name) => rows.filter((one) => one.label === name);
  const count = () => {
    const offered = [...classChoice.options].map(({ value }) => value);
    for (const list of Object.keys(WITHOUT_CLASS)) {
      if (filterByClass(list).length && !offered.includes(list)) classChoice.append(new Option(list, list));
    }
    for (const option of classChoice.options) option.text = `${nameList(option.value)} (${filterByClass(option.value).length})`;
    const ticked = rows.filter(isTicked);
    const shown = ticked.filter(({ label }) => label === classChoice.value).length;
    tickedText.textContent = words("{shown} ticked here, {count} in all classes", { shown, count: ticked.length });
    save.hidden = !ticked.length;
  };

  function show() {
    list.replaceChildren(...filterByClass(classChoice.value).map(buildRow));
    count();
  }

  /** Select the first class with an image, until the user chooses one or ticks an image. */
  function selectFirstClass(label) {
    const isLater = classes.indexOf(label) > classes.indexOf(classChoice.value);
    if (isChosen || !classes.includes(label) || (isLater && filterByClass(classChoice.value).length)) return;
    classChoice.value = label;
    show();
  }

  function buildRow(one) {
    const picture = one.image ? [element("img", { src: one.image, alt: "" })] : [];
    if (lacksClass(one.label)) {
      return element("li", {}, ...picture, element("span", {}, element("bdi", { text: one.path }), one.advice && `: ${one.advice}`));
    }
    const box = element("input", { type: "checkbox", onchange: (event) => { isChosen = true; one.ticked = event.target.checked; count(); } });
    box.checked = isTicked(one);
    return element("li", {}, element("label", {}, ...picture,
      element("span", {}, box, element("span", {}, element("bdi", { text: one.path }), ` (${percent(one.confidence)})`))));
  }

  function showProgress() {
    const others = Object.keys(WITHOUT_CLASS).map((list) => [list, filterByClass(list).length]).filter(([, number]) => number);
    const named = new Set(rows.filter(({ label }) => !lacksClass(label)).map(({ file }) => file)).size;
    progressText.textContent = [words("{done} of {count} checked", { done, count: images.length }),
      ...(others.length ? [words("recognized: {count}", { count: named })] : []), ...others.map(([list, number]) => `${nameList(list)}: ${number}`)].join(" · ");
    const advised = Map.groupBy(rows.filter(({ advice }) => advice), ({ advice }) => advice);
    say(adviceText, [...advised].map(([advice, { length }]) => `${nameList(":unread")} (${length}): ${advice}`).join("\n"));
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
    const opened = await open(file);
    const image = typeof opened === "string" ? null : opened;
    try {
      const parts = image ? await predict(image, signal) : opened;
      signal.throwIfAborted();
      for (const part of listParts(parts)) {
        selectFirstClass(part.label);
        const one = { file, path: filePath(file), ...part, image: image && drawThumbnail(canvas, image, part.box) };
        rows.push(one);
        if (one.label === classChoice.value) list.append(buildRow(one));
      }
    } finally {
      image?.close();
    }
    count();
  }

  showCounts = () => { showProgress(); count(); };
  count();
  await goOn();
}

const filePath = (file) => file.webkitRelativePath || file.name;

const nameList = (name) => (lacksClass(name) ? WITHOUT_CLASS[name]() : name);

/** The most confident part of each predicted class; for an image without any, why it has none. `parts` is a text if it is unreadable. */
function listParts(parts) {
  if (typeof parts === "string") return [{ label: ":unread", box: null, advice: parts }];
  const best = new Map();
  for (const part of parts) {
    const { best: label, confidence, box } = part;
    if (label !== null && confidence > (best.get(label)?.confidence ?? 0)) best.set(label, { label, confidence, box });
  }
  if (best.size) return [...best.values()];
  return [{ label: parts.length ? ":unknown" : ":faceless", box: null, advice: "" }];
}

/** A thumbnail of an image as a data URI, with the box `[x, y, width, height]` of a face, if it has one. */
function drawThumbnail(canvas, image, box) {
  paint(canvas, image, null);
  if (box) {
    const scale = Math.min(SIDE / image.width, SIDE / image.height);
    const [left, top] = [(SIDE - image.width * scale) / 2, (SIDE - image.height * scale) / 2];
    const context = canvas.getContext("2d");
    for (const [color, width] of [["#000", 5], ["#ffd60a", 3]]) {
      Object.assign(context, { strokeStyle: color, lineWidth: width });
      context.strokeRect(left + box[0] * scale, top + box[1] * scale, box[2] * scale, box[3] * scale);
    }
  }
  return canvas.toDataURL("image/webp", 0.8);
}

function saveList(rows) {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const lines = rows.map((one) => [quoted(one.path), quoted(one.label), one.confidence.toFixed(4)].join(","));
  const blob = new Blob([`path,class,confidence\n${lines.join("\n")}\n`], { type: "text/csv" });
  const link = element("a", { href: URL.createObjectURL(blob), download: "images.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}
