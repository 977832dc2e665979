"""A field for a name, which takes no key that it has no use for."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QLineEdit

Key, Standard = Qt.Key, QKeySequence.StandardKey
ENTER = (Key.Key_Return, Key.Key_Enter)
OF_TEXT = frozenset(
    (
        Key.Key_Left,
        Key.Key_Right,
        Key.Key_Home,
        Key.Key_End,
        Key.Key_Delete,
        Key.Key_Backspace,
        Key.Key_Space,
    )
)
"""Keys that mean nothing while no letter is there."""


class NameField(QLineEdit):
    """`named` (text) comes with Enter, `left` with Esc, and with Enter where nothing was typed.

    `begun` comes with the focus, `unfocused` whenever it goes elsewhere. While the field is empty,
    keys that move or delete are left to the faces, and Ctrl+Z takes back a step.
    """

    named = Signal(str)
    left = Signal()
    begun = Signal()
    unfocused = Signal()

    def event(self, event: QEvent) -> bool:
        """Leave undo and redo to the window while there is no text to change."""
        undo = (
            event.type() == QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and (event.matches(Standard.Undo) or event.matches(Standard.Redo))
        )
        if undo and not self.text():
            event.ignore()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Take letters; Enter and Esc end it, and mean nothing to anybody else."""
        if event.key() in ENTER:
            text = self.text().strip()
            if text:
                self.named.emit(text)
            else:
                self.left.emit()
        elif event.key() == Key.Key_Escape:
            self.clear()
            self.left.emit()
        elif not self.text() and event.key() in OF_TEXT:
            event.ignore()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Tell that a name is to be typed."""
        super().focusInEvent(event)
        self.begun.emit()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Tell that the focus is elsewhere."""
        super().focusOutEvent(event)
        self.unfocused.emit()
