"""Ctrl-C in the terminal that the window was started from."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from PySide6.QtCore import QObject, QSocketNotifier, QTimer
from PySide6.QtWidgets import QApplication


class CtrlC(QObject):
    """Closes the windows on Ctrl-C as their own button does; `pressed` tells whether it came.

    Qt waits for events outside of Python, which runs no handler of signals meanwhile: a pipe that
    is written to as a signal arrives ends the wait. Windows knows sockets alone for that; there
    Ctrl-C is heard with the next event.
    """

    def __init__(self, application: QApplication) -> None:
        super().__init__(application)
        self.pressed = False
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.default_int_handler:
            # A script that ignores it goes on ignoring it.
            return
        signal.signal(signal.SIGINT, self._press)
        if sys.platform != "win32":
            self._heard, told = os.pipe()
            os.set_blocking(told, False)
            waker = QSocketNotifier(self._heard, QSocketNotifier.Type.Read, self)
            waker.activated.connect(self._wake)
            signal.set_wakeup_fd(told, warn_on_full_buffer=False)

    def release(self) -> None:
        """Let Ctrl-C raise `KeyboardInterrupt` again."""
        if signal.getsignal(signal.SIGINT) == self._press:
            signal.signal(signal.SIGINT, self._before)
            if sys.platform != "win32":
                os.close(signal.set_wakeup_fd(-1))

    def _wake(self) -> None:
        os.read(self._heard, 1)

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        self.pressed = True
        # Not in the midst of whatever was interrupted.
        QTimer.singleShot(0, self, QApplication.closeAllWindows)
