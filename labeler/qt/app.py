"""Open the window, or render it into an image file."""

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

from gleanset.errors import DatasetBusy, MissingComponent, NotWritable
from gleanset.platform import has_display
from labeler.qt.theme import show_theme
from labeler.qt.translations import install

if TYPE_CHECKING:
    from labeler.qt.window import LabelerWindow


SIGNAL_POLL_MS = 250


class CtrlC(QObject):
    """Closes all windows on Ctrl-C as their close button does."""

    def __init__(self, application: QApplication) -> None:
        super().__init__(application)
        self.pressed = False
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.default_int_handler:
            # A script that ignores it continues to ignore it.
            return
        signal.signal(signal.SIGINT, self._press)
        # Qt waits for events outside of Python, which runs signal handlers only in between.
        self._poll = QTimer(self)
        self._poll.timeout.connect(lambda: None)
        self._poll.start(SIGNAL_POLL_MS)

    def release(self) -> None:
        """Let Ctrl-C raise `KeyboardInterrupt` again."""
        if signal.getsignal(signal.SIGINT) == self._press:
            signal.signal(signal.SIGINT, self._before)

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        self.pressed = True
        # Later: the handler interrupts arbitrary code.
        QTimer.singleShot(0, self, QApplication.closeAllWindows)


SIZE = (1440, 900)
THREAD_SWITCH_SECONDS = 0.0005
"""A tenth of Python's default, so that computing threads do not delay the window's thread."""

MAX_SETTLE_SECONDS = 60.0
HOVER_SETTLE_SECONDS = 3.0
SETTLED_ROUNDS = 15


def needs_display() -> None:
    """Raise `MissingComponent` if there is no display: Qt itself would abort."""
    if not has_display():
        raise MissingComponent(
            "no display to open a window on",
            "log in to a desktop, use ssh -X, or run it in a virtual display: xvfb-run -a labeler",
        )


def open_window(
    root: Path,
    view: str | None = None,
    language: str | None = None,
    *,
    theme: str | None = None,
    size: tuple[int, int] | None = None,
) -> int:
    """Show the window until it is closed; return the exit code.

    `view` is by default the last one. Without a dataset, the window offers to create one. Raises
    `KeyboardInterrupt` if Ctrl-C closed it, after saving everything.
    """
    needs_display()
    application = make_application()
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
            "open the window again and repeat them",
        )
    if ctrl_c.pressed:
        raise KeyboardInterrupt
    return code


def save_screenshot(
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
    # Warnings about what that platform cannot do are irrelevant here.
    os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
    application = make_application()
    if theme is not None:
        show_theme(theme)
    install(application, language)
    from labeler.qt.window import LabelerWindow

    window = LabelerWindow(root, view)
    try:
        window.resize(*(size or SIZE))
        window.show()
        return render_window(application, window, file, MAX_SETTLE_SECONDS)
    finally:
        window.shut_down()
        window.deleteLater()


def render_window(
    application: QApplication, window: LabelerWindow, file: Path, timeout: float
) -> dict[str, object]:
    """Wait until the view is settled, at most `timeout` seconds, and write a PNG file."""
    _wait_until_settled(application, window, timeout)
    _point_at_first_tile(window)
    _wait_until_settled(application, window, HOVER_SETTLE_SECONDS)
    image = window.grab()
    if not image.save(str(file), "PNG"):
        raise NotWritable(f"cannot write {file}", "choose another file")
    return {"written": str(file), "width": image.width(), "height": image.height()}


def _wait_until_settled(application: QApplication, window: LabelerWindow, timeout: float) -> None:
    end, rounds = time.monotonic() + timeout, 0
    while time.monotonic() < end and rounds < SETTLED_ROUNDS:
        application.processEvents()
        rounds = rounds + 1 if window.view.is_settled() else 0
        time.sleep(0.02)


def _point_at_first_tile(window: LabelerWindow) -> None:
    # Otherwise the details panel is empty.
    from labeler.qt.grid.tile_view import TileView

    for grid in window.view.findChildren(TileView):
        if grid.isVisible() and grid.tiles.rowCount():
            grid.set_point(0)
            return


def make_application() -> QApplication:
    """Return the `QApplication` of the process, made if there is none."""
    existing = QApplication.instance()
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    application = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    application.setOrganizationName("gleanset")
    application.setApplicationName("labeler")
    return application
