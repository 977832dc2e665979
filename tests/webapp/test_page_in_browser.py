"""The page in a real browser: faces, predictions, reports, folders, offline use and errors."""

import cmath
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser_helpers import (
    ANSWER_COUNT,
    BOXES,
    DETECTOR_CACHED,
    FACTS_CACHED,
    OpenPage,
    accessibility_violations,
    find_faces,
    open_card_page,
)
from built_detectors import build_detector
from PIL import Image
from server_helpers import RESERVED_NAMES
from tools_for_tests import eventually, wait_for

from gleanset import Dataset
from gleanset.db.reports import REMOVAL, Reports
from gleanset.images.decode import decode
from gleanset.records import Box, overlap
from gleanset.settings import WebSettings
from webapp.box_styles import detect_for_page
from webapp.report_decisions import NOT_A_FACE, accept_reports
from webapp.settings import RequestLimits

pytestmark = pytest.mark.slow
MESSAGE = (
    "document.querySelector('#message').textContent.replaceAll(/[\\u2068\\u2069]/g, '')"
)
UNREAD = MESSAGE.replace("message", "unread-files")
BULK_STATUS = "document.querySelector('#bulk [role=status]')?.textContent"
BULK_COUNTS = (
    "[...document.querySelectorAll('#bulk-class option')].map((option) => option.text)"
)
STATUS = "document.querySelector('.image .small')?.textContent"
NO_FACE = "No face was found. Draw a box around a face, if there is one."
BOX_POSITIONS = f"""{BOXES}.map(({{style}}) => ["left", "top", "width", "height"].map(
    (key) => Math.round(Number.parseFloat(style[key]) * ({{left: 7.2, width: 7.2}}[key] ?? 4))))"""
COUNT_DECODED = """() => { const decode = createImageBitmap; window.decoded = [];
    window.createImageBitmap = (file, ...more) => decoded.push(file.name) && decode(file, ...more);
}"""
FOCUSED_TAG = "document.activeElement.tagName"
TOP_EDGE = "document.querySelector('{}').getBoundingClientRect().top"


def test_faces_are_edited_predicted_and_reported(
    open_page: OpenPage, two_faces: Path, root: Path
) -> None:
    page = open_page()
    page.focus("#choose")
    assert find_faces(page, two_faces) == 2
    assert page.evaluate("document.activeElement.id") == "submit"
    # Move the second box, and draw a third one.
    before = page.locator(".box").nth(1).bounding_box()
    page.mouse.move(before["x"] + 20, before["y"] + 20)
    page.mouse.down()
    page.mouse.move(before["x"] + 50, before["y"] + 45, steps=4)
    page.mouse.up()
    after = page.locator(".box").nth(1).bounding_box()
    assert (round(after["x"] - before["x"]), round(after["y"] - before["y"])) == (
        30,
        25,
    )
    frame = page.locator(".frame").bounding_box()
    page.mouse.move(frame["x"] + 3, frame["y"] + 3)
    page.mouse.down()
    page.mouse.move(frame["x"] + 60, frame["y"] + 50, steps=4)
    page.mouse.up()
    page.click("#submit")
    assert wait_for(page, f"{ANSWER_COUNT} === 3")
    assert page.locator(".bars").first.locator("li").count() == 3
    page.locator("text=Wrong result?").locator("visible=true").nth(0).click()
    page.check("#report-unlisted")
    assert page.locator("#report-class").is_disabled()
    page.uncheck("#report-unlisted")
    page.fill(
        "#report-class", page.locator(".who bdi").first.inner_text().upper().rstrip("?")
    )
    page.click("#report-send")
    assert page.inner_text("#report-new") == "This is already the answer."
    for name in (*RESERVED_NAMES, "ng<b>x</b>"):  # the server refuses them, too
        page.fill("#report-class", name)
        page.click("#report-send")
        error = page.inner_text("#report-new")
        assert re.match("Invalid name|“.*” is a reserved word", error), name
    # A similar class, or the only one that begins so, is offered before a new one is reported.
    for name in ("gren", "gre"):
        page.fill("#report-class", name)
        assert page.inner_text("#report-similar") == "It is green"
        page.press("#report-class", "Enter")
        assert f"To report “{name}” as it is typed" in page.inner_text(
            "#report-message"
        )
    page.keyboard.press("Enter")
    assert page.input_value(":focus") == "green"
    find = """(names) => import('/js/similar_names.js').then((module) =>
        names.map((name) => module.findSimilarName(name, ['ono_rin', 'ito_rin', 'mei'])))"""
    similar = page.evaluate(find, ["Rin Ono", "ono_rim", "Ōno", "It", "rin"])
    assert similar == ["ono_rin", "ono_rin", "ono_rin", "ito_rin", None], (
        "the last may be two"
    )
    page.fill("#report-class", "mei")
    assert "“mei” is not a class of this model" in page.inner_text("#report-new")
    page.fill("#report-note", "<b>it is Mei</b>")
    page.press("#report-send", "Enter")
    wait_for(page, "document.querySelector('#said').textContent.includes('Thank you')")
    assert page.evaluate("document.activeElement.textContent") == "Wrong result?"
    page.locator("text=Wrong result?").locator("visible=true").nth(0).click()
    assert page.inner_text("#report-title") == "Report: Face 1"
    assert page.input_value("#report-note") == "I reported “mei” before, by mistake."
    assert page.inner_text("#report-why") == "Note (change or delete it)"
    page.select_option("#report-kind", "removal")
    assert page.inner_text("#report-title") == "Report: Whole image"
    assert page.input_value("#report-note") == ""
    page.click("#report-cancel")
    page.locator("text=Wrong result?").locator("visible=true").nth(1).click()
    page.fill("#report-class", page.locator(".who bdi").nth(1).inner_text().rstrip("?"))
    assert "Your box is new" in page.inner_text("#report-new")
    page.select_option("#report-kind", "not a face")
    assert page.is_hidden("#report-class")
    page.fill("#report-note", "<b>a cloud</b>")
    page.click("#report-send")
    wait_for(page, "document.querySelectorAll('.face .reported').length === 2")
    with Dataset.open(root) as dataset:
        reports = {
            report.claim.note: report for report in Reports(dataset.db).iterate()
        }
        assert reports["<b>a cloud</b>"].claim.claimed == NOT_A_FACE
        assert reports["<b>it is Mei</b>"].claim.claimed == "mei"
        accept_reports(dataset, {reports["<b>it is Mei</b>"].id: None})
        assert [sample.label for sample in dataset.samples.iterate()] == ["mei"]


