"""The page in a real browser: faces found, adjusted, judged, reported, and all of it offline."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_of_colours import write_model
from PIL import Image
from tools_for_tests import ROOT

from gleanset import Dataset
from gleanset.db.faces import CropMethod
from gleanset.db.reports import Reports
from gleanset.web_reports import accept_reports
from pipeline.sample.character import random_character, random_expression
from pipeline.sample.scene import Figure, Scene, paint_scene
from webapp.npm_parts import are_current

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    pytest.mark.skipif(not are_current(), reason="needs the page's parts: webapp/npm_parts.py"),
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawing with two faces in it."""
    import random

    figures = tuple(
        Figure(random_character(seed), x, 60, 260, 0, random_expression(random.Random(seed)))
        for seed, x in ((3, 60), (8, 400))
    )
    scene = Scene((720, 400), "room", 1, (1.0, 1.0, 1.0), figures)
    path = tmp_path_factory.mktemp("drawn") / "two faces.png"
    paint_scene(scene).convert("RGB").save(path)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that keeps reports."""
    folder = tmp_path_factory.mktemp("served") / "dataset"
    Dataset.create(folder).close()
    return folder


@pytest.fixture(scope="module")
def address(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server, run as the command, with a model of faces."""
    method = CropMethod("drawnface", "", "margin=0.3", 10)
    file = write_model(tmp_path_factory.mktemp("model") / "colours.onnx", crops=(method,))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "webapp", "serve", str(file), "-d", str(root), "--workers", "1"]
    server = subprocess.Popen(
        [*line, "--port", str(port)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        _wait_for(port, server)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(60)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None
        time.sleep(0.1)
    raise AssertionError("the server does not listen")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Open]:
    """`opened(width, height)`: the page, on which no error is logged and no other host is asked."""
    troubles: list[str] = []
    contexts: list[Any] = []

    def open_page(width: int = 1100, height: int = 800, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: troubles.append(said.text) if said.type == "error" else 0)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith((address, "blob:", "data:"))
                else troubles.append(asked.url)
            ),
        )
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    # Without a network a request fails, and the browser says so.
    assert [one for one in troubles if "INTERNET_DISCONNECTED" not in one] == []


def until(page: Any, script: str, seconds: float = 30) -> Any:
    """Wait for a script to give something true; a page's policy forbids other ways to wait."""
    for _ in range(int(seconds * 10)):
        if found := page.evaluate(script):
            return found
        time.sleep(0.1)
    raise AssertionError(f"never: {script}")


BOXES = "[...document.querySelectorAll('.box')]"
ANSWERS = "document.querySelectorAll('.bars').length"


def test_faces_are_found_adjusted_judged_reported_and_accepted(
    opened: Open, drawn: Path, root: Path
) -> None:
    page = opened()
    page.set_input_files("#files", [str(drawn)])
    assert until(page, f"{BOXES}.length") == 2
    # The second is moved by hand, and a third one drawn.
    box = page.locator(".box").nth(1)
    before = box.bounding_box()
    page.mouse.move(before["x"] + 20, before["y"] + 20)
    page.mouse.down()
    page.mouse.move(before["x"] + 50, before["y"] + 45, steps=4)
    page.mouse.up()
    after = page.locator(".box").nth(1).bounding_box()
    assert (round(after["x"] - before["x"]), round(after["y"] - before["y"])) == (30, 25)
    frame = page.locator(".frame").bounding_box()
    page.mouse.move(frame["x"] + 3, frame["y"] + 3)
    page.mouse.down()
    page.mouse.move(frame["x"] + 60, frame["y"] + 50, steps=4)
    page.mouse.up()
    assert page.evaluate(f"{BOXES}.length") == 3
    page.click("#submit")
    assert until(page, f"{ANSWERS} === 3")
    assert page.locator(".bars").first.locator("li").count() == 3
    page.locator("text=Wrong result?").locator("visible=true").nth(0).click()
    page.fill("#report-class", "mei")
    page.fill("#report-note", "<b>it is Mei</b>")
    page.click("#report-send")
    until(page, "document.querySelector('#server').textContent.includes('Thank you')")
    with Dataset.open(root) as dataset:
        (report,) = Reports(dataset.db).each()
        assert (report.claim.claimed, report.claim.note) == ("mei", "<b>it is Mei</b>")
        accept_reports(dataset, {report.id: None})
        assert [one.label for one in dataset.samples.each()] == ["mei"]


def test_by_keyboard_alone_at_320_pixels(opened: Open, drawn: Path) -> None:
    page = opened(320, 640)
    page.set_input_files("#files", [str(drawn)])
    until(page, f"{BOXES}.length")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    place = "(({offsetLeft, offsetTop, offsetWidth}) => [offsetLeft, offsetTop, offsetWidth])"
    first = f"{place}({BOXES}[0])"
    page.focus(".box")
    before = page.evaluate(first)
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    after = page.evaluate(first)
    assert after[0] > before[0]
    assert after[1] > before[1]
    assert after[2] > before[2]
    page.keyboard.press("Delete")
    assert page.evaluate(f"{BOXES}.length") == 1
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "submit":
            break
    page.keyboard.press("Enter")
    assert until(page, f"{ANSWERS} === 1")
    page.select_option("#language", "ja")
    assert "判定" in page.evaluate("document.body.textContent")


def test_the_device_answers_as_the_server_also_without_a_network(opened: Open, drawn: Path) -> None:
    page = opened()
    told = (
        "[...document.querySelectorAll('.face')].map(e => e.querySelector('.who').textContent + "
        "[...e.querySelectorAll('.percent')].map(one => one.textContent))"
    )

    def asked(where: str) -> Any:
        page.set_input_files("#files", [str(drawn)])
        until(page, f"{BOXES}.length")
        page.select_option("#where", where)
        page.click("#submit")
        until(page, f"{ANSWERS} === 2")
        answers = page.evaluate(told)
        page.click("#clear")
        return answers

    assert asked("server") == asked("device")
    until(page, "navigator.serviceWorker.controller !== null")
    page.reload()
    before = asked("device")
    page.context.set_offline(True)
    page.reload()
    assert asked("device") == before


def test_whatever_the_picture_the_page_stays(opened: Open, tmp_path: Path) -> None:
    page = opened()
    broken = tmp_path / "<img src=x onerror=alert(1)>.png"
    broken.write_bytes(b"no picture")
    page.set_input_files("#files", [str(broken)])
    assert until(page, "!document.querySelector('#message').hidden")
    assert page.evaluate("document.querySelectorAll('#message img').length") == 0
    plain = tmp_path / "plain.png"
    Image.new("RGB", (40, 40), "red").save(plain)
    page.set_input_files("#files", [str(plain)])
    until(page, "document.querySelector('.picture .small').textContent.includes('no face found')")
    page.click("text=Add a face")
    page.click("#submit")
    assert until(page, ANSWERS) == 1
    assert page.locator(".who").inner_text() == "Face 1: red"


def test_programs_are_told_every_address(opened: Open, address: str) -> None:
    page = opened()
    page.click("footer a")
    until(page, "document.querySelectorAll('#addresses h2').length === 7")
    assert "POST /api/v1/predict" in page.inner_text("#addresses")
