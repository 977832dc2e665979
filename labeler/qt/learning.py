"""The window learns from what is sorted: `baseline presort --follow` beside it, and its switch.

Nothing waits for it, and nothing that is shown moves: new proposals come with the next page.
"""

from __future__ import annotations

from enum import StrEnum

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu

from labeler.qt.commands import CommandEnd, CommandStage, OwnCommand
from labeler.qt.preferences import WindowState
from labeler.qt.session_worker import SessionWorker
from labeler.qt.widgets import MenuButton

FEATURES, SOLVING, STANDBY = "features", "learning", "standby"
"""What the command calls its stages."""


class LearningState(StrEnum):
    """What learning is at."""

    OFF = "off"
    BEGINNING = "beginning"
    LOOKING = "looking"
    SOLVING = "solving"
    RESTING = "resting"
    WAITING = "waiting"
    MISSING = "missing"
    FAILED = "failed"


STATES = {
    FEATURES: LearningState.LOOKING,
    SOLVING: LearningState.SOLVING,
    STANDBY: LearningState.WAITING,
}


class Learning(QObject):
    """Learns on one dataset; `changed` when its state, or how far it is, has changed.

    `done` of `total` faces were looked at; `why` says more where it cannot learn.
    """

    changed = Signal()

    def __init__(self, worker: SessionWorker, kept: WindowState) -> None:
        super().__init__(worker)
        self._worker, self._kept = worker, kept
        self.state = LearningState.OFF
        self._looking = False
        self.done = self.total = 0
        self.why = ""
        presort = ["baseline", "presort", "-d", str(worker.root.absolute())]
        self._follower = OwnCommand([*presort, "--follow"], self, lasts=True)
        self._once = OwnCommand(presort, self)
        for command in (self._follower, self._once):
            command.staged.connect(self._staged)
            command.ended.connect(self._ended)
        self._follower.message.connect(worker.say)
        self._follower.crashed.connect(self._crashed)

    @property
    def wanted(self) -> bool:
        """Whether it is to learn by itself."""
        return self._kept.learns()

    @property
    def taught(self) -> bool:
        """Whether anything is sorted that it could learn from."""
        last = self._worker.last
        return last is not None and any(row.count for row in last.counts.classes)

    @property
    def at_work(self) -> bool:
        """Whether a command of it runs."""
        return self._follower.running or self._once.running

    def begin(self) -> None:
        """Begin to learn, where a person has not switched it off."""
        if self.wanted:
            self._worker.ask(lambda session: session.dataset.read_only, self._may_begin)

    def _may_begin(self, read_only: bool) -> None:
        if self.wanted and not read_only:
            self._set(LearningState.BEGINNING)
            self._follower.start()

    def want(self, on: bool) -> None:
        """Switch it on or off, for this and for later times."""
        self._kept.keep_learns(on)
        self.end()
        self.begin()

    def learn_now(self) -> None:
        """Learn once from what is sorted by now."""
        if not self.at_work:
            self._set(LearningState.BEGINNING)
            self._once.start()

    def end(self) -> None:
        """Stop at once; what was learnt is kept."""
        self._follower.stop()
        self._once.stop()
        self._set(LearningState.OFF)

    def _set(self, state: LearningState, why: str = "") -> None:
        self.state, self.why = state, why
        self.changed.emit()

    def _staged(self, stage: CommandStage) -> None:
        if stage.name == FEATURES:
            self.done, self.total = round(stage.done), round(stage.total or 0)
            self._looking = not stage.ended
        if stage.name == STANDBY and stage.ended:
            self._set(LearningState.BEGINNING)
            self._worker.say(self.tr("The other window has ended: this one learns from here on"))
        elif (state := STATES.get(stage.name)) is not None:
            # It also learns in the middle of looking: then it has not seen all yet.
            after = LearningState.LOOKING if self._looking else LearningState.RESTING
            self._set(after if stage.ended else state)

    def _crashed(self, pause: float) -> None:
        why = self.tr("Learning has crashed; it begins again in {seconds} seconds")
        self._set(LearningState.BEGINNING, why.format(seconds=round(pause)))
        self._worker.say(self.why)

    def _ended(self, end: CommandEnd) -> None:
        if end.missing:
            self._set(LearningState.MISSING, end.words)
            if self._kept.first_word_of_learning():
                self._worker.say(self.gain())
        elif end.code:
            self._set(LearningState.FAILED, end.words)
            self._worker.say(self.tr("Cannot learn: {why}").format(why=end.words))
        else:
            self._set(LearningState.OFF)

    def gain(self) -> str:
        """Return what would be gained where something is not installed."""
        return self.tr("Proposals would improve while you sort: pip install 'gleanset[transfer]'")


class LearningButton(MenuButton):
    """Says in the status bar what learning is at; its menu has the switch."""

    def __init__(self, learning: Learning) -> None:
        super().__init__()
        self._learning = learning
        self.setAutoRaise(True)
        menu = QMenu(self)
        self.switch = QAction(self.tr("Learn from what is sorted"), menu)
        self.switch.setCheckable(True)
        self.now = QAction(self.tr("Learn now"), menu)
        self.switch.triggered.connect(learning.want)
        self.now.triggered.connect(learning.learn_now)
        menu.addAction(self.switch)
        menu.addAction(self.now)
        self.setMenu(menu)
        learning.changed.connect(self.show_state)
        self.show_state()

    def show_state(self) -> None:
        """Show what learning is at."""
        learning = self._learning
        words = {
            LearningState.OFF: self.tr("Learning is off"),
            LearningState.BEGINNING: self.tr("Learning begins"),
            LearningState.LOOKING: self.tr("Looking at faces: {done} of {total}").format(
                done=f"{learning.done:,}", total=f"{learning.total:,}"
            ),
            LearningState.SOLVING: self.tr("Learning"),
            LearningState.RESTING: self.tr("Has learnt")
            if learning.taught
            else self.tr("Faces were looked at"),
            LearningState.WAITING: self.tr("Another window learns"),
            LearningState.MISSING: self.tr("Cannot learn"),
            LearningState.FAILED: self.tr("Cannot learn"),
        }
        self.setText(words[learning.state])
        self.setAccessibleName(words[learning.state])
        usual = self.tr("Proposals are made anew from what you sort; they show with the next page")
        why = learning.gain() if learning.state is LearningState.MISSING else learning.why
        self.setToolTip(why or usual)
        self.switch.setChecked(learning.wanted)
        self.now.setEnabled(not learning.at_work)