def test_keyboard_only_at_320_pixels(open_page: OpenPage, two_faces: Path) -> None:
    page = open_page(320, 640)
    page.focus("#choose")
    find_faces(page, two_faces)
    assert page.evaluate("document.activeElement.id") == "submit", "Enter asks at once"
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.focus(".box")
    before = page.locator(".box").first.bounding_box()
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    after = page.locator(".box").first.bounding_box()
    assert all(after[name] > before[name] for name in ("x", "y", "width"))
    page.press("#submit", "Enter")
    assert wait_for(page, f"{ANSWER_COUNT} === 2")
    wait_for(page, "document.activeElement.className === 'who'")
    # The result is not behind the bar.
    wait_for(page, f"{TOP_EDGE.format('.bars')} < {TOP_EDGE.format('#submit-bar')}")
    focused = [page.evaluate(FOCUSED_TAG)]
    keys = {
        ".faces .face:last-child button": "Enter",
        ".box": "Delete",
        ".image .close": "Enter",
    }
    keys |= dict.fromkeys(
        ("#history summary", "#history-list button", "#history-clear"), "Enter"
    )
    for place, key in keys.items():
        page.press(place, key)
        focused.append(page.evaluate(FOCUSED_TAG))
    assert "BODY" not in focused, "the focus is lost"
    page.select_option("#language", "ja")
    assert page.inner_text("h1") == "これは誰?"


def test_device_matches_server_and_works_offline(
    open_page: OpenPage, two_faces: Path
) -> None:
    page = open_page(offline=True)
    answers = (
        "[...document.querySelectorAll('.face')].map(e => e.querySelector('.who').textContent + "
        "[...e.querySelectorAll('.percent')].map(percent => percent.textContent))"
    )

    def predict(where: str) -> Any:
        find_faces(page, two_faces)
        page.select_option("#where", where)
        assert ("stays on this device" in page.inner_text("#promise")) == (
            where == "device"
        )
        page.click("#submit")
        wait_for(page, f"{ANSWER_COUNT} === 2")
        assert page.locator("text=This model cannot answer “unknown”").count() == 2
        result = page.evaluate(answers)
        page.click("#clear")
        return result

    expected = predict("server")
    assert predict("device") == expected
    wait_for(page, DETECTOR_CACHED)
    page.select_option("#where", "server")
    assert page.locator("#offline").is_hidden()
    page.context.set_offline(True)
    # Without a network the page offers the device in place of the server.
    find_faces(page, two_faces)
    page.click("#go-device")
    wait_for(page, f"{ANSWER_COUNT} === 2")
    assert page.locator("#offline").is_hidden()
    page.reload()
    assert predict("device") == expected


