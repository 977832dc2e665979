"""Files that are dropped or chosen: what becomes of them is asked once, then our commands run.

The question shows what `harvest folder --simulate` reports; what is dropped on a class hints at it.
What is stopped or fails goes on when it is begun again: the commands know what they have done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFrame,
    QLabel,
    QMenu,
    QProgressBar,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from labeler.qt.commands import CommandEnd, CommandStage, OwnCommand
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import em
from labeler.qt.translations import counted
from labeler.qt.widgets import MenuButton, announce, beside, button, choosing, plain_label
from labeler.sorting.dropped import (
    DroppedPaths,
    ImportPlan,
    SimulatedImport,
    look_like_faces,
    sort_paths,
)


class CommandQueue(QObject):
    """Runs our commands one after the other.

    `staged` (CommandStage) and `ended` (words, CommandEnd) are those of each command; `emptied`
    comes after the last one, and not after `stop`.
    """

    staged = Signal(object)
    ended = Signal(list, object)
    emptied = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.left: list[list[str]] = []
        self.command: OwnCommand | None = None

    def add(self, commands: Iterable[list[str]]) -> None:
        self.left += commands
        if self.command is None:
            self._next()

    def stop(self) -> None:
        """End at once, and forget what is left."""
        self.left = []
        self._drop()

    def _drop(self) -> None:
        command, self.command = self.command, None
        if command is not None:
            command.stop()
            command.deleteLater()

    def _next(self) -> None:
        if not self.left:
            self.emptied.emit()
            return
        words = self.left.pop(0)
        self.command = OwnCommand(words, self, answers=True)
        self.command.staged.connect(self.staged)
        self.command.ended.connect(lambda end: self._ended(words, end))
        self.command.start()

    def _ended(self, words: list[str], end: CommandEnd) -> None:
        self._drop()
        self.ended.emit(words, end)
        self._next()


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
        self.queue = CommandQueue(self)
        self._forget()
        self.queue.staged.connect(self._staged)
        self.queue.ended.connect(self._ended)
        self.queue.emptied.connect(self._emptied)
        worker.watch(lambda: self.tr("an import is running") if self.running else "")

    def _forget(self) -> None:
        self.state = TakingState.RESTING
        self.stage: CommandStage | None = None
        self.images = self.faces = 0
        self.whys: list[str] = []
        self._all: list[list[str]] = []

    @property
    def running(self) -> bool:
        return self.queue.command is not None

    @property
    def step(self) -> tuple[int, int]:
        """Which command is at work, of how many."""
        return len(self._all) - len(self.queue.left), len(self._all)

    @property
    def can_go_on(self) -> bool:
        return bool(self._all) and not self.running

    def take(self, plan: ImportPlan) -> None:
        """Take something in, after what is being taken in."""
        self._add(plan.commands(self._worker.root))

    def find_faces(self) -> None:
        """Find the faces in images that were not searched yet."""
        self._add([["facecrop", "run", "--new", "-d", str(self._worker.root.absolute())]])

    def _add(self, commands: list[list[str]]) -> None:
        if not self.running:
            self._forget()
        self._all += commands
        self._run(commands)

    def _run(self, commands: Iterable[list[str]]) -> None:
        self.state = TakingState.RUNNING
        self.queue.add(commands)
        self.changed.emit()

    def stop(self) -> None:
        """Stop at once; what is taken in by now is kept."""
        self.queue.stop()
        self.state = TakingState.STOPPED
        self.changed.emit()
        self.came.emit()

    def go_on(self) -> None:
        if self.can_go_on:
            self.whys, self.stage = [], None
            self._run(self._all)

    def dismiss(self) -> None:
        if not self.running:
            self._forget()
            self.changed.emit()

    def _staged(self, stage: CommandStage) -> None:
        self.stage = stage
        self.changed.emit()

    def _ended(self, words: list[str], end: CommandEnd) -> None:
        self.stage = None
        if end.code:
            self.whys.append(last_error(end.words))
        else:
            self.images += _number(end, "added")
            self.faces += _number(end, "faces")

    def _emptied(self) -> None:
        self.came.emit()
        self.state = TakingState.FAILED if self.whys else TakingState.DONE
        self.changed.emit()


def last_error(words: str) -> str:
    """Return what a command said when it ended: its error and how to fix it, without its name."""
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
        self.text, self.bar = plain_label(), QProgressBar(textVisible=False)
        self.stop = button(self.tr("Stop"), taking.stop)
        self.again = button("", taking.go_on)
        self.close_button = button(self.tr("Close"), taking.dismiss)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar.setAccessibleName(self.tr("Import progress"))
        self.bar.setFixedWidth(220)
        parts = (self.text, self.bar, self.again, self.stop, self.close_button)
        self.setLayout(beside(*parts, grows=self.text, margins=(8, 4, 8, 4)))
        taking.changed.connect(self.show_state)
        self._shown = TakingState.RESTING
        self.show_state()

    def show_state(self) -> None:
        taking, state = self._taking, self._taking.state
        running = state is TakingState.RUNNING
        self.setVisible(state is not TakingState.RESTING)
        self.bar.setVisible(running)
        self.stop.setVisible(running)
        ended = state in (TakingState.STOPPED, TakingState.FAILED)
        self.again.setVisible(ended and taking.can_go_on)
        self.again.setText(self.tr("Resume") if state is TakingState.STOPPED else self.tr("Retry"))
        self.close_button.setVisible(not running)
        self.text.setText(self._doing() if running else self._came_of(state))
        stage = taking.stage
        self.bar.setRange(0, round(stage.total or 0) if stage else 0)
        self.bar.setValue(round(stage.done) if stage else 0)
        if not running and state is not self._shown:
            announce(self, self.text.text())
        self._shown = state

    def _doing(self) -> str:
        taking, stage = self._taking, self._taking.stage
        at, count = taking.step
        words = {
            "files": self.tr("Importing images: {done}"),
            "frames": self.tr("Extracting frames: {done} of {total} seconds"),
            "faces": self.tr("Detecting faces: {done} of {total} images"),
        }
        text = self.tr("Starting…")
        if stage is not None:
            text = words.get(stage.name, text)
            done, total = f"{stage.done:,.0f}", f"{stage.total or 0:,.0f}"
            text = text.format(done=done, total=total)
        if count > 1:
            text += self.tr("  ·  step {at} of {count}").format(at=at, count=count)
        return text

    def _came_of(self, state: TakingState) -> str:
        taking = self._taking
        if state is TakingState.STOPPED:
            parts = [self.tr("Stopped; imported images are kept")]
        elif taking.whys:
            parts = [self.tr("Import incomplete")]
        else:
            parts = [self.tr("Import finished")]
        if taking.images:
            parts.append(counted(self.tr("{count} new images"), taking.images))
        if taking.faces:
            parts.append(counted(self.tr("{count} faces detected"), taking.faces))
        elif state is TakingState.DONE:
            parts.append(self.tr("no new faces"))
        return "  ·  ".join([*parts, *taking.whys])


MAX_SHOWN_HINTS = 4


class ImportQuestion(QWidget):
    """Shows what `harvest folder --simulate` reports, and asks what becomes of it.

    `counted` says that `result` has come.
    """

    counted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.summary, self.meaning = plain_label(), plain_label()
        self.hints = QCheckBox(self.tr("Folder names are class names"))
        self.hints.setToolTip(
            self.tr(
                "Names become weak labels: suggested while sorting, never applied automatically"
            )
        )
        self.search = QRadioButton(self.tr("Detect faces"))
        self.whole = QRadioButton(self.tr("Whole images, or faces that are already cropped"))
        self.dropped = DroppedPaths()
        self._label: str | None = None
        self.result: SimulatedImport | None = None
        self._counts = SimulatedImport()
        self._simulation = CommandQueue(self)
        self._simulation.ended.connect(self._simulated)
        self._simulation.emptied.connect(self._show_result)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.summary, self.search, self.whole, self.meaning, self.hints):
            column.addWidget(part)
        self.whole.toggled.connect(self._explain)

    def ask_about(self, dropped: DroppedPaths, root: Path, label: str | None = None) -> None:
        """Ask about files that are imported into the dataset `root`, as hints of a class."""
        self.dropped, self._label, self.result = dropped, label, None
        (self.whole if look_like_faces(dropped) else self.search).setChecked(True)
        self._explain()
        self.hints.hide()
        self.summary.setText(self.tr("Scanning files…"))
        self._counts = SimulatedImport()
        self._simulation.stop()
        commands = dropped.harvest(root, hints=True, label=label)
        self._simulation.add([*words, "--simulate"] for words in commands)

    def stop(self) -> None:
        self._simulation.stop()

    def _simulated(self, words: list[str], end: CommandEnd) -> None:
        if end.code:
            self._counts.error = last_error(end.words)
            self._simulation.left = []
        else:
            self._counts.add(Path(words[2]), end.result)

    def _show_result(self) -> None:
        result = self.result = self._counts
        self.summary.setText(self._words(result))
        self.hints.setVisible(self._label is None and bool(result.hints))
        self.hints.setChecked(self._label is None and len(result.hints) > 1)
        self.counted.emit()

    @property
    def has_something(self) -> bool:
        result = self.result
        if result is None or result.error:
            return False
        return bool(result.images or result.known or result.videos or self.dropped.videos)

    def _words(self, result: SimulatedImport) -> str:
        if result.error:
            return result.error
        videos = result.videos.total() + len(self.dropped.videos)
        parts = [
            counted(text, count)
            for count, text in (
                (result.images, self.tr("{count} new images")),
                (result.known, self.tr("{count} already in the dataset")),
                (videos, self.tr("{count} videos")),
                (result.ignored.total(), self.tr("{count} ignored")),
            )
            if count
        ]
        if not self.has_something:
            parts = [self.tr("No images or videos found")]
        lines = ["  ·  ".join(parts)]
        if result.hints:
            most = result.hints.most_common(MAX_SHOWN_HINTS)
            names = ", ".join(f"{name} {count:,}" for name, count in most)
            names += ", …" if len(result.hints) > MAX_SHOWN_HINTS else ""
            lines.append(self.tr("Weak labels: {names}").format(names=names))
        return "\n".join(lines)

    def _explain(self) -> None:
        if self.whole.isChecked():
            text = self.tr("Each image and each video frame becomes a tile.")
        else:
            text = self.tr("Runs in the background; each face becomes a tile.")
        self.meaning.setText(text)

    def plan(self) -> ImportPlan:
        videos = tuple(self.result.videos) if self.result is not None else ()
        hints = not self.hints.isHidden() and self.hints.isChecked()
        return ImportPlan(self.dropped, self.whole.isChecked(), hints, self._label, videos)


class ImportSheet(QDialog):
    """Asks what becomes of a drop; `chosen` (ImportPlan) when it is to be imported."""

    chosen = Signal(object)

    def __init__(
        self, parent: QWidget, dropped: DroppedPaths, root: Path, label: str | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Import"))
        self.question = ImportQuestion()
        keys = QDialogButtonBox.StandardButton
        self.answers = QDialogButtonBox(keys.Ok | keys.Cancel)
        self.take = self.answers.button(keys.Ok)
        self.take.setText(self.tr("Import"))
        self.take.setEnabled(False)
        self.question.counted.connect(self._counted)
        self.answers.accepted.connect(self.accept)
        self.answers.rejected.connect(self.reject)
        self.accepted.connect(lambda: self.chosen.emit(self.question.plan()))
        self.finished.connect(self.question.stop)
        self.finished.connect(self.deleteLater)
        note = plain_label(
            self.tr("Files are copied into the dataset; the originals are not changed.")
        )
        column = QVBoxLayout(self)
        for part in (self.question, note, self.answers):
            column.addWidget(part)
        self.setMinimumWidth(em(self, 26))
        self.question.ask_about(dropped, root, label)

    def _counted(self) -> None:
        self.take.setEnabled(self.question.has_something)
        self.take.setDefault(True)
        self.adjustSize()


class DropWatch(QObject):
    """Lets files be dropped anywhere on a widget; `dropped` (paths) when they are.

    While they are held over it, it says what a drop would do.
    """

    dropped = Signal(list)

    def __init__(self, widget: QWidget, text: str) -> None:
        super().__init__(widget)
        self._widget = widget
        self._hint = QLabel(text, widget)
        self._hint.setFrameShape(QFrame.Shape.StyledPanel)
        self._hint.setAutoFillBackground(True)
        self._hint.setMargin(14)
        self._hint.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._hint.hide()
        widget.setAcceptDrops(True)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take files, and never move them: they stay where they are."""
        kind = event.type()
        if kind == QEvent.Type.DragLeave:
            self._hint.hide()
        elif kind in (QEvent.Type.DragEnter, QEvent.Type.Drop):
            assert isinstance(event, QDropEvent)
            if event.mimeData().hasUrls() and not isinstance(event.mimeData(), TileMimeData):
                event.setDropAction(Qt.DropAction.CopyAction)
                event.accept()
                if kind == QEvent.Type.DragEnter:
                    self._held()
                else:
                    self._let_go(event)
                return True
        return False

    def _held(self) -> None:
        self._hint.adjustSize()
        room = self._widget.rect().center()
        self._hint.move(room - self._hint.rect().center())
        self._hint.raise_()
        self._hint.show()

    def _let_go(self, event: QDropEvent) -> None:
        self._hint.hide()
        urls = event.mimeData().urls()
        if paths := [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]:
            self.dropped.emit(paths)


