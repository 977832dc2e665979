"""The page as static files of a plain web host, in a real browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser_helpers import (
    ANSWER_COUNT,
    DETECTOR_CACHED,
    NEEDS_BROWSER,
    OpenPage,
    find_faces,
    open_card_page,
    wait_for,
)
from color_model import write_model
from tools_for_tests import run_here

from gleanset.db.faces import CropMethod
from webapp.guard import POLICY
from webapp.page_files import PAGE

pytestmark = NEEDS_BROWSER
CARD_KEPT = "caches.open('page').then((c) => c.match('api/v1/card')).then(Boolean)"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """Yield the address of an exported page on a plain web host."""
    crops = (CropMethod("animeface", "", "margin=0.3", 10),)
    model = write_model(tmp_path / "colours.onnx", crops=crops)
    for _ in range(2):  # an export that is there already is written anew
        assert run_here("webapp.cli", "export", tmp_path / "host" / "page", model).code == 0
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "host"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/page/"
        server.shutdown()


def test_static_page_works_offline(open_page: OpenPage, host: str, two_faces: Path) -> None:
    page = open_page(390, 844, at=host, offline=True)
    wait_for(page, DETECTOR_CACHED)
    wait_for(page, CARD_KEPT)
    assert page.inner_text("#promise") == "Your image stays on this device."
    assert page.locator("#where-choice, #for-programs").locator("visible=true").count() == 0
    page.context.set_offline(True)
    page.reload()
    assert find_faces(page, two_faces) == 2
    page.click("#submit")
    wait_for(page, f"{ANSWER_COUNT} === 2")
    assert page.locator("text=Wrong result?").locator("visible=true").count() == 0
    open_card_page(page)
    wait_for(page, "document.querySelector('#removal-text').textContent.includes('no images')")


def test_export_refuses_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    model = write_model(tmp_path.parent / "colours.onnx")
    assert run_here("webapp.cli", "export", tmp_path, model).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_page_policy_matches_server() -> None:
    for page in PAGE.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        policies = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
        assert [f"{policy}; frame-ancestors 'none'" for policy in policies] == [POLICY], page