def test_broken_image_and_image_without_face(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page()
    broken = tmp_path / "<img src=x onerror=alert(1)>.png"
    broken.write_bytes(b"no image")
    page.set_input_files("#files", [str(broken)])
    wait_for(page, f"{UNREAD} === '{broken.name} cannot be read as an image'")
    page.click("#unread-close")
    assert page.locator("#unread").is_hidden()
    Image.new("RGB", (40, 40), "gray").save(plain := tmp_path / "plain.png")
    for where in ("device", "server"):
        page.select_option("#where", where)
        page.set_input_files("#files", [str(plain)])
        wait_for(page, f"{STATUS} === '{NO_FACE}'")
        detect = page.locator("text=Detect on the server")
        assert detect.is_hidden(), "the server has the same detector"
        assert page.locator("#submit").is_hidden(), "no face, nothing to ask"
        assert page.evaluate(FOCUSED_TAG) != "BODY", "the focus is lost"
        assert page.locator("#message").is_hidden()
        page.click("text=Add a face")
        assert page.evaluate(STATUS) == ""
        page.click("#submit")
        assert wait_for(page, ANSWER_COUNT) == 1
        assert page.locator(".who").inner_text() == "Face 1: blue?"
        page.click("#clear")


def test_images_stay_on_chosen_device(
    open_page: OpenPage, two_faces: Path, tmp_path: Path
) -> None:
    """Also those of which the server was asked before the device was chosen."""
    shutil.copy(two_faces, tmp_path / "a.png")
    Image.new("RGB", (40, 40), "gray").save(tmp_path / "b.png")
    (tmp_path / "c.heic").write_bytes(b"only a server can read it")
    page = open_page()
    sent = list[str]()
    page.on(
        "request", lambda sending: sending.method == "POST" and sent.append(sending.url)
    )
    page.route("**/predict", lambda _: None)
    find_faces(page, two_faces)
    find_faces(page, two_faces)
    page.click("#submit")
    assert eventually(lambda: page.evaluate("1") and len(sent) == 1)
    page.select_option("#where", "device")
    assert wait_for(page, f"{ANSWER_COUNT} === 4")
    page.set_input_files("#files", [str(path) for path in tmp_path.iterdir()])
    wait_for(page, f"{UNREAD}.startsWith('c.heic: this browser cannot open')")
    page.wait_for_selector(f"text={NO_FACE}")
    page.click("#submit")
    wait_for(page, f"{ANSWER_COUNT} === 6")
    assert (
        page.locator("text=Detect on the server").locator("visible=true").count() == 0
    )
    page.set_input_files("#folder-files", str(tmp_path))
    wait_for(page, f"{BULK_STATUS}?.startsWith('3 of 3 checked')")
    assert len(sent) == 1, "before the device was chosen"


def test_oversized_images_are_not_decoded(
    open_page: OpenPage, restart_server: Callable[..., str], tmp_path: Path
) -> None:
    ways = [{"format": kind} for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "AVIF")]
    ways += [{"format": "WEBP", "lossless": True}, {"format": "WEBP", "exif": b"x"}]
    for (number, way), height in product(enumerate(ways), (25, 26)):
        Image.new("RGB", (40, height), "red").save(
            tmp_path / f"{height}-{number}", **way
        )
    page = open_page(at=restart_server(limits=RequestLimits(all_pixels=1000)))
    page.evaluate(COUNT_DECODED)
    page.set_input_files("#files", [str(path) for path in sorted(tmp_path.glob("2*"))])
    names = "26-0, 26-1, 26-2, 26-3, 26-4, … (+3)"
    wait_for(
        page, f"{UNREAD} === '{names}: more than 0.001 megapixels, too large to open'"
    )
    opened = [f"25-{number}" for number in range(8)]
    assert (
        page.locator(".image h2").all_inner_texts()
        == page.evaluate("decoded")
        == opened
    )


@pytest.mark.long
def test_device_never_mixes_labels_and_weights(
    open_page: OpenPage, restart_server: Callable[..., str], tmp_path: Path
) -> None:
    Image.new("RGB", (40, 40), "red").save(red := tmp_path / "red.png")
    page = open_page(at=restart_server(), offline=True)

    def predict() -> str:
        page.set_input_files("#files", [str(red)])
        page.select_option("#where", "device")
        wait_for(page, "!document.querySelector('#submit').disabled")
        page.click("#submit")
        wait_for(page, "document.querySelector('.who bdi')")
        answer: str = page.inner_text(".who")
        page.click("#clear")
        return answer

    old_model = (tmp_path / "colours.onnx").read_bytes()
    assert predict() == "Whole image: red"
    page.context.set_offline(True)
    # The same colors by other names.
    restart_server("renamed", ("x-blue", "y-green", "z-red"))
    page.context.set_offline(False)
    wait_for(
        page,
        "fetch('api/v1/model.json').then(a => a.json()).then(c => c.run === 'renamed')",
    )
    network = "**/api/v1/model.onnx*"
    for answer in (
        lambda route: route.abort("internetdisconnected"),
        lambda route: route.fulfill(body=old_model),
    ):
        page.route(network, answer)
        page.reload()
        assert predict() == "Whole image: red"
        assert "using colours, which is stored here" in page.inner_text("#device-state")
        page.unroute(network)
    page.reload()
    assert predict() == "Whole image: z-red"
    assert (
        page.evaluate("caches.open('model').then(c => c.keys()).then(k => k.length)")
        == 2
    )


