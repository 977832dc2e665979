"""Opens the window, or takes a picture of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from PySide6.QtWidgets import QApplication

from gleanset.errors import DatasetBusy, MissingComponent, UsageError
from labeler.qt.font_warning import FontWarning
from labeler.qt.translations import install

SIZE = (1440, 900)
SETTLE_SECONDS = 60.0


def needs_display() -> None:
    """Raise `MissingComponent` where a window could not be shown: Qt itself would abort."""
    elsewhere = sys.platform in ("win32", "darwin") or os.environ.get("QT_QPA_PLATFORM")
    if not elsewhere and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise MissingComponent(
            "there is no display to open a window on",
            "log in to a desktop, use ssh -X, or run it in a virtual one: xvfb-run -a labeler",
        )


def open_window(root: Path, view: str | None = None, language: str | None = None) -> int:
    """Show the window until it is closed; the exit code. By default the view of the last time."""
    needs_display()
    application = _application()
    shown = install(application, language)
    from labeler.qt.window import Window

    window = Window(root, view)
    FontWarning(window.desk, shown, window)
    window.show()
    try:
        code = application.exec()
    finally:
        window.shut_down()
    if window.desk.lost:
        raise DatasetBusy(
            f"{window.desk.lost} decisions could not be saved to {root} and are lost",
            "open the window again: the faces they were about stand as before",
        )
    return code


def take_picture(
    root: Path, view: str, file: Path, language: str | None = None
) -> dict[str, object]:
    """Render a view without a display into a PNG file."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # What that platform cannot do is nothing to a picture.
    os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
    application = _application()
    install(application, language)
    from labeler.qt.pictures import picture_of
    from labeler.qt.views import VIEWS, view_named
    from labeler.qt.window import Window

    if view_named(view) is None:
        raise UsageError(
            f"there is no view {view!r}", f"choose one of {', '.join(kind.name for kind in VIEWS)}"
        )
    window = Window(root, view)
    try:
        window.resize(*SIZE)
        window.show()
        return picture_of(application, window, file, SETTLE_SECONDS)
    finally:
        window.shut_down()


def _application() -> QApplication:
    there = QApplication.instance()
    made = there if isinstance(there, QApplication) else QApplication(sys.argv[:1])
    made.setOrganizationName("gleanset")
    made.setApplicationName("labeler")
    return made
