"""The status bar: progress, messages, undo, saving; and the updates of suggestions.

Suggestions are updated from the labels while a user sorts: features by `baseline prelabel`, the
classifier in a thread here. New suggestions appear with the next page.
"""

import time
from html import escape
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QRect, QSettings, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QLabel,
    QStatusBar,
    QStyle,
    QStyleOption,
    QToolButton,
)

from gleanset import Dataset
from gleanset.installation import install_command
from labeler.qt.commands import (
    MISSING_EXIT_CODE,
    CommandEnd,
    CommandQueue,
    CommandStage,
)
from labeler.qt.session_worker import BackgroundTask, SessionWorker
from labeler.qt.theme import Role, colour, draw_text, em
from labeler.qt.translations import report_change, step_words, tr
from labeler.qt.widgets import announce, timer
from labeler.sorting.session import SortingProgress, StepResult

if TYPE_CHECKING:
    from labeler.sorting.learning import LearningResult


MESSAGE_MS = 6000
MARGIN_PX = 6
MAX_PART_WIDTH_EM = 24


def _as_tooltip(text: str) -> str:
    # Only rich text is wrapped in a tooltip.
    return f"<p>{escape(text)}</p>" if text else ""


def _set_elided(part: QLabel | QToolButton, text: str) -> None:
    elided = Qt.TextElideMode.ElideRight
    part.setText(
        part.fontMetrics().elidedText(text, elided, em(part, MAX_PART_WIDTH_EM))
    )
    part.setToolTip(_as_tooltip(text) if part.text() != text else "")


