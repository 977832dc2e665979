"""The status bar: how far the work is, what can be undone, what is saved."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from PySide6.QtCore import QObject, QRect, Qt
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import (
    QLabel,
    QStatusBar,
    QStyle,
    QStyleOption,
    QStylePainter,
    QToolButton,
    QWidget,
)

from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import em
from labeler.qt.translations import singular, step_words
from labeler.qt.widgets import announce
from labeler.sorting.session import SortingProgress, StepKind, StepResult

SHOWN_MS = 6000
MARGIN = 6
LONGEST_PART = 24
"""Of a permanent part in heights of a line of text: what is longer is elided."""


class MessageBar(QStatusBar):
    """Elides a message that is too long, and has all of it as its tooltip."""

    def __init__(self) -> None:
        super().__init__()
        self.messageChanged.connect(lambda text: self.setToolTip(_wrapped(text)))

    def shown_message(self) -> str:
        """Return as much of the message as there is room for."""
        elided = Qt.TextElideMode.ElideRight
        return self.fontMetrics().elidedText(self.currentMessage(), elided, self._room().width())

    def _room(self) -> QRect:
        parts = self.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
        right = min((part.x() for part in parts if part.isVisible()), default=self.width())
        return QRect(MARGIN, 0, max(right - 2 * MARGIN, 0), self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the message as Qt does, but elided."""
        painter, option = QStylePainter(self), QStyleOption()
        option.initFrom(self)
        painter.drawPrimitive(QStyle.PrimitiveElement.PE_PanelStatusBar, option)
        painter.drawText(
            self._room(),
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeading,
            self.shown_message(),
        )


def _wrapped(text: str) -> str:
    """Return plain text as a tooltip that Qt wraps."""
    return f"<p>{escape(text)}</p>" if text else ""


def _show_elided(part: QLabel | QToolButton, text: str) -> None:
    elided, width = Qt.TextElideMode.ElideRight, em(part, LONGEST_PART)
    part.setText(part.fontMetrics().elidedText(text, elided, width))
    part.setToolTip(_wrapped(text) if part.text() != text else "")


class StatusTexts(QObject):
    """Fills a status bar; `undo` is called by its button."""

    def __init__(self, bar: QStatusBar, worker: SessionWorker, undo: Callable[[], object]) -> None:
        super().__init__(bar)
        self._bar, self._worker = bar, worker
        self.sorted, self.saved, self.work = QLabel(), QLabel(), QLabel()
        self.undo = QToolButton()
        self.undo.setAutoRaise(True)
        self.undo.hide()
        self.undo.clicked.connect(undo)
        for label in (self.work, self.sorted, self.saved):
            label.setContentsMargins(6, 0, 6, 0)
        for part in (self.work, self.sorted, self.undo, self.saved):
            self._bar.addPermanentWidget(part)
        worker.progressed.connect(self.take)
        worker.message.connect(self._said)
        worker.stepped.connect(self._stepped)
        worker.waiting.connect(self._waiting)

    def take(self, progress: SortingProgress) -> None:
        """Show where the work stands."""
        counts = progress.counts
        text = self.tr("{done} of {total} sorted")
        self.sorted.setText(text.format(done=f"{counts.sorted:,}", total=f"{counts.total:,}"))
        step = progress.undo
        self.undo.setVisible(step is not None)
        if step is not None:
            what = step_words(step.operation)
            _show_elided(self.undo, self.tr("Undo: {what}").format(what=what))
        self.saved.setText(self.tr("saved"))

    def _stepped(self, done: StepResult) -> None:
        """What a gesture did; an undo says how much it could not take back."""
        words = {
            StepKind.UNDO: self.tr("Undone: {what}"),
            StepKind.REDO: self.tr("Done again: {what}"),
        }
        text = words.get(done.kind, "{what}").format(what=step_words(done.operation))
        if done.changed_since:
            text += self.tr(" · {count} had been changed since").format(count=done.changed_since)
        self._said(text, False)

    def _said(self, text: str, bad: bool) -> None:
        """Shown for a while; what is bad until something else is said."""
        self._bar.showMessage(text, 0 if bad else SHOWN_MS)
        announce(self._bar, text)

    def measuring(self, left: int) -> None:
        """Show how many faces are still to be measured for likeness."""
        text = singular(self.tr("Measuring {left} faces"), left).format(left=f"{left:,}")
        if not left and self.work.text():
            self._bar.showMessage(self.tr("All faces are measured: G shows look-alikes"), 8000)
        self.work.setText(text if left else "")

    def _waiting(self, why: str) -> None:
        unsaved = self.tr("not saved yet: {why}").format(why=why)
        _show_elided(self.saved, unsaved if why else self.tr("saved"))
