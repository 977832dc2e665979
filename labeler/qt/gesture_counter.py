"""Counts what a person does in a window, in one place, so that no view can forget it.

A gesture is a key press or a chord (what a held key repeats is none, nor is Shift or Ctrl alone),
a press of a mouse button with all that follows until it is let go (a click, a drag, a stroke), one
notch of the wheel, or files dropped from elsewhere. Each letter of a name is a key press; each
character that an input method commits is one.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import (
    QDropEvent,
    QInputMethodEvent,
    QKeyEvent,
    QMouseEvent,
    QWheelEvent,
    QWindow,
)
from PySide6.QtWidgets import QWidget

from labeler.qt.classes.keys import ALONE
from labeler.qt.grid.drag import TileMimeData

Key, Type = Qt.Key, QEvent.Type
NOTCH = 120
"""Eighths of a degree that a wheel turns with one notch; a touchpad gives parts of it."""
HELD_MS = 100
"""A key that was held for less repeats nothing."""


class GestureCounter(QObject):
    """Watches the events of a window and its menus; Qt offers each to a widget and its parents.

    `counted` (how many) comes before a gesture takes effect, `key_pressed` (the event) with a key.
    """

    counted = Signal(int)
    key_pressed = Signal(object)

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._keys: dict[int, int] = {}
        self._released: dict[int, int] = {}
        self._buttons: dict[Qt.MouseButton, int] = {}
        self._turned, self._wheel_at = 0, -1
        self._handlers: dict[QEvent.Type, Callable[[QWidget, QEvent], None]] = {
            Type.ShortcutOverride: self._press_key,
            Type.KeyPress: self._press_key,
            Type.KeyRelease: self._release_key,
            Type.MouseButtonPress: self._press_button,
            Type.MouseButtonDblClick: self._press_button,
            Type.MouseButtonRelease: self._release_button,
            Type.Wheel: self._turn,
            Type.InputMethod: self._commit,
            Type.Drop: self._drop,
            Type.WindowDeactivate: self._forget,
        }
        # While a window is being made nobody does anything, and very many events are sent.
        QTimer.singleShot(0, self, self._watch)

    def _watch(self) -> None:
        application = QCoreApplication.instance()
        assert application is not None
        application.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Count, and hand everything on."""
        handler = self._handlers.get(event.type())
        if handler is None:
            return False
        if isinstance(watched, QWindow):
            self._wheel_at = -1  # a new event of the desktop: two notches may be of one millisecond
        elif isinstance(watched, QWidget) and self._is_ours(watched):
            handler(watched, event)
        return False

    def _is_ours(self, widget: QWidget | None) -> bool:
        while widget is not None and widget is not self._window:
            widget = widget.parentWidget()
        return widget is not None

    def _press_key(self, watched: QWidget, event: QEvent) -> None:
        assert isinstance(event, QKeyEvent)
        key, at = event.key(), event.timestamp()
        # A key comes as an override of shortcuts first, then as itself.
        known = at in (self._keys.get(key), self._released.get(key))
        if event.isAutoRepeat() or key in ALONE or known:
            return
        self._keys[key] = at
        self.counted.emit(1)
        self.key_pressed.emit(event)

    def _release_key(self, watched: QWidget, event: QEvent) -> None:
        assert isinstance(event, QKeyEvent)
        key, at = event.key(), event.timestamp()
        if not event.isAutoRepeat():
            # On X11 a repeat that comes late is a release and a press of one instant.
            if at - self._keys.get(key, at) > HELD_MS:
                self._released[key] = at
            else:
                self._keys.pop(key, None)

    def _press_button(self, watched: QWidget, event: QEvent) -> None:
        assert isinstance(event, QMouseEvent)
        button, at = event.button(), event.timestamp()
        if self._buttons.get(button) != at:  # whoever carries a drag takes its release
            self._buttons[button] = at
            self.counted.emit(1)

    def _release_button(self, watched: QWidget, event: QEvent) -> None:
        assert isinstance(event, QMouseEvent)
        self._buttons.pop(event.button(), None)

    def _turn(self, watched: QWidget, event: QEvent) -> None:
        assert isinstance(event, QWheelEvent)
        if event.timestamp() == self._wheel_at:
            return
        self._wheel_at = event.timestamp()
        self._turned += abs(event.angleDelta().y() or event.angleDelta().x())
        notches, self._turned = divmod(self._turned, NOTCH)
        if notches:
            self.counted.emit(notches)

    def _commit(self, watched: QWidget, event: QEvent) -> None:
        assert isinstance(event, QInputMethodEvent)
        if event.commitString() and watched.hasFocus():
            self.counted.emit(len(event.commitString()))

    def _drop(self, watched: QWidget, event: QEvent) -> None:
        assert isinstance(event, QDropEvent)
        if not isinstance(event.mimeData(), TileMimeData):  # ours began with a press
            self.counted.emit(1)

    def _forget(self, watched: QWidget, event: QEvent) -> None:
        """What is let go in another window is not told here."""
        if watched is self._window:
            self._keys.clear()
            self._buttons.clear()
