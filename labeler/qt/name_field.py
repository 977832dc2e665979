"""A field for class names, with completion."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QKeySequence, QPalette
from PySide6.QtWidgets import QLabel, QLineEdit

from labeler.sorting.name_matching import KnownName, complete_name, match_exact_name

Key, Standard = Qt.Key, QKeySequence.StandardKey
ENTER = (Key.Key_Return, Key.Key_Enter)
EDITING_KEYS = frozenset(
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
"""Keys that an empty field leaves to the faces."""


class NameField(QLineEdit):
    """Line edit for a name.

    Signals: `name_entered` (text) with Enter; `left` with Esc, or Enter in an empty field; `ended`
    after Ctrl+Enter, when the name was accepted; `focused` and `unfocused` as the focus comes and
    goes. An empty field leaves editing keys to the faces, and undo to the window.
    """

    name_entered = Signal(str)
    ended = Signal()
    left = Signal()
    focused = Signal()
    unfocused = Signal()

    def event(self, event: QEvent) -> bool:
        """Leave undo and redo to the window while the field is empty."""
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
        """Edit the text; Enter and Esc end the input."""
        if event.key() in ENTER:
            text = self.text().strip()
            if text:
                self.name_entered.emit(text)
                if event.modifiers() & Qt.KeyboardModifier.ControlModifier and not self.text():
                    self.ended.emit()
            else:
                self.left.emit()
        elif event.key() == Key.Key_Escape:
            self.clear()
            self.left.emit()
        elif not self.text() and event.key() in EDITING_KEYS:
            event.ignore()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.focused.emit()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.unfocused.emit()


_COMPLETION_STEPS = {Key.Key_Tab: 1, Key.Key_Down: 1, Key.Key_Backtab: -1, Key.Key_Up: -1}
_MARGIN = 6


class NameCompletion(QObject):
    """Completes a name on request; Enter accepts the text as it is.

    Tab and the arrow keys step through names with a word that starts with the text. The hint says
    whether the name is new, or which class an alias means.
    """

    def __init__(self, field: QLineEdit) -> None:
        super().__init__(field)
        self._field = field
        self._names: Sequence[KnownName] = ()
        self._matching: Sequence[KnownName] = ()
        self._at = -1
        self.hint = QLabel(field)
        self.hint.setForegroundRole(QPalette.ColorRole.PlaceholderText)
        self.hint.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        field.textEdited.connect(self._edited)
        field.textChanged.connect(self._show_hint)
        field.installEventFilter(self)

    def offer(self, names: Sequence[KnownName]) -> None:
        self._names = names
        self._edited(self._field.text())
        self._show_hint(self._field.text())

    def resolve(self, text: str) -> str:
        """Return the class that a name or alias means, or the text for a new class."""
        match = match_exact_name(text, self._names)
        return match.label if match else text

    def is_new(self, text: str) -> bool:
        return match_exact_name(text, self._names) is None

    def _edited(self, text: str) -> None:
        self._matching, self._at = complete_name(text, self._names), -1

    def _show_hint(self, text: str) -> None:
        match = match_exact_name(text, self._names)
        words = "" if match is None or match.label == text else f"= {match.label}"
        if text.strip() and match is None:
            words = self.tr("new")
            if self._matching:
                words = self.tr("new · Tab: {name}").format(name=self._matching[0].text)
        self.hint.setText(words)
        self.hint.setVisible(bool(words))
        self._place_hint()

    def _place_hint(self) -> None:
        text_width = self._field.fontMetrics().horizontalAdvance(self._field.text()) + 3 * _MARGIN
        room = max(0, self._field.width() - text_width - _MARGIN)
        width = min(self.hint.sizeHint().width(), room)
        left = self._field.width() - width - _MARGIN
        self.hint.setGeometry(left, 0, width, self._field.height())

    def _complete(self, step: int) -> bool:
        # Write the next or previous matching name into the field.
        if not self._matching:
            return False
        first = self._at < 0 and step < 0
        self._at = (self._at + step + first) % len(self._matching)
        self._field.setText(self._matching[self._at].text)
        return True

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Complete on Tab and arrow keys."""
        if event.type() == QEvent.Type.Resize:
            self._place_hint()
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            step = _COMPLETION_STEPS.get(Qt.Key(event.key()), 0)
            if step and self._field.text():
                # Tab must not leave the field with a half-typed name.
                return self._complete(step) or event.key() == Qt.Key.Key_Tab
        return super().eventFilter(watched, event)
