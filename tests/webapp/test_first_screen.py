"""The first screen, webcam, shared URLs, large images and the static page, in a browser."""

import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import msgspec
import pytest
from browser_helpers import (
    ANSWER_COUNT,
    DETECTOR_CACHED,
    FACTS_CACHED,
    OpenPage,
    find_faces,
    open_card_page,
)
from color_model import write_model
from PIL import Image
from server_helpers import Serve, running_server
from tools_for_tests import LoopbackServer, run_here, running, wait_for

from gleanset import Dataset
from gleanset.db.faces import CropMethod
from gleanset.settings import WebSettings
from gleanset.web.guard import POLICY
from pipeline.maintenance.removals import plan_removal, remove_images
from tools.npm_parts import are_current
from webapp.page_files import PAGE
from webapp.settings import ServeSettings

pytestmark = pytest.mark.slow
MESSAGE = "document.querySelector('#message').textContent"
DROP_URL = """(address) => {
  const data = new DataTransfer();
  data.setData("text/uri-list", address);
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
}"""
SHARE = """async () => {
  const form = new FormData();
  const canvas = Object.assign(document.createElement("canvas"), { width: 60, height: 40 });
  form.append("images", await new Promise((done) => canvas.toBlob(done)), "from my phone é.png");
  form.append("images", new Blob(["no image"]), "broken.png");
  return (await fetch("share", { method: "POST", body: form })).ok;
}"""
SHARE_URL = """() => {
  const make = (name, more) => Object.assign(document.createElement(name), more);
  const form = make("form", { method: "post", action: "share", enctype: "multipart/form-data" });
  form.append(make("input", { name: "url", value: "https://example.org/a.jpg" }));
  document.body.append(form);
  form.submit();
}"""


@pytest.fixture
def portrait_address(
    settings: ServeSettings, two_class_dataset: Dataset
) -> Iterator[str]:
    """Yield the address of a server that shows images of its dataset."""
    web = WebSettings(faces=True, description="Three colors.")
    with running_server(msgspec.structs.replace(settings, web=web)) as port:
        yield f"http://127.0.0.1:{port}/"


