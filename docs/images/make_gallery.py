"""The picture of a gallery for the docs, from drawn faces only.

Run from the root of the repository: python docs/images/make_gallery.py [FOLDER]
It draws the data set of make_labeler.py in a temporary folder, writes its gallery, opens it in a
headless Chromium, and writes gallery.png: the classes on a desktop (light) beside those on a
phone (dark, Japanese). Needs the extra [gui], playwright, chromium and a font with Japanese
letters.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from make_labeler import decide, draw
from PIL import Image
from playwright.sync_api import Browser
from web_browser import chromium

from gleanset import Dataset
from gleanset.work.progress import Progress
from labeler.gallery.request import GalleryRequest
from labeler.gallery.writing import write_gallery

COLOURS = 192
HEIGHT, GAP = 700, 24
DESK, PHONE = 860, 340


def photograph(browser: Browser, gallery: Path, width: int, scheme: str) -> Image.Image:
    """Open the gallery; on a phone from the top of the bar on."""
    page = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme="light" if scheme == "light" else "dark",
        locale="en" if width == DESK else "ja",
    ).new_page()
    page.goto(gallery.as_uri())
    page.locator("#classes .face").nth(9).wait_for()
    if width == PHONE:
        page.evaluate("scrollTo(0, document.querySelector('.bar').offsetTop)")
    page.wait_for_timeout(400)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main(folder: Path) -> None:
    """Draw, write, open, photograph."""
    with tempfile.TemporaryDirectory() as scratch:
        root, out = Path(scratch) / "faces", Path(scratch) / "faces.html"
        decide(root, draw(root))
        with Dataset.open(root) as dataset:
            write_gallery(dataset, out, GalleryRequest(), Progress())
        with chromium() as browser:
            desk = photograph(browser, out, DESK, "light")
            phone = photograph(browser, out, PHONE, "dark")
    both = Image.new("RGB", (DESK + GAP + PHONE, HEIGHT), "white")
    both.paste(desk, (0, 0))
    both.paste(phone, (DESK + GAP, 0))
    few = both.quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(folder / "gallery.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
