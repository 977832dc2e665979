"""What is seen: contrast from pixels, light and dark, CJK, high DPI, sizes, still tiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from drawn_faces import FaceSet, add_classes, labels
from person import Opened, Person, settle, until
from polish import PALETTES, VIEW_NAMES, luminance, palette_of, pixels, seen, text_contrast
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QWidget
from sorting_book import ids_of
from tools_for_tests import python_path

from gleanset import Dataset
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import SortingSession

HERE = Path(__file__).parent
PATHS = python_path(HERE, HERE.parent)
CJK = ["涼宮ハルヒ", "박신혜", "诸葛亮"]


def with_text(window: LabelerWindow) -> list[QWidget]:
    """What carries words, is shown and can be used."""
    found = [
        widget
        for widget in window.findChildren(QWidget)
        if isinstance(widget, QLabel | QAbstractButton)
        and widget.isVisible()
        and widget.isEnabled()
        and widget.text().strip()
        and not widget.visibleRegion().isEmpty()
    ]
    assert len(found) > 3
    return found


@pytest.mark.parametrize("colours", list(PALETTES))
def test_text_has_contrast(
    opened: Opened, few: FaceSet, application: QApplication, colours: str
) -> None:
    with palette_of(application, colours):
        window = opened(few.root, size=(1100, 700))
        checked: set[QWidget] = set()  # what all views share is looked at once
        for view in VIEW_NAMES:
            window.show_view(view)
            settle(window)
            until(window.view.settled)
            for widget in set(with_text(window)) - checked:
                assert text_contrast(seen(widget)) >= 4.5, (view, widget)
                checked.add(widget)


@pytest.mark.parametrize("colours", list(PALETTES))
def test_rows_and_outlines_have_contrast(
    opened: Opened, few: FaceSet, application: QApplication, colours: str
) -> None:
    with palette_of(application, colours):
        person = Person(opened(few.root), few)
        settle(person.window)
        rail, view = person.window.class_panel.list, person.view.view
        for row in range(person.window.class_panel.model.rowCount()):
            port = rail.viewport()
            picture = port.grab(rail.visualRect(person.window.class_panel.model.index(row)))
            assert text_contrast(pixels(picture.toImage())) >= 4.5, row
        until(lambda: not person.window.thumbs.waiting)
        rect = view.visualRect(view.tiles.index(3)).adjusted(-6, -6, 6, 6)
        before = pixels(view.viewport().grab(rect).toImage())
        view.set_point(3)
        after = pixels(view.viewport().grab(rect).toImage())
        ring = after[(before != after).any(axis=2)]
        assert len(ring) > 200
        around = float(luminance(before[0, 0]))  # the ground between two tiles
        ratios = (np.maximum(luminance(ring), around) + 0.05) / (
            np.minimum(luminance(ring), around) + 0.05
        )
        assert np.percentile(ratios, 90) >= 3


def test_cjk_and_decomposed_names_survive(opened: Opened, few: FaceSet) -> None:
    composed, apart = "ガンダム", unicodedata.normalize("NFD", "ガンダム")
    assert composed != apart
    add_classes(few.root, CJK)
    person = Person(opened(few.root), few)
    settle(person.window)
    person.window.class_panel.named.emit(apart)
    settle(person.window)
    for row, name in enumerate([*CJK, composed]):
        person.send(row, name)
    settle(person.window)
    found = [name for name in labels(few.root).values() if name]
    assert found == [*CJK, composed]
    with Dataset.open(few.root) as dataset:
        assert [step.name for step in SortingSession(dataset).tiles.steps()][-4:] == [
            f"1 face to {name}" for name in (*CJK, composed)
        ]
    spoken = person.window.class_panel.model
    rows = [spoken.row(n) for n in range(spoken.rowCount())]
    assert composed in [row.name for row in rows if row]


SCALE_CODE = """
import json, sys
from person import settle, until
from pathlib import Path
from labeler.qt.app import make_application
from labeler.qt.grid.drag import drag_picture
from labeler.qt.window import LabelerWindow
from PySide6.QtWidgets import QAbstractButton, QLabel
application = make_application()
window = LabelerWindow(Path(sys.argv[1])); window.resize(1440, 900); window.show(); settle(window)
until(lambda: not window.thumbs.waiting)
view = window.view.view; view.viewport().repaint()
clipped = [w.text() for kind in (QAbstractButton, QLabel) for w in window.findChildren(kind)
           if w.isVisible() and w.text() and not (isinstance(w, QLabel) and w.wordWrap())
           and w.minimumSizeHint().width() > w.width() + 1]
print(json.dumps({
    "ratio": window.devicePixelRatioF(), "grab": view.grab().devicePixelRatio(),
    "drag": drag_picture(view, [0, 1]).devicePixelRatio(), "side": view.side,
    "sides": sorted({name[2] for name in window.thumbs._kept if name[0] == view.tiles.tile(0).key}),
    "clipped": clipped,
    "row": window.class_panel.list.visualRect(window.class_panel.model.index(0)).height(),
}))
window.close()
"""


@pytest.mark.parametrize(
    "factor",
    ["2", *(pytest.param(factor, marks=pytest.mark.long) for factor in ("1", "1.25", "1.5", "3"))],
)
def test_high_dpi_is_sharp_and_whole(few: FaceSet, factor: str) -> None:
    env = {
        **os.environ,
        "QT_SCALE_FACTOR": factor,
        "PYTHONPATH": PATHS,
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_CONFIG_HOME": str(few.root / "ini"),
    }
    ran = subprocess.run(
        [sys.executable, "-c", SCALE_CODE, few.root],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    ratio = float(factor)
    assert (found["ratio"], found["grab"], found["drag"]) == (ratio, ratio, ratio)
    assert max(found["sides"]) >= min(found["side"] * ratio, 512)
    assert found["clipped"] == []
    assert found["row"] >= 48


@pytest.mark.slow
def test_no_tile_moves_in_a_thousand_updates(opened: Opened, few: FaceSet) -> None:
    person = Person(opened(few.root), few)
    settle(person.window)
    view, worker = person.view.view, person.window.worker
    view.verticalScrollBar().setValue(60)

    def places() -> list[object]:
        bar = view.verticalScrollBar()
        rects = [view.visualRect(view.tiles.index(n)).getRect() for n in range(60)]
        return [rects, bar.value(), view.side]

    before, keys, came = places(), list(person.truth), []
    worker.progressed.connect(came.append)
    with Dataset.open(few.root) as dataset:
        other = SortingSession(dataset)
        for number in range(1000):
            if number % 5 == 0:
                other.file(ids_of(other, [keys[number // 5 % 60]]), few.names[number // 300])
            person.window.thumbs.ready.emit(keys[number % 60])
            worker.progressed.emit(worker.last)
            if number % 10 == 0:
                QApplication.processEvents()
                assert places() == before
    settle(person.window)
    assert places() == before
    assert len(came) >= 1000
