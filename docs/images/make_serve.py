"""Screenshot of class pages in the browser for the docs, with drawn faces.

    python docs/images/make_serve.py [FOLDER]

Draws the dataset of make_labeler.py in a temporary folder, labels half of it, serves it, and writes
labeler-serve.png to FOLDER (default: this folder): a desktop, and a phone in dark. Needs the extras
[gui] and [web], playwright, chromium and a font with Japanese letters.
"""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from browser import chromium, wait_for
from make_labeler import draw_dataset, label_dataset
from PIL import Image
from playwright.sync_api import Browser

HEIGHT = 700
GAP = 24
COLOURS = 96
DESKTOP = 1240
PHONE = 390
"""Widths in pixels."""
ALL_LOADED = """[...document.querySelectorAll(".face img")].length > 0 &&
    [...document.querySelectorAll(".face img")].every((image) =>
        image.naturalWidth || image.getBoundingClientRect().top > innerHeight)"""


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Serve a dataset while the body runs; yield the address with its token."""
    command = [sys.executable, "-m", "labeler", "serve", "-d", str(root)]
    server = subprocess.Popen(  # noqa: S603
        [*command, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"GLEANSET_LABELER_TOKEN": secrets.token_urlsafe()},
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


def take(browser: Browser, url: str, width: int, scheme: str) -> Image.Image:
    """Take a screenshot of the page."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme=scheme,
        is_mobile=width == PHONE,
        has_touch=width == PHONE,
    )
    page = context.new_page()
    page.goto(url)
    wait_for(page, ALL_LOADED)
    if width != PHONE:
        page.locator(".face").nth(2).hover()
        wait_for(page, "document.querySelector('#details .stage img')?.naturalWidth")
        page.wait_for_timeout(300)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    return shot


def main(folder: Path) -> None:
    """Draw a dataset, serve it, and take the screenshots."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "shapes"
        label_dataset(root, draw_dataset(root))
        with served(root) as url, chromium() as browser:
            desktop = take(browser, url, DESKTOP, "light")
            phone = take(browser, url, PHONE, "dark")

    sheet = Image.new("RGB", (DESKTOP + GAP + PHONE, HEIGHT), "white")
    sheet.paste(desktop, (0, 0))
    sheet.paste(phone, (DESKTOP + GAP, 0))
    sheet.quantize(COLOURS, dither=Image.Dither.NONE).save(
        folder / "labeler-serve.png", optimize=True
    )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
