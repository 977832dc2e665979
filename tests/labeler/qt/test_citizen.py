"""A good desktop citizen: screen readers, sizes, colours, broken pictures, the command line."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawn_faces import FaceSet
from many_faces import copy_of_many
from person import Opened, Person, settle, until
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gleanset import Dataset
from labeler import cli_window
from labeler.qt.grid.drag import drag_picture
from labeler.qt.grid.tile_view import Select
from labeler.qt.views.registry import VIEWS
from labeler.qt.window import LabelerWindow

ROOT = Path(__file__).parents[3]
Cli = Callable[..., Any]


def test_states_can_be_told_apart_in_grey(opened: Opened, few: FaceSet) -> None:
    person = Person(opened(few.root), few)
    settle(person.window)
    until(lambda: not person.window.thumbs.waiting)
    view = person.view.view

    def tile() -> list[int]:
        rect = view.visualRect(view.tiles.index(0))
        picture = view.viewport().grab(rect).toImage()
        return [
            picture.pixelColor(x, y).lightness() for x in range(0, 90, 3) for y in range(0, 90, 3)
        ]

    from labeler.qt.grid.model import UNMARKED, TileMark, TileState

    seen = []
    for state in (UNMARKED, TileState(TileMark.LIFTED), TileState(TileMark.SENT, "3")):
        person.view.model.set_state([0], state)
        QApplication.processEvents()
        seen.append(tile())
    for a in range(3):
        for b in range(a):
            apart = sum(abs(x - y) for x, y in zip(seen[a], seen[b], strict=True)) / len(seen[a])
            assert apart > 8, (a, b, apart)


@pytest.mark.damages("takes a file away and spoils one")
def test_a_picture_that_is_gone_or_broken_says_why(opened: Opened, few: FaceSet) -> None:
    with Dataset.open(few.root) as dataset:
        first, second = [s for s, _ in zip(dataset.samples.each(), range(2), strict=False)]
        for sample, data in ((first, None), (second, b"\x89PNG\r\n\x1a\n broken")):
            dataset.crop_path(sample.key).unlink()
            path = dataset.image_path(sample.image, "PNG")
            path.unlink() if data is None else path.write_bytes(data)
    person = Person(opened(few.root), few)
    settle(person.window)
    until(lambda: not person.window.thumbs.waiting)
    QApplication.processEvents()
    shown = [getattr(person.view.view.appearance(row).picture, "reason", "") for row in (0, 1, 2)]
    assert shown == ["file is gone", "damaged", ""]
    person.send(0, "rei")
    person.window.close()


@pytest.mark.slow
def test_of_very_many_only_what_is_seen_is_asked_for_and_a_drag_is_quick(
    opened: Opened,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    application: QApplication,
) -> None:
    """5,000 samples: what is painted is asked for, and what is near it; the loop stays free."""
    copy_of_many(tmp_path_factory, 5_000, tmp_path / "many")
    gaps: list[float] = []
    window = opened(tmp_path / "many")
    settle(window)
    view = window.view.view  # type: ignore[attr-defined]
    assert view.tiles.rowCount() == 5_000
    assert len(view.tiles._tiles) <= 3 * 256
    bar = view.verticalScrollBar()

    def timed(act: Callable[[], object]) -> None:
        start = time.thread_time()
        act()
        application.processEvents()
        gaps.append(time.thread_time() - start)

    for part in range(10):
        timed(lambda part=part: bar.setValue(bar.maximum() * part // 9))  # type: ignore[misc]
    timed(view.selectAll)
    rows = view.selected_rows()
    assert len(rows) == 5_000
    drag_picture(view, rows[:3])  # fonts are loaded
    start = time.thread_time()
    assert not drag_picture(view, rows).isNull()
    assert time.thread_time() - start < 0.05
    view.select_ranges([(0, 499)], Select.ClearAndSelect)
    window.worker.decide(lambda session: session.add_class("a"))
    settle(window)
    timed(lambda: QTest.keyClick(view, "1"))
    settle(window)
    assert max(gaps) < 0.5, gaps
    assert len(view.tiles._tiles) <= 8000 + 256


@pytest.mark.posix("every desktop has a display")
def test_no_display_says_how(run_cli: Cli, few: FaceSet) -> None:
    ran = run_cli("labeler.cli", "-d", few.root, QT_QPA_PLATFORM="", DISPLAY="", WAYLAND_DISPLAY="")
    assert ran.code == 6
    assert "xvfb-run" in ran.stderr


def test_a_folder_gets_pictures_of_every_view_in_both_themes(tmp_path: Path) -> None:
    wishes = cli_window.WindowWishes(screenshot=tmp_path)
    files = [file.name for _, _, file in wishes.pictures()]
    assert len(set(files)) == 2 * len(VIEWS)
    assert {"sorting-light.png", "numbers-dark.png"} <= set(files)
    one = wishes._replace(view="crop", theme="dark").pictures()
    assert one == [("crop", "dark", tmp_path / "crop-dark.png")]
    file = tmp_path / "new.png"
    assert wishes._replace(screenshot=file).pictures() == [("sorting", None, file)]


def test_a_closed_window_leaves_nothing_behind(application: QApplication, few: FaceSet) -> None:
    def opened_and_closed() -> weakref.ref[LabelerWindow]:
        window = LabelerWindow(few.root, "pages")
        window.show()
        settle(window)
        window.close()
        window.deleteLater()
        return weakref.ref(window)

    gone = opened_and_closed()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    application.processEvents()
    gc.collect()
    assert gone() is None
    assert [
        thread.name
        for thread in threading.enumerate()
        if thread.name in ("session-worker", "background", "thumbs-0")
    ] == []


def test_a_window_is_there_before_what_reads_pictures_is_loaded() -> None:
    code = "import sys, labeler.qt.window; print(*{'numpy', 'PIL', 'cv2'} & set(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == []


def test_the_key_sheet_goes_at_any_key_and_the_view_stays(opened: Opened, few: FaceSet) -> None:
    window = opened(few.root, "sorting")
    settle(window)
    for key in (Qt.Key.Key_X, Qt.Key.Key_F3, Qt.Key.Key_F1):
        window.sheet.toggle()
        assert window.sheet.isVisible()
        QTest.keyClick(window.windowHandle(), key)
        settle(window)
        assert not window.sheet.isVisible()
        assert window.shown_name == "sorting"
