"""The pictures of the web app's page for the docs, from drawn faces only.

Run from the root of the repository: python docs/images/make_web.py [FOLDER]
It builds `gleanset demo` in a temporary folder (a minute or two), serves its model, opens a drawn
scene of three of its people in a headless Chromium, and writes web.png (a desktop, light),
web-phone.png (390 pixels wide, dark, Japanese) and web-first.png (the first screen on that phone).
It also draws the page's PNG icons from icon.svg, for systems that do not take SVG.
Needs the extras [train] and [web], playwright, chromium and a font with Japanese letters.
"""

from __future__ import annotations

import io
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from PIL import Image
from playwright.sync_api import Browser
from web_browser import chromium, wait_for
from web_throughput import run_server

from gleanset.work.progress import Progress
from pipeline.demo import run_demo
from tools.sample.character import CAST, random_expression
from tools.sample.scene import Figure, Scene, paint_scene

PORT = 8747
COLOURS = 192
FACES = 3
SIDE = 300
"""Pixels of a head in the scene."""
LOOKS = {
    # Width, height, colours, language.
    "web.png": (1040, 876, "light", "en"),
    "web-phone.png": (390, 844, "dark", "ja"),
    "web-first.png": (390, 844, "light", "en"),
}
PAGE = Path(__file__).resolve().parents[2] / "webapp" / "page"
ICON_SIDES, ICON_COLOURS = (180, 192, 512), 32
ICON_SCALE = 0.84
"""Systems cut icons round; the drawing stays within."""
FIRST = "web-first.png"
"""The look before a picture is chosen."""


def draw(file: Path) -> None:
    """Draw three of the cast, side by side."""
    dice = random.Random(11)  # noqa: S311 - drawing, not secrecy
    figures = tuple(
        Figure(who, 5 + number * 250, 70 + dice.randrange(40), SIDE, 0, random_expression(dice))
        for number, who in enumerate(CAST[:FACES])
    )
    scene = Scene((800, 450), "hills", 2, (1.0, 1.0, 1.0), figures)
    paint_scene(scene).convert("RGB").save(file)


def draw_icons(browser: Browser) -> None:
    """Draw the icons without transparency, to the edge."""
    svg = (PAGE / "icon.svg").read_text(encoding="utf-8").replace(' rx="96"', "")
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


def photograph(
    browser: Browser, picture: Path | None, look: tuple[int, int, str, str]
) -> Image.Image:
    """Open the picture, if any, ask who they are, and take a picture of the page."""
    width, height, scheme, language = look
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
    if picture is not None:
        page.set_input_files("#files", picture)
        wait_for(page, f"document.querySelectorAll('.box').length === {FACES}")
        page.click("#submit")
        wait_for(page, f"document.querySelectorAll('.bars').length === {FACES}")
        page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(300)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def main(folder: Path) -> None:
    """Build, serve, open, photograph."""
    with tempfile.TemporaryDirectory() as scratch:
        demo, picture = Path(scratch) / "demo", Path(scratch) / "three of them.png"
        draw(picture)
        run_demo(demo, Progress(), print)
        line = [sys.executable, "-m", "webapp", "serve", "-d", str(demo), "--port", str(PORT)]
        with run_server(line, PORT), chromium() as browser:
            draw_icons(browser)
            for name, look in LOOKS.items():
                seen = photograph(browser, None if name == FIRST else picture, look)
                seen.quantize(COLOURS, dither=Image.Dither.NONE).save(folder / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
