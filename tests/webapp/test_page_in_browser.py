"""The page in a real browser: faces found, adjusted, judged, reported, and all of it offline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from in_browser import ANSWERS, BOXES, NEEDS_BROWSER, Open, until
from PIL import Image

from curation.web_reports import accept_reports
from gleanset import Dataset
from gleanset.db.visitors import Reports

pytestmark = NEEDS_BROWSER
TOP = "document.querySelector('{}').getBoundingClientRect().top"


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
    until(page, "document.querySelector('#said').textContent.includes('Thank you')")
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
    until(page, f"{TOP.format('.bars')} < {TOP.format('#submit-bar')}")  # not behind the bar
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
    until(page, "document.querySelector('.picture .small')?.textContent.includes('no face found')")
    page.click("text=Add a face")
    page.click("#submit")
    assert until(page, ANSWERS) == 1
    assert page.locator(".who").inner_text() == "Face 1: red"


def test_programs_are_told_every_address(opened: Open, address: str) -> None:
    page = opened()
    page.click("footer a[href='api.html']")
    until(page, "document.querySelectorAll('#addresses h2').length === 10")
    assert "POST /api/v1/predict" in page.inner_text("#addresses")


def test_of_things_it_asks_what_they_are_and_of_a_stranger_it_shows_no_share(
    opened: Open, address_of_things: str, tmp_path: Path
) -> None:
    page = opened(at=address_of_things)
    until(page, "document.title === 'What is this?'")
    assert page.inner_text("h1") == page.title()
    for colour in ("red", "lime"):
        Image.new("RGB", (40, 40), colour).save(tmp_path / f"{colour}.png")
    for where in ("server", "device"):
        page.select_option("#where", where)
        page.set_input_files("#files", [str(tmp_path / "red.png")])
        until(page, "!document.querySelector('#submit-bar').hidden")
        assert page.inner_text("#submit") == "What is this?"
        page.set_input_files("#files", [str(tmp_path / "lime.png")])
        until(page, "document.querySelector('#submit').textContent === 'What are these?'")
        page.click("#submit")
        until(page, "document.querySelectorAll('.who bdi').length === 2")
        red, lime = page.locator(".face").all()
        assert red.locator(".who").inner_text() == "Whole picture: red"
        assert red.locator(".bars").count() == 1
        assert lime.locator(".who").inner_text() == "Whole picture: unknown"
        assert lime.locator(".bars").count() == 0, "of a stranger a share of 100 % is not true"
        told = lime.locator(".small").inner_text()
        assert re.search(r"likeness 3\d %. Of its classes .?green.? is nearest", told)
        page.locator("text=Wrong result?").first.click()
        assert page.inner_text("#report-who") == "What is it?"
        page.click("#report-cancel")
        page.click("#clear")
    page.select_option("#language", "ja")
    assert page.inner_text("h1") == "これは何?"


def test_the_page_is_as_its_table_says_on_the_server_and_on_the_device(
    opened: Open, address_of_two: str, tmp_path: Path
) -> None:
    page = opened(at=address_of_two, locale="zh-CN")
    until(page, "document.title === 'Rot?!'")
    assert page.inner_text("h1") == "Rot?!"
    # Chinese is not offered, so it is the first that is.
    assert page.evaluate("[...document.querySelector('#language').options].map(o => o.value)") == [
        "ja",
        "en",
    ]
    assert page.evaluate("document.documentElement.lang") == "ja"
    Image.new("RGB", (40, 40), "lime").save(green := tmp_path / "green.png")
    page.select_option("#language", "en")
    assert page.inner_text("h1") == "Rot?!"
    told = []
    for where in ("server", "device"):
        page.set_input_files("#files", [str(green)])
        until(page, "document.querySelector('.picture .small')?.textContent.includes('no face')")
        page.click("text=Add a face")
        page.select_option("#where", where)
        page.click("#submit")
        until(page, ANSWERS)
        told.append([page.inner_text(".who"), page.locator(".bars .name").all_inner_texts()])
        page.click("#clear")
    assert told == [["Face 1: unknown", ["blue", "red"]]] * 2
