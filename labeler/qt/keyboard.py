"""The keyboard of a window: list of shortcuts, late key repeats, keys without effect."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from labeler.qt.classes.keys import MODIFIER_KEYS
from labeler.qt.name_field import ENTER
from labeler.qt.theme import TITLE, muted_text, scaled
from labeler.qt.translations import tr

Type = QEvent.Type
INPUT_EVENTS = (
    Type.ShortcutOverride,
    Type.KeyPress,
    Type.MouseButtonPress,
    Type.MouseButtonDblClick,
    Type.Wheel,
    Type.InputMethod,
    Type.Drop,
)


class InputFilter(QObject):
    """Marks late repeats of held keys, and keeps Enter from repeating.

    X11 sends a release and a press with one timestamp for each repeat of a held key. Qt marks them
    as repeats only if both are in its queue, which is not so on a busy machine.

    `touched` is emitted for every input event in the window before it takes effect.
    """

    touched = Signal()

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._press: tuple[int, int] | None = None  # key and timestamp of the last press
        self._release: tuple[int, int] | None = None
        # A window that is being built gets no input, but very many events.
        QTimer.singleShot(0, self, self._install)

    def _install(self) -> None:
        application = QCoreApplication.instance()
        assert application is not None
        application.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Report input in the window; pass late repeats on as repeats, not as shortcuts."""
        if (
            event.type() in INPUT_EVENTS
            and isinstance(watched, QWidget)
            and self._is_inside(watched)
        ):
            self._report(event)
        return isinstance(event, QKeyEvent) and self._filter_key(watched, event)

    def _is_inside(self, watched: QObject) -> bool:
        widget = watched if isinstance(watched, QWidget) else None
        while widget is not None and widget is not self._window:
            widget = widget.parentWidget()  # menus and dialogs are windows of their own
        return widget is not None

    def _report(self, event: QEvent) -> None:
        if not isinstance(event, QKeyEvent):
            self.touched.emit()
            return
        press = (event.key(), event.timestamp())
        # Each key press is also sent as a ShortcutOverride, and to each parent.
        repeated = press == self._press or self._is_late(event)
        if not repeated and not event.isAutoRepeat() and event.key() not in MODIFIER_KEYS:
            self._press = press
            self.touched.emit()

    def _is_late(self, event: QKeyEvent) -> bool:
        # X11 sends a repeat as a press with the timestamp of the last release.
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
            repeat = _as_repeat(event)
            QCoreApplication.sendEvent(watched, repeat)
            event.setAccepted(repeat.isAccepted())
            return True
        return False


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


Shortcuts = tuple[str, tuple[tuple[str, str], ...]]
"""Title of a section, and its keys with what they do."""


def shortcut_sections() -> tuple[Shortcuts, ...]:
    """Return all shortcuts in the current language."""
    return (
        (
            tr("Faces"),
            (
                ("1–9, 0, w, e …", tr("Label the face or the selection with that class")),
                (", 1", tr("More classes: two keys in sequence")),
                ("1 + move", tr("Hold a class key and sweep over faces to label them")),
                ("Del, O, L, Q", tr("Not a face, unlisted person, skip, back to queue")),
                ("N, /", tr("New class, find a class")),
                ("Drag", tr("Onto a class, into another window, or out as files")),
                (
                    "Double click, Space",
                    tr("Enlarge a face in its image, with neighbouring frames"),
                ),
                ("Right click", tr("Context menu of a face or a class")),
                ("Click, Ctrl + Space", tr("Class page: exclude or include a face. Grid: select")),
                ("Arrows, Shift + arrows", tr("Move, select")),
                ("Ctrl + A, Ctrl + I, Esc", tr("Select all, invert selection, clear selection")),
                ("Ctrl + wheel, Ctrl + plus", tr("Larger or smaller thumbnails")),
            ),
        ),
        (
            tr("Class pages"),
            (
                ("Enter", tr("Accept the page: label all unmarked faces as suggested")),
                ("Shift + 1", tr("Label the whole page, or a cluster, with that class")),
                (
                    "A – Z, 0 – 9",
                    tr("Clusters page: type a name. Enter accepts, Tab completes"),
                ),
                ("Ctrl + Enter", tr("Clusters page: accept the name and the page")),
                ("PgDn, PgUp", tr("Skip this page, previous page")),
                ("−", tr("Clusters page: split a cluster")),
                (".", tr("Clusters page: unlisted person")),
                ("S", tr("Class page: unstack similar faces")),
            ),
        ),
        (
            tr("Other views"),
            (
                ("Enter", tr("Duplicates: keep the best copies. Review: accept suggestion")),
                ("K", tr("Duplicates: not duplicates. Review: keep the label")),
                ("Ctrl + F", tr("Grid: filters")),
            ),
        ),
        (
            tr("Window"),
            (
                ("Ctrl + Z, Ctrl + Y", tr("Undo, redo")),
                ("F2 – F6", tr("Grid, duplicates, crop, review, statistics")),
                ("G, F9", tr("Grid or class pages, toggle the details panel")),
                ("F2 (in the class list)", tr("Rename a class")),
                ("Ctrl + ,", tr("Settings")),
                ("Ctrl + Q", tr("Quit")),
                ("?, F1", tr("Show these shortcuts")),
            ),
        ),
    )


class ShortcutsPopup(QFrame):
    """Popup with all shortcuts in the middle of the window; any key or click closes it."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window, Qt.WindowType.Popup)
        self._owner = window
        self.setAutoFillBackground(True)
        self.setAccessibleName(self.tr("Keyboard shortcuts"))
        outer, columns = QVBoxLayout(self), QHBoxLayout()
        outer.setContentsMargins(24, 18, 24, 18)
        title = QLabel(self.tr("Keyboard shortcuts"))
        title.setFont(scaled(title.font(), TITLE))
        outer.addWidget(title)
        outer.addLayout(columns)
        columns.setSpacing(36)
        faces, pages, views, window_keys = shortcut_sections()
        columns.addLayout(_column(faces, window_keys))
        columns.addLayout(_column(pages, views))

    def toggle(self) -> None:
        if self.isVisible():
            self.hide()
            return
        self.adjustSize()
        self.move(self._owner.mapToGlobal(self._owner.rect().center()) - self.rect().center())
        self.show()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw a frame that is visible on light and dark windows."""
        painter = QPainter(self)
        painter.setPen(muted_text(self.palette()))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        self.hide()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.hide()


def _column(*sections: Shortcuts) -> QGridLayout:
    grid, line = QGridLayout(), 0
    grid.setHorizontalSpacing(20)
    grid.setVerticalSpacing(3)
    grid.setColumnStretch(1, 1)
    for name, rows in sections:
        heading = QLabel(name)
        heading.setFont(scaled(heading.font(), 1.0))
        heading.setContentsMargins(0, 10, 0, 2)
        grid.addWidget(heading, line, 0, 1, 2)
        line += 1
        for keys, meaning in rows:
            grid.addWidget(QLabel(keys), line, 0)
            grid.addWidget(QLabel(meaning), line, 1)
            line += 1
    grid.setRowStretch(line, 1)
    return grid


def key_name(event: QKeyEvent) -> str:
    """Return a key with its modifiers as the desktop writes it: `Ctrl+K`."""
    return QKeySequence(event.keyCombination()).toString(QKeySequence.SequenceFormat.NativeText)