def test_whole_image_model_and_unknown_prediction(
    open_page: OpenPage, restart_server: Callable[..., str], tmp_path: Path
) -> None:
    page = open_page(at=restart_server())
    wait_for(page, "document.title === 'What is this?'")
    assert page.inner_text("h1") == page.title()
    for colour in ("red", "lime"):
        Image.new("RGB", (40, 40), colour).save(tmp_path / f"{colour}.png")
    for where in ("server", "device"):
        page.select_option("#where", where)
        page.set_input_files("#files", [str(tmp_path / "red.png")])
        wait_for(page, "!document.querySelector('#submit-bar').hidden")
        assert page.inner_text("#submit") == "What is this?"
        page.set_input_files("#files", [str(tmp_path / "lime.png")])
        wait_for(
            page, "document.querySelector('#submit').textContent === 'What are these?'"
        )
        page.click("#submit")
        wait_for(page, "document.querySelectorAll('.who bdi').length === 2")
        red, lime = page.locator(".face").all()
        assert red.locator(".who").inner_text() == "Whole image: red"
        assert red.locator(".bars").count() == 1
        assert "cannot answer" not in red.inner_text()
        assert lime.locator(".who").inner_text() == "Whole image: unknown"
        assert lime.locator(".bars").count() == 0, (
            "of a stranger a share of 100 % is not true"
        )
        assert (
            red.locator(".similarity strong").inner_text()
            == "Similar to the training images"
        )
        result = lime.inner_text()
        assert "Unlike the training images" in result
        assert re.search(
            r"similarity 3\d %, limit 80 %\s+Nearest class: .?green.?\.", result
        )
        page.locator("text=Wrong result?").first.click()
        assert page.inner_text("#report-who") == "What is it?"
        page.click("#report-cancel")
        page.click("#clear")
    page.select_option("#language", "ja")
    assert page.inner_text("h1") == "これは何?"


def test_names_break_between_words(
    open_page: OpenPage, restart_server: Callable[..., str], tmp_path: Path
) -> None:
    page = open_page(
        390, 844, at=restart_server(classes=("Monkey_D_Luffy", "Schwarzenegger", "z"))
    )
    for color in ("blue", "lime", "red"):
        Image.new("RGB", (40, 40), color).save(tmp_path / f"{color}.png")
    page.set_input_files("#files", [str(file) for file in tmp_path.glob("*.png")])
    page.click("#submit")
    wait_for(page, "document.querySelectorAll('.who bdi').length === 3")
    lines = """[...document.querySelectorAll('.who bdi')].flatMap((name) => [...name.childNodes])
        .map((word) => {
            const range = document.createRange();
            range.selectNode(word);
            return range.getClientRects().length;
        })"""
    assert max(page.evaluate(lines)) == 1


def test_page_follows_web_settings(
    open_page: OpenPage, serve_at: Callable[..., str], tmp_path: Path
) -> None:
    web = WebSettings(title="Rot?!", languages=["ja", "en"], classes=["red", "blue"])
    page = open_page(at=serve_at(web=web), locale="zh-CN")
    wait_for(page, "document.title === 'Rot?!'")
    # Chinese is not offered: the first offered language is used.
    assert page.locator("#language").inner_text().split() == ["日本語", "English"]
    assert page.evaluate("document.documentElement.lang") == "ja"
    Image.new("RGB", (40, 40), "lime").save(green := tmp_path / "green.png")
    page.select_option("#language", "en")
    assert page.inner_text("h1") == "Rot?!"
    result = []
    for where in ("server", "device"):
        page.set_input_files("#files", [str(green)])
        wait_for(
            page,
            "document.querySelector('.image .small')?.textContent.includes('No face')",
        )
        page.click("text=Add a face")
        page.select_option("#where", where)
        page.click("#submit")
        wait_for(page, ANSWER_COUNT)
        result.append(
            [page.inner_text(".who"), page.locator(".bars .name").all_inner_texts()]
        )
        page.click("#clear")
    assert result == [["Face 1: unknown", ["blue", "red", "none of these"]]] * 2


@pytest.mark.long
def test_errors_are_in_page_language(
    open_page: OpenPage, two_faces: Path, tmp_path: Path
) -> None:
    page = open_page(320, 640, offline=True, locale="zh")
    for number in range(7):
        (tmp_path / f"{number}.jpg").write_bytes(b"no image")
    page.set_input_files("#files", [*sorted(tmp_path.iterdir()), two_faces])
    wait_for(
        page,
        f"{UNREAD} === '0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, … (+2) 无法作为图片读取'",
    )
    wait_for(page, f"{BOXES}.length")
    wait_for(page, DETECTOR_CACHED)
    page.context.set_offline(True)
    page.click("#submit")
    wait_for(page, f"{MESSAGE}.startsWith('无法连接服务器')")
    assert 0 <= page.locator("#message").bounding_box()["y"] < 640
    page.context.set_offline(False)
    page.click("#submit")
    wait_for(page, f"{ANSWER_COUNT} === 2")
    assert page.evaluate(MESSAGE) == ""
    assert page.locator("#unread").is_visible(), "until it is closed"
    assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.long
