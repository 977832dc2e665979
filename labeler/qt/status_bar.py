"""The status bar: how far the work is, what can be undone, what is saved, what is learnt.

The window learns from what is sorted: vectors by `baseline presort`, classes in a thread here.
Nothing waits for it, and nothing that is shown moves: new suggestions come with the next page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from html import escape
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QRect, Qt, Signal
from PySide6.QtGui import QAction, QPaintEvent
from PySide6.QtWidgets import (
    QLabel,
    QMenu,
    QStatusBar,
    QStyle,
    QStyleOption,
    QStylePainter,
    QToolButton,
    QWidget,
)

from gleanset import Dataset
from gleanset.installation import install_command
from labeler.qt.commands import MISSING_EXIT_CODE, CommandEnd, CommandStage, OwnCommand
from labeler.qt.session_worker import CancellableProgress, SessionWorker
from labeler.qt.settings import WindowState
from labeler.qt.theme import em
from labeler.qt.translations import singular, step_words
from labeler.qt.widgets import MenuButton, announce, timer
from labeler.sorting.session import SortingProgress, StepKind, StepResult

if TYPE_CHECKING:
    from labeler.sorting.learning import LearningResult


SHOWN_MS = 6000
MARGIN = 6
MAX_PART_EM = 24


class MessageBar(QStatusBar):
    """Elides a message that is too long, and has all of it as its tooltip."""

    def __init__(self) -> None:
        super().__init__()
        self.messageChanged.connect(lambda text: self.setToolTip(_wrapped(text)))

    def shown_message(self) -> str:
        elided = Qt.TextElideMode.ElideRight
        return self.fontMetrics().elidedText(self.currentMessage(), elided, self._room().width())

    def _room(self) -> QRect:
        parts = self.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
        right = min((part.x() for part in parts if part.isVisible()), default=self.width())
        return QRect(MARGIN, 0, max(right - 2 * MARGIN, 0), self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, option = QStylePainter(self), QStyleOption()
        option.initFrom(self)
        painter.drawPrimitive(QStyle.PrimitiveElement.PE_PanelStatusBar, option)
        painter.drawText(
            self._room(),
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeading,
            self.shown_message(),
        )


def _wrapped(text: str) -> str:
    return f"<p>{escape(text)}</p>" if text else ""


def _show_elided(part: QLabel | QToolButton, text: str) -> None:
    elided, width = Qt.TextElideMode.ElideRight, em(part, MAX_PART_EM)
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
        words = {
            StepKind.UNDO: self.tr("Undone: {what}"),
            StepKind.REDO: self.tr("Redone: {what}"),
        }
        text = words.get(done.kind, "{what}").format(what=step_words(done.operation))
        if done.changed_since:
            text += self.tr(" · {count} already changed since").format(count=done.changed_since)
        self._said(text, False)

    def _said(self, text: str, bad: bool) -> None:
        self._bar.showMessage(text, 0 if bad else SHOWN_MS)
        announce(self._bar, text)

    def measuring(self, left: int) -> None:
        text = singular(self.tr("Computing embeddings: {left} faces left"), left).format(
            left=f"{left:,}"
        )
        if not left and self.work.text():
            self._bar.showMessage(
                self.tr("Embeddings computed: press G for clusters of similar faces"), 8000
            )
        self.work.setText(text if left else "")

    def _waiting(self, why: str) -> None:
        unsaved = self.tr("not saved yet: {why}").format(why=why)
        _show_elided(self.saved, unsaved if why else self.tr("saved"))


FEATURES_STAGE = "features"
LEARN_AFTER_MS = 1500
PATIENCE = 3
"""At most one part in so many of the time is spent on learning."""
PRESORT_AGAIN_MS = 30_000
"""While images keep coming in, new ones get their vectors together."""


class LearningState(StrEnum):
    """What learning is at."""

    OFF = "off"
    BEGINNING = "beginning"
    LOOKING = "looking"
    SOLVING = "solving"
    RESTING = "resting"
    MISSING = "missing"
    FAILED = "failed"


class Learning(QObject):
    """Learns on one dataset; `changed` when its state, or how far it is, has changed.

    `done` of `total` faces were looked at; `why` says more where it cannot learn. `learnt` after
    it has learnt from labels.
    """

    changed = Signal()

    def __init__(self, worker: SessionWorker, kept: WindowState) -> None:
        super().__init__(worker)
        self._worker, self._kept = worker, kept
        self.state, self.why = LearningState.OFF, ""
        self.done = self.total = 0
        self.learnt = False
        self._by_itself = self._active = False
        self._failure: LearningState | None = None
        self._began = 0.0
        words = ["baseline", "presort", "-d", str(worker.root.absolute())]
        self._presort = OwnCommand(words, self, low_priority=True)
        self._presort.staged.connect(self._staged)
        self._presort.ended.connect(self._presorted)
        self._task = worker.task()
        self._task.done.connect(self._learnt)
        self._task.failed.connect(self._fail)
        self._later = timer(self, self._learn, LEARN_AFTER_MS)
        self._again = timer(self, self._learn, PRESORT_AGAIN_MS)
        worker.stepped.connect(self._learn_soon)
        worker.outside.connect(self._learn_soon)

    @property
    def wanted(self) -> bool:
        """Whether it is to learn by itself."""
        return self._kept.learns()

    @property
    def at_work(self) -> bool:
        return self._presort.running or self._task.busy

    def begin(self) -> None:
        """Begin to learn, where a person has not switched it off."""
        if self.wanted:
            self._worker.ask(lambda session: session.dataset.read_only, self._may_begin)

    def _may_begin(self, read_only: bool) -> None:
        if self.wanted and not read_only:
            self._by_itself = self._active = True
            self._learn()

    def want(self, on: bool) -> None:
        """Switch it on or off, for this and for later times."""
        self._kept.keep_learns(on)
        self.end()
        self.begin()

    def learn_now(self) -> None:
        if not self.at_work:
            self._failure, self._active = None, True
            self._learn()

    def end(self) -> None:
        """Stop at once; what was learnt is kept."""
        self._by_itself = self._active = False
        self._failure = None
        self._later.stop()
        self._again.stop()
        self._presort.stop()
        self._set(LearningState.OFF)

    def _set(self, state: LearningState, why: str = "") -> None:
        self.state, self.why = state, why
        self.changed.emit()

    # -- from vectors that are there

    def _learn_soon(self) -> None:
        if self._by_itself and not self._later.isActive():
            self._later.start()

    def _learn(self) -> None:
        if self._presort.running:
            return  # its end is followed by another round
        self._began = time.monotonic()
        if not self._task.start(_learn):
            self._later.start()
        elif self._failure is None:
            self._set(LearningState.SOLVING if self.learnt else LearningState.BEGINNING)

    def _learnt(self, result: LearningResult) -> None:
        pause = PATIENCE * (time.monotonic() - self._began)
        self._later.setInterval(max(LEARN_AFTER_MS, round(1000 * pause)))
        self.learnt = result.learnt
        if not self._active:
            return
        if not result.without_vectors:
            self._failure = None
        if self._failure is not None:
            self._set(self._failure, self.why)
        elif result.without_vectors and not self._again.isActive():
            self.done = self.total = 0
            self._set(LearningState.LOOKING)
            self._presort.start()
        else:
            self._set(LearningState.RESTING if self._by_itself else LearningState.OFF)

    # -- vectors

    def _staged(self, stage: CommandStage) -> None:
        if stage.name == FEATURES_STAGE:
            self.done, self.total = round(stage.done), round(stage.total or 0)
            self._set(LearningState.LOOKING)

    def _presorted(self, end: CommandEnd) -> None:
        if end.code == MISSING_EXIT_CODE:
            self._failure = LearningState.MISSING
            self._set(self._failure, end.words)
            if self._kept.first_word_of_learning():
                self._worker.say(self.gain())
        elif end.code:  # another window may be computing them: its vectors end this state
            self._failure = LearningState.FAILED
            self._fail(end.words)
        else:
            if self._by_itself:
                self._again.start()
            self._learn()

    def _fail(self, why: str) -> None:
        self._set(LearningState.FAILED, why)
        self._worker.say(self.tr("Cannot update suggestions: {why}").format(why=why))

    def gain(self) -> str:
        better = self.tr("To update suggestions while you sort, run: {command}")
        return better.format(command=install_command("transfer"))


def _learn(dataset: Dataset, progress: CancellableProgress) -> LearningResult:
    from labeler.sorting.learning import learn  # loads NumPy: not before the window is shown

    return learn(dataset, lambda: progress.cancelled)


class LearningButton(MenuButton):
    """Says in the status bar what learning is at; its menu has the switch."""

    def __init__(self, learning: Learning) -> None:
        super().__init__()
        self._learning = learning
        self.setAutoRaise(True)
        menu = QMenu(self)
        self.switch = QAction(self.tr("Update suggestions while sorting"), menu)
        self.switch.setCheckable(True)
        self.now = QAction(self.tr("Update suggestions now"), menu)
        self.switch.triggered.connect(learning.want)
        self.now.triggered.connect(learning.learn_now)
        menu.addAction(self.switch)
        menu.addAction(self.now)
        self.setMenu(menu)
        learning.changed.connect(self.show_state)
        self.show_state()

    def show_state(self) -> None:
        learning = self._learning
        words = {
            LearningState.OFF: self.tr("Suggestion updates off"),
            LearningState.BEGINNING: self.tr("Starting…"),
            LearningState.LOOKING: self.tr("Computing features: {done} of {total}").format(
                done=f"{learning.done:,}", total=f"{learning.total:,}"
            )
            if learning.total
            else self.tr("Starting…"),
            LearningState.SOLVING: self.tr("Updating suggestions…"),
            LearningState.RESTING: self.tr("Up to date")
            if learning.learnt
            else self.tr("Features computed"),
            LearningState.MISSING: self.tr("Suggestions unavailable"),
            LearningState.FAILED: self.tr("Suggestions unavailable"),
        }
        self.setText(words[learning.state])
        self.setAccessibleName(words[learning.state])
        usual = self.tr("Suggestions are updated from your labels and appear on the next page")
        why = learning.gain() if learning.state is LearningState.MISSING else learning.why
        self.setToolTip(why or usual)
        self.switch.setChecked(learning.wanted)
        self.now.setEnabled(not learning.at_work)
