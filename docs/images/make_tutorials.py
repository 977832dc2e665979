"""The pictures of docs/tutorials, and how long each tutorial takes: typed as they are printed.

Run from the root of the repository: python docs/images/make_tutorials.py [TUTORIAL...]
A reader types the whole tutorial in a home folder of their own (tests/docs). The four sites are
stand-ins on this machine that show drawn pictures. Where a tutorial shows a picture, it is taken
at that moment and written as tutorial-*.png. Needs all extras, playwright, chromium, certutil and
Xvfb.
"""

from __future__ import annotations

import io
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "docs"))

from console_blocks import Command
from PIL import Image
from playwright.sync_api import Browser, Page
from reader import Reader
from tutorial_sites import at_tutorial, printed
from web_browser import chromium

from labeler.qt.app import take_picture

IMAGES = Path(__file__).resolve().parent
ROOT = IMAGES.parents[1]
LOG = logging.getLogger(__name__)
COLOURS = 160
WIDTH = 900

Shot = Callable[[Reader], Image.Image]


def window(view: str, folder: str) -> Shot:
    """The window's view, by the command that renders it."""

    def take(reader: Reader) -> Image.Image:
        file = reader.home / "window.png"
        take_picture(reader.home / folder, view, file, "en", theme="light")
        return Image.open(file)

    return take


def report_of(run: str, high: int) -> Shot:
    """The top of the newest report that fits the pattern."""

    def take(reader: Reader) -> Image.Image:
        newest = max(reader.home.glob(run), key=lambda file: file.stat().st_mtime)
        with chromium() as browser:
            page = _page(browser, newest.as_uri())
            return _seen(page, high)

    return take


def _page(browser: Browser, address: str) -> Page:
    page = browser.new_context(viewport={"width": WIDTH, "height": 700}, locale="en").new_page()
    page.goto(address)
    return page


def _seen(page: Page, high: int) -> Image.Image:
    page.set_viewport_size({"width": WIDTH, "height": 2500})
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)
    seen = page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": high})
    return Image.open(io.BytesIO(seen))


# After which command of which tutorial, into which file.
SHOTS: dict[tuple[str, str], tuple[str, Shot]] = {
    ("shows", "labeler"): ("shows-window", window("pages", "shows")),
    ("cats-vs-owls", "baseline doubts --folds 5"): (
        "cats-report",
        report_of("pets/runs/*/report.html", 560),
    ),
}


def go_through(page: Path) -> None:
    """Type one tutorial, take its pictures, print what it took."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        begun, away = time.monotonic(), 0.0
        with at_tutorial(page, home, Path(scratch) / "internet") as reader:
            for step in printed(page):
                reader.follow([step])
                if isinstance(step, Command) and (page.stem, step.plain) in SHOTS:
                    name, take = SHOTS[page.stem, step.plain]
                    stopped = time.monotonic()
                    _write(take(reader), IMAGES / f"tutorial-{name}.png")
                    away += time.monotonic() - stopped
        for failed in reader.failed:
            LOG.error(failed)
        LOG.info("%s: %.0f s", page.stem, time.monotonic() - begun - away)


def _write(picture: Image.Image, file: Path) -> None:
    small = picture.convert("RGB")
    small.thumbnail((WIDTH, 10_000), Image.Resampling.LANCZOS)
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


def main(wanted: list[str]) -> None:
    """Go through all tutorials, or those that are named."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for page in sorted((ROOT / "docs" / "tutorials").glob("*.md")):
        if not wanted or page.stem in wanted:
            go_through(page)


if __name__ == "__main__":
    main(sys.argv[1:])
