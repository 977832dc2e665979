"""The page in a real browser: what is in sight, what is offered, and a network that hangs."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_helpers import BOXES, FACTS_CACHED, OpenPage
from color_model import write_model
from PIL import Image
from server_helpers import make_settings, running_server
from tools_for_tests import encode, wait_for

from gleanset.db.faces import WHOLE, CropMethod

pytestmark = pytest.mark.slow


def test_installed_page_opens_while_the_network_hangs(
    open_page: OpenPage, root: Path, tmp_path: Path
) -> None:
    file = write_model(
        tmp_path / "colours.onnx", crops=(CropMethod(WHOLE, "", "", 10),)
    )
    with running_server(make_settings(file, root)) as port:
        page = open_page(at=f"http://127.0.0.1:{port}/", offline=True)
        wait_for(page, FACTS_CACHED)
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind(("127.0.0.1", port))
        silent.listen(100)  # the system accepts connections, and nobody answers
        begun = time.monotonic()
        page.goto(page.url, wait_until="commit")
        wait_for(page, "document.querySelectorAll('#known li').length === 3")
        assert page.inner_text("h1") == "What is this?"
        assert time.monotonic() - begun < 30, (
            "not the minute after which a browser gives up"
        )
        page.context.close()


def test_box_of_wide_image_is_in_sight(
    open_page: OpenPage, two_faces: Path, tmp_path: Path
) -> None:
    page = open_page()
    with Image.open(two_faces) as image:
        face = image.convert("RGB").crop((0, 0, 380, 400))
    wide = Image.new("RGB", (3000, 420), "#99aabb")
    wide.paste(face, (2500, 10))
    wide.save(tmp_path / "wide.png")
    page.set_input_files("#files", [str(tmp_path / "wide.png")])
    wait_for(page, f"{BOXES}.length === 1")
    in_sight = """(() => {
        const edges = (name) => document.querySelector(name).getBoundingClientRect();
        const [box, stage] = ['.box', '.stage'].map(edges);
        return box.left >= stage.left && box.right <= stage.right;
    })()"""
    wait_for(page, in_sight)
    # In a grid the strip is smaller.
    Image.new("RGB", (40, 40), "gray").save(tmp_path / "plain.png")
    page.set_input_files("#files", [str(tmp_path / "plain.png")] * 2)
    wait_for(page, "document.querySelectorAll('.image').length === 3")
    wait_for(page, in_sight)


def test_hint_for_images_with_missed_faces(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    for size, is_advised in (
        ((400, 300), False),
        ((1500, 300), True),
        ((3000, 2000), True),
    ):
        Image.new("RGB", size, "gray").save(tmp_path / "plain.png")
        page.set_input_files("#files", [str(tmp_path / "plain.png")])
        text = page.locator(".image .details .small", has_text="No face was found")
        text.wait_for()
        assert ("crop it to one face" in text.inner_text()) == is_advised
        assert "ask the server" not in text.inner_text(), "it has the same detector"
        page.click("#clear")


def test_names_alone_leave_the_screen_to_images(
    open_page: OpenPage, restart_server: Callable[..., str]
) -> None:
    page = open_page(1440, 900, at=restart_server())
    wait_for(page, "document.querySelectorAll('#known li').length === 3")
    assert page.evaluate("document.querySelector('#drop').clientWidth") > 1000


def test_unsure_prediction_on_server_and_device(
    open_page: OpenPage, root: Path, tmp_path: Path
) -> None:
    file = write_model(
        tmp_path / "colours.onnx", crops=(CropMethod(WHOLE, "", "", 10),)
    )
    with running_server(make_settings(file, root)) as port:
        page = open_page(at=f"http://127.0.0.1:{port}/")
        _check_unsure(page, tmp_path)
        page.context.close()


def _check_unsure(page: Any, tmp_path: Path) -> None:
    (tmp_path / "grey.png").write_bytes(
        encode(Image.new("RGB", (40, 40), "#828080"), "PNG")
    )
    expected = page.request.post(
        f"{page.url}api/v1/predict",
        headers={"content-type": "image/png"},
        data=(tmp_path / "grey.png").read_bytes(),
    ).json()["images"][0]["parts"][0]
    assert (expected["answer"], expected["unsure"], expected["best"]) == (
        None,
        True,
        "red",
    )
    for where in ("server", "device"):
        page.select_option("#where", where)
        page.set_input_files("#files", [str(tmp_path / "grey.png")])
        page.click("#submit")
        page.locator(".who", has_text="Whole image: red?").wait_for()
        assert page.locator(".unsure").is_visible()
        page.click("#clear")
    history = page.locator("#history-list bdi")
    assert {history.nth(number).text_content() for number in range(2)} == {"red?"}


def test_api_page_copies_a_snippet(open_page: OpenPage, address: str) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{address}api.html")
    snippet = page.locator(".copyable", has=page.locator("[data-language='Python']"))
    snippet.get_by_role("button", name="Copy").click()
    snippet.get_by_role("button", name="Copied").wait_for()
    assert (
        page.evaluate("navigator.clipboard.readText()")
        == snippet.locator("pre").inner_text()
    )
