"""Screenshots of the web app's page for the docs, with drawn faces.

    python docs/images/make_web.py [FOLDER]

Builds `gleanset demo` in a temporary folder (a minute or two), serves its model, opens a drawn
scene of three of its people in a headless Chromium, and writes to FOLDER (default: this folder)
web.png (a desktop, light), web-phone.png (390 pixels wide, dark, Japanese) and web-first.png (the
first screen on that phone). It also draws the page's PNG icons from icon.svg, for systems without
SVG. Needs the extras [train] and [web], playwright, chromium and a font with Japanese letters.
"""

from __future__ import annotations

import io
import random
import sys
import tempfile
from pathlib import Path

sys.path.extend(str(Path(__file__).parents[2] / name) for name in ("", "benchmarks"))

from browser import chromium, wait_for
from PIL import Image
from playwright.sync_api import Browser
from web_throughput import run_server

from gleanset.web.page_files import SHARED_PAGE
from gleanset.work.progress import Progress
from pipeline.demo import run_demo
from tools.sample.character import CAST, random_expression
from tools.sample.scene import Figure, Scene, paint_scene

PORT = 8747
COLOURS = 192
FACES = 3
SIDE = 300
"""Pixels of a head in the scene."""
SCREENSHOTS = {
    # Width, height, color scheme, language.
    "web.png": (1040, 876, "light", "en"),
    "web-phone.png": (390, 844, "dark", "ja"),
    "web-first.png": (390, 844, "light", "en"),
}
PAGE = Path(__file__).resolve().parents[2] / "webapp" / "page"
ICON_SIDES = (180, 192, 512)
ICON_COLOURS = 32
ICON_SCALE = 0.84
"""Keeps the drawing within the circle to which some systems crop icons."""
FIRST = "web-first.png"
"""Screenshot of the page before an image is selected."""


def draw_scene(file: Path) -> None:
    """Draw three of the cast, side by side."""
    rng = random.Random(11)  # noqa: S311 - drawing, not secrecy
    figures = tuple(
        Figure(
            character,
            5 + number * 250,
            70 + rng.randrange(40),
            SIDE,
            0,
            random_expression(rng),
        )
        for number, character in enumerate(CAST[:FACES])
    )
    scene = Scene((800, 450), "hills", 2, (1.0, 1.0, 1.0), figures)
    paint_scene(scene).convert("RGB").save(file)


def draw_icons(browser: Browser) -> None:
    """Draw the icons without transparency, to the edge."""
    svg = (SHARED_PAGE / "icon.svg").read_text(encoding="utf-8").replace(' rx="96"', "")
    background, drawing = svg.split("<path", 1)
    shrink = f"translate(256 256) scale({ICON_SCALE}) translate(-256 -256)"
    drawing = drawing.replace("</svg>", "</g></svg>")
    for side in ICON_SIDES:
        page = browser.new_page(viewport={"width": side, "height": side})
        style = f"<style>body{{margin:0}}svg{{display:block;width:{side}px}}</style>"
        page.set_content(f'{style}{background}<g transform="{shrink}"><path{drawing}')
        icon = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        icon = icon.quantize(ICON_COLOURS, dither=Image.Dither.NONE)
        icon.save(PAGE / f"icon-{side}.png", optimize=True)


def take_screenshot(
    browser: Browser, image: Path | None, settings: tuple[int, int, str, str]
) -> Image.Image:
    """Take a screenshot of the page, after predicting the faces on `image`, if any."""
    width, height, scheme, language = settings
    page = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="light" if scheme == "light" else "dark",
        device_scale_factor=1 if width > 400 else 2,
        has_touch=width < 400,
        is_mobile=width < 400,
        locale=language,
    ).new_page()
    page.goto(f"http://127.0.0.1:{PORT}/")
    wait_for(page, "document.querySelectorAll('#known img').length")
    if image is not None:
        page.set_input_files("#files", image)
        wait_for(page, f"document.querySelectorAll('.box').length === {FACES}")
        page.click("#submit")
        wait_for(page, f"document.querySelectorAll('.bars').length === {FACES}")
        page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(300)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main(folder: Path) -> None:
    """Build and serve a model, and take the screenshots."""
    with tempfile.TemporaryDirectory() as scratch:
        demo = Path(scratch) / "demo"
        image = Path(scratch) / "three of them.png"
        draw_scene(image)
        run_demo(demo, Progress(), print)
        command = [
            sys.executable,
            "-m",
            "webapp",
            "serve",
            "-d",
            str(demo),
            "--port",
            str(PORT),
        ]
        with run_server(command, PORT), chromium() as browser:
            draw_icons(browser)
            for name, settings in SCREENSHOTS.items():
                shot = take_screenshot(
                    browser, None if name == FIRST else image, settings
                )
                shot.quantize(COLOURS, dither=Image.Dither.NONE).save(
                    folder / name, optimize=True
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
