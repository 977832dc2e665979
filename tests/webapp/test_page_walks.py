"""The page where things go wrong: told in the visitor's language, and nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from in_browser import ANSWERS, BOXES, KEPT, NEEDS_BROWSER, Open, until
from PIL import Image

pytestmark = NEEDS_BROWSER
MESSAGE = "document.querySelector('#message').textContent.replaceAll(/[\\u2068\\u2069]/g, '')"
BULK = "document.querySelector('#bulk [role=status]')?.textContent"
SHARE = """async () => {
  const form = new FormData();
  const canvas = Object.assign(document.createElement("canvas"), { width: 60, height: 40 });
  form.append("pictures", await new Promise((done) => canvas.toBlob(done)), "from my phone é.png");
  form.append("pictures", new Blob(["no picture"]), "broken.png");
  return (await fetch("share", { method: "POST", body: form })).ok;
}"""


def test_what_is_refused_is_told_in_the_language_of_the_page(
    opened: Open, drawn: Path, tmp_path: Path
) -> None:
    page = opened(320, 640, locale="zh")
    for number in range(7):
        (tmp_path / f"{number}.jpg").write_bytes(b"no picture")
    page.set_input_files("#files", [str(one) for one in sorted(tmp_path.iterdir())])
    until(page, f"{MESSAGE} === '无法把 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, … (+2) 读作图片'")
    page.set_input_files("#files", [str(drawn)])
    until(page, f"{BOXES}.length")
    until(page, KEPT)
    page.context.set_offline(True)
    page.click("#submit")
    until(page, f"{MESSAGE}.startsWith('无法连接服务器')")
    page.context.set_offline(False)
    page.click("#submit")
    until(page, f"{ANSWERS} === 2")
    assert page.evaluate(MESSAGE) == ""
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_a_folder_waits_where_the_server_is_gone_and_goes_on(
    opened: Open, drawn: Path, tmp_path: Path
) -> None:
    shutil.copy(drawn, tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("no picture either")
    page = opened()
    until(page, "localStorage.getItem('about')")
    page.context.set_offline(True)
    page.set_input_files("#folder-files", str(tmp_path))
    until(page, f"{BULK} === '0 of 2 looked at'")
    until(
        page, "document.querySelector('#bulk .message').textContent.includes('cannot be reached')"
    )
    page.context.set_offline(False)
    page.click("text=Go on")
    until(page, f"{BULK} === '2 of 2 looked at · 1 cannot be read'")
    assert page.evaluate(
        "[...document.querySelector('#bulk-class').options].map((o) => o.text)"
    ) == [
        "blue (0)",
        "green (0)",
        "red (1)",
    ]
    page.select_option("#bulk-class", "red")
    assert f"{tmp_path.name}/a.png (9" in page.locator(".bulk-list").inner_text()


def test_pictures_that_another_app_shares_are_opened(opened: Open) -> None:
    page = opened()
    until(page, "navigator.serviceWorker.controller !== null")
    assert page.evaluate(SHARE)
    page.reload()
    until(page, f"{MESSAGE} === 'broken.png cannot be read as a picture'")
    assert page.locator(".picture h2").all_inner_texts() == ["from my phone é.png"]


@pytest.mark.long
def test_a_folder_that_asks_too_often_waits_and_leaves_nothing_out(
    opened: Open, rationed_address: str, tmp_path: Path
) -> None:
    for number in range(20):
        Image.new("RGB", (30, 20), "red").save(tmp_path / f"{number}.png")
    page = opened(at=rationed_address)
    answered: list[int] = []
    page.on("response", lambda one: answered.append(one.status) if "predict" in one.url else None)
    page.set_input_files("#folder-files", str(tmp_path))
    until(page, f"{BULK} === '20 of 20 looked at'", 60)
    assert 429 in answered
    assert answered.count(200) == 20
    assert page.locator("#bulk .message").is_hidden()
