"""The statistics view: counts of each class; split and export as commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied
from person import OpenWindow, wait_until
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QProgressBar

from labeler.qt.file_import import ImportBar
from labeler.qt.views.statistics import BAR, StatisticsView
from labeler.qt.window import LabelerWindow


def column_numbers(view: StatisticsView, number: int) -> list[int]:
    items = [view.table.topLevelItem(row) for row in range(view.table.topLevelItemCount())]
    return [int(item.text(number) or 0) for item in items]


def run(window: LabelerWindow, button: QAbstractButton) -> str:
    """Press a button; return the result in the bar below."""
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    wait_until(lambda: not window.imports.running)
    return window.findChildren(ImportBar)[0].text.text()


@pytest.mark.slow
def test_dataset_is_split_and_exported(
    labelled: FaceSet, open_window: OpenWindow, tmp_path: Path
) -> None:
    root = copied(labelled, tmp_path / "d", named=False).root
    window = open_window(root, "statistics", (1000, 640))
    view = window.view
    assert isinstance(view, StatisticsView)
    wait_until(lambda: view.table.topLevelItemCount() > 0)
    counts = column_numbers(view, 1)
    assert sum(counts) == 60
    bar = view.table.itemWidget(view.table.topLevelItem(0), BAR).findChild(QProgressBar)
    assert bar is not None
    assert (bar.value(), bar.maximum()) == (counts[0], max(counts))
    assert view.title.text() == "No split yet"
    assert run(window, view.split_button) == "Finished"
    wait_until(lambda: view.title.text().startswith("train : val : test = "))
    splits = [column_numbers(view, number) for number in (3, 4, 5)]
    assert [sum(row) for row in zip(*splits, strict=True)] == counts
    assert all(map(sum, splits))
    assert run(window, view.export_button) == "Finished  ·  60 images exported"
    assert len(list((root / "exports" / "imagefolder").rglob("*.jpg"))) == 60
