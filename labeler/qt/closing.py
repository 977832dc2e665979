"""Closing the window: at once, or when everything is saved; nothing is lost without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from labeler.qt.window import Window

SAVE_SECONDS = 0.5
"""So long closing waits for the disk before it says why the window stays."""

LOOK_MS = 100


class Closing(QObject):
    """Asked once, the window closes as soon as it may; asked again, it gives up what is not saved.

    Bad news meanwhile, a decision that is refused or an export that fails, keep it open: a person
    has to see that.
    """

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._window = window
        self._bad = 0
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        window.desk.said.connect(self._said)

    def may_close(self) -> bool:
        """Whether the window may close now; otherwise it is said why not."""
        if self._timer.isActive():
            return True
        desk, before = self._window.desk, self._bad
        self._window.flush()
        desk.settle(SAVE_SECONDS)
        if self._bad > before:
            return False
        why = self._window.under_way()
        if why:
            text = self.tr("Wait: {why}. The window closes after that; close it again to give up")
            desk.say(text.format(why=why), bad=True)
            self._timer.start()
        return not why

    def _look(self) -> None:
        """Close where nothing is under way any more."""
        if not self._window.under_way():
            self._window.close()

    def _said(self, text: str, bad: bool) -> None:
        self._bad += bad
        if bad:
            self._timer.stop()
