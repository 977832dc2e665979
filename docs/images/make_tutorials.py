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
from shell_session import ShellSession
from tutorial_home import at_tutorial, printed
from web_browser import chromium, wait_for

from labeler.qt.app import save_screenshot

IMAGES = Path(__file__).resolve().parent
ROOT = IMAGES.parents[1]
LOG = logging.getLogger(__name__)
COLOURS = 160
WIDTH = 900

Shot = Callable[[ShellSession], Image.Image]


def window(view: str, folder: str) -> Shot:
    """The window's view, by the command that renders it."""

    def take(shell: ShellSession) -> Image.Image:
        file = shell.home / "window.png"
        save_screenshot(shell.home / folder, view, file, "en", theme="light")
        return Image.open(file)

    return take


def top_of(pattern: str, high: int) -> Shot:
    """The top of the newest page that fits the pattern."""

    def take(shell: ShellSession) -> Image.Image:
        newest = max(shell.home.glob(pattern), key=lambda file: file.stat().st_mtime)
        with chromium() as browser:
            page = _page(browser, newest.as_uri())
            return _seen(page, high)

    return take


def answers(port: int, files: str, high: int) -> Shot:
    """What the served page says of the files that fit the pattern."""

    def take(shell: ShellSession) -> Image.Image:
        with chromium() as browser:
            page = _page(browser, f"http://127.0.0.1:{port}/")
            wait_for(page, "document.querySelectorAll('#known li').length")
            page.set_input_files("#files", sorted(shell.home.glob(files)))
            wait_for(page, "!document.getElementById('submit-bar').hidden")
            page.wait_for_timeout(2000)
            page.click("#submit")
            wait_for(page, "document.querySelectorAll('.bars').length")
            page.wait_for_timeout(5000)
            return _seen(page, high)

    return take


def checked_folder(port: int, folder: str, high: int) -> Shot:
    """What the served page found in a whole folder."""

    def take(shell: ShellSession) -> Image.Image:
        with chromium() as browser:
            page = _page(browser, f"http://127.0.0.1:{port}/")
            wait_for(page, "document.querySelectorAll('#known li').length")
            page.set_input_files("#folder-files", str(shell.home / folder))
            wait_for(page, "document.querySelector('.bulk-list li')")
            page.wait_for_timeout(5000)
            page.evaluate("document.querySelectorAll('#bulk ~ *').forEach((one) => one.remove())")
            return _seen(page, high, "#bulk")

    return take


def _page(browser: Browser, address: str) -> Page:
    page = browser.new_context(viewport={"width": WIDTH, "height": 700}, locale="en").new_page()
    page.goto(address)
    return page


def _seen(page: Page, high: int, begins: str = "body") -> Image.Image:
    page.set_viewport_size({"width": WIDTH, "height": 2500})
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)
    box = page.locator(begins).bounding_box() or {"y": 0}
    seen = page.screenshot(clip={"x": 0, "y": box["y"], "width": WIDTH, "height": high})
    return Image.open(io.BytesIO(seen))


# After which command of which tutorial, into which file.
SHOTS: dict[tuple[str, str], tuple[str, Shot]] = {
    ("shows", "labeler"): ("shows-window", window("pages", "shows")),
    ("cats-vs-owls", "baseline label-issues --folds 5"): (
        "cats-report",
        top_of("pets/runs/*/report.html", 560),
    ),
    ("memes", "webapp serve --port 8013"): ("memes-folder", checked_folder(8013, "to-sort", 640)),
    ("who-am-i", "webapp serve --port 8014"): (
        "who-page",
        answers(8014, "new-faces/*-70[23].jpg", 900),
    ),
}


def go_through(page: Path) -> None:
    """Type one tutorial, take its pictures, print what it took."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        begun, away = time.monotonic(), 0.0
        with at_tutorial(page, home, Path(scratch) / "internet") as shell:
            for step in printed(page):
                shell.follow([step])
                if isinstance(step, Command) and (page.stem, step.plain) in SHOTS:
                    name, take = SHOTS[page.stem, step.plain]
                    stopped = time.monotonic()
                    _write(take(shell), IMAGES / f"tutorial-{name}.png")
                    away += time.monotonic() - stopped
        for failed in shell.failed:
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
