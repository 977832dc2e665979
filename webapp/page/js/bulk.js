// A whole folder: which pictures are of one class, for a person to check and to save as a list.

import { byId, element, percent } from "./dom.js";
import { openPicture, paint } from "./pictures.js";
import { words } from "./words.js";

const SIDE = 160;
const PICTURE = /\.(jpe?g|png|gif|webp|bmp|avif)$/i;

/** Go through files; `judge(picture)` gives its parts. Ticked is what is as probable as `sure`. Nothing is changed or deleted. */
export async function checkFolder(files, classes, sure, judge) {
  const pictures = [...files].filter((file) => PICTURE.test(file.name) || file.type.startsWith("image/"));
  const place = byId("bulk");
  const state = element("p", { role: "status" });
  const found = [];
  let stopped = false;
  const wanted = element("select", { id: "bulk-class", onchange: () => show() },
    ...classes.map((name) => new Option(name, name)));
  const list = element("ul", { class: "bulk-list" });
  const counted = element("p", { role: "status" });
  const stop = element("button", { type: "button", text: words("Stop"), onclick: () => { stopped = true; } });
  const save = element("button", { type: "button", class: "primary", text: words("Save the list"), onclick: () => saveList(found) });
  const close = element("button", { type: "button", text: words("Close"), onclick: () => { stopped = true; place.hidden = true; } });
  place.replaceChildren(
    element("h2", { id: "bulk-title", text: words("Check a whole folder") }), state,
    element("p", { class: "small", text: words("Tick what is right; sure ones are ticked. Nothing is deleted.") }),
    element("label", {}, words("Pictures of"), wanted), counted, list,
    element("div", { class: "buttons" }, save, stop, close));
  place.hidden = false;

  const count = () => { counted.textContent = words("{count} ticked", { count: found.filter((one) => one.ticked).length }); };

  function show() {
    for (const one of found) one.ticked = one.label === wanted.value && one.confidence >= sure;
    list.replaceChildren(...found.filter((one) => one.label === wanted.value).map(row));
    count();
  }

  function row(one) {
    const box = element("input", { type: "checkbox", onchange: (event) => { one.ticked = event.target.checked; count(); } });
    box.checked = one.ticked;
    return element("li", {}, element("label", {},
      element("img", { src: one.image, alt: "" }),
      element("span", {}, box, ` ${one.path} (${percent(one.confidence)})`)));
  }

  const canvas = element("canvas", { width: SIDE, height: SIDE });
  for (const [number, file] of pictures.entries()) {
    if (stopped) break;
    state.textContent = words("{done} of {count} looked at", { done: number, count: pictures.length });
    let picture;
    try {
      picture = await openPicture(file);
      const [part] = await judge(picture);
      if (!part?.answer) continue;
      paint(canvas, picture, null);
      const { confidence } = part.predictions.find((one) => one.label === part.answer);
      const one = {
        path: file.webkitRelativePath || file.name, label: part.answer, confidence,
        image: canvas.toDataURL("image/jpeg", 0.8), ticked: part.answer === wanted.value && confidence >= sure,
      };
      found.push(one);
      if (one.label === wanted.value) list.append(row(one));
      count();
    } catch {
      // What cannot be read is no picture of any class.
    } finally {
      picture?.close();
    }
  }
  state.textContent = words("{done} of {count} looked at", { done: pictures.length, count: pictures.length });
  stop.hidden = true;
}

function saveList(found) {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const lines = found.filter((one) => one.ticked).map((one) => [quoted(one.path), quoted(one.label), one.confidence.toFixed(4)].join(","));
  const blob = new Blob([`path,class,confidence\n${lines.join("\n")}\n`], { type: "text/csv" });
  const link = element("a", { href: URL.createObjectURL(blob), download: "pictures.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}
