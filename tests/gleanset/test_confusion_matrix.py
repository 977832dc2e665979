"""The confusion matrix of reports, as a browser shows and prints it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tools_for_tests import needs_chromium

from gleanset.html.fill import get_templates

PAGE = """<!DOCTYPE html><meta charset="utf-8"><style>{% include "style.css" %}</style>
<div class="page">{% from "macros.html.jinja" import confusion with context %}
{{ confusion(figures, figures.classes|length > 14) }}</div>"""
# Where the last column ends, and how much of the matrix is out of sight.
MEASURE = """() => {
    const cells = [...document.querySelectorAll("th, td")].map(cell => cell.getBoundingClientRect())
    const box = document.querySelector(".scroll")
    return [Math.max(...cells.map(cell => cell.right)), box.scrollWidth - box.clientWidth]
}"""


@needs_chromium
@pytest.mark.parametrize("number", [3, 14, 60, 100])
def test_matrix_is_printed_and_shown_whole(
    browser: Any, tmp_path: Path, number: int
) -> None:
    counts = np.random.default_rng(0).integers(0, 20, (number, number + 1)).tolist()
    classes = [SimpleNamespace(name=f"class number {i:02}") for i in range(number)]
    figures = SimpleNamespace(
        classes=classes, answer_metrics=SimpleNamespace(confusion=counts)
    )
    page = get_templates("gleanset.html").from_string(PAGE).render(figures=figures)
    (tmp_path / "page.html").write_text(page, "utf-8")

    # A4 within 1 cm, 96 dpi.
    tab = browser.new_page(viewport={"width": 718, "height": 1047})
    tab.goto((tmp_path / "page.html").as_uri())
    tab.emulate_media(media="print")
    right, _ = tab.evaluate(MEASURE)
    tab.emulate_media(media="screen")
    tab.set_viewport_size({"width": 1920, "height": 1080})
    _, hidden = tab.evaluate(MEASURE)
    tab.close()
    assert right <= 718
    assert hidden <= 0 or number == 100