class FileDrops(QObject):
    """Asks about what a person drops or chooses, and hands it to `Taking`.

    `sheet` is the question that is shown.
    """

    def __init__(self, window: QWidget, worker: SessionWorker, taking: Taking) -> None:
        super().__init__(window)
        self._window, self._worker, self._taking = window, worker, taking
        self.sheet: ImportSheet | None = None
        text = self.tr("Drop here to import, or drop onto a class")
        DropWatch(window, text).dropped.connect(self.offer)

    def on_row(self, names: Sequence[str], target: str) -> None:
        """Ask about what was dropped on a row of the class list; `target` is its class or place."""
        self.offer([Path(name) for name in names], None if target.startswith(":") else target)

    def offer(self, paths: Sequence[Path], label: str | None = None) -> None:
        """Ask what files are, and take them in, as hints of a class."""
        dropped = sort_paths(paths)
        if not dropped:
            self._worker.say(self.tr("No images or videos found"), bad=True)
            return
        self.end()
        self.sheet = ImportSheet(self._window, dropped, self._worker.root, label)
        self.sheet.chosen.connect(self._taking.take)
        self.sheet.finished.connect(self._answered)
        self.sheet.open()

    def _answered(self) -> None:
        self.sheet = None

    def end(self) -> None:
        if self.sheet is not None:
            self.sheet.reject()

    def choose_files(self) -> None:
        self._choose(QFileDialog.FileMode.ExistingFiles)

    def choose_folder(self) -> None:
        self._choose(QFileDialog.FileMode.Directory)

    def _choose(self, mode: QFileDialog.FileMode) -> None:
        dialog = choosing(self._window, self.tr("Import"), mode=mode)
        dialog.filesSelected.connect(lambda names: self.offer([Path(name) for name in names]))


class AddButton(MenuButton):
    """Takes pictures and videos in without a mouse."""

    def __init__(self, drops: FileDrops) -> None:
        super().__init__()
        self.setText(self.tr("Add"))
        self.setToolTip(self.tr("Import images, videos or folders; or drop them on the window"))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        menu = QMenu(self)
        menu.addAction(self.tr("Images and videos…"), drops.choose_files)
        menu.addAction(self.tr("Folder…"), drops.choose_folder)
        self.setMenu(menu)
