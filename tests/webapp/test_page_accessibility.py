"""The page for everyone: axe-core looks at each state of it, in both colour schemes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from in_browser import ANSWERS, BOXES, NEEDS_BROWSER, Open, until

pytestmark = NEEDS_BROWSER
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def axe() -> Any:
    """What finds what keeps people out: Deque's axe-core."""
    return pytest.importorskip("axe_playwright_python.sync_playwright").Axe()


def findings(axe: Any, page: Any) -> list[tuple[str, str]]:
    """What is wrong and where, as far as it keeps people out."""
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (one["id"], node["html"])
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(("width", "scheme"), [(1100, "light"), (320, "dark")])
def test_no_state_of_the_page_keeps_anybody_out(
    opened: Open, axe: Any, drawn: Path, width: int, scheme: str
) -> None:
    page = opened(width, 800, color_scheme=scheme)
    told = {"empty": findings(axe, page)}
    page.set_input_files("#files", [str(drawn)])
    until(page, f"{BOXES}.length")
    told["faces"] = findings(axe, page)
    page.click("#submit")
    until(page, f"{ANSWERS} === 2")
    page.click("#history summary")
    told["answers and history"] = findings(axe, page)
    page.locator("text=Wrong result?").locator("visible=true").nth(0).click()
    told["report"] = findings(axe, page)
    page.click("#report-cancel")
    page.select_option("#language", "ja")
    told["Japanese"] = findings(axe, page)
    page.click("#clear")
    page.set_input_files("#folder-files", str(drawn.parent))
    until(page, "document.querySelector('.bulk-list')")
    told["folder"] = findings(axe, page)
    front = page.url
    page.goto(front + "card")
    until(page, "document.querySelector('#knows-told table')")
    told["about the model"] = findings(axe, page)
    page.goto(front + "api.html")
    until(page, "document.querySelectorAll('#addresses h2').length")
    told["for programs"] = findings(axe, page)
    assert {state: found for state, found in told.items() if found} == {}
