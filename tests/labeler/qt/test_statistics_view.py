"""The statistics view: counts, previewed splits, exports that can be cancelled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied
from person import OpenWindow, settle, wait_until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from gleanset import Dataset
from labeler.duplicates.finder import DuplicateFinder
from labeler.qt.views.statistics import BAR, SHARE_ROLE, StatisticsView
from labeler.qt.window import LabelerWindow
from labeler.splits.plan import apply_split, plan_split

Button = Qt.MouseButton


@pytest.fixture(scope="module")
def split(labelled: FaceSet, tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """Label and split all faces; read-only."""
    faces = copied(labelled, tmp_path_factory.mktemp("split") / "d", named=False)
    with Dataset.open(faces.root) as dataset:
        apply_split(dataset, plan_split(dataset, dataset.settings.split))
    return faces


def open_statistics(open_window: OpenWindow, faces: FaceSet, to: Path) -> StatisticsView:
    window = open_window(copied(faces, to, named=False).root, "statistics")
    view = window.view
    assert isinstance(view, StatisticsView)
    wait_until(lambda: view.table.topLevelItemCount() > 0)
    return view


@pytest.fixture
def view(labelled: FaceSet, open_window: OpenWindow, tmp_path: Path) -> StatisticsView:
    return open_statistics(open_window, labelled, tmp_path / "d")


@pytest.fixture
def split_view(split: FaceSet, open_window: OpenWindow, tmp_path: Path) -> StatisticsView:
    return open_statistics(open_window, split, tmp_path / "d")


def window_of(view: StatisticsView) -> LabelerWindow:
    window = view.window()
    assert isinstance(window, LabelerWindow)
    return window


def column_texts(view: StatisticsView, number: int) -> list[str]:
    rows = range(view.table.topLevelItemCount())
    return [view.table.topLevelItem(row).text(number) for row in rows]


def sample_splits(view: StatisticsView) -> set[str | None]:
    with Dataset.open(view.worker.root) as dataset:
        return {sample.split for sample in dataset.samples.iterate()}


def preview_split(view: StatisticsView) -> None:
    QTest.mouseClick(view.plan_button, Button.LeftButton)
    wait_until(lambda: not view._splitting.busy, 180)
    settle(window_of(view))


def test_table_counts_each_class(view: StatisticsView) -> None:
    counts = [int(text) for text in column_texts(view, 1)]
    assert sum(counts) == 60
    least = counts.index(min(counts))
    share = view.table.topLevelItem(least).data(BAR, SHARE_ROLE)
    assert share == pytest.approx(min(counts) / max(counts))


def test_split_is_previewed_before_saving(
    view: StatisticsView, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[DuplicateFinder] = []
    monkeypatch.setattr(DuplicateFinder, "search_labelled", lambda finder: searches.append(finder))
    assert "No split yet" in view.split_text.text()
    assert "nothing to export" in export(view)
    preview_split(view)
    assert "groups are kept together" in view.split_text.text()
    shown = [[int(text) for text in column_texts(view, number)] for number in (3, 4, 5)]
    assert sum(map(sum, shown)) == 60
    assert sample_splits(view) == {None}
    QTest.mouseClick(view.apply_button, Button.LeftButton)
    wait_until(lambda: not view._splitting.busy)
    settle(window_of(view))
    assert sample_splits(view) == {"train", "val", "test"}
    assert len(searches) == 2
    assert [[int(text) for text in column_texts(view, number)] for number in (3, 4, 5)] == shown


def export(view: StatisticsView, size: str = "", kind: str = "imagefolder") -> str:
    """Export with real events; return the result text."""
    box = view.export_box
    box.format.setCurrentText(kind)
    box.size_text.setText(size)
    QTest.mouseClick(box.start_button, Button.LeftButton)
    wait_until(lambda: not box.working.busy)
    settle(window_of(view))
    return box.result.text()


def test_window_exports_dataset(split_view: StatisticsView) -> None:
    view, exports = split_view, split_view.worker.root / "exports"
    assert "is not a size" in export(view, "nonsense")
    assert "60 images exported" in export(view, "32x32")
    assert len(list((exports / "imagefolder").rglob("*.jpg"))) == 60
    assert view.export_box.start_button.isVisible()
    assert "keeps image sizes" in export(view, "32x32", "yolo-detect")
    export(view, "", "yolo-detect")
    assert (exports / "yolo-detect" / "data.yaml").is_file()


@pytest.mark.damages
def test_unreadable_image_is_counted(split_view: StatisticsView) -> None:
    root, message = split_view.worker.root, list[str]()
    split_view.worker.message.connect(lambda text, bad: message.append(text))
    next((root / "images").rglob("*.*")).unlink()
    shutil.rmtree(root / "crops", ignore_errors=True)
    export(split_view, "32x32")
    assert message[-1] == "1 image could not be read"


def test_cancelled_export_leaves_no_files(split_view: StatisticsView) -> None:
    """Neither does an export that a second close aborts."""
    box, window = split_view.export_box, window_of(split_view)
    QTest.mouseClick(box.start_button, Button.LeftButton)
    assert box.cancel_button.isVisible()
    QTest.mouseClick(box.cancel_button, Button.LeftButton)
    wait_until(lambda: not box.working.busy)
    assert "cancelled" in box.result.text()
    box.start()
    assert not window.close()
    assert window.close()
    assert box.working._thread is not None
    assert not box.working._thread.is_alive()
    assert not any(path.is_dir() for path in Path(window.worker.root / "exports").glob("*"))
