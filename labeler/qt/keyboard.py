"""The keyboard of a window: class keys, late key repeats, the list of shortcuts.

A class key is read by its position on the keyboard, from the keypad, or as two keys.
"""

import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QKeySequence, QMouseEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFormLayout,
    QFrame,
    QLabel,
    QWidget,
)

from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import SMALL, SPACE_L, SPACE_XL, em, scale_font
from labeler.qt.translations import tr
from labeler.qt.widgets import ENTER, column_layout, plain_label, row_layout, timer
from labeler.sorting.keys import DIGITS, KEYS, LETTERS, PREFIXES
from labeler.sorting.session import Place

PLACE_KEYS = {
    Place.QUEUE.target: "Q",
    Place.LATER.target: "L",
    Place.OTHER.target: "O",
    Place.REJECT.target: "Del",
}

# Scan code of the row of digits, where layouts have other characters (French, Czech, or Shift).
_FIRST_DIGIT_SCAN_CODE = 2 if sys.platform == "win32" else 10
SECOND_KEY_TIMEOUT_MS = 3000
TEXT_MODIFIERS = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier
"""Modifiers with which a key is still a letter or digit."""

_MODIFIERS = "Shift Control Alt AltGr Meta Super_L Super_R CapsLock NumLock ScrollLock"
MODIFIER_KEYS = frozenset(Qt.Key[f"Key_{name}"] for name in _MODIFIERS.split())
"""Keys without a meaning of their own."""


def plain_key(event: QKeyEvent) -> str:
    """Return the letter or digit of an event; empty for other keys, and with Ctrl, Alt or Meta."""
    if event.modifiers() & ~TEXT_MODIFIERS:
        return ""
    # Digits by their place: on AZERTY, for example, they need Shift.
    place = event.nativeScanCode() - _FIRST_DIGIT_SCAN_CODE
    if event.nativeScanCode() and 0 <= place < len(DIGITS):
        return DIGITS[place]
    return _character(event, DIGITS + LETTERS)


def prefix_key(event: QKeyEvent) -> str:
    """Return the first key of a two-key code; empty for any other key."""
    return "" if event.modifiers() & ~TEXT_MODIFIERS else _character(event, PREFIXES)


def _character(event: QKeyEvent, allowed: str) -> str:
    code = event.key()
    character = chr(code).lower() if 0x20 < code < 0x7F else " "
    return character if character in allowed else ""


