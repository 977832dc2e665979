"""The status bar: progress, messages, undo, saving; and the updates of suggestions.

Suggestions are updated from the labels while a user sorts: features by `baseline prelabel`, the
classifier in a thread here. New suggestions appear with the next page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from html import escape
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QRect, Qt, Signal
from PySide6.QtGui import QPaintEvent, QPalette
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
from labeler.qt.commands import MISSING_EXIT_CODE, CommandEnd, CommandProcess, CommandStage
from labeler.qt.session_worker import CancellableProgress, SessionWorker
from labeler.qt.settings import WindowState
from labeler.qt.theme import PENDING, SAVED, em, state_colour, trough
from labeler.qt.translations import singular, step_words
from labeler.qt.widgets import MenuButton, announce, timer
from labeler.sorting.session import SortingProgress, StepKind, StepResult

if TYPE_CHECKING:
    from labeler.sorting.learning import LearningResult


MESSAGE_MS = 6000
MARGIN_PX = 6
MAX_PART_WIDTH_EM = 24
SORTED_LINE_PX = 2


class MessageBar(QStatusBar):
    """Status bar that elides long messages and shows them in full as its tooltip.

    A line at its top is as long as the share of the faces that is sorted.
    """

    sorted_share = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.messageChanged.connect(lambda text: self.setToolTip(_as_tooltip(text)))

    def elided_message(self) -> str:
        elided = Qt.TextElideMode.ElideRight
        width = self._message_rect().width()
        return self.fontMetrics().elidedText(self.currentMessage(), elided, width)

    def _message_rect(self) -> QRect:
        parts = self.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
        right = min((part.x() for part in parts if part.isVisible()), default=self.width())
        return QRect(MARGIN_PX, 0, max(right - 2 * MARGIN_PX, 0), self.height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, option = QStylePainter(self), QStyleOption()
        option.initFrom(self)
        painter.drawPrimitive(QStyle.PrimitiveElement.PE_PanelStatusBar, option)
        painter.fillRect(0, 0, self.width(), SORTED_LINE_PX, trough(self.palette()))
        done = round(self.sorted_share * self.width())
        painter.fillRect(0, 0, done, SORTED_LINE_PX, self.palette().highlight())
        alignment = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeading
        painter.drawText(self._message_rect(), alignment, self.elided_message())


def _as_tooltip(text: str) -> str:
    # Only rich text is wrapped in a tooltip.
    return f"<p>{escape(text)}</p>" if text else ""


def _set_elided(part: QLabel | QToolButton, text: str) -> None:
    elided, width = Qt.TextElideMode.ElideRight, em(part, MAX_PART_WIDTH_EM)
    part.setText(part.fontMetrics().elidedText(text, elided, width))
    part.setToolTip(_as_tooltip(text) if part.text() != text else "")


class StatusTexts(QObject):
    """Fills a status bar with progress, messages and an undo button that calls `undo`."""

    def __init__(self, bar: MessageBar, worker: SessionWorker, undo: Callable[[], object]) -> None:
        super().__init__(bar)
        self._bar = bar
        self.sorted, self.saved = QLabel(), QLabel()
        self.undo = QToolButton(autoRaise=True)
        self.undo.hide()
        self.undo.clicked.connect(undo)
        for label in (self.sorted, self.saved):
            label.setContentsMargins(MARGIN_PX, 0, MARGIN_PX, 0)
        for part in (self.sorted, self.undo, self.saved):
            self._bar.addPermanentWidget(part)
        worker.progressed.connect(self._show_progress)
        worker.message.connect(self._show_message)
        worker.stepped.connect(self._show_step)
        worker.save_delayed.connect(self._show_save_delay)

    def _show_progress(self, progress: SortingProgress) -> None:
        counts = progress.counts
        text = self.tr("{done} of {total} sorted")
        self.sorted.setText(text.format(done=f"{counts.sorted:,}", total=f"{counts.total:,}"))
        self.sorted.setVisible(counts.total > 0)
        self._bar.sorted_share = counts.sorted / max(1, counts.total)
        self._bar.update()
        step = progress.undo
        self.undo.setVisible(step is not None)
        if step is not None:
            step_text = step_words(step.operation)
            _set_elided(self.undo, self.tr("Undo: {what}").format(what=step_text))
        self._show_save_delay("")

    def _show_step(self, step: StepResult) -> None:
        templates = {
            StepKind.UNDO: self.tr("Undone: {what}"),
            StepKind.REDO: self.tr("Redone: {what}"),
        }
        text = templates.get(step.kind, "{what}").format(what=step_words(step.operation))
        if step.changed_since:
            text += self.tr(" · {count} already changed since").format(count=step.changed_since)
        self._show_message(text, False)

    def _show_message(self, text: str, bad: bool) -> None:
        self._bar.showMessage(text, 0 if bad else MESSAGE_MS)
        announce(self._bar, text)

    def _show_save_delay(self, reason: str) -> None:
        unsaved = self.tr("not saved yet: {why}").format(why=reason)
        _set_elided(self.saved, unsaved if reason else self.tr("saved"))
        palette = self._bar.palette()
        colour = state_colour(PENDING if reason else SAVED, palette)
        palette.setColor(QPalette.ColorRole.WindowText, colour)
        self.saved.setPalette(palette)


FEATURES_STAGE = "features"
MIN_UPDATE_INTERVAL_MS = 1500
PAUSE_FACTOR = 3
"""An update is followed by a pause of at least this multiple of its duration."""
PRELABEL_INTERVAL_MS = 30_000
"""While images are being added, features of new ones are computed in batches."""


class LearningState(StrEnum):
    """What the suggestion updates are doing."""

    OFF = "off"
    STARTING = "starting"
    COMPUTING_FEATURES = "features"
    UPDATING = "updating"
    UP_TO_DATE = "up-to-date"
    MISSING = "missing"
    FAILED = "failed"


class Learning(QObject):
    """Updates suggestions from the labels of one dataset.

    `changed` is emitted when the state or the progress (`done` of `total` faces) changes; `reason`
    explains a failure. `has_model` is True after the first update from labels.
    """

    changed = Signal()

    def __init__(self, worker: SessionWorker, window_state: WindowState) -> None:
        super().__init__(worker)
        self._worker, self._window_state = worker, window_state
        self.state, self.reason = LearningState.OFF, ""
        self.done = self.total = 0
        self.has_model = False
        self._automatic = self._active = False
        self._failure: LearningState | None = None
        self._started_at = 0.0
        words = ["baseline", "prelabel", "-d", str(worker.root.absolute())]
        self._prelabel = CommandProcess(words, self, low_priority=True)
        self._prelabel.staged.connect(self._show_stage)
        self._prelabel.ended.connect(self._prelabel_ended)
        self._task = worker.create_task()
        self._task.done.connect(self._update_ended)
        self._task.failed.connect(self._fail)
        self._update_timer = timer(self, self._update, MIN_UPDATE_INTERVAL_MS)
        self._prelabel_timer = timer(self, self._update, PRELABEL_INTERVAL_MS)
        worker.stepped.connect(self._update_soon)
        worker.changed_outside.connect(self._update_soon)

    @property
    def enabled(self) -> bool:
        return self._window_state.learns()

    @property
    def running(self) -> bool:
        return self._prelabel.running or self._task.busy

    def begin(self) -> None:
        """Start automatic updates, unless the user has switched them off."""
        if self.enabled:
            self._worker.ask(lambda session: session.dataset.read_only, self._begin_if_writable)

    def _begin_if_writable(self, read_only: bool) -> None:
        if self.enabled and not read_only:
            self._automatic = self._active = True
            self._update()

    def set_enabled(self, on: bool) -> None:
        """Switch automatic updates on or off, also for later windows."""
        self._window_state.set_learns(on)
        self.end()
        self.begin()

    def update_now(self) -> None:
        if not self.running:
            self._failure, self._active = None, True
            self._update()

    def end(self) -> None:
        """Stop at once; existing suggestions are kept."""
        self._automatic = self._active = False
        self._failure = None
        self._update_timer.stop()
        self._prelabel_timer.stop()
        self._prelabel.stop()
        self._set_state(LearningState.OFF)

    def _set_state(self, state: LearningState, reason: str = "") -> None:
        self.state, self.reason = state, reason
        self.changed.emit()

    # -- updates from existing features

    def _update_soon(self) -> None:
        if self._automatic and not self._update_timer.isActive():
            self._update_timer.start()

    def _update(self) -> None:
        if self._prelabel.running:
            return  # its end starts another update
        self._started_at = time.monotonic()
        if not self._task.start(_learn):
            self._update_timer.start()
        elif self._failure is None:
            starting = LearningState.STARTING
            self._set_state(LearningState.UPDATING if self.has_model else starting)

    def _update_ended(self, result: LearningResult) -> None:
        pause_ms = 1000 * PAUSE_FACTOR * (time.monotonic() - self._started_at)
        self._update_timer.setInterval(max(MIN_UPDATE_INTERVAL_MS, round(pause_ms)))
        self.has_model = result.has_model
        if not self._active:
            return
        if not result.without_vectors:
            self._failure = None
        if self._failure is not None:
            self._set_state(self._failure, self.reason)
        elif result.without_vectors and not self._prelabel_timer.isActive():
            self.done = self.total = 0
            self._set_state(LearningState.COMPUTING_FEATURES)
            self._prelabel.start()
        else:
            self._set_state(LearningState.UP_TO_DATE if self._automatic else LearningState.OFF)

    # -- features

    def _show_stage(self, stage: CommandStage) -> None:
        if stage.name == FEATURES_STAGE:
            self.done, self.total = round(stage.done), round(stage.total or 0)
            self._set_state(LearningState.COMPUTING_FEATURES)

    def _prelabel_ended(self, end: CommandEnd) -> None:
        if end.code == MISSING_EXIT_CODE:
            self._failure = LearningState.MISSING
            self._set_state(self._failure, end.words)
        elif end.code:  # another window may be computing features: its results end this state
            self._failure = LearningState.FAILED
            self._fail(end.words)
        else:
            if self._automatic:
                self._prelabel_timer.start()
            self._update()

    def _fail(self, reason: str) -> None:
        self._set_state(LearningState.FAILED, reason)
        text = self.tr("Cannot update suggestions: {why}")
        self._worker.show_message(text.format(why=reason))


def _learn(dataset: Dataset, progress: CancellableProgress) -> LearningResult:
    from labeler.sorting.learning import learn  # loads NumPy: not before the window is shown

    return learn(dataset, lambda: progress.cancelled)


class LearningButton(MenuButton):
    """Shows in one line what is computed; its menu switches suggestion updates on and off."""

    def __init__(self, learning: Learning, worker: SessionWorker) -> None:
        super().__init__()
        self._learning, self._left = learning, 0
        self.setAutoRaise(True)
        self.hide()
        menu = QMenu(self)
        self.switch = menu.addAction(self.tr("Update suggestions while sorting"))
        self.switch.setCheckable(True)
        self.switch.triggered.connect(learning.set_enabled)
        self.now = menu.addAction(self.tr("Update suggestions now"), learning.update_now)
        self.setMenu(menu)
        worker.progressed.connect(lambda progress: self.setVisible(progress.counts.total > 0))
        learning.changed.connect(self.show_state)
        self.show_state()

    def show_left(self, left: int) -> None:
        """Show how many faces are still to be compared: before that, nothing can be learnt."""
        self._left = left
        self.show_state()

    def show_state(self) -> None:
        learning = self._learning
        starting = features = self.tr("Getting ready…")
        if learning.total:
            features = self.tr("Comparing faces: {done} of {total}").format(
                done=f"{learning.done:,}", total=f"{learning.total:,}"
            )
        ready = self.tr("Up to date") if learning.has_model else self.tr("Faces compared")
        text = {
            LearningState.OFF: self.tr("Suggestion updates off"),
            LearningState.STARTING: starting,
            LearningState.COMPUTING_FEATURES: features,
            LearningState.UPDATING: self.tr("Updating suggestions…"),
            LearningState.UP_TO_DATE: ready,
        }.get(learning.state, self.tr("Suggestions unavailable"))
        if self._left:
            comparing = singular(self.tr("Comparing faces: {left} faces left"), self._left)
            text = comparing.format(left=f"{self._left:,}")
        self.setText(text)
        self.setAccessibleName(text)
        usual = self.tr("Suggestions are updated from your labels and appear on the next page")
        self.setToolTip(learning.reason or usual)
        if learning.state is LearningState.MISSING:
            text = self.tr("To update suggestions while you sort, run: {command}")
            self.setToolTip(text.format(command=install_command("transfer")))
        self.switch.setChecked(learning.enabled)
        self.now.setEnabled(not learning.running)