def test_folder_resumes_when_server_returns(
    open_page: OpenPage, two_faces: Path, tmp_path: Path
) -> None:
    shutil.copy(two_faces, tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("no picture either")
    page = open_page(offline=True)
    wait_for(page, "localStorage.getItem('about')")
    wait_for(page, FACTS_CACHED)
    page.context.set_offline(True)
    page.set_input_files("#folder-files", str(tmp_path))
    wait_for(page, f"{BULK_STATUS} === '0 of 2 checked'")
    page.wait_for_selector("#bulk .message >> text=cannot be reached")
    page.context.set_offline(False)
    page.click("text=Resume")
    wait_for(
        page, f"{BULK_STATUS} === '2 of 2 checked · recognized: 1 · cannot be read: 1'"
    )
    assert page.evaluate(BULK_COUNTS) == [
        "blue (0)",
        "green (0)",
        "red (1)",
        "cannot be read (1)",
    ]
    assert page.input_value("#bulk-class") == "red", (
        "the first class of which there is a picture"
    )
    assert f"{tmp_path.name}/a.png (9" in page.locator(".bulk-list").inner_text()


@pytest.mark.long
def test_server_converts_unsupported_formats(
    open_page: OpenPage, two_faces: Path, tmp_path: Path
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    paths = [tmp_path / name for name in ("phone.heic", "scan.tiff", "a.png")]
    pillow_heif.from_pillow(Image.open(two_faces)).save(paths[0])
    Image.open(two_faces).save(paths[1])
    shutil.copy(two_faces, paths[2])
    page = open_page(1440, 900)
    page.set_input_files("#files", [str(path) for path in paths])
    wait_for(page, f"{BOXES}.length === 6")
    assert page.locator(".image h2").all_inner_texts() == [path.name for path in paths]
    page.click("#submit")
    wait_for(page, f"{ANSWER_COUNT} === 6")
    # Three images are side by side.
    tops = {
        round(page.locator(".image").nth(row).bounding_box()["y"]) for row in range(3)
    }
    assert (len(tops), page.locator(".bars").locator("visible=true").count()) == (1, 0)
    page.locator(".image .more").first.click()
    assert page.locator(".bars").locator("visible=true").count() == 2
    page.click("#clear")
    page.select_option("#where", "device")
    page.set_input_files("#files", [str(paths[0])])
    wait_for(page, f"{UNREAD}.startsWith('phone.heic: this browser cannot open')")
    page.set_input_files("#folder-files", str(tmp_path))
    advice = "this browser cannot open the format: choose “On the server”"
    page.locator("#bulk", has_text=f"cannot be read (2): {advice}").wait_for()
    page.select_option("#bulk-class", ":unread")
    wait_for(
        page, f"document.querySelector('.bulk-list').innerText.includes('c: {advice}')"
    )
    assert page.locator("#drop").is_hidden(), (
        "the result has the place of the first screen"
    )
    page.click("#bulk >> text=Close")
    assert page.locator("#drop").is_visible()


def test_stopped_folder_sends_no_requests(open_page: OpenPage, tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (30, 20), "red").save(tmp_path / f"{number}.png")
    page = open_page()
    held = list[Any]()
    ended = list[Any]()
    page.on("requestfailed", lambda request: ended.append(request))
    # The route stays: without it the browser would send the held requests to the server.
    page.route(
        "**/predict",
        lambda route: held.append(route) if len(held) < 2 else route.continue_(),
    )
    for number in range(2):
        page.set_input_files("#folder-files", str(tmp_path))
        wait_for(page, f"{BULK_STATUS} === '0 of 3 checked'")
        assert eventually(lambda want=number: page.evaluate("1") and len(held) > want)
        assert len(ended) == number
        if number == 0:
            page.click("#bulk >> text=Stop")
            page.wait_for_selector("#bulk >> text=Resume")
            assert page.locator("#bulk .message").is_hidden()
    page.set_input_files("#folder-files", str(tmp_path))
    wait_for(
        page, f"{BULK_STATUS} === '3 of 3 checked · recognized: 0 · no face found: 3'"
    )
    assert eventually(lambda: page.evaluate("1") and len(ended) == len(held) == 2)


def test_folder_keeps_ticks_and_counts(
    open_page: OpenPage, restart_server: Callable[..., str], tmp_path: Path
) -> None:
    """Also while results arrive, the class changes, and the language changes."""
    for name in ("1 red", "2 blue", "3 blue", "4 blue", "5 lime"):
        Image.new("RGB", (40, 40), name[2:]).save(tmp_path / f"{name}.png")
    page = open_page(at=restart_server())
    held = list[Any]()
    requests = iter(range(5))
    page.route(
        "**/predict",
        lambda route: held.append(route) if next(requests) == 3 else route.continue_(),
    )
    page.set_input_files("#folder-files", str(tmp_path))
    wait_for(page, f"{BULK_STATUS} === '3 of 5 checked'")
    ticks = (
        "[...document.querySelectorAll('.bulk-list input')].map((box) => box.checked)"
    )
    status = "[...document.querySelectorAll('#bulk [role=status]')].at(-1).textContent"
    assert page.evaluate(ticks) == [True, True], "of the first class with an image"
    page.locator(".bulk-list input").first.uncheck()
    assert page.evaluate(status) == "1 ticked here, 2 in all classes"
    page.select_option("#bulk-class", "red")
    page.select_option("#bulk-class", "blue")
    assert eventually(lambda: page.evaluate("1") and bool(held))
    held[0].continue_()
    wait_for(page, f"{BULK_STATUS} === '5 of 5 checked · recognized: 4 · unknown: 1'")
    page.select_option("#bulk-class", "red")
    page.select_option("#bulk-class", "blue")
    expected = [False, True, True], ["blue (3)", "green (0)", "red (1)", "unknown (1)"]
    assert (page.evaluate(ticks), page.evaluate(BULK_COUNTS)) == expected
    assert page.evaluate(status) == "2 ticked here, 3 in all classes"
    page.fill("#bulk-sure", "100")
    assert page.evaluate(ticks) == [False] * 3
    page.fill("#bulk-sure", "90")
    assert page.evaluate(ticks) == expected[0]
    page.select_option("#bulk-class", ":unknown")
    assert page.locator(".bulk-list").inner_text().strip().endswith("5 lime.png")
    page.select_option("#bulk-class", "blue")
    page.select_option("#language", "ja")
    assert (page.evaluate(ticks), page.evaluate(BULK_COUNTS)[:3]) == (
        expected[0],
        expected[1][:3],
    )
    assert page.evaluate(status) == "このクラスで 2 枚、全体で 3 枚にチェック"
    assert page.evaluate(BULK_STATUS) == "5 枚中 5 枚を確認済み · 認識: 4 · 不明: 1"
    assert page.inner_text("#bulk-title") == "フォルダーを確認"
    with page.expect_download() as saved:
        page.click("#bulk >> text=一覧を保存")
    rows = saved.value.path().read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split(",")[1].strip('"') for row in rows] == ["red", "blue", "blue"]


def test_device_without_model_or_network(open_page: OpenPage, two_faces: Path) -> None:
    page = open_page()
    wait_for(page, "localStorage.getItem('about')")
    page.context.set_offline(True)
    page.select_option("#where", "device")
    missing = "The model is not on this device yet: connect once to load it."
    wait_for(
        page, f"document.querySelector('#device-state').textContent === '{missing}'"
    )
    page.set_input_files("#files", [str(two_faces)])
    wait_for(
        page, f"{STATUS}?.startsWith('The face detector is not on this device yet')"
    )
    page.click("#submit")
    wait_for(page, f"{MESSAGE} === '{missing}'")
    page.context.set_offline(False)
    page.click("#submit")
    assert wait_for(page, f"{ANSWER_COUNT} === 2")
    assert re.fullmatch(r"on this device: \d+ ms", page.inner_text("#device-state"))
    assert page.locator(".submit-bar").evaluate(
        "e => getComputedStyle(e.parentNode).display"
    ) == ("contents"), "with nothing left to ask, the bar covers nothing"


@pytest.mark.long
def test_rate_limited_folder_completes(
    open_page: OpenPage, serve_at: Callable[..., str], tmp_path: Path
) -> None:
    for number in range(20):
        Image.new("RGB", (30, 20), "red").save(tmp_path / f"{number}.png")
    page = open_page(at=serve_at(limits=RequestLimits(per_minute=60)))
    answered: list[int] = []
    page.on(
        "response",
        lambda got: answered.append(got.status) if "predict" in got.url else None,
    )
    page.set_input_files("#folder-files", str(tmp_path))
    wait_for(
        page,
        f"{BULK_STATUS} === '20 of 20 checked · recognized: 0 · no face found: 20'",
        60,
    )
    assert 429 in answered
    assert answered.count(200) == 20
    assert page.locator("#bulk .message").is_hidden()


def test_browser_detects_faces_when_server_is_unreachable(
    open_page: OpenPage, serve_at: Callable[..., str], two_faces: Path
) -> None:
    expected_faces = build_detector("animeface").detect(
        np.asarray(decode(two_faces.read_bytes()).pixels)
    )
    page = open_page(at=serve_at("animeface"), offline=True)
    assert find_faces(page, two_faces) == 2
    assert page.evaluate(STATUS) == "faces found by the server"
    assert sorted(page.evaluate(BOX_POSITIONS)) == sorted(
        list(face.box) for face in expected_faces
    )
    page.click("#clear")
    wait_for(page, DETECTOR_CACHED)
    page.context.set_offline(True)
    assert find_faces(page, two_faces) == 2
    assert "found in the browser" in page.evaluate(STATUS)
    for face, box in zip(expected_faces, page.evaluate(BOX_POSITIONS), strict=True):
        assert overlap(face.box, Box(*box)) > 0.4
    page.context.set_offline(False)
    page.press(".box", "Delete")  # a removed face is not detected again
    page.click("text=Detect on the server")
    wait_for(page, f"{STATUS} === 'faces found by the server'")
    assert page.evaluate(BOX_POSITIONS) == [list(expected_faces[1].box)]
    page.click("#submit")
    wait_for(page, f"{ANSWER_COUNT} === 1")
    page.press(".box", "Delete")
    assert page.locator("#submit").is_hidden()


def repeat_scene(
    scene: Path, path: Path, size: tuple[int, int], rows: int
) -> Image.Image:
    image = Image.new("RGB", size)
    for row in range(rows):
        part = Image.open(scene).resize((size[0], size[1] // rows))
        image.paste(part, (0, row * size[1] // rows))
    image.save(path)
    return image


# Heights of 4.5 x 32 at scale 256, an elongated image, ten faces that are searched once more, an
# image that is reduced first, and a strip that is searched in tiles.
SCENES = [
    ((640, 360), 1, 2),
    ((640, 1728), 3, 6),
    ((600, 1000), 5, 10),
    ((2300, 1278), 1, 2),
    ((500, 6000), 20, 40),
]


@pytest.mark.parametrize("scene", SCENES)
def test_browser_and_drawnface_find_same_boxes(
    open_page: OpenPage,
    two_faces: Path,
    tmp_path: Path,
    scene: tuple[tuple[int, int], int, int],
) -> None:
    size, rows, count = scene
    image = repeat_scene(two_faces, tmp_path / "faces.png", size, rows)
    faces = detect_for_page(build_detector("drawnface"), np.asarray(image))
    page = open_page()
    assert find_faces(page, tmp_path / "faces.png") == len(faces) == count
    edges = "[style.left, style.top, style.width, style.height].map(Number.parseFloat)"
    shares = np.array(page.evaluate(f"{BOXES}.map(({{style}}) => {edges})")) / 100
    boxes = np.array([face.box for face in faces])
    # OpenCV interpolates in fixed point, the browser in floating point.
    assert np.abs(np.round(shares * (size * 2)) - boxes).max() <= 1


@pytest.mark.long
@pytest.mark.parametrize(("height", "rows"), [(400, 1), (7200, 18)])
def test_touch_draws_boxes_and_scrolls(
    open_page: OpenPage, two_faces: Path, tmp_path: Path, height: int, rows: int
) -> None:
    page = open_page(390, 600, has_touch=True)
    repeat_scene(two_faces, tmp_path / "faces.png", (720, height), rows)
    count = find_faces(page, tmp_path / "faces.png")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    stage = page.locator(".stage")
    top = stage.evaluate("stage => (stage.scrollBy(0, 875), stage.scrollTop)")
    assert (top > 0) == (rows > 1), "a strip scrolls in its frame"
    touch = page.context.new_cdp_session(page)

    def swipe(angle: float, length: float = 40) -> None:
        box = stage.bounding_box()
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for part in (0, 0.1, 0.5, 1):
            step = complex(*middle) + cmath.rect(part * length, math.radians(angle))
            kind = "touchMove" if part else "touchStart"
            points = [{"x": step.real, "y": step.imag}]
            touch.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
            )
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    for angle in (20, 45, 70, 110, 160, 200, 250, 290, 340):
        swipe(angle)
        assert wait_for(page, f"{BOXES}.length") == count + 1, angle
        box = page.locator(".box").last.bounding_box()
        turned = math.degrees(math.atan2(box["height"], box["width"]))
        assert (
            abs(turned - math.degrees(math.asin(abs(math.sin(math.radians(angle))))))
            < 6
        )
        page.locator(".box").last.press("Delete")
    swipe(-90, 60)
    assert page.evaluate(f"{BOXES}.length") == count
    assert stage.evaluate("stage => scrollY + stage.scrollTop") > top
    page.focus(".face button")
    assert stage.evaluate("stage => stage.scrollTop") < max(top, 1), (
        "it shows the first face"
    )


@pytest.mark.long
def test_page_is_accessible_in_every_state(
    open_page: OpenPage, axe: Any, two_faces: Path
) -> None:
    page = open_page(color_scheme="light")
    violations = {}

    def check(state: str) -> None:
        for scheme, width in product(("light", "dark"), (320, 1100)):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            problems = accessibility_violations(axe, page)
            wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            violations[state, scheme, width] = (
                problems + [("wider than the window", state)] * wide
            )

    check("empty")
    page.click(".help")
    assert "sent to the server" in page.inner_text("#folder-help")
    check("help")
    page.keyboard.press("Escape")
    find_faces(page, two_faces)
    check("faces")
    page.click("#submit")
    wait_for(page, f"{ANSWER_COUNT} === 2")
    page.click("#history summary")
    check("answers and history")
    page.locator("text=Wrong result?").locator("visible=true").nth(0).click()
    check("report")
    page.click("#report-cancel")
    page.select_option("#language", "ja")
    check("Japanese")
    page.set_input_files("#files", [str(two_faces)] * 3)
    wait_for(page, "document.querySelectorAll('.image').length === 4")
    check("grid")
    page.click("#clear")
    page.set_input_files("#folder-files", str(two_faces.parent))
    wait_for(page, "document.querySelector('.bulk-list')")
    check("folder")
    address = page.url
    page.goto(address + "card.html")
    wait_for(page, "document.querySelector('#knows-text table')")
    check("about the model")
    page.goto(address + "api.html")
    wait_for(page, "document.querySelectorAll('#addresses h2').length")
    check("for programs")
    assert {state: results for state, results in violations.items() if results} == {}


def test_api_page_sends_requests_and_snippets_run(
    open_page: OpenPage,
    restart_server: Callable[..., str],
    two_faces: Path,
    tmp_path: Path,
) -> None:
    page = open_page()
    page.goto(f"{page.url}api.html")
    page.set_input_files("#try-file", [str(two_faces)])
    for kind in ("multipart/form-data", "application/json", "image/jpeg"):
        page.select_option("#try-kind", kind)
        with page.expect_response("**/predict") as sent:
            page.click("#try-send")
        assert sent.value.request.headers["content-type"].startswith(
            ("image/png", kind)
        )
        wait_for(
            page,
            "document.querySelector('#try-response').textContent.startsWith('200')",
        )
        assert "model-version: colours+" in page.inner_text("#try-response")
    Image.open(two_faces).save(tmp_path / "a.jpg")
    run_snippets(page, tmp_path, "", 2)
    page = open_page(at=(address := restart_server(token="secret")))
    page.goto(f"{address}api.html")
    page.fill("[name=token]", f"{address}?token=secret ")
    page.click("#token-form button")
    wait_for(page, "document.title === 'What is this?'")
    page.goto(f"{page.url.partition('?')[0]}api.html")
    page.locator(
        "pre", has_text='{"claimed":"blue"}'
    ).wait_for()  # no box, as of a whole image
    assert not re.search('"box"|/faces', page.inner_text("#addresses"))
    assert page.locator("#try-address option").all_inner_texts() == ["predict"]
    run_snippets(page, tmp_path, "secret", 1)


def run_snippets(page: Any, folder: Path, token: str, faces: int) -> None:
    commands = {
        "Python": [sys.executable, "-c"],
        "JavaScript": ["node", "--input-type=module", "--eval"],
    }
    wait_for(page, "document.querySelectorAll('#snippets pre').length === 4")
    assert page.locator("#token-note").is_visible() == bool(token)
    for snippet in page.locator("#snippets pre").all():
        command = commands.get(snippet.get_attribute("data-language"), ["sh", "-c"])
        line = [*command, snippet.inner_text().replace("TOKEN", token)]
        ran = subprocess.run(
            line, cwd=folder, capture_output=True, text=True, check=True
        )
        assert len(re.findall(r"\b(red|blue|green|unknown)\b", ran.stdout)) >= faces, (
            line
        )


def test_card_page_and_removal_request(
    open_page: OpenPage, two_faces: Path, root: Path, axe: Any
) -> None:
    page = open_page(320, 640)
    open_card_page(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    assert "exported file" in page.inner_text("#measured-text")
    assert page.locator("#knows-text tbody th").all_inner_texts() == [
        "blue",
        "green",
        "red",
    ]
    with page.expect_navigation():
        page.click("#removal-text a")
    find_faces(page, two_faces)
    page.locator("text=Report or remove this image").click()
    assert page.input_value("#report-kind") == "removal"
    assert page.locator("#report-class").is_hidden()
    assert accessibility_violations(axe, page) == []
    assert page.locator("#report-kind").is_hidden(), "a wrong result is that of a face"
    page.click("#report-add-face")
    assert page.evaluate(f"{BOXES}.length") == 3
    page.locator("text=Report or remove this image").click()
    # By keyboard; typed markup stays text.
    page.locator("#report-note").press_sequentially(
        "<img src=x onerror=alert(1)> it is mine"
    )
    page.press("#report-send", "Enter")
    thanks = "removal was requested. A person reviews it. Contact: me@example.org"
    wait_for(page, f"document.querySelector('#said').textContent.includes('{thanks}')")
    assert page.inner_text(".reported") == "✓ removal requested"
    with Dataset.open(root) as dataset:
        reports = Reports(dataset.db).iterate()
        (report,) = (report for report in reports if report.claim.kind == REMOVAL)
    assert report.claim.note == "<img src=x onerror=alert(1)> it is mine"
    assert report.claim.phash is not None
