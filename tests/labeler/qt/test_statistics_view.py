"""The numbers view: counts, previewed splits, exports that can be cancelled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied
from person import Opened, settle, until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from sorting_model import by_id

from gleanset import Dataset
from labeler.duplicates.finder import DuplicateFinder
from labeler.qt.views.statistics import BAR, SHARE_ROLE, StatisticsView
from labeler.qt.window import LabelerWindow
from labeler.sorting.session import SortingSession
from labeler.splits.plan import apply_split, plan_split

Button = Qt.MouseButton


@pytest.fixture(scope="module")
def labelled(drawn_few: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """All faces with their class; copy it, do not change it."""
    faces = copied(drawn_few, tmp_path_factory.mktemp("labelled") / "d")
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        session.file_each(by_id(session, faces.truth), "all")
    return faces


@pytest.fixture(scope="module")
def split(labelled: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """The same with a split, ready to be exported."""
    faces = copied(labelled, tmp_path_factory.mktemp("split") / "d", named=False)
    with Dataset.open(faces.root) as dataset:
        DuplicateFinder(dataset, workers=1).search_labelled()
        apply_split(dataset, plan_split(dataset, dataset.settings.split))
    return faces


def shown(opened: Opened, faces: FaceSet, to: Path) -> StatisticsView:
    window = opened(copied(faces, to, named=False).root, "statistics")
    view = window.view
    assert isinstance(view, StatisticsView)
    until(lambda: view.table.topLevelItemCount() > 0)
    return view


@pytest.fixture
def view(labelled: FaceSet, opened: Opened, tmp_path: Path) -> StatisticsView:
    return shown(opened, labelled, tmp_path / "d")


@pytest.fixture
def split_view(split: FaceSet, opened: Opened, tmp_path: Path) -> StatisticsView:
    return shown(opened, split, tmp_path / "d")


def window_of(view: StatisticsView) -> LabelerWindow:
    window = view.window()
    assert isinstance(window, LabelerWindow)
    return window


def column(view: StatisticsView, number: int) -> list[str]:
    rows = range(view.table.topLevelItemCount())
    return [view.table.topLevelItem(row).text(number) for row in rows]


def splits(view: StatisticsView) -> set[str | None]:
    with Dataset.open(view.worker.root) as dataset:
        return {sample.split for sample in dataset.samples.iterate()}


def preview(view: StatisticsView) -> None:
    QTest.mouseClick(view.plan_button, Button.LeftButton)
    until(lambda: not view._splitting.busy, 180)
    settle(window_of(view))


def test_how_many_each_class_has(view: StatisticsView) -> None:
    counts = [int(text) for text in column(view, 1)]
    assert sum(counts) == 60
    least = counts.index(min(counts))
    share = view.table.topLevelItem(least).data(BAR, SHARE_ROLE)
    assert share == pytest.approx(min(counts) / max(counts))
    assert view.sorted.text() == "60 of 60 sorted"


def test_a_split_is_shown_before_it_is_kept(view: StatisticsView) -> None:
    assert "No split yet" in view.split_text.text()
    assert "nothing to export" in exported(view)
    preview(view)
    assert "groups are kept together" in view.split_text.text()
    shown = [[int(text) for text in column(view, number)] for number in (3, 4, 5)]
    assert sum(map(sum, shown)) == 60
    assert splits(view) == {None}
    QTest.mouseClick(view.apply_button, Button.LeftButton)
    until(lambda: not view._splitting.busy)
    settle(window_of(view))
    assert splits(view) == {"train", "val", "test"}
    assert [[int(text) for text in column(view, number)] for number in (3, 4, 5)] == shown


def exported(view: StatisticsView, size: str = "", kind: str = "imagefolder") -> str:
    """Export as a person would; return what is said of it."""
    box = view.export_box
    box.format.setCurrentText(kind)
    box.size_text.setText(size)
    QTest.mouseClick(box.start_button, Button.LeftButton)
    until(lambda: not box.working.busy)
    settle(window_of(view))
    return box.result.text()


def test_export_from_the_window(split_view: StatisticsView) -> None:
    view, exports = split_view, split_view.worker.root / "exports"
    assert "is not a size" in exported(view, "nonsense")
    assert "60 images exported" in exported(view, "32x32")
    assert len(list((exports / "imagefolder").rglob("*.jpg"))) == 60
    assert view.export_box.start_button.isVisible()
    assert "keeps image sizes" in exported(view, "32x32", "yolo-detect")
    exported(view, "", "yolo-detect")
    assert (exports / "yolo-detect" / "data.yaml").is_file()


@pytest.mark.damages
def test_one_picture_that_cannot_be_read_is_one(split_view: StatisticsView) -> None:
    root, message = split_view.worker.root, list[str]()
    split_view.worker.message.connect(lambda text, bad: message.append(text))
    next((root / "images").rglob("*.*")).unlink()
    shutil.rmtree(root / "crops", ignore_errors=True)
    exported(split_view, "32x32")
    assert message[-1] == "1 image could not be read"


def test_a_cancelled_export_leaves_nothing(split_view: StatisticsView) -> None:
    """Nor does one that closing the window twice gives up."""
    box, window = split_view.export_box, window_of(split_view)
    QTest.mouseClick(box.start_button, Button.LeftButton)
    assert box.cancel_button.isVisible()
    QTest.mouseClick(box.cancel_button, Button.LeftButton)
    until(lambda: not box.working.busy)
    assert "cancelled" in box.result.text()
    box.start()
    assert not window.close()
    assert window.close()
    assert box.working._thread is not None
    assert not box.working._thread.is_alive()
    assert not any(path.is_dir() for path in Path(window.worker.root / "exports").glob("*"))
