"""Pictures of the window for the docs: taken when everything that is to be seen is there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QApplication

from gleanset.errors import NotWritable
from labeler.qt.tile_view import TileView

if TYPE_CHECKING:
    from labeler.qt.window import Window


POINT_SECONDS = 3.0
REST = 15


def picture_of(
    application: QApplication, window: Window, file: Path, seconds: float
) -> dict[str, object]:
    """Wait until the view has settled, at most so long, and write a PNG."""
    _wait(application, window, time.monotonic() + seconds)
    _point_at_first(window)
    _wait(application, window, time.monotonic() + POINT_SECONDS)
    picture = window.grab()
    if not picture.save(str(file), "PNG"):
        raise NotWritable(f"cannot write {file}", "name another file")
    return {"written": str(file), "width": picture.width(), "height": picture.height()}


def _wait(application: QApplication, window: Window, end: float) -> None:
    """Until the view has been at rest for a while."""
    still = 0
    while time.monotonic() < end and still < REST:
        application.processEvents()
        still = still + 1 if window.view.settled() else 0
        time.sleep(0.02)


def _point_at_first(window: Window) -> None:
    """Where there is a grid: the look panel is empty while nothing is pointed at."""
    for grid in window.view.findChildren(TileView):
        if grid.isVisible() and grid.tiles.rowCount():
            grid.set_point(0)
            return
