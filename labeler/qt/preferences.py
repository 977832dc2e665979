"""What a person prefers, kept from one time to the next: language, colours, datasets, windows."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path

from PySide6.QtCore import QSettings, QSize
from PySide6.QtWidgets import QMainWindow, QSplitter

from labeler.qt.views.sorting import SortingView

MOST_RECENT = 12


class Theme(StrEnum):
    """Which colours windows have; `DESKTOP`: those of the desktop."""

    DESKTOP = ""
    LIGHT = "light"
    DARK = "dark"


def dataset_key(root: Path) -> str:
    """Return the key of a dataset's own settings: what stands in a path could not be one."""
    path = str(root.absolute()).encode("utf-8", "backslashreplace")
    return hashlib.sha256(path).hexdigest()[:16]


class Preferences:
    """Those of all windows of this person; read anew each time, for another window may write."""

    def __init__(self) -> None:
        self._kept = QSettings()

    def language(self) -> str | None:
        """Return the language that was chosen; None for that of the desktop."""
        return str(self._kept.value("language", "")) or None

    def keep_language(self, language: str | None) -> None:
        """Remember a language; None for that of the desktop."""
        self._kept.setValue("language", language or "")

    def theme(self) -> Theme:
        """Return which colours were chosen."""
        kept = str(self._kept.value("theme", ""))
        return Theme(kept) if kept in list(Theme) else Theme.DESKTOP

    def keep_theme(self, theme: Theme) -> None:
        """Remember which colours were chosen."""
        self._kept.setValue("theme", str(theme))

    def recent(self) -> list[Path]:
        """Return the datasets that were opened, the last one first."""
        kept = self._kept.value("recent", [])
        # A list of one comes back as text.
        names = [kept] if isinstance(kept, str) else kept if isinstance(kept, list) else []
        return [Path(str(name)) for name in names if name]

    def note_opened(self, root: Path) -> None:
        """Remember that a dataset was opened."""
        here = root.absolute()
        others = [path for path in self.recent() if path != here]
        self._kept.setValue("recent", [str(path) for path in (here, *others)][:MOST_RECENT])


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
