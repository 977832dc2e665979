"""How heavy the page of `webapp serve` is and how soon it is there, by the browser's own entries.

Shared by the benchmarks; not a script. A first visitor's weight is what was transferred (compressed
where the server compresses) before any picture was opened. The large picture is a drawn scene of
4000 x 3000 pixels under grain, as a phone's camera leaves it: a JPEG of some megabytes.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser
from web_browser import chromium, opened, until
from web_throughput import serving

from tools.sample.character import random_character, random_expression
from tools.sample.scene import Figure, Scene, paint_scene

VISITS, LOOKS, CHOOSING = 7, 5, 3.0
SIZE = (4000, 3000)
GRAIN = 5.0
ENTRIES = """() => {
  const all = ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind));
  const sum = (key) => all.reduce((total, one) => total + one[key], 0);
  return {
    requests: all.length, transferred: sum("transferSize"), unpacked: sum("decodedBodySize"),
    first_paint_ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
    ready_ms: performance.getEntriesByName("pictures can be dropped")[0].startTime,
  };
}"""
# A click or a file is the start; the end is when what was waited for is on the page, as it changes.
CLOCK = """([place, kind, wanted]) => {
  self.took = null;
  document.querySelector(place).addEventListener(kind, () => {
    const begun = performance.now();
    const watching = new MutationObserver(() => {
      if (!document.querySelector(wanted)) return;
      watching.disconnect();
      requestAnimationFrame(() => setTimeout(() => { self.took = performance.now() - begun; }));
    });
    watching.observe(document.querySelector("#pictures"), { subtree: true, childList: true });
  }, { capture: true, once: true });
}"""


def speed_of(line: list[str], port: int, work: Path) -> dict[str, Any]:
    """Weight and times of the page that this command serves; medians."""
    picture = large_picture(work / "12 megapixels.jpg")
    with serving(line, port), chromium() as browser:
        address = f"http://127.0.0.1:{port}/"
        visits = [visited(browser, address) for _ in range(VISITS)]
        told: dict[str, Any] = {"visit": middle(visits)}
        for where in ("server", "device"):
            first = [looked(browser, address, where, picture, 1)[0] for _ in range(LOOKS)]
            later = looked(browser, address, where, picture, LOOKS + 1)[1:]
            told[where] = {"first_picture": middle(first), "later_picture": middle(later)}
    return told | {"picture_mb": round(picture.stat().st_size / 1e6, 1)}


def middle(rows: list[dict[str, float]]) -> dict[str, float]:
    """The medians of what was measured several times."""
    return {key: round(median(row[key] for row in rows), 1) for key in rows[0]}


def visited(browser: Browser, address: str) -> dict[str, float]:
    """A first visit, until nothing more comes."""
    page = opened(browser, address)
    page.wait_for_load_state("networkidle")
    told: dict[str, float] = page.evaluate(ENTRIES)
    page.context.close()
    return told


def looked(
    browser: Browser, address: str, where: str, picture: Path, times: int
) -> list[dict[str, float]]:
    """A picture opened, its faces found, and judged, by the server or on the device; milliseconds.

    On the device the first answer waits for the model to be fetched.
    """
    page, rows = opened(browser, address), []
    until(page, "localStorage.getItem('about')")
    page.select_option("#where", where)
    for _ in range(times):
        page.evaluate(CLOCK, ["#files", "change", ".box"])
        with page.expect_file_chooser() as chooser:
            page.click("#choose")
        time.sleep(CHOOSING)
        chooser.value.set_files(picture)
        found = until(page, "self.took")
        page.evaluate(CLOCK, ["#submit", "click", ".bars"])
        page.click("#submit")
        rows.append({"found_ms": found, "judged_ms": until(page, "self.took")})
        page.click("#clear")
    page.context.close()
    return rows


def large_picture(file: Path) -> Path:
    """Draw it, if it is not there yet."""
    if not file.exists():
        figures = tuple(
            Figure(random_character(seed), x, 500, 1500, 0, random_expression(random.Random(seed)))
            for seed, x in ((3, 300), (8, 2200))
        )
        scene = paint_scene(Scene(SIZE, "room", 1, (1.0, 1.0, 1.0), figures)).convert("RGB")
        pixels = np.asarray(scene, np.float32)
        grain = np.random.default_rng(0).normal(0, GRAIN, pixels.shape)
        seen = Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
        seen.save(file, quality=85)
    return file
