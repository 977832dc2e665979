// A face in its image: beside the page on a wide screen, and large in a dialog.

import { element } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { faceAddress, imageAddress } from "./server.js";
import { findTile, nameTarget } from "./page_model.js";
import { getPoint } from "./point.js";
import { currentPage } from "./store.js";
import { words } from "./words.js";

const LOOK_MS = 150; // a mouse that crosses faces loads no images
const details = document.getElementById("details");
const wide = matchMedia("(width >= 72rem)");
let timer = 0;
let shownPage = ""; // the page of the face that is shown

/** Show the face that is pointed at beside the page. */
export function showDetails() {
  clearTimeout(timer);
  if (!wide.matches) return;
  timer = setTimeout(() => {
    const page = currentPage();
    const tile = page && findTile(page, getPoint().tile);
    if (tile) details.replaceChildren(element("img", { class: "large", alt: "", src: faceAddress(tile, 512) }), buildImage(tile), ...describe(tile));
    else if (page?.id !== shownPage) details.replaceChildren();
    shownPage = page?.id;
  }, LOOK_MS);
}

/** What is known of a face: its name or suggestions, and its size. */
export function describe(tile) {
  const { image } = tile;
  const [, , width, height] = image.box ?? [0, 0, image.width, image.height];
  const size = image.box ? words("{width} x {height} px of {whole}", { width, height, whole: `${image.width} x ${image.height} px` }) : `${width} x ${height} px`;
  const suggestions = tile.top ?? (tile.name ? [[tile.name, null]] : []);
  return [
    element("p", { class: "muted", text: size }),
    tile.sent && element("p", { text: nameTarget(tile.sent) }),
    ...suggestions.map(([name, share]) => element("p", { text: share === null || share === undefined ? words("{name}?", { name }) : `${name} ${Math.round(100 * share)} %` })),
  ].filter(Boolean);
}

/** The image of a face, with its box. */
function buildImage(tile) {
  const stage = element("div", { class: "stage" }, element("img", { alt: "", src: imageAddress(tile) }));
  if (tile.image.box) stage.append(buildBox(tile.image));
  return stage;
}

function buildBox({ width, height, box: [x, y, w, h] }) {
  const box = element("span", { class: "box" });
  const sides = { left: x / width, top: y / height, width: w / width, height: h / height };
  for (const [side, share] of Object.entries(sides)) box.style[side] = `${100 * share}%`;
  return box;
}

/** Show a face large, in its image. */
export function enlarge(n) {
  const tile = findTile(currentPage(), n);
  if (!tile) return;
  openDialog(words("Face {number} in its image", { number: n + 1 }), buildImage(tile), ...describe(tile));
}
