"""The numbers view: targets, splits that are only shown, exports with a way out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from drawn_faces import FaceSet
from person import Opened, settle, until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from sorting_book import by_id

from gleanset import Dataset
from gleanset.config import read_toml
from gleanset.settings import FILE, Settings
from labeler.qt.classes.table import PROGRESS, SHARE
from labeler.qt.views.numbers import NumbersView
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import SortingSession

Button = Qt.MouseButton


@pytest.fixture
def view(few: FaceSet, opened: Opened) -> NumbersView:
    with Dataset.open(few.root) as dataset:
        session = SortingSession(dataset)
        session.file_each(by_id(session, few.truth), "all")
        session.spend(120, 300)
    window = opened(few.root, "numbers")
    settle(window)
    shown = window.view
    assert isinstance(shown, NumbersView)
    until(lambda: shown.table.topLevelItemCount() > 0)
    return shown


def window_of(view: NumbersView) -> LabelerWindow:
    window = view.window()
    assert isinstance(window, LabelerWindow)
    return window


def column(view: NumbersView, number: int) -> list[str]:
    rows = range(view.table.topLevelItemCount())
    return [view.table.topLevelItem(row).text(number) for row in rows]


def splits(view: NumbersView) -> set[str | None]:
    with Dataset.open(view.worker.root) as dataset:
        return {sample.split for sample in dataset.samples.each()}


def preview(view: NumbersView) -> None:
    QTest.mouseClick(view.plan_button, Button.LeftButton)
    until(lambda: not view._splitting.busy)
    settle(window_of(view))


def test_progress_towards_a_target(view: NumbersView) -> None:
    counts = [int(text) for text in column(view, 1)]
    assert sum(counts) == 60
    view.target.setValue(max(counts))
    until(lambda: "done" in column(view, PROGRESS))
    assert read_toml(view.worker.root / FILE, Settings).target == max(counts)
    assert read_toml(view.worker.root / FILE, Settings).keys != {}
    least = counts.index(min(counts))
    assert column(view, PROGRESS)[least] == f"{max(counts) - min(counts)} to go"
    share = view.table.topLevelItem(least).data(PROGRESS, SHARE)
    assert share == pytest.approx(min(counts) / max(counts))


def test_gestures_and_time_are_counted(view: NumbersView) -> None:
    text = view.spent.text()
    assert "60 of 60 sorted" in text
    assert "120 gestures, 5 min" in text
    assert "2,000 gestures for 1,000 faces, 12 faces a minute" in text


def test_a_split_is_shown_before_it_is_kept(view: NumbersView) -> None:
    assert "Nothing is split yet" in view.split_text.text()
    preview(view)
    assert "moments stay whole" in view.split_text.text()
    shown = [[int(text) for text in column(view, number)] for number in (4, 5, 6)]
    assert sum(map(sum, shown)) == 60
    assert splits(view) == {None}
    QTest.mouseClick(view.keep_button, Button.LeftButton)
    until(lambda: not view._splitting.busy)
    settle(window_of(view))
    assert splits(view) == {"train", "val", "test"}
    assert [[int(text) for text in column(view, number)] for number in (4, 5, 6)] == shown


def test_export_from_the_window(view: NumbersView) -> None:
    box = view.export_box
    QTest.mouseClick(box.start_button, Button.LeftButton)
    until(lambda: not box.working.busy)
    assert "nothing to export" in box.result.text()
    preview(view)
    view.keep()
    until(lambda: not view._splitting.busy)
    box.size_text.setText("nonsense")
    box.start()
    assert "is not a size" in box.result.text()
    box.size_text.setText("32x32")
    QTest.mouseClick(box.start_button, Button.LeftButton)
    assert box.cancel_button.isVisible()
    until(lambda: not box.working.busy, 60)
    assert "60 pictures written" in box.result.text()
    folder = view.worker.root / "exports" / "imagefolder"
    assert len(list(folder.rglob("*.jpg"))) == 60
    assert box.start_button.isVisible()
    box.format.setCurrentText("yolo-detect")
    box.start()
    assert "keeps the sizes of its pictures" in box.result.text()
    box.size_text.clear()
    box.start()
    until(lambda: not box.working.busy, 60)
    assert (view.worker.root / "exports" / "yolo-detect" / "data.yaml").is_file()


@pytest.mark.damages
def test_one_picture_that_cannot_be_read_is_one(view: NumbersView) -> None:
    root, said = view.worker.root, list[str]()
    view.worker.message.connect(lambda text, bad: said.append(text))
    preview(view)
    view.keep()
    until(lambda: not view._splitting.busy)
    next((root / "images").rglob("*.*")).unlink()
    shutil.rmtree(root / "crops", ignore_errors=True)
    view.export_box.size_text.setText("32x32")
    view.export_box.start()
    until(lambda: not view.export_box.working.busy, 60)
    assert said[-1] == "1 picture cannot be read"


def test_a_cancelled_export_leaves_nothing(view: NumbersView) -> None:
    preview(view)
    view.keep()
    until(lambda: not view._splitting.busy)
    box = view.export_box
    box.start()
    box.working.cancel()
    until(lambda: not box.working.busy, 60)
    assert "cancelled" in box.result.text()
    assert not any(path.is_dir() for path in Path(view.worker.root / "exports").glob("*"))


def test_closing_twice_during_an_export_ends_it(view: NumbersView) -> None:
    preview(view)
    view.keep()
    until(lambda: not view._splitting.busy)
    box = view.export_box
    box.start()
    assert not window_of(view).close()
    assert window_of(view).close()
    assert box.working._thread is not None
    assert not box.working._thread.is_alive()


def test_the_look_panel_is_there_where_it_says_something(view: NumbersView) -> None:
    window = window_of(view)
    assert not window.details.isVisible()
    window.show_view("review")
    assert window.details.isVisible()
    QTest.keyClick(window.view, Qt.Key.Key_F9)
    assert not window.details.isVisible()
    window.show_view("crop")
    window.show_view("sorting")
    assert not window.details.isVisible()  # put away by hand, it stays away
    QTest.keyClick(window.view, Qt.Key.Key_F9)
    assert window.details.isVisible()