class ClassKeyReader(QObject):
    """Reads class keys; `read` remembers the `first` key of a two-key code."""

    def __init__(self, worker: SessionWorker, widget: QWidget):
        super().__init__(widget)
        self._worker = worker
        widget.installEventFilter(self)
        self.first = ""
        self._timer = timer(self, self._expire, SECOND_KEY_TIMEOUT_MS)

    def read(self, event: QKeyEvent) -> str | None:
        """Return a class key; empty for any other key, None if the event was consumed."""
        if self.first and event.key() in MODIFIER_KEYS:
            return None
        first = self.first
        second = plain_key(event)
        prefix = prefix_key(event)
        self.forget()
        if first and not prefix and event.key() != Qt.Key.Key_Escape:
            if not second:
                # Called for its message: no class has such a key.
                self._worker.class_for_key(first + key_name(event))
            return first + second if second else None

        # The first prefix always begins a key, the second only if a class has such a key.
        codes = (
            PREFIXES[0],
            *self._worker.keys.values(),
        )

        if prefix and any(key.startswith(prefix) for key in codes):
            self.first = prefix
            self._timer.start()
            self._worker.show_message(
                tr("{key} … now the second key of a class", key=prefix)
            )
            return None

        return second if second and second in KEYS else ""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the second key of a code from triggering a shortcut of the window."""
        if event.type() != QEvent.Type.ShortcutOverride or not self.first:
            return False
        assert isinstance(event, QKeyEvent)
        if plain_key(event):
            event.accept()
        return bool(plain_key(event))

    def ends(self, event: QKeyEvent, held_key: str) -> bool:
        """Return whether a key release ends the held class key.

        The first key of a code, and another letter or digit, are released while it is held. A key
        has no letter if it is released with Ctrl or Alt: it might be the held one.
        """
        return not prefix_key(event) and plain_key(event) in (held_key[-1:], "")

    def _expire(self) -> None:
        self._worker.show_message(
            tr("{key} has no effect: the second key came too late", key=self.first)
        )
        self.forget()

    def forget(self) -> None:
        self.first = ""
        self._timer.stop()


Type = QEvent.Type


LETTER_GAP_MS = 250
"""Letters in quicker succession are a name that is typed."""
TYPING_PAUSE_MS = 1000
"""A name that is typed ends with this pause."""


class InputFilter(QObject):
    """Marks late repeats of held keys, keeps Enter from repeating, and stops misplaced typing.

    A name that is typed where letters are commands would run one for each letter: all but the first
    are ignored, also the Enter after it, and `typed_name` is emitted. It is a name if letters
    follow each other quickly, or one that does nothing; any other gesture ends it.

    X11 sends a release and a press with one timestamp for each repeat of a held key. Qt marks them
    as repeats only if both are in its queue, which is not so on a busy machine.
    """

    typed_name = Signal()

    def __init__(self, window: QWidget, is_key: Callable[[str], bool]):
        super().__init__(window)
        self._window = window
        self._is_key = is_key
        self._letters = ""
        """The letters and digits typed since another gesture."""
        self._typed_at = 0
        """The time of the last of them in milliseconds."""
        self._is_typing = self._has_ended = False
        """Whether keys continue a name, and whether Enter has ended it."""
        self._release: tuple[int, int] | None = None
        """Key and timestamp of the last release."""
        # A window that is being built gets no input, but very many events.
        QTimer.singleShot(0, self, self._install)

    def _install(self) -> None:
        application = QCoreApplication.instance()
        assert application is not None
        application.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Pass late repeats on as repeats, not as shortcuts."""
        # A move of the mouse does not end a name that is being typed, a click does.
        if event.type() in (Type.MouseMove, Type.MouseButtonPress):
            self._letters = ""
            self._is_typing &= event.type() == Type.MouseMove
        if not isinstance(event, QKeyEvent):
            return False
        if event.type() != Type.KeyRelease and self._is_misplaced(event):
            event.accept()
            return True
        return self._filter_key(watched, event)

    def _is_misplaced(self, event: QKeyEvent) -> bool:
        # Whether the key belongs to a name, in a view where letters are commands.
        focus = QApplication.focusWidget()
        gap = event.timestamp() - self._typed_at
        in_view = (
            isinstance(focus, QAbstractItemView) and focus.window() is self._window
        )
        if not in_view or not event.timestamp() or event.isAutoRepeat():
            self._letters = ""
            self._is_typing = False
        # With the same time it is the same event, sent to a parent of the view.
        elif gap and event.key() not in MODIFIER_KEYS:
            text = "" if event.modifiers() & ~TEXT_MODIFIERS else event.text()
            self._is_typing = self._continues_name(
                event.key(),
                text,
                gap,
            )
            self._has_ended = self._is_typing and event.key() in ENTER
            self._letters = self._letters + text if text.isalnum() else ""
            self._typed_at = event.timestamp()
            if self._is_typing:
                self.typed_name.emit()

        return self._is_typing

    def _continues_name(self, key: int, text: str, gap: int) -> bool:
        # Two different letters, if typed quickly or if the first has no meaning here as a key.
        last = self._letters[-1:]
        if text.isalpha() and last not in ("", text):
            is_idle = last.isalpha() and not self._is_key(last)
            if self._is_typing or is_idle or gap < LETTER_GAP_MS:
                return True
        # Enter after letters that are not one key pressed again and again.
        if key in ENTER and len({*filter(str.isalpha, self._letters)}) > 1:
            return True
        is_end = self._has_ended or not text or key == Qt.Key.Key_Escape
        return self._is_typing and not is_end and gap <= TYPING_PAUSE_MS

    def _filter_key(self, watched: QObject, event: QKeyEvent) -> bool:
        press = (event.key(), event.timestamp())
        repeats = event.isAutoRepeat()
        # X11 sends a repeat as a press with the timestamp of the last release.
        late = not repeats and event.timestamp() > 0 and press == self._release
        if event.type() == Type.KeyRelease:
            self._release = self._release if repeats else press
            return False
        is_press = event.type() == Type.KeyPress
        if is_press and (late or repeats) and event.key() in ENTER:
            return True
        if late and is_press:
            repeat = _as_repeat(event)
            QCoreApplication.sendEvent(watched, repeat)
            event.setAccepted(repeat.isAccepted())
        elif late:  # a `ShortcutOverride`: once accepted, it runs no shortcut
            event.accept()

        return late


