"""Taking pictures and videos in beside the window: our own commands, one after the other.

What is stopped or fails goes on when it is begun again: the commands know what they have done.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QProgressBar, QPushButton, QSizePolicy

from labeler.qt.commands import CommandEnd, CommandStage, OwnCommand
from labeler.qt.session_worker import SessionWorker
from labeler.qt.translations import counted
from labeler.qt.widgets import announce, beside
from labeler.sorting.dropped import ImportPlan, SimulatedImport


class TakingState(StrEnum):
    """What taking in is at."""

    RESTING = "resting"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    DONE = "done"


class Taking(QObject):
    """Takes in what a person has dropped; `changed` when how far it is has changed.

    `stage` is the last that a command reported, `images` and `faces` are what came of it so far,
    `whys` what went wrong, each with its hint. `came` says that there may be new faces.
    """

    changed = Signal()
    came = Signal()

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__(worker)
        self._worker = worker
        self.state = TakingState.RESTING
        self.stage: CommandStage | None = None
        self.images = self.faces = 0
        self.whys: list[str] = []
        self._all: list[list[str]] = []
        self._left: list[list[str]] = []
        self._command: OwnCommand | None = None
        worker.watch(self._under_way)

    @property
    def running(self) -> bool:
        """Whether something is being taken in."""
        return self._command is not None

    @property
    def step(self) -> tuple[int, int]:
        """Which command of how many is at work; (0, 0) for none."""
        count = len(self._all)
        return (count - len(self._left), count) if self._command is not None else (0, 0)

    @property
    def can_go_on(self) -> bool:
        """Whether there are commands to be begun again."""
        return bool(self._all) and not self.running

    def take(self, plan: ImportPlan) -> None:
        """Take something in, after what is being taken in."""
        if not self.running:
            self._forget()
        self._add(plan.commands(self._worker.root))

    def find_faces(self) -> None:
        """Find the faces in images that were not searched yet."""
        if not self.running:
            self._forget()
        self._add([["facecrop", "run", "--new", "-d", str(self._worker.root.absolute())]])

    def _add(self, commands: list[list[str]]) -> None:
        self._all += commands
        self._left += commands
        self._next()

    def stop(self) -> None:
        """Stop at once; what is taken in by now is kept."""
        self.end()
        self._left = []
        self._set(TakingState.STOPPED)
        self.came.emit()

    def go_on(self) -> None:
        """Begin again what was stopped, or what failed."""
        if self.can_go_on:
            self.whys, self._left = [], list(self._all)
            self._next()

    def dismiss(self) -> None:
        """Speak of it no more."""
        if not self.running:
            self._forget()
            self._set(TakingState.RESTING)

    def end(self) -> None:
        """Stop with the window."""
        self._end_command()

    def _under_way(self) -> str:
        return self.tr("pictures are being taken in") if self._command is not None else ""

    def _forget(self) -> None:
        self.images = self.faces = 0
        self.whys, self.stage = [], None
        self._all, self._left = [], []

    def _end_command(self) -> None:
        command, self._command = self._command, None
        if command is not None:
            command.stop()
            command.deleteLater()

    def _set(self, state: TakingState) -> None:
        self.state = state
        self.changed.emit()

    # -- commands

    def _next(self) -> None:
        if self._command is not None:
            return
        if not self._left:
            self._set(TakingState.FAILED if self.whys else TakingState.DONE)
            return
        self.stage = None
        command = self._command = OwnCommand(self._left.pop(0), self, answers=True)
        command.staged.connect(self._staged)
        command.ended.connect(self._ended)
        command.start()
        self._set(TakingState.RUNNING)

    def _staged(self, stage: CommandStage) -> None:
        self.stage = stage
        self.changed.emit()

    def _ended(self, end: CommandEnd) -> None:
        self._end_command()
        if end.code:
            self.whys.append(last_error(end.words))
        else:
            self.images += _number(end, "added")
            self.faces += _number(end, "faces")
        if not self._left:
            self.came.emit()
        self._next()


class Simulation(QObject):
    """Runs commands with `--simulate`; `ended` (SimulatedImport) has the sum of their reports."""

    ended = Signal(object)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._command: OwnCommand | None = None
        self._left: list[list[str]] = []
        self._result = SimulatedImport()

    def start(self, commands: Sequence[list[str]]) -> None:
        """Run these commands in place of those that are running."""
        self.stop()
        self._left, self._result = list(commands), SimulatedImport()
        self._next()

    def stop(self) -> None:
        """End what is running; nothing is reported."""
        command, self._command = self._command, None
        if command is not None:
            command.stop()
            command.deleteLater()

    def _next(self) -> None:
        if not self._left:
            self.ended.emit(self._result)
            return
        words = self._left.pop(0)
        command = self._command = OwnCommand([*words, "--simulate"], self, answers=True)
        command.ended.connect(lambda end: self._ended(Path(words[2]), end))
        command.start()

    def _ended(self, path: Path, end: CommandEnd) -> None:
        self.stop()
        if end.code:
            self._result.error = last_error(end.words)
            self._left = []
        else:
            self._result.add(path, end.result)
        self._next()


def last_error(words: str) -> str:
    """Return what a command said when it ended: its error and how to mend it, without its name."""
    lines = words.splitlines()
    for number in range(len(lines) - 1, -1, -1):
        name, colon, rest = lines[number].partition(": ")
        if colon and name in ("harvest", "facecrop"):
            return " ".join([rest, *(line.strip() for line in lines[number + 1 :])])
    return lines[-1] if lines else ""


def _number(end: CommandEnd, name: str) -> int:
    value = end.result.get(name, 0)
    return value if isinstance(value, int) else 0


class TakingBar(QFrame):
    """Says how far taking in is; it is there while there is something to say."""

    def __init__(self, taking: Taking) -> None:
        super().__init__()
        self._taking = taking
        self.text, self.bar = QLabel(), QProgressBar()
        self.stop = QPushButton(self.tr("Stop"))
        self.again = QPushButton()
        self.close_button = QPushButton(self.tr("Close"))
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar.setAccessibleName(self.tr("Progress of taking in"))
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(220)
        parts = (self.text, self.bar, self.again, self.stop, self.close_button)
        self.setLayout(beside(*parts, grows=self.text, margins=(8, 4, 8, 4)))
        self.stop.clicked.connect(taking.stop)
        self.again.clicked.connect(taking.go_on)
        self.close_button.clicked.connect(taking.dismiss)
        taking.changed.connect(self.show_state)
        self._shown = TakingState.RESTING
        self.show_state()

    def show_state(self) -> None:
        """Show what it is at."""
        taking, state = self._taking, self._taking.state
        running = state is TakingState.RUNNING
        self.setVisible(state is not TakingState.RESTING)
        self.bar.setVisible(running)
        self.stop.setVisible(running)
        ended = state in (TakingState.STOPPED, TakingState.FAILED)
        self.again.setVisible(ended and taking.can_go_on)
        self.again.setText(
            self.tr("Go on") if state is TakingState.STOPPED else self.tr("Try again")
        )
        self.close_button.setVisible(not running)
        self.text.setText(self._doing() if running else self._came_of(state))
        if running:
            self._show_stage()
        elif state is not self._shown:
            announce(self, self.text.text())
        self._shown = state

    def _show_stage(self) -> None:
        stage = self._taking.stage
        if stage is None or not stage.total:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * min(stage.done / stage.total, 1)))

    def _doing(self) -> str:
        taking, stage = self._taking, self._taking.stage
        at, count = taking.step
        name = stage.name if stage is not None else ""
        words = {
            "files": self.tr("Taking pictures in: {done}"),
            "members": self.tr("Taking pictures in: {done}"),
            "frames": self.tr("Taking frames of videos: {done} of {total} seconds"),
            "faces": self.tr("Looking for faces: {done} of {total} images"),
        }
        text = words.get(name, self.tr("Beginning"))
        if stage is not None:
            done, total = f"{stage.done:,.0f}", f"{stage.total or 0:,.0f}"
            text = text.format(done=done, total=total)
        if count > 1:
            text += self.tr("  ·  step {at} of {count}").format(at=at, count=count)
        return text

    def _came_of(self, state: TakingState) -> str:
        taking = self._taking
        if state is TakingState.STOPPED:
            parts = [self.tr("Stopped; what was taken in is kept")]
        elif taking.whys:
            parts = [self.tr("Not everything could be taken in")]
        else:
            parts = [self.tr("Taken in")]
        if taking.images:
            parts.append(counted(self.tr("{count} new images"), taking.images))
        if taking.faces:
            parts.append(counted(self.tr("{count} faces found"), taking.faces))
        elif state is TakingState.DONE:
            parts.append(self.tr("no new face found"))
        return "  ·  ".join([*parts, *taking.whys])
