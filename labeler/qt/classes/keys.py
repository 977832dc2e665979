"""Class keys of key events: by position on the keyboard, by the keypad, or of two keys."""

from __future__ import annotations

import sys

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from labeler.qt.session_worker import SessionWorker
from labeler.qt.widgets import timer
from labeler.sorting.keys import DIGITS, KEYS, LETTERS, PREFIXES

# Scan code of the row of digits, where layouts have other characters (French, Czech, or Shift).
_FIRST_DIGIT_SCAN_CODE = 2 if sys.platform == "win32" else 10
SECOND_KEY_TIMEOUT_MS = 3000
MODIFIER_KEYS = frozenset(
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
"""Keys without a meaning of their own."""


def plain_key(event: QKeyEvent) -> str:
    """Return the letter or digit of an event; empty for other keys, and with Ctrl, Alt or Meta."""
    if _has_command_modifier(event):
        return ""
    place = event.nativeScanCode() - _FIRST_DIGIT_SCAN_CODE
    if event.nativeScanCode() and 0 <= place < len(DIGITS):
        return DIGITS[place]
    code = event.key()
    letter = chr(code).lower() if 0x20 < code < 0x7F else ""
    return letter if letter and letter in DIGITS + LETTERS else ""


def _has_command_modifier(event: QKeyEvent) -> bool:
    allowed = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier
    return (event.modifiers() & ~allowed) != Qt.KeyboardModifier.NoModifier


def prefix_key(event: QKeyEvent) -> str:
    """Return the first key of a two-key code; empty for any other key."""
    code = event.key()
    character = chr(code) if 0x20 < code < 0x7F else ""
    return (
        character
        if character and character in PREFIXES and not _has_command_modifier(event)
        else ""
    )


class ClassKeyReader(QObject):
    """Reads class keys. After the first key of a two-key code the status bar lists its classes."""

    def __init__(self, worker: SessionWorker, widget: QWidget) -> None:
        super().__init__(widget)
        self._worker = worker
        widget.installEventFilter(self)
        self._first = ""
        self._timer = timer(self, self._on_timeout, SECOND_KEY_TIMEOUT_MS)

    @property
    def is_waiting(self) -> bool:
        return bool(self._first)

    def read(self, event: QKeyEvent) -> str | None:
        """Return a class key; empty for any other key, None if the event was consumed."""
        if self._first and event.key() in MODIFIER_KEYS:
            return None
        first, second = self._first, plain_key(event)
        self.forget()
        if first and second:
            return first + second
        if prefix := prefix_key(event):
            self._first = prefix
            self._timer.start()
            self._report_second_keys(prefix)
            return None
        if first and event.key() == Qt.Key.Key_Escape:
            self._on_timeout()
            return None
        return second if second and second in KEYS else ""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the second key of a code from triggering a shortcut of the window."""
        if event.type() != QEvent.Type.ShortcutOverride or not self._first:
            return False
        assert isinstance(event, QKeyEvent)
        if plain_key(event):
            event.accept()
        return bool(plain_key(event))

    def ends(self, event: QKeyEvent, prefix: str) -> bool:
        """Return whether a key release ends the held class key."""
        return not prefix_key(event) and plain_key(event) in (prefix[-1:], "")

    def forget(self) -> None:
        self._first = ""
        self._timer.stop()

    def _on_timeout(self) -> None:
        self.forget()
        self._worker.show_message(self.tr("No second key pressed: nothing changed"))

    def _report_second_keys(self, first: str) -> None:
        codes = [(key, name) for name, key in self._worker.keys.items() if len(key) == 2]
        seconds = sorted((key[1], name) for key, name in codes if key[0] == first)
        text = self.tr("No class has a key that begins with {key}")
        if seconds:
            text = self.tr("{key}, then: {classes}")
        classes = " · ".join(f"{key.upper()} {name}" for key, name in seconds)
        self._worker.show_message(text.format(key=first, classes=classes))