def _as_repeat(event: QKeyEvent) -> QKeyEvent:
    repeat = QKeyEvent(
        event.type(),
        event.key(),
        event.modifiers(),
        event.nativeScanCode(),
        event.nativeVirtualKey(),
        event.nativeModifiers(),
        event.text(),
        autorep=True,
    )

    repeat.setTimestamp(event.timestamp())
    return repeat


SHORTCUTS = Path(__file__).with_name("shortcuts.toml")


def shortcut_sections() -> dict[str, dict[str, str]]:
    """Return all shortcuts in the current language: sections of keys with what they do."""
    return {
        tr(name): {tr(keys): tr(meaning) for keys, meaning in rows.items()}
        for name, rows in tomllib.loads(SHORTCUTS.read_text(encoding="utf-8")).items()
    }


WIDTH_EM = 80
_NEXT_KEY = re.compile(r"(?<=\S)(?:, |、)")
"""Between two keys; the comma can be a key as well."""


class ShortcutsPopup(QFrame):
    """Popup with all shortcuts in the middle of the window; any key or click closes it."""

    def __init__(self, window: QWidget):
        super().__init__(window, Qt.WindowType.Popup)
        self._owner = window
        self.setAccessibleName(tr("Keyboard shortcuts"))

    def _lay_out(self) -> None:
        title = plain_label(tr("Keyboard shortcuts"), "title")
        # In the order of `shortcuts.toml`.
        faces, pages, views, window_keys = shortcut_sections().items()
        columns = row_layout(
            _column(faces, views),
            _column(pages, window_keys),
        )
        columns.setSpacing(SPACE_XL)
        self.setLayout(column_layout(title, columns, margins=(SPACE_L,) * 4))

    def toggle(self) -> None:
        if self.isVisible():
            self.hide()
            return
        widest = em(self._owner, WIDTH_EM)
        width = min(widest, self._owner.width())
        if self.layout() is None:
            self._lay_out()
        size = 1.0 if width == widest else SMALL
        self.setFont(scale_font(self._owner.font(), size, bold=False))
        self.resize(width, self.heightForWidth(width))
        self.move(
            self._owner.mapToGlobal(self._owner.rect().center()) - self.rect().center()
        )
        self.show()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        self.hide()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.hide()


def _column(*sections: tuple[str, dict[str, str]]) -> QFormLayout:
    form = QFormLayout()
    form.setVerticalSpacing(2)
    for name, rows in sections:
        form.addRow(plain_label(name, "section"))
        for keys, meaning in rows.items():
            caps = QWidget()
            caps.setObjectName("keys")
            labels = (QLabel(key) for key in _NEXT_KEY.split(keys))
            caps.setLayout(row_layout(*labels, None))
            caps.setMaximumHeight(caps.sizeHint().height())
            form.addRow(caps, plain_label(meaning))

    return form


def open_menu(window: QWidget) -> None:
    """Open the context menu of the focus, as the menu key does where there is one."""
    widget = window.focusWidget() or window
    centre = widget.rect().center()
    keyboard = QContextMenuEvent.Reason.Keyboard
    event = QContextMenuEvent(keyboard, centre, widget.mapToGlobal(centre))
    QCoreApplication.sendEvent(widget, event)


def key_name(event: QKeyEvent) -> str:
    """Return a key with its modifiers as the desktop writes it: `Ctrl+K`."""
    text = QKeySequence(event.keyCombination()).toString(
        QKeySequence.SequenceFormat.NativeText
    )
    return text.replace("Return", "Enter")