class MessageBar(QStatusBar):
    """Status bar with progress, messages and a button that undoes the step it names.

    Long messages are shown in full as its tooltip.
    """

    def __init__(self, worker: SessionWorker):
        super().__init__()
        self.sorted = QLabel()
        self.saved = QLabel()
        self.undo = QToolButton(autoRaise=True)
        for part in (self.sorted, self.undo, self.saved):
            self.addPermanentWidget(part)
        self.messageChanged.connect(lambda text: self.setToolTip(_as_tooltip(text)))
        worker.progressed.connect(self._show_progress)
        worker.message.connect(self._show_message)
        worker.stepped.connect(self._show_step)
        worker.save_delayed.connect(self._show_save_delay)

    def _show_progress(self, progress: SortingProgress) -> None:
        counts = progress.counts
        self.sorted.setText(
            tr(
                "{done} of {total} sorted",
                done=f"{counts.total_decided:,}",
                total=f"{counts.total:,}",
            )
        )
        self.sorted.setVisible(counts.total > 0)
        self._show_save_delay("")

    def message_room(self) -> QRect:
        """Return the place of the message."""
        end = self.childrenRect().left()  # of the visible parts
        return self.rect().adjusted(
            MARGIN_PX,
            0,
            end - self.width() - MARGIN_PX,
            0,
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the message; Qt would cut it within a word."""
        painter = QPainter(self)
        panel = QStyleOption()
        panel.initFrom(self)
        self.style().drawPrimitive(
            QStyle.PrimitiveElement.PE_PanelStatusBar, panel, painter, self
        )
        draw_text(
            painter,
            self.message_room(),
            self.currentMessage(),
            colour(Role.WindowText),
        )

    def name_undo(self, what: str) -> None:
        """Say on the button what it undoes; hide it for ''."""
        self.undo.setVisible(bool(what))
        _set_elided(self.undo, tr("Undo: {what}", what=what))

    def _show_step(self, step: StepResult) -> None:
        text = report_change(step_words(step.operation), step.kind)
        if step.changed_since:
            text += tr(" · {count} already changed since", count=step.changed_since)
        self._show_message(text, False)

    def _show_message(self, text: str, bad: bool) -> None:
        if bad and text.partition(" ")[0].isalpha():  # errors begin in lower case
            text = text[0].upper() + text[1:]
        text = text.replace("\nhint: ", " – ")
        self.showMessage(text, 0 if bad else MESSAGE_MS)
        announce(self, text)

    def _show_save_delay(self, reason: str) -> None:
        text = tr("not saved yet: {why}" if reason else "saved", why=reason)
        _set_elided(self.saved, text)
        self.saved.setProperty("saved", not reason)  # for the style sheet
        self.saved.style().polish(self.saved)


FEATURES_STAGE = "features"
LEARNS_SETTING = "learns"
MIN_UPDATE_INTERVAL_MS = 1500
PAUSE_FACTOR = 3
"""An update is followed by a pause of at least this multiple of its duration."""
PRELABEL_INTERVAL_MS = 30_000
"""While images are being added, features of new ones are computed in batches."""


class Learning(QObject):
    """Updates suggestions from the labels of one dataset.

    `reported` says what is computed now (text) and why that failed (reason, mostly ''). `active`
    means that updates are switched on; `has_model` is True after the first update from labels.
    """

    reported = Signal(str, str)

    def __init__(self, worker: SessionWorker):
        super().__init__(worker)
        self._worker = worker
        self.active = self.has_model = False
        self._failure = ""
        self._started_at = 0.0
        self._prelabel = CommandQueue(self, low_priority=True)
        self._prelabel.staged.connect(self._report_stage)
        self._prelabel.ended.connect(self._on_prelabel_end)
        self._task = worker.create_task()
        self._task.done.connect(self._on_update_end)
        self._task.failed.connect(self._fail)
        self._update_timer = timer(self, self._update, MIN_UPDATE_INTERVAL_MS)
        self._prelabel_timer = timer(self, self._update, PRELABEL_INTERVAL_MS)
        worker.stepped.connect(self._update_soon)
        worker.changed_outside.connect(self._update_soon)

    @property
    def running(self) -> bool:
        return self._prelabel.running or self._task.busy

    def begin(self) -> None:
        """Start updates, unless the user has switched them off."""
        if QSettings().value(LEARNS_SETTING, True, type=bool):
            self._worker.ask(
                lambda session: session.dataset.read_only, self._begin_if_writable
            )

    def _begin_if_writable(self, read_only: bool) -> None:
        if not read_only:
            self.active = True
            self._update()

    def set_enabled(self, on: bool) -> None:
        """Switch updates on or off, also for later windows."""
        QSettings().setValue(LEARNS_SETTING, int(on))
        self.end()
        self.begin()

    def end(self) -> None:
        """Stop at once; existing suggestions are kept."""
        self.active = False
        self._failure = ""
        self._update_timer.stop()
        self._prelabel_timer.stop()
        self._prelabel.stop()
        self._report(tr("Suggestion updates off"))

    def _report(self, text: str, reason: str = "") -> None:
        self.reported.emit(text, reason)

    def _update_soon(self) -> None:
        if self.active and not self._update_timer.isActive():
            self._update_timer.start()

    def _update(self) -> None:
        if self._task.busy:
            self._update_timer.start()
        elif not self._prelabel.running:  # its end starts another update
            self._started_at = time.monotonic()
            self._task.start(_learn)
            if not self._failure:
                self._report(
                    tr("Updating suggestions…" if self.has_model else "Getting ready…")
                )

    def _on_update_end(self, result: "LearningResult") -> None:
        # On a slow machine, most of the time must be left to the window.
        pause_ms = 1000 * PAUSE_FACTOR * (time.monotonic() - self._started_at)
        self._update_timer.setInterval(max(MIN_UPDATE_INTERVAL_MS, round(pause_ms)))
        self.has_model = result.has_model
        if not self.active:
            return
        if not result.without_vectors:
            self._failure = ""
        if self._failure:
            self._report(tr("Suggestions unavailable"), self._failure)
        # For some time after a prelabeling, samples without vectors are those it could not read.
        # Later there may also be new ones.
        elif result.without_vectors and not self._prelabel_timer.isActive():
            self._report(tr("Getting ready…"))
            self._prelabel.add(
                [["baseline", "prelabel", "-d", str(self._worker.root.absolute())]]
            )
        else:
            self._report(tr("Up to date" if self.has_model else "Faces compared"))

    def _report_stage(self, stage: CommandStage) -> None:
        if stage.name == FEATURES_STAGE and stage.total:
            self._report(
                tr(
                    "Comparing faces: {done} of {total}",
                    done=f"{stage.done:,.0f}",
                    total=f"{stage.total:,.0f}",
                )
            )

    def _on_prelabel_end(self, words: list[str], end: CommandEnd) -> None:
        # `words`, the command, come with the signal; here it is always the same one.
        if end.code == MISSING_EXIT_CODE:
            self._failure = tr(
                "To update suggestions while you sort, run: {command}",
                command=install_command("transfer"),
            )
            self._report(tr("Suggestions unavailable"), self._failure)
        # Another window may be computing features: the failure is shown until an update has all
        # vectors.
        elif end.code:
            self._failure = end.error_output or f"exit code {end.code}"
            self._fail(self._failure)
        else:
            self._prelabel_timer.start()
            self._update()

    def _fail(self, reason: str) -> None:
        self._report(tr("Suggestions unavailable"), reason)
        self._worker.show_message(tr("Cannot update suggestions: {why}", why=reason))


def _learn(dataset: Dataset, task: BackgroundTask) -> "LearningResult":
    # Loads NumPy: not before the window is shown.
    from labeler.sorting.learning import (
        learn,
    )

    return learn(dataset, lambda: task.is_cancelled)


class LearningButton(QToolButton):
    """Shows in one line what is computed; a click switches suggestion updates on or off."""

    def __init__(self, learning: Learning, worker: SessionWorker):
        super().__init__(autoRaise=True)
        self._report = (tr("Suggestion updates off"), "")
        self._left = 0
        self.hide()
        self.clicked.connect(lambda: learning.set_enabled(not learning.active))
        worker.progressed.connect(
            lambda progress: self.setVisible(progress.counts.total > 0)
        )
        learning.reported.connect(self._show_report)
        self._show()

    def show_left(self, left: int) -> None:
        """Show how many faces are still to be compared: before that, nothing can be learnt."""
        self._left = left
        self._show()

    def _show_report(self, text: str, reason: str) -> None:
        self._report = text, reason
        self._show()

    def _show(self) -> None:
        text, reason = self._report
        if self._left:
            text = tr("Comparing faces: {count} faces left", count=self._left)

        self.setText(text)
        self.setAccessibleName(text)
        usual = tr(
            "Suggestions are updated from your labels and appear on the next page. "
            "Click to switch updates off or on."
        )

        self.setToolTip(_as_tooltip(reason or usual))