def test_portraits_require_setting(
    serve: Serve, two_class_dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.service.MAX_AGE_SECONDS", 0.0)
    assert serve().get("/api/v1/portraits").json() == {"faces": {}, "example": None}
    client = serve(web=WebSettings(faces=True))
    result = client.get("/api/v1/portraits").json()
    assert sorted(result["faces"]) == ["blue", "red"]
    blue = next(s for s in two_class_dataset.samples.iterate() if s.label == "blue")
    plan = plan_removal(two_class_dataset, [blue.image], [], [])
    remove_images(two_class_dataset, plan, "asked for")
    assert list(client.get("/api/v1/portraits").json()["faces"]) == ["red"]


def test_example_is_predicted_by_one_tap(
    open_page: OpenPage, portrait_address: str
) -> None:
    phone = {"is_mobile": True, "has_touch": True, "color_scheme": "dark"}
    page = open_page(390, 844, at=portrait_address, **phone)
    wait_for(
        page,
        "document.querySelectorAll('#known img, #known [data-initial=G]').length === 3",
    )
    assert page.locator("#known li").all_inner_texts() == ["blue", "red", "green"], (
        "faces first"
    )
    assert "is sent to the server" in page.inner_text("#promise")
    page.tap("#example")
    wait_for(page, f"{ANSWER_COUNT} === 1")
    wait_for(page, "document.querySelector('#submit').hidden")
    assert page.locator(".who bdi").inner_text() == "blue"
    assert 0 <= page.locator(".image").bounding_box()["y"] < 100
    assert page.locator("#submit-bar").bounding_box()["height"] <= 64
    assert page.locator(":disabled").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_offline_report_is_sent_later(
    open_page: OpenPage, root: Path, two_faces: Path
) -> None:
    page = open_page(390, 844)
    find_faces(page, two_faces)
    page.click("#submit")
    wait_for(page, f"{ANSWER_COUNT} === 2")
    page.context.set_offline(True)
    for is_deleted in (True, False):
        page.locator("text=Wrong result?").first.click()
        assert page.input_value("#report-note") == "", "a deleted report was not made"
        page.fill("#report-class", "greene")
        page.click("#report-send")  # offers "green" first
        page.click("#report-send")
        wait_for(
            page, "document.querySelector('#said').textContent.includes('sent later')"
        )
        if is_deleted:
            page.click("#unsent-clear")
            wait_for(page, "!document.querySelector('#said').textContent")
    # The notice leaves the buttons free.
    notice = page.locator("#said").bounding_box()
    bar = page.locator("#submit-bar").bounding_box()
    assert notice["y"] + notice["height"] <= bar["y"]
    page.locator("text=Report or remove this image").click()
    assert page.text_content("#said") == "", "a dialog would cover it"
    page.fill("#report-note", "made offline")
    page.click("#report-send")
    kept = f"2 (\u2068{two_faces.name}\u2069, Removal: \u2068{two_faces.name}\u2069)"
    wait_for(
        page, f"document.querySelector('#unsent-count').textContent.endsWith('{kept}')"
    )
    assert page.inner_text("#unsent-clear") == "Delete all"
    kept_reports = [
        f"{kind} kept; it will be sent later" for kind in ("Removal request", "Report")
    ]
    assert page.locator(".reported").all_inner_texts() == kept_reports
    page.context.set_offline(False)
    wait_for(page, "document.querySelector('#unsent').hidden")
    assert page.locator(".reported").all_inner_texts() == [
        "✓ removal requested",
        "✓ reported",
    ]
    with Dataset.open(root) as dataset:
        claims = {report.claim.claimed for report in dataset.reports.iterate()}
        notes = {report.claim.note for report in dataset.reports.iterate()}
    assert "greene" in claims
    assert "made offline" in notes


def test_image_from_webcam_or_large_file(open_page: OpenPage, tmp_path: Path) -> None:
    Image.new("RGB", (4500, 3000), "red").save(tmp_path / "large.jpg", quality=95)
    page = open_page()
    page.click("#photograph")
    page.click("#webcam-take")
    wait_for(page, "document.querySelectorAll('.image').length === 1")
    assert page.locator("#webcam").is_hidden()
    assert page.evaluate("document.querySelector('#webcam-video').srcObject") is None
    page.click("#clear")
    # A large image is scaled before its upload.
    page.set_input_files("#files", [str(tmp_path / "large.jpg")])
    page.click("text=Add a face")
    with page.expect_response("**/predict") as answered:
        page.click("#submit")
    image = answered.value.json()["images"][0]
    assert (image["width"], image["height"]) == (4344, 2896)
    assert image["parts"][0]["answer"] == "red"


def test_shared_images_and_urls(open_page: OpenPage) -> None:
    page = open_page(offline=True)
    page.evaluate(DROP_URL, "https://example.org/a.jpg")
    wait_for(page, f"{MESSAGE}.includes('save the image')")
    wait_for(page, "navigator.serviceWorker.controller !== null")
    assert page.evaluate(SHARE)
    page.reload()
    wait_for(
        page,
        "document.querySelector('#unread-files').textContent.includes('broken.png')",
    )
    assert page.locator(".image h2").all_inner_texts() == ["from my phone é.png"]
    # An app may share a link without an image.
    with page.expect_navigation():
        page.evaluate(SHARE_URL)
    wait_for(page, f"{MESSAGE}.includes('save the image')")


@pytest.fixture
def host(browser: object, tmp_path: Path) -> Iterator[str]:
    """Yield the address of an exported page on a plain web host."""
    crops = (CropMethod("animeface", "", "margin=0.3", 10),)
    model = write_model(tmp_path / "colours.onnx", crops=crops)
    for _ in range(2):  # an export that is there already is written anew
        done = run_here("webapp.cli", "export", tmp_path / "host" / "page", model)
        assert (done.code, "set contact under" in done.stdout) == (0, True)
        assert re.search(r"^size: [\d.]+ MB in \d+ files$", done.stdout, re.MULTILINE)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "host"))
    with running(LoopbackServer(handler)) as server:  # type: ignore[arg-type]
        yield f"{server.url}/page/"


def test_static_page_works_offline(
    open_page: OpenPage, host: str, two_faces: Path
) -> None:
    page = open_page(390, 844, at=host, offline=True)
    wait_for(page, DETECTOR_CACHED)
    wait_for(page, FACTS_CACHED)
    assert page.inner_text("#promise") == "Your image stays on this device."
    assert (
        page.locator("#where-choice, #for-programs").locator("visible=true").count()
        == 0
    )
    page.context.set_offline(True)
    page.reload()
    assert find_faces(page, two_faces) == 2
    page.click("#submit")
    wait_for(page, f"{ANSWER_COUNT} === 2")
    assert page.locator("text=Wrong result?").locator("visible=true").count() == 0
    open_card_page(page)
    assert "takes no requests" in page.inner_text("#removal-text")


@pytest.mark.skipif(
    not are_current(), reason="needs the page's parts: tools/npm_parts.py"
)
def test_export_refuses_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    model = write_model(tmp_path.parent / "colours.onnx")
    assert run_here("webapp.cli", "export", tmp_path, model).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_page_policy_matches_server() -> None:
    for page in PAGE.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        policies = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
        assert [f"{policy}; frame-ancestors 'none'" for policy in policies] == [
            POLICY
        ], page
