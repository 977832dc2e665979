"""Open the window, or render it into a picture."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QApplication

from gleanset.errors import DatasetBusy, MissingComponent, NotWritable, UsageError
from gleanset.platform import has_display
from labeler.qt.theme import show_theme
from labeler.qt.translations import install

if TYPE_CHECKING:
    from labeler.qt.window import LabelerWindow


HEARD_MS = 250
"""So long Ctrl-C waits at most to be heard: Qt waits for events outside of Python."""


class CtrlC(QObject):
    """Closes the windows on Ctrl-C as their own button does; `pressed` tells whether it came."""

    def __init__(self, application: QApplication) -> None:
        super().__init__(application)
        self.pressed = False
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.default_int_handler:
            # A script that ignores it goes on ignoring it.
            return
        signal.signal(signal.SIGINT, self._press)
        self._listen = QTimer(self)
        self._listen.timeout.connect(lambda: None)  # Python runs handlers of signals by the way
        self._listen.start(HEARD_MS)

    def release(self) -> None:
        """Let Ctrl-C raise `KeyboardInterrupt` again."""
        if signal.getsignal(signal.SIGINT) == self._press:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        self.pressed = True
        # Not in the midst of whatever was interrupted.
        QTimer.singleShot(0, self, QApplication.closeAllWindows)


SIZE = (1440, 900)
SWITCH_SECONDS = 0.0005
"""So long a thread that computes in Python may let the window's wait: by default ten times that."""

PICTURE_SETTLE_SECONDS = 60.0
POINT_SECONDS = 3.0
REST = 15


def needs_display() -> None:
    """Raise `MissingComponent` where a window could not be shown: Qt itself would abort."""
    if not has_display():
        raise MissingComponent(
            "there is no display to open a window on",
            "log in to a desktop, use ssh -X, or run it in a virtual one: xvfb-run -a labeler",
        )


def open_window(
    root: Path,
    view: str | None = None,
    language: str | None = None,
    *,
    theme: str | None = None,
    size: tuple[int, int] | None = None,
) -> int:
    """Show the window until it is closed; return the exit code. `view`: by default the last one.

    Where there is no dataset, it is a window that offers to make one. Raises `KeyboardInterrupt`
    where Ctrl-C closed it: everything is saved then.
    """
    needs_display()
    application = make_application()
    from labeler.qt.app import CtrlC
    from labeler.qt.program import Program

    program = Program(application, language, theme=theme, size=size)
    ctrl_c = CtrlC(application)
    try:
        program.begin(root, view)
        code = application.exec()
    finally:
        ctrl_c.release()
        lost = program.shut_down()
    if lost:
        raise DatasetBusy(
            f"{lost} decisions could not be saved to {root} and are lost",
            "open the window again: the faces they were about stand as before",
        )
    if ctrl_c.pressed:
        raise KeyboardInterrupt
    return code


def take_picture(
    root: Path,
    view: str,
    file: Path,
    language: str | None = None,
    *,
    theme: str | None = None,
    size: tuple[int, int] | None = None,
) -> dict[str, object]:
    """Render a view without a display into a PNG file; `size` is that of the window."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    # What that platform cannot do is nothing to a picture.
    os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
    application = make_application()
    if theme is not None:
        show_theme(theme)
    install(application, language)
    from labeler.qt.views.base import VIEWS, view_named
    from labeler.qt.window import LabelerWindow

    if view_named(view) is None:
        raise UsageError(
            f"there is no view {view!r}", f"choose one of {', '.join(kind.name for kind in VIEWS)}"
        )
    window = LabelerWindow(root, view)
    try:
        window.resize(*(size or SIZE))
        window.show()
        return picture_of(application, window, file, PICTURE_SETTLE_SECONDS)
    finally:
        window.shut_down()
        window.deleteLater()


def picture_of(
    application: QApplication, window: LabelerWindow, file: Path, seconds: float
) -> dict[str, object]:
    """Wait until the view has settled, at most so long, and write a PNG."""
    _wait(application, window, time.monotonic() + seconds)
    _point_at_first(window)
    _wait(application, window, time.monotonic() + POINT_SECONDS)
    picture = window.grab()
    if not picture.save(str(file), "PNG"):
        raise NotWritable(f"cannot write {file}", "name another file")
    return {"written": str(file), "width": picture.width(), "height": picture.height()}


def _wait(application: QApplication, window: LabelerWindow, end: float) -> None:
    still = 0
    while time.monotonic() < end and still < REST:
        application.processEvents()
        still = still + 1 if window.view.settled() else 0
        time.sleep(0.02)


def _point_at_first(window: LabelerWindow) -> None:
    """Point at a tile: the detail panel is empty while nothing is pointed at."""
    from labeler.qt.grid.tile_view import TileView

    for grid in window.view.findChildren(TileView):
        if grid.isVisible() and grid.tiles.rowCount():
            grid.set_point(0)
            return


def make_application() -> QApplication:
    """Return the program's one `QApplication`, made where there is none."""
    there = QApplication.instance()
    sys.setswitchinterval(SWITCH_SECONDS)
    made = there if isinstance(there, QApplication) else QApplication(sys.argv[:1])
    made.setOrganizationName("gleanset")
    made.setApplicationName("labeler")
    return made
