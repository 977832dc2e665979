"""The page about the model in a real browser: read, and asked to remove a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from in_browser import NEEDS_BROWSER, Open, until

from gleanset import Dataset
from gleanset.db.visitors import TakeDownRequests

pytestmark = NEEDS_BROWSER


def card_of(page: Any) -> None:
    """Go from the page to the page about the model."""
    page.click("footer a[href=card]")
    until(page, "document.querySelector('#removal-told').textContent")


def test_the_model_is_described_and_a_picture_asked_to_be_removed(
    opened: Open, drawn: Path, root: Path
) -> None:
    page = opened(320, 640)
    card_of(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    assert "exported file" in page.inner_text("#measured-told")
    assert page.locator("#knows-told tbody th").all_inner_texts() == ["blue", "green", "red"]
    # By keyboard, and what is typed stays text.
    page.focus("#ask-page")
    page.keyboard.type("https://example.org/<b>7</b>")
    page.set_input_files("#ask-file", [str(drawn)])
    page.fill("#ask-reason", "<img src=x onerror=alert(1)> it is mine")
    page.focus("#ask-send")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#ask-said').textContent.includes('Thank you')")
    assert page.input_value("#ask-reason") == ""
    with Dataset.open(root) as dataset:
        (request,) = TakeDownRequests(dataset.db).each()
    assert request.wish.page == "https://example.org/<b>7</b>"
    assert request.wish.reason == "<img src=x onerror=alert(1)> it is mine"
    assert len(request.wish.sha256) == 64
    page.fill("#ask-reason", "no picture is named")
    page.click("#ask-send")
    until(page, "document.querySelector('#ask-message').textContent.includes('Which picture')")


def test_it_speaks_the_language_that_was_chosen_and_keeps_nobody_out(opened: Open) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(color_scheme="dark")
    page.select_option("#language", "ja")
    card_of(page)
    assert page.inner_text("h1") == "このモデルについて"
    assert "ファイル" in page.inner_text("#measured-told")
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
