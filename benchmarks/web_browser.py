"""A headless Chromium with the page of `webapp serve` open, whose own modules are asked.

Shared by the benchmarks; not a script. Needs playwright and Debian's chromium.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

BATCH = 20
"""Pictures that are handed to the browser at once."""
CHOOSER = """() => {
  const chooser = document.createElement("input");
  Object.assign(chooser, { type: "file", id: "benchmark", multiple: true });
  document.body.append(chooser);
}"""
FIND = """async (style) => {
  const { openPicture } = await import("./js/pictures.js");
  const { findFaces } = await import("./js/finder.js");
  const found = [];
  for (const file of document.querySelector("#benchmark").files) {
    const picture = await openPicture(file);
    for (const { x, y, width, height } of await findFaces(picture, style)) {
      picture.add(x, y, width, height, "browser");
    }
    found.push(picture.boxes.map((box) => [box.x, box.y, box.width, box.height]));
    picture.close();
  }
  return found;
}"""
JUDGE = """async (boxes) => {
  const { openPicture } = await import("./js/pictures.js");
  const { classify, loadModel } = await import("./js/device.js");
  const { predict } = await import("./js/server.js");
  await loadModel(() => {});
  const told = [];
  for (const [number, file] of [...document.querySelector("#benchmark").files].entries()) {
    const picture = await openPicture(file);
    const marked = boxes[number].map(([x, y, width, height]) => ({ x, y, width, height }));
    const begun = performance.now();
    const device = await classify(picture, marked);
    const ms = (performance.now() - begun) / marked.length;
    const asked = [{ name: file.name, blob: file, boxes: boxes[number] }];
    const server = (await predict(asked)).pictures[0].parts;
    told.push({ device, server, ms });
    picture.close();
  }
  return told;
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium until the body ends."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


def opened(browser: Browser, address: str) -> Page:
    """The page as a first visitor sees it: nothing is kept in the browser."""
    page = browser.new_context(viewport={"width": 1100, "height": 800}).new_page()
    page.goto(address)
    until(page, "performance.getEntriesByName('pictures can be dropped').length")
    return page


def until(page: Page, script: str, seconds: float = 60) -> Any:
    """Wait for a script to give something true; a page's policy forbids other ways to wait."""
    ended = time.monotonic() + seconds
    while time.monotonic() < ended:
        if found := page.evaluate(script):
            return found
        time.sleep(0.02)
    raise TimeoutError(script)


def boxes_found(page: Page, files: Sequence[Path], style: Sequence[float]) -> list[list[list[int]]]:
    """The boxes that the page finds in each picture, as they are sent to the server."""
    return [one for batch in handed(page, files) for one in page.evaluate(FIND, list(style))]


def judged(
    page: Page, files: Sequence[Path], boxes: Sequence[list[list[int]]]
) -> list[dict[str, Any]]:
    """What device and server say of the same boxes, and milliseconds of a face on the device."""
    rest = iter(boxes)
    return [
        one
        for batch in handed(page, files)
        for one in page.evaluate(JUDGE, [next(rest) for _ in batch])
    ]


def handed(page: Page, files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Hand pictures to the browser, some at a time."""
    if not page.locator("#benchmark").count():
        page.evaluate(CHOOSER)
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        page.set_input_files("#benchmark", batch)
        yield batch
