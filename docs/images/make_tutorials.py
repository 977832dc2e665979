"""Screenshots of the tutorials, and the time that each takes.

    python docs/images/make_tutorials.py [TUTORIAL...]

Runs the commands of the tutorials in a new home folder (tests/docs), with local stand-ins for the
four sites, which serve drawings. Takes a screenshot after the command that a tutorial illustrates,
and writes it as tutorial-*.png. Needs all extras, playwright, chromium, certutil and Xvfb.
"""

from __future__ import annotations

import io
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.extend(
    str(Path(__file__).parents[2] / name) for name in ("", "tests", "tests/docs")
)

from browser import chromium, wait_for
from console_blocks import Command
from PIL import Image
from playwright.sync_api import Browser, Page
from shell_session import ShellSession
from tutorial_home import at_tutorial, printed
from window_image import save_window_image

IMAGES = Path(__file__).resolve().parent
ROOT = IMAGES.parents[1]
LOG = logging.getLogger(__name__)
COLOURS = 160
WIDTH = 900

TakeScreenshot = Callable[[ShellSession], Image.Image]


def show_window(view: str, folder: str) -> TakeScreenshot:
    """Show a view of the window on a dataset."""

    def take(shell: ShellSession) -> Image.Image:
        file = shell.home / "window.png"
        save_window_image(shell.home / folder, view, file, "en", "light")
        return Image.open(file)

    return take


def show_newest_page(pattern: str, height: int) -> TakeScreenshot:
    """Show the top of the newest HTML file that matches a pattern."""

    def take(shell: ShellSession) -> Image.Image:
        newest = max(shell.home.glob(pattern), key=lambda file: file.stat().st_mtime)
        with chromium() as browser:
            page = _open_page(browser, newest.as_uri())
            return _take_screenshot(page, height)

    return take


def show_predictions(port: int, files: str, height: int) -> TakeScreenshot:
    """Show the predictions of the served page for files that match a pattern."""

    def take(shell: ShellSession) -> Image.Image:
        with chromium() as browser:
            page = _open_page(browser, f"http://127.0.0.1:{port}/")
            wait_for(page, "document.querySelectorAll('#known li').length")
            page.set_input_files("#files", sorted(shell.home.glob(files)))
            wait_for(page, "!document.getElementById('submit-bar').hidden")
            page.wait_for_timeout(2000)
            page.click("#submit")
            wait_for(page, "document.querySelectorAll('.bars').length")
            page.wait_for_timeout(5000)
            return _take_screenshot(page, height)

    return take


def show_checked_folder(port: int, folder: str, height: int) -> TakeScreenshot:
    """Show the results of the served page for a folder."""

    def take(shell: ShellSession) -> Image.Image:
        with chromium() as browser:
            page = _open_page(browser, f"http://127.0.0.1:{port}/")
            wait_for(page, "document.querySelectorAll('#known li').length")
            page.set_input_files("#folder-files", str(shell.home / folder))
            wait_for(page, "document.querySelector('.bulk-list li')")
            page.wait_for_timeout(5000)
            page.evaluate(
                "document.querySelectorAll('#bulk ~ *').forEach((e) => e.remove())"
            )
            return _take_screenshot(page, height, "#bulk")

    return take


def _open_page(browser: Browser, address: str) -> Page:
    page = browser.new_context(
        viewport={"width": WIDTH, "height": 700}, locale="en"
    ).new_page()
    page.goto(address)
    return page


def _take_screenshot(
    page: Page, height: int, first_element: str = "body"
) -> Image.Image:
    page.set_viewport_size({"width": WIDTH, "height": 2500})
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)
    box = page.locator(first_element).bounding_box() or {"y": 0}
    data = page.screenshot(
        clip={"x": 0, "y": box["y"], "width": WIDTH, "height": height}
    )
    return Image.open(io.BytesIO(data))


# Tutorial and command: file, and how to take the screenshot after the command.
SCREENSHOTS: dict[tuple[str, str], tuple[str, TakeScreenshot]] = {
    ("shows", "labeler"): ("shows-window", show_window("pages", "shows")),
    ("cats-vs-owls", "baseline label-issues --folds 5"): (
        "cats-report",
        show_newest_page("pets/runs/*/report.html", 560),
    ),
    ("memes", "webapp serve --port 8013"): (
        "memes-folder",
        show_checked_folder(8013, "to-sort", 640),
    ),
    ("who-am-i", "webapp serve --port 8014"): (
        "who-page",
        show_predictions(8014, "new-faces/*-70[23].jpg", 900),
    ),
}


def run_tutorial(page: Path) -> None:
    """Run a tutorial, take its screenshots, and print its run time."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        start = time.monotonic()
        paused = 0.0
        with at_tutorial(page, home, Path(scratch) / "internet") as shell:
            for step in printed(page):
                shell.follow([step])
                if isinstance(step, Command) and (page.stem, step.plain) in SCREENSHOTS:
                    name, take = SCREENSHOTS[page.stem, step.plain]
                    pause = time.monotonic()
                    _write(take(shell), IMAGES / f"tutorial-{name}.png")
                    paused += time.monotonic() - pause
        for failed in shell.failed:
            LOG.error(failed)
        LOG.info("%s: %.0f s", page.stem, time.monotonic() - start - paused)


def _write(image: Image.Image, file: Path) -> None:
    small = image.convert("RGB")
    small.thumbnail((WIDTH, 10_000), Image.Resampling.LANCZOS)
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


def main(names: list[str]) -> None:
    """Run the named tutorials, by default all."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for page in sorted((ROOT / "docs" / "tutorials").glob("*.md")):
        if not names or page.stem in names:
            run_tutorial(page)


if __name__ == "__main__":
    main(sys.argv[1:])
