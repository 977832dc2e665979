// How names, images, figures and dialogs are shown.

import { byId, element } from "./dom.js";

const WORD_END = /(?<=[_.-])/;

/** Allow line breaks between the words of a name such as umiko_ahagon. */
export const splitForWrapping = (name) => name.split(WORD_END).flatMap((word, number) => (number ? [element("wbr"), word] : [word]));

/** A name that breaks between its words; style.css makes it so small that its longest word fits. */
export function buildName(name) {
  const place = element("bdi", {}, ...splitForWrapping(name));
  place.style.setProperty("--longest", Math.max(...name.split(WORD_END).flatMap((word) => word.split(/\s/)).map(({ length }) => length)));
  return place;
}

/** Open a dialog, without the notice about what was done before, which would stay behind it. */
export function openDialog(dialog) {
  byId("said").textContent = "";
  dialog.showModal();
}

const STRIP = 4; // longer side divided by the shorter one, from which an image is shown in a scrolling frame

/** Classes of the place of an image: that of a strip scrolls along it. */
export const stageClass = ({ width, height }) => `stage${height > STRIP * width ? " tall" : width > STRIP * height ? " wide" : ""}`;

export const percent = (share) => `${(100 * share).toFixed(share > 0.995 || share < 0.1 ? 1 : 0)} %`;
