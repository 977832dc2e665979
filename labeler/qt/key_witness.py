"""Says so in the status bar where a key press changed nothing: no key dies silently.

Views say themselves why a key did nothing, where they know more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import shiboken6
from PySide6.QtCore import QObject, QTimer
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QWidget,
)

from labeler.qt.grid.tile_view import TileView
from labeler.qt.session_worker import SessionWorker


def state_of(widget: QWidget | None) -> Hashable:
    """Return what a key may change in the widget that has the focus."""
    if isinstance(widget, QAbstractSpinBox):
        return widget.text(), state_of(widget.lineEdit())
    if isinstance(widget, QLineEdit):
        return widget.text(), widget.cursorPosition(), widget.selectedText()
    if isinstance(widget, QAbstractButton):
        return widget.isDown()
    if isinstance(widget, QComboBox):
        return widget.currentIndex()
    if isinstance(widget, QAbstractItemView) and not isinstance(widget, TileView):
        bar, now = widget.verticalScrollBar(), widget.currentIndex()
        return now.row(), now.column(), bar.value()
    return None


def who(widget: QWidget | None) -> int:
    """Return which widget it is: Python may make another object of the same one."""
    return int(shiboken6.getCppPointer(widget)[0]) if widget is not None else 0


class KeyWitness(QObject):
    """Compares what a window is before and after each key: `looks` tells, beside the focus."""

    def __init__(
        self, window: QWidget, worker: SessionWorker, looks: Callable[[], Hashable]
    ) -> None:
        super().__init__(window)
        self._window, self._worker, self._looks = window, worker, looks
        self._key = ""
        self._before: Hashable = None
        self._told = False
        worker.message.connect(self._said)

    def pressed(self, event: QKeyEvent) -> None:
        """Note how everything is: a key comes next."""
        self._check()
        self._key = key_name(event)
        self._told, self._before = False, self._state()
        QTimer.singleShot(0, self, self._check)

    def _said(self, text: str, bad: bool) -> None:
        self._told = True

    def _state(self) -> Hashable:
        focus = QApplication.focusWidget()
        popup = QApplication.activePopupWidget()
        return who(focus), state_of(focus), who(popup), self._worker.decided, self._looks()

    def _check(self) -> None:
        key, self._key = self._key, ""
        if key and not self._told and self._window.isVisible() and self._state() == self._before:
            self._worker.say(self.tr("{key} does nothing here · F1 shows all keys").format(key=key))


def key_name(event: QKeyEvent) -> str:
    """Return a key with what is held, in the words of the desktop: `Ctrl+K`."""
    return QKeySequence(event.keyCombination()).toString(QKeySequence.SequenceFormat.NativeText)
