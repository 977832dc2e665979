"""One press, one effect: late repeats of a held key are marked, and Enter never repeats."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QTimer
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from labeler.qt.name_field import ENTER


class HeldKeys(QObject):
    """Watches the keys of all windows of the program.

    X11 sends a release and a press with one timestamp for each repeat of a held key. Qt marks them
    as repeats only where both are in its queue already, which on a busy machine they are not.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._release: tuple[int, int] | None = None  # key and timestamp of the last one
        # Later, as the gesture counter: nobody presses a key while a window is being made.
        QTimer.singleShot(0, self, self._watch)

    def _watch(self) -> None:
        application = QCoreApplication.instance()
        assert application is not None
        application.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stop repeats of Enter, and pass other late repeats on as repeats, not as shortcuts."""
        if not isinstance(event, QKeyEvent):
            return False
        this, repeats = (event.key(), event.timestamp()), event.isAutoRepeat()
        late = this == self._release and event.timestamp() > 0 and not repeats
        if event.type() == QEvent.Type.KeyRelease and not repeats:
            self._release = this
        elif event.type() == QEvent.Type.ShortcutOverride and late:
            event.accept()
            return True
        elif event.type() == QEvent.Type.KeyPress and (late or repeats) and event.key() in ENTER:
            return True
        elif event.type() == QEvent.Type.KeyPress and late:
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
