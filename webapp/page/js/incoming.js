// Sources of images: chosen, photographed, dropped, pasted, shared by another app.

import { byId } from "./dom.js";
import { hasWebcam, photograph } from "./webcam.js";
import { words } from "./words.js";

const ADDRESS = /^\s*(https?|ftp|file|data):/i;
const SHARED_ADDRESS = "#address"; // set by the service worker if another app shared no image

/**
 * Listen for images. `to.addFiles(files)` gets them, `to.addFolder(files)` those of a folder, `to.prepare()` is called
 * before a choice, and `to.refuse(text)` with advice for a web address.
 */
export function listenForImages(to) {
  onFiles("files", to.addFiles);
  onFiles("camera", to.addFiles);
  onFiles("folder-files", to.addFolder);
  for (const [button, input] of [["choose", "files"], ["more", "files"], ["folder", "folder-files"]]) opensInput(button, input, to);
  offerCamera(to);
  document.addEventListener("paste", (event) => {
    if (!event.target.closest?.("input, textarea")) receive(event.clipboardData, to);
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      byId("drop").classList.toggle("over", kind === "dragover");
      if (kind === "dragover") to.prepare();
      if (kind === "drop") receive(event.dataTransfer, to);
    });
  }
}

function onFiles(input, then) {
  byId(input).addEventListener("change", ({ target }) => {
    then([...target.files]);
    target.value = "";
  });
}

function opensInput(button, input, { prepare }) {
  byId(button).addEventListener("pointerdown", prepare);
  byId(button).addEventListener("click", () => byId(input).click());
}

/** Show the button for the camera app of a phone, or the webcam, if there is one. */
async function offerCamera(to) {
  if (matchMedia("(pointer: coarse)").matches) opensInput("photograph", "camera", to);
  else if (await hasWebcam()) byId("photograph").addEventListener("click", () => photograph((file) => to.addFiles([file])));
  else return;
  byId("photograph").hidden = false;
}

/** Handle a drop or paste: images, or a web address, which is not fetched. */
function receive(data, to) {
  const files = [...data.files];
  if (files.length) to.addFiles(files);
  else if (ADDRESS.test(data.getData("text/uri-list") || data.getData("text/plain"))) to.refuse(describeUnsupported());
}

const describeUnsupported = () => words("Web addresses are not supported: save the image, then choose it here or drop the file.");

/** Add images that another app shared, from the cache of the service worker. */
export async function takeShared(to) {
  if (location.hash === SHARED_ADDRESS) {
    history.replaceState(null, "", "./");
    to.refuse(describeUnsupported());
  }
  if (!("caches" in self)) return;
  const cache = await caches.open("shared");
  const files = [];
  for (const request of await cache.keys()) {
    const blob = await (await cache.match(request)).blob();
    await cache.delete(request);
    files.push(new File([blob], decodeURIComponent(new URL(request.url).pathname.split("/").pop()), { type: blob.type }));
  }
  await to.addFiles(files);
}
