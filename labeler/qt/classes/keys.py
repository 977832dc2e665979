"""Which key of a class an event means: by place on the keyboard, and by the keypad as well."""

from __future__ import annotations

import sys

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent

from labeler.sorting.keys import DIGITS, KEYS

# The row of digits by scan code, where a layout has other signs there (French, Czech, with Shift).
_FIRST_DIGIT = 2 if sys.platform == "win32" else 10


def class_key(event: QKeyEvent) -> str:
    """Return the class key of an event; empty for any other key, and where Ctrl, Alt or Meta is
    held.
    """
    held = event.modifiers() & ~(
        Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier
    )
    if held != Qt.KeyboardModifier.NoModifier:
        return ""
    place = event.nativeScanCode() - _FIRST_DIGIT
    if event.nativeScanCode() and 0 <= place < len(DIGITS):
        return DIGITS[place]
    code = event.key()
    letter = chr(code).lower() if 0x20 < code < 0x7F else ""
    return letter if letter and letter in KEYS else ""
