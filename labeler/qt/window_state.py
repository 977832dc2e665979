"""What a window remembers from one time to the next: its place, its view, where it was in it."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSettings, QSize
from PySide6.QtWidgets import QMainWindow, QSplitter

from labeler.qt.preferences import dataset_key
from labeler.qt.views.sorting import SortingView

FRAME = 40
"""Pixels of height that a title bar takes, which is not known before a window is shown."""


class WindowState:
    """The state of the windows of one dataset; size and splitters are shared by all datasets."""

    def __init__(self, root: Path) -> None:
        self._kept = QSettings()
        self._dataset = dataset_key(root)

    def view(self) -> str:
        """Return the name of the view that was shown last on this dataset."""
        return str(self._kept.value(f"{self._dataset}/view", "sorting"))

    def learns(self) -> bool:
        """Return whether windows learn from what is sorted: of every dataset, and by default."""
        return bool(int(str(self._kept.value("learns", 1))))

    def keep_learns(self, on: bool) -> None:
        """Remember whether windows learn from what is sorted."""
        self._kept.setValue("learns", int(on))

    def first_word_of_learning(self) -> bool:
        """Return whether it was never said what learning needs; from here on it was."""
        first = self._kept.value("told_of_learning") is None
        self._kept.setValue("told_of_learning", 1)
        return first

    def restore(self, window: QMainWindow, split: QSplitter) -> None:
        """Put the window and its splitters where they were; at first, within the screen."""
        room = window.screen().availableGeometry().size() - QSize(0, FRAME)
        window.resize(window.size().boundedTo(room))
        for name, put in (("window", window.restoreGeometry), ("split", split.restoreState)):
            if (state := self._kept.value(name)) is not None:
                put(state)

    def restore_grid(self, view: SortingView) -> None:
        """Restore the size of tiles, the place of the class list, and how far it was scrolled."""
        view.view.set_side(int(str(self._kept.value("side", view.view.side))))
        view.place = str(self._kept.value(f"{self._dataset}/place", view.place))
        view.scrolled = int(str(self._kept.value(f"{self._dataset}/scrolled", 0)))

    def keep(
        self, window: QMainWindow, split: QSplitter, view: str, grid: SortingView | None
    ) -> None:
        """Remember all of that; `grid` is None where it was not shown."""
        self._kept.setValue("window", window.saveGeometry())
        self._kept.setValue("split", split.saveState())
        self._kept.setValue(f"{self._dataset}/view", view)
        if grid is not None:
            self._kept.setValue("side", grid.view.side)
            self._kept.setValue(f"{self._dataset}/place", grid.place)
            self._kept.setValue(f"{self._dataset}/scrolled", grid.view.verticalScrollBar().value())
