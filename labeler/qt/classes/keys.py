"""Which key of a class an event means: by place on the keyboard, by the keypad, or by two keys."""

from __future__ import annotations

import sys

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from labeler.qt.session_worker import SessionWorker
from labeler.qt.widgets import timer
from labeler.sorting.keys import DIGITS, KEYS, LETTERS, PREFIXES

# The row of digits by scan code, where a layout has other signs there (French, Czech, with Shift).
_FIRST_DIGIT = 2 if sys.platform == "win32" else 10
SECOND_KEY_MS = 3000
ALONE = frozenset(
    (
        Qt.Key.Key_Shift,
        Qt.Key.Key_Control,
        Qt.Key.Key_Alt,
        Qt.Key.Key_AltGr,
        Qt.Key.Key_Meta,
        Qt.Key.Key_Super_L,
        Qt.Key.Key_Super_R,
        Qt.Key.Key_CapsLock,
        Qt.Key.Key_NumLock,
        Qt.Key.Key_ScrollLock,
    )
)
"""Keys that mean nothing alone."""


def plain_key(event: QKeyEvent) -> str:
    """Return the letter or digit of an event; empty for any other key, and where Ctrl, Alt or
    Meta is held.
    """
    if _held(event):
        return ""
    place = event.nativeScanCode() - _FIRST_DIGIT
    if event.nativeScanCode() and 0 <= place < len(DIGITS):
        return DIGITS[place]
    code = event.key()
    letter = chr(code).lower() if 0x20 < code < 0x7F else ""
    return letter if letter and letter in DIGITS + LETTERS else ""


def _held(event: QKeyEvent) -> bool:
    allowed = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier
    return (event.modifiers() & ~allowed) != Qt.KeyboardModifier.NoModifier


def prefix_of(event: QKeyEvent) -> str:
    """Return the first key of a code; empty for any other key."""
    code = event.key()
    sign = chr(code) if 0x20 < code < 0x7F else ""
    return sign if sign and sign in PREFIXES and not _held(event) else ""


class ClassKeyReader(QObject):
    """Reads keys of classes. While the second key of a code is waited for, the status bar says of
    which classes; and that nothing was done where none came in time.
    """

    def __init__(self, worker: SessionWorker, widget: QWidget) -> None:
        super().__init__(widget)
        self._worker = worker
        widget.installEventFilter(self)
        self._first = ""
        self._timer = timer(self, self._too_late, SECOND_KEY_MS)

    @property
    def waits(self) -> bool:
        return bool(self._first)

    def read(self, event: QKeyEvent) -> str | None:
        """Return the key of a class; empty for any other key, None where the event is used up."""
        if self._first and event.key() in ALONE:
            return None
        first, second = self._first, plain_key(event)
        self.forget()
        if first and second:
            return first + second
        if prefix := prefix_of(event):
            self._first = prefix
            self._timer.start()
            self._say_awaited(prefix)
            return None
        if first and event.key() == Qt.Key.Key_Escape:
            self._too_late()
            return None
        return second if second and second in KEYS else ""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Let the second key of a code be no shortcut of the window."""
        if event.type() != QEvent.Type.ShortcutOverride or not self._first:
            return False
        assert isinstance(event, QKeyEvent)
        if plain_key(event):
            event.accept()
        return bool(plain_key(event))

    def ends(self, event: QKeyEvent, held: str) -> bool:
        """Return whether the release of a key lets the class key go that was held."""
        return not prefix_of(event) and plain_key(event) in (held[-1:], "")

    def forget(self) -> None:
        self._first = ""
        self._timer.stop()

    def _too_late(self) -> None:
        self.forget()
        self._worker.show_message(self.tr("No second key pressed: nothing changed"))

    def _say_awaited(self, first: str) -> None:
        codes = [(key, name) for name, key in self._worker.keys.items() if len(key) == 2]
        seconds = sorted((key[1], name) for key, name in codes if key[0] == first)
        text = self.tr("No class has a key that begins with {key}")
        if seconds:
            text = self.tr("{key}, then: {classes}")
        classes = " · ".join(f"{key.upper()} {name}" for key, name in seconds)
        self._worker.show_message(text.format(key=first, classes=classes))
