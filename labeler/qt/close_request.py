"""Closing a window: not before everything is saved, unless it is given up."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer
from PySide6.QtWidgets import QWidget

from labeler.qt.session_worker import SessionWorker

SAVE_SECONDS = 0.5
"""So long closing waits for the disk before it says why the window stays."""

RETRY_MS = 100


class CloseRequest(QObject):
    """Asked once, the window closes as soon as it may; asked again, it gives up what is not saved.

    Bad news meanwhile, a decision that is refused or an export that fails, keep it open: a person
    has to see that. `flush` hands over what is not saved yet.
    """

    def __init__(self, window: QWidget, worker: SessionWorker, flush: Callable[[], object]) -> None:
        super().__init__(window)
        self._window, self._worker, self._flush = window, worker, flush
        self._bad = 0
        self._timer = QTimer(self)
        self._timer.setInterval(RETRY_MS)
        self._timer.timeout.connect(self._try_again)
        worker.said.connect(self._said)

    def may_close(self) -> bool:
        """Return whether the window may close now; otherwise it is said why not."""
        if self._timer.isActive():
            return True
        before = self._bad
        self._flush()
        self._worker.settle(SAVE_SECONDS)
        if self._bad > before:
            return False
        why = self._worker.under_way()
        if why:
            text = self.tr("Wait: {why}. The window closes after that; close it again to give up")
            self._worker.say(text.format(why=why), bad=True)
            self._timer.start()
        return not why

    def _try_again(self) -> None:
        """Close where nothing is under way any more."""
        if not self._worker.under_way():
            self._window.close()

    def _said(self, text: str, bad: bool) -> None:
        self._bad += bad
        if bad:
            self._timer.stop()
