"""Open the window."""

import signal
import sys
from pathlib import Path
from types import FrameType

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QApplication

from gleanset.errors import DatasetBusy, MissingComponent
from gleanset.platform import has_display

SIGNAL_POLL_MS = 250


class CtrlC(QObject):
    """Closes all windows on Ctrl-C as their close button does."""

    def __init__(self, application: QApplication):
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


THREAD_SWITCH_SECONDS = 0.0005
"""A tenth of Python's default, so that computing threads do not delay the window's thread."""


def needs_display() -> None:
    """Raise `MissingComponent` if there is no display: Qt itself would abort."""
    if not has_display():
        raise MissingComponent(
            "no display to open a window on",
            "use ssh -X or a virtual display, or label in a browser: labeler serve",
        )


def open_window(root: Path, view: str | None = None) -> None:
    """Show the window until it is closed.

    `view` is by default the last one. Without a dataset, the window offers to create one. Raises
    `KeyboardInterrupt` if Ctrl-C closed it, after saving everything.
    """
    needs_display()
    application = make_application()
    from labeler.qt.program import Program

    program = Program(application)
    ctrl_c = CtrlC(application)
    try:
        program.begin(root, view)
        application.exec()
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


def make_application() -> QApplication:
    """Return the `QApplication` of the process, made if there is none."""
    existing = QApplication.instance()
    # How long another thread may hold the interpreter while the window waits to draw.
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    application = (
        existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    )
    application.setOrganizationName("gleanset")
    application.setApplicationName("labeler")
    return application
