"""Screenshot of a gallery for the docs, with drawn faces.

    python docs/images/make_gallery.py [FOLDER]

Draws the dataset of make_labeler.py in a temporary folder, writes its gallery, opens it in a
headless Chromium, and writes gallery.png to FOLDER (default: this folder): the classes on a desktop
(light) next to those on a phone (dark, Japanese). Needs the extra [gui], playwright, chromium and a
font with Japanese letters.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from browser import chromium
from make_labeler import draw_dataset, label_dataset
from PIL import Image
from playwright.sync_api import Browser

from gleanset import Dataset
from gleanset.work.progress import Progress
from labeler.gallery.writing import write_gallery
from labeler.requests import GalleryRequest

COLOURS = 192
HEIGHT, GAP = 700, 24
DESKTOP, PHONE = 860, 340
"""Widths of the viewports in pixels."""


def take_screenshot(
    browser: Browser, gallery: Path, width: int, scheme: str
) -> Image.Image:
    """Take a screenshot of the gallery; on a phone from the toolbar down."""
    page = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme="light" if scheme == "light" else "dark",
        locale="en" if width == DESKTOP else "ja",
    ).new_page()
    page.goto(gallery.as_uri())
    page.locator("#classes .face").nth(9).wait_for()
    if width == PHONE:
        page.evaluate("scrollTo(0, document.querySelector('.bar').offsetTop)")
    page.wait_for_timeout(400)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main(folder: Path) -> None:
    """Draw a dataset, write its gallery, and take the screenshots."""
    with tempfile.TemporaryDirectory() as scratch:
        root, out = Path(scratch) / "faces", Path(scratch) / "faces.html"
        label_dataset(root, draw_dataset(root))
        with Dataset.open(root) as dataset:
            write_gallery(dataset, out, GalleryRequest(), Progress())
        with chromium() as browser:
            desktop = take_screenshot(browser, out, DESKTOP, "light")
            phone = take_screenshot(browser, out, PHONE, "dark")
    image = Image.new("RGB", (DESKTOP + GAP + PHONE, HEIGHT), "white")
    image.paste(desktop, (0, 0))
    image.paste(phone, (DESKTOP + GAP, 0))
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(
        folder / "gallery.png", optimize=True
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
