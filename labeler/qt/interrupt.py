"""Ctrl-C in the terminal that the window was started from."""

from __future__ import annotations

import signal
import socket
from types import FrameType

from PySide6.QtCore import QObject, QSocketNotifier, QTimer
from PySide6.QtWidgets import QApplication


class CtrlC(QObject):
    """Closes the windows on Ctrl-C as their own button does; `pressed` tells whether it came.

    Qt waits for events outside of Python, which runs no handler of signals meanwhile: a socket
    that the system writes to as a signal arrives ends the wait.
    """

    def __init__(self, application: QApplication) -> None:
        super().__init__(application)
        self.pressed = False
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is not signal.default_int_handler:
            # A script that ignores it goes on ignoring it.
            return
        self._heard, self._told = socket.socketpair()
        self._told.setblocking(False)
        waker = QSocketNotifier(self._heard.fileno(), QSocketNotifier.Type.Read, self)
        waker.activated.connect(self._wake)
        signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, self._press)

    def release(self) -> None:
        """Let Ctrl-C raise `KeyboardInterrupt` again."""
        if signal.getsignal(signal.SIGINT) == self._press:
            signal.signal(signal.SIGINT, self._before)
            signal.set_wakeup_fd(-1)

    def _wake(self) -> None:
        self._heard.recv(1)

    def _press(self, _number: int, _frame: FrameType | None) -> None:
        self.pressed = True
        # Not in the midst of whatever was interrupted.
        QTimer.singleShot(0, self, QApplication.closeAllWindows)
