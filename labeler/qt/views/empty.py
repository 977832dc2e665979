"""What lies over a view that has nothing to show: why, and what to do next, with its button."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import (
    QAbstractScrollArea,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from labeler.qt.theme import em, larger
from labeler.qt.widgets import announce, beside, enlarge_targets, keep_focus, name_part

RING = 3
"""Pixels that are left for the frame which says that keys go here."""

WIDTH, LARGER = 34, 1.35


class NextStep(NamedTuple):
    """What to do next: a button that does it, or a command for a terminal, to be copied."""

    text: str = ""
    do: Callable[[], object] | None = None
    command: str = ""


class Notice(NamedTuple):
    """Why there is nothing, and what to do next, the likeliest first."""

    title: str
    text: str = ""
    steps: tuple[NextStep, ...] = ()


class EmptyNotice(QWidget):
    """Lies over the faces, the table or the canvas while there is nothing on them.

    Keys stay with what is below.
    """

    def __init__(self, below: QAbstractScrollArea) -> None:
        super().__init__(below.viewport())
        self._below, self._bars = below, below.verticalScrollBarPolicy()
        self.notice: Notice | None = None
        self._made: list[QWidget] = []
        self.title, self.text = QLabel(), QLabel()
        for label in (self.title, self.text):
            label.setWordWrap(True)
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self._column = QVBoxLayout()
        whole = QVBoxLayout(self)
        whole.addStretch(2)
        whole.addLayout(beside(None, self._column, None))
        whole.addStretch(3)
        self._column.setSpacing(em(self, 0.6))
        for label in (self.title, self.text):
            label.setFixedWidth(em(self, WIDTH))
            self._column.addWidget(label)
        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Window)
        below.viewport().installEventFilter(self)
        self.hide()

    def show_notice(self, notice: Notice | None) -> None:
        """Show one, or put it away."""
        self.setVisible(notice is not None)
        bars = Qt.ScrollBarPolicy.ScrollBarAlwaysOff if notice is not None else self._bars
        self._below.setVerticalScrollBarPolicy(bars)
        if notice is None or notice[:2] == (self.notice or ("", ""))[:2]:
            self.notice = notice
            return
        self.notice = notice
        self.title.setFont(larger(self.font(), LARGER))
        self.title.setText(notice.title)
        self.text.setText(notice.text)
        self.text.setVisible(bool(notice.text))
        self._make(notice)
        self._fit()
        self.raise_()
        announce(self, f"{notice.title} {notice.text}")

    def _make(self, notice: Notice) -> None:
        """Make the buttons and commands of a notice."""
        for old in self._made:
            old.setParent(None)
            old.deleteLater()
        buttons = [self._button(step) for step in notice.steps if step.do is not None]
        commands = [self._command(step) for step in notice.steps if step.command]
        self._made = [*([_in_a_row(None, *buttons, None)] if buttons else []), *commands]
        for part in self._made:
            self._column.addWidget(part)
        enlarge_targets(self)
        keep_focus(self)
        before: QWidget = self._below  # Tab comes to them after what they lie on
        for part in self._made:
            for button in part.findChildren(QPushButton):
                QWidget.setTabOrder(before, button)
                before = button

    @staticmethod
    def _button(step: NextStep) -> QPushButton:
        button = QPushButton(step.text)
        button.clicked.connect(lambda checked=False: step.do() if step.do else None)
        return button

    def _command(self, step: NextStep) -> QWidget:
        """What can only be done in a terminal: the words to type there, and a button that copies
        them.
        """
        words, copy = QLineEdit(step.command), QPushButton(self.tr("Copy"))
        words.setReadOnly(True)
        words.setCursorPosition(0)
        words.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        words.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys are for the view
        words.setAccessibleName(self.tr("Command for a terminal"))
        name_part(copy, self.tr("Copy the command"))
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(step.command))
        return _in_a_row(words, copy)

    def _fit(self) -> None:
        self.setGeometry(self._below.viewport().rect().adjusted(RING, RING, -RING, -RING))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay as large as what lies below."""
        if event.type() == QEvent.Type.Resize:
            self._fit()
        return False


def _in_a_row(*parts: QWidget | None) -> QWidget:
    """Return widgets side by side; None is room that grows."""
    made = QWidget()
    made.setLayout(beside(*parts))
    return made
