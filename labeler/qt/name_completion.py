"""A name that completes itself in its field: what was not typed is selected, Enter takes it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QLineEdit

from labeler.sorting.names import KnownName, completions, meant


class NameCompletion(QObject):
    """Completes what is typed in a field; the arrows up and down lead to other names.

    A letter goes on, Backspace takes the completion away. Names of which only a later word begins
    as typed come with the arrows.
    """

    def __init__(self, field: QLineEdit) -> None:
        super().__init__(field)
        self._field = field
        self._names: Sequence[KnownName] = ()
        self._found: Sequence[KnownName] = ()
        self._at = -1
        self._typed = ""
        field.textEdited.connect(self._edited)
        field.installEventFilter(self)

    def offer(self, names: Sequence[KnownName]) -> None:
        """Complete to these names from now on, the likeliest first."""
        self._names = names

    def meant(self, text: str) -> str:
        """Return the class that a text names, however it is written; the text for a new one."""
        return meant(text, self._names)

    def _edited(self, text: str) -> None:
        longer = len(text) > len(self._typed) and self._field.cursorPosition() == len(text)
        self._typed, self._at = text, -1
        self._found = completions(text, self._names)
        name = self._found[0].text if self._found else ""
        if longer and name[: len(text)].casefold() == text.casefold():
            self._at = 0
            self._field.setText(text + name[len(text) :])
            self._field.setSelection(len(name), len(text) - len(name))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Turn to the next name, or the one before, for the arrows."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent) and self._found:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()), 0)
            if step and self._field.text():
                self._at = (self._at + step) % len(self._found)
                self._field.setText(self._found[self._at].text)
                return True
        return super().eventFilter(watched, event)
