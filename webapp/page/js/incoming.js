// The ways by which pictures come in: chosen, photographed, dropped, pasted, shared by another app.

import { byId } from "./dom.js";
import { hasWebcam, photograph } from "./webcam.js";
import { words } from "./words.js";

const ADDRESS = /^\s*(https?|ftp|file|data):/i;
const SHARED_ADDRESS = "#address"; // where the service worker leads when another app shares no picture

/**
 * Listen for pictures. `to.take(files)` gets them, `to.folder(files)` those of a whole folder, `to.prepare()` is
 * called when some are about to come, and `to.refuse(text)` with what to do instead where a web address came.
 */
export function listenForPictures(to) {
  takes("files", to.take);
  takes("camera", to.take);
  takes("folder-files", to.folder);
  for (const [button, input] of [["choose", "files"], ["more", "files"], ["folder", "folder-files"]]) opens(button, input, to);
  offerCamera(to);
  document.addEventListener("paste", (event) => {
    if (!event.target.closest?.("input, textarea")) transferred(event.clipboardData, to);
  });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      byId("drop").classList.toggle("over", kind === "dragover");
      if (kind === "dragover") to.prepare();
      if (kind === "drop") transferred(event.dataTransfer, to);
    });
  }
}

function takes(input, then) {
  byId(input).addEventListener("change", ({ target }) => {
    then([...target.files]);
    target.value = "";
  });
}

function opens(button, input, { prepare }) {
  byId(button).addEventListener("pointerdown", prepare);
  byId(button).addEventListener("click", () => byId(input).click());
}

/** A phone's camera app, or the webcam; without either there is no button. */
async function offerCamera(to) {
  if (matchMedia("(pointer: coarse)").matches) opens("photograph", "camera", to);
  else if (await hasWebcam()) byId("photograph").addEventListener("click", () => photograph((file) => to.take([file])));
  else return;
  byId("photograph").hidden = false;
}

/** What was dropped or pasted: pictures, or an address that nothing is fetched from. */
function transferred(data, to) {
  const files = [...data.files];
  if (files.length) to.take(files);
  else if (ADDRESS.test(data.getData("text/uri-list") || data.getData("text/plain"))) to.refuse(notFetched());
}

const notFetched = () => words("Web addresses are not supported: save the image, then choose it here or drop the file.");

/** Take what another app shared: pictures wait in the cache of the service worker. */
export async function takeShared(to) {
  if (location.hash === SHARED_ADDRESS) {
    history.replaceState(null, "", "./");
    to.refuse(notFetched());
  }
  if (!("caches" in self)) return;
  const cache = await caches.open("shared");
  for (const request of await cache.keys()) {
    const blob = await (await cache.match(request)).blob();
    await cache.delete(request);
    await to.take([new File([blob], decodeURIComponent(new URL(request.url).pathname.split("/").pop()), { type: blob.type })]);
  }
}
