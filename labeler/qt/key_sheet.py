"""The sheet of keys: laid over the window, gone at the next key or click."""

from __future__ import annotations

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication, QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QFrame, QGridLayout, QLabel, QVBoxLayout, QWidget

ROWS = (
    (
        "1–9, 0, w, e …",
        QT_TRANSLATE_NOOP("KeySheet", "This face, or the selection, is of that class"),
    ),
    (
        ", 1",
        QT_TRANSLATE_NOOP("KeySheet", "Classes beyond the first: two keys, one after the other"),
    ),
    ("1 + move", QT_TRANSLATE_NOOP("KeySheet", "Hold a class key and sweep over neighbours")),
    ("Shift + 1", QT_TRANSLATE_NOOP("KeySheet", "The whole page is of that class")),
    ("Enter", QT_TRANSLATE_NOOP("KeySheet", "File the page as proposed: all that are not marked")),
    (
        "Click, Ctrl + Space",
        QT_TRANSLATE_NOOP("KeySheet", "Page: take a face out, or put it back. Grid: select"),
    ),
    (
        "Double click, Space",
        QT_TRANSLATE_NOOP("KeySheet", "Enlarge a face in its picture, with the frames beside it"),
    ),
    (
        "Right click",
        QT_TRANSLATE_NOOP("KeySheet", "What can be done with a face, or with a class"),
    ),
    (
        "Ctrl + F",
        QT_TRANSLATE_NOOP("KeySheet", "Grid: filters"),
    ),
    ("PgDn, PgUp", QT_TRANSLATE_NOOP("KeySheet", "Skip this page, the page before")),
    (
        "Del, O, L, Q",
        QT_TRANSLATE_NOOP("KeySheet", "Not a face, another face, later, back to the queue"),
    ),
    ("Drag", QT_TRANSLATE_NOOP("KeySheet", "Onto a class, into another window, or out as files")),
    ("Ctrl + Z, Ctrl + Y", QT_TRANSLATE_NOOP("KeySheet", "Undo, do again")),
    ("Arrows, Shift + arrows", QT_TRANSLATE_NOOP("KeySheet", "Move, select")),
    (
        "Ctrl + A, Ctrl + I, Esc",
        QT_TRANSLATE_NOOP("KeySheet", "Select all, invert, select nothing"),
    ),
    ("Ctrl + wheel, Ctrl + plus", QT_TRANSLATE_NOOP("KeySheet", "Larger and smaller faces")),
    ("N, /", QT_TRANSLATE_NOOP("KeySheet", "Name a class, find one")),
    ("F2 (in the class list)", QT_TRANSLATE_NOOP("KeySheet", "Rename a class")),
    ("S", QT_TRANSLATE_NOOP("KeySheet", "Page: the faces of a stack one by one")),
    ("C", QT_TRANSLATE_NOOP("KeySheet", "Look at a dozen of a class again, without its name")),
    ("F2 – F6", QT_TRANSLATE_NOOP("KeySheet", "Grid, duplicates, crop, review, numbers")),
    (
        "K",
        QT_TRANSLATE_NOOP("KeySheet", "Duplicates: not the same. Review: the label is right"),
    ),
    ("−", QT_TRANSLATE_NOOP("KeySheet", "Overview: take a group apart")),
    (
        "=, then Y or N",
        QT_TRANSLATE_NOOP("KeySheet", "Same or different? A group beside a class or another group"),
    ),
    ("B", QT_TRANSLATE_NOOP("KeySheet", "Duplicates: two copies in turn")),
    ("G, F9", QT_TRANSLATE_NOOP("KeySheet", "Grid or class pages, hide the look panel")),
    ("Ctrl + ,", QT_TRANSLATE_NOOP("KeySheet", "Settings")),
    ("?, F1", QT_TRANSLATE_NOOP("KeySheet", "This sheet")),
)


class KeySheet(QFrame):
    """A panel in the middle of the window. Nothing waits for it: it is no dialog."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAutoFillBackground(True)
        self.setAccessibleName(self.tr("Keys"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        column, grid = QVBoxLayout(self), QGridLayout()
        column.setContentsMargins(24, 18, 24, 18)
        title = QLabel(self.tr("Keys"))
        font = title.font()
        font.setPointSizeF(font.pointSizeF() * 1.4)
        title.setFont(font)
        column.addWidget(title)
        column.addLayout(grid)
        grid.setHorizontalSpacing(28)
        for number, (keys, meaning) in enumerate(ROWS):
            bold = QLabel(keys)
            font = bold.font()
            font.setBold(True)
            bold.setFont(font)
            grid.addWidget(bold, number, 0)
            grid.addWidget(QLabel(QCoreApplication.translate("KeySheet", str(meaning))), number, 1)
        self._before: QWidget | None = None
        self.hide()
        window.installEventFilter(self)

    def toggle(self) -> None:
        """Show it, or put it away."""
        if self.isVisible():
            self.close_sheet()
            return
        self._before = self.window().focusWidget()
        self._centre()
        self.show()
        self.raise_()
        self.setFocus()

    def close_sheet(self) -> None:
        """Put it away; the keys are where they were before."""
        self.hide()
        if self._before is not None:
            self._before.setFocus()

    def _centre(self) -> None:
        self.adjustSize()
        self.move(
            (self.window().width() - self.width()) // 2,
            (self.window().height() - self.height()) // 2,
        )

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the sheet in the middle."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._centre()
        return False

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Put it away at any key."""
        self.close_sheet()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Put it away at any click."""
        self.close_sheet()
