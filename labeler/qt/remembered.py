"""What a window remembers from one time to the next: its place, its view, where it was in it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from PySide6.QtCore import QSettings, QSize

from labeler.qt.sorting_view import SortingView

if TYPE_CHECKING:
    from labeler.qt.window import Window

FRAME = 40
"""Pixels of height that a title bar takes, which is not known before a window is shown."""


def remembered_view(window: Window) -> str:
    """The view that was shown last on this dataset."""
    return str(QSettings().value(f"{_of(window)}/view", "sorting"))


def restore(window: Window) -> None:
    """Put the window, its splitters and the grid where they were; at first, within the screen."""
    room = window.screen().availableGeometry().size() - QSize(0, FRAME)
    window.resize(window.size().boundedTo(room))
    kept = QSettings()
    for name, put in (("window", window.restoreGeometry), ("split", window.split.restoreState)):
        if (state := kept.value(name)) is not None:
            put(state)


def restore_grid(window: Window, view: SortingView) -> None:
    """The size of tiles, the place of the rail, and how far it was scrolled."""
    kept = QSettings()
    view.view.set_side(int(str(kept.value("side", view.view.side))))
    view.place = str(kept.value(f"{_of(window)}/place", view.place))
    view.scrolled = int(str(kept.value(f"{_of(window)}/scrolled", 0)))


def remember(window: Window) -> None:
    """Keep all of that."""
    kept = QSettings()
    kept.setValue("window", window.saveGeometry())
    kept.setValue("split", window.split.saveState())
    kept.setValue(f"{_of(window)}/view", window.shown_name)
    grid = next((v for v in window.findChildren(SortingView) if type(v) is SortingView), None)
    if grid is not None:
        kept.setValue("side", grid.view.side)
        kept.setValue(f"{_of(window)}/place", grid.place)
        kept.setValue(f"{_of(window)}/scrolled", grid.view.verticalScrollBar().value())


def _of(window: Window) -> str:
    """A name for the dataset: settings must not hold paths that could not be keys."""
    path = str(window.desk.root.absolute())
    return hashlib.sha256(path.encode("utf-8", "backslashreplace")).hexdigest()[:16]
