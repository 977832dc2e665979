"""Watches the keyboard and the mouse of a window before its widgets do."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from labeler.qt.classes.keys import ALONE
from labeler.qt.name_field import ENTER

Type = QEvent.Type
TOUCHES = (
    Type.ShortcutOverride,
    Type.KeyPress,
    Type.MouseButtonPress,
    Type.MouseButtonDblClick,
    Type.Wheel,
    Type.InputMethod,
    Type.Drop,
)


class InputFilter(QObject):
    """Marks late repeats of held keys, and stops Enter from repeating.

    X11 sends a release and a press with one timestamp for each repeat of a held key. Qt marks them
    as repeats only where both are in its queue already, which on a busy machine they are not.

    `touched` comes with every key, button, notch of the wheel and drop in the window, before it
    takes effect; `key_pressed` (the event) once for each key press that is not a repeat.
    """

    touched = Signal()
    key_pressed = Signal(object)

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._press: tuple[int, int] | None = None  # key and timestamp of the last press
        self._release: tuple[int, int] | None = None
        # While a window is being built there is no input, but very many events.
        QTimer.singleShot(0, self, self._watch)

    def _watch(self) -> None:
        application = QCoreApplication.instance()
        assert application is not None
        application.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Report input to the window, and pass late repeats on as repeats, not as shortcuts."""
        if event.type() in TOUCHES and isinstance(watched, QWidget) and self._is_ours(watched):
            self._report(event)
        return isinstance(event, QKeyEvent) and self._filter_key(watched, event)

    def _is_ours(self, widget: QWidget | None) -> bool:
        while widget is not None and widget is not self._window:
            widget = widget.parentWidget()  # menus and dialogs are windows of their own
        return widget is not None

    def _report(self, event: QEvent) -> None:
        if not isinstance(event, QKeyEvent):
            self.touched.emit()
            return
        press = (event.key(), event.timestamp())
        # A key comes as an override of shortcuts first, then as itself, to each parent.
        again = press == self._press or self._is_late(event)
        if not again and not event.isAutoRepeat() and event.key() not in ALONE:
            self._press = press
            self.touched.emit()
            self.key_pressed.emit(event)

    def _is_late(self, event: QKeyEvent) -> bool:
        """Return whether a press has the timestamp of the last release: a repeat to X11."""
        return event.timestamp() > 0 and (event.key(), event.timestamp()) == self._release

    def _filter_key(self, watched: QObject, event: QKeyEvent) -> bool:
        repeats = event.isAutoRepeat()
        late = self._is_late(event) and not repeats
        if event.type() == Type.KeyRelease and not repeats:
            self._press, self._release = None, (event.key(), event.timestamp())
        elif event.type() == Type.ShortcutOverride and late:
            event.accept()
            return True
        elif event.type() == Type.KeyPress and (late or repeats) and event.key() in ENTER:
            return True
        elif event.type() == Type.KeyPress and late:
            repeat = _marked(event)
            QCoreApplication.sendEvent(watched, repeat)
            event.setAccepted(repeat.isAccepted())
            return True
        return False


def _marked(event: QKeyEvent) -> QKeyEvent:
    """Return the same key press, marked as a repeat."""
    made = QKeyEvent(
        event.type(),
        event.key(),
        event.modifiers(),
        event.nativeScanCode(),
        event.nativeVirtualKey(),
        event.nativeModifiers(),
        event.text(),
        autorep=True,
    )
    made.setTimestamp(event.timestamp())
    return made
