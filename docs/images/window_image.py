"""Images of the labelling window, rendered without a display."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from PySide6.QtWidgets import QApplication

sys.path.append(str(Path(__file__).parents[2] / "tests" / "labeler"))

from settled import is_settled

from labeler.qt.app import make_application
from labeler.qt.grid.tile_view import TileView
from labeler.qt.theme import show_theme
from labeler.qt.translations import install
from labeler.qt.window import LabelerWindow

SIZE = (1440, 900)
MAX_SETTLE_SECONDS = 60.0
HOVER_SETTLE_SECONDS = 3.0
SETTLED_ROUNDS = 15


def save_window_image(
    root: Path, view: str, file: Path, language: str, theme: str
) -> None:
    """Open a dataset in a view of the window, and write an image of it."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # Warnings about what that platform cannot do are irrelevant here.
    os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
    application = make_application()
    show_theme(theme)
    install(application, language)
    window = LabelerWindow(root, view)
    try:
        window.resize(*SIZE)
        window.show()
        render_window(application, window, file)
    finally:
        window.shut_down()
        window.deleteLater()


def render_window(application: QApplication, window: LabelerWindow, file: Path) -> None:
    """Wait until the view is settled, and write a PNG file."""
    _wait_until_settled(application, window, MAX_SETTLE_SECONDS)
    for grid in window.view.findChildren(TileView):
        if grid.isVisible() and grid.tiles.rowCount():
            grid.set_point(0)  # otherwise the details panel is empty
            break
    _wait_until_settled(application, window, HOVER_SETTLE_SECONDS)
    window.grab().save(str(file), "PNG")


def _wait_until_settled(
    application: QApplication, window: LabelerWindow, timeout: float
) -> None:
    end = time.monotonic() + timeout
    rounds = 0
    while time.monotonic() < end and rounds < SETTLED_ROUNDS:
        application.processEvents()
        rounds = rounds + 1 if is_settled(window.view) else 0
        time.sleep(0.02)
