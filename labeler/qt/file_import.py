"""Import of dropped or chosen files: the dialog, the commands that run, and their progress.

The dialog shows what `harvest folder --simulate` reports. Files that are dropped on a class get it
as a weak label.
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

from labeler.qt.commands import CommandEnd, CommandProcess, CommandStage
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import em
from labeler.qt.translations import counted
from labeler.qt.widgets import MenuButton, announce, button, choosing, plain_label, row_layout
from labeler.sorting.import_plan import (
    DroppedPaths,
    ImportPlan,
    SimulatedImport,
    are_face_crops,
    sort_paths,
)


class CommandQueue(QObject):
    """Runs commands one after the other.

    `staged` (CommandStage) and `ended` (words, CommandEnd) are those of each command; `emptied` is
    emitted after the last one, but not after `stop`.
    """

    staged = Signal(object)
    ended = Signal(list, object)
    emptied = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.pending: list[list[str]] = []
        self.command: CommandProcess | None = None

    def add(self, commands: Iterable[list[str]]) -> None:
        self.pending += commands
        if self.command is None:
            self._start_next()

    def stop(self) -> None:
        """Stop the running command at once and clear the queue."""
        self.pending = []
        self._drop_command()

    def _drop_command(self) -> None:
        command, self.command = self.command, None
        if command is not None:
            command.stop()
            command.deleteLater()

    def _start_next(self) -> None:
        if not self.pending:
            self.emptied.emit()
            return
        words = self.pending.pop(0)
        self.command = CommandProcess(words, self, answers=True)
        self.command.staged.connect(self.staged)
        self.command.ended.connect(lambda end: self._command_ended(words, end))
        self.command.start()

    def _command_ended(self, words: list[str], end: CommandEnd) -> None:
        self._drop_command()
        self.ended.emit(words, end)
        self._start_next()


class ImportState(StrEnum):
    """State of the import."""

    IDLE = "idle"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    DONE = "done"


class BackgroundImport(QObject):
    """Imports dropped files and detects faces, by commands that run next to the window.

    `changed` is emitted when the state or the progress changes, `images_added` when there may be
    new faces. `stage` is the last reported stage, `images` and `faces` count the results, `errors`
    holds the error of each failed command. Interrupted commands resume where they stopped.
    """

    changed = Signal()
    images_added = Signal()

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__(worker)
        self._worker = worker
        self.queue = CommandQueue(self)
        self._reset()
        self.queue.staged.connect(self._show_stage)
        self.queue.ended.connect(self._command_ended)
        self.queue.emptied.connect(self._finish)
        worker.add_unfinished_check(lambda: self.tr("an import is running") if self.running else "")

    def _reset(self) -> None:
        self.state = ImportState.IDLE
        self.stage: CommandStage | None = None
        self.images = self.faces = 0
        self.errors: list[str] = []
        self._commands: list[list[str]] = []

    @property
    def running(self) -> bool:
        return self.queue.command is not None

    @property
    def step(self) -> tuple[int, int]:
        """Number of the running command, and of all."""
        return len(self._commands) - len(self.queue.pending), len(self._commands)

    @property
    def can_resume(self) -> bool:
        return bool(self._commands) and not self.running

    def start(self, plan: ImportPlan) -> None:
        """Start an import, or queue it behind the running one."""
        self._add(plan.commands(self._worker.root))

    def detect_faces(self) -> None:
        """Detect faces in images that were not searched yet."""
        self._add([["facecrop", "run", "--new", "-d", str(self._worker.root.absolute())]])

    def _add(self, commands: list[list[str]]) -> None:
        if not self.running:
            self._reset()
        self._commands += commands
        self._run(commands)

    def _run(self, commands: Iterable[list[str]]) -> None:
        self.state = ImportState.RUNNING
        self.queue.add(commands)
        self.changed.emit()

    def stop(self) -> None:
        """Stop at once; images imported so far are kept."""
        self.queue.stop()
        self.state = ImportState.STOPPED
        self.changed.emit()
        self.images_added.emit()

    def resume(self) -> None:
        if self.can_resume:
            self.errors, self.stage = [], None
            self._run(self._commands)

    def dismiss(self) -> None:
        if not self.running:
            self._reset()
            self.changed.emit()

    def _show_stage(self, stage: CommandStage) -> None:
        self.stage = stage
        self.changed.emit()

    def _command_ended(self, words: list[str], end: CommandEnd) -> None:
        self.stage = None
        if end.code:
            self.errors.append(last_error(end.words))
        else:
            self.images += _count(end, "added")
            self.faces += _count(end, "faces")

    def _finish(self) -> None:
        self.images_added.emit()
        self.state = ImportState.FAILED if self.errors else ImportState.DONE
        self.changed.emit()


def last_error(output: str) -> str:
    """Return the last error of a command with its fix, without the name of the command."""
    lines = output.splitlines()
    for number in range(len(lines) - 1, -1, -1):
        name, colon, rest = lines[number].partition(": ")
        if colon and name in ("harvest", "facecrop"):
            fixes = (line.removeprefix("hint: ") for line in lines[number + 1 :])
            return " – ".join([rest, *fixes])
    return lines[-1] if lines else ""


def _count(end: CommandEnd, name: str) -> int:
    value = end.result.get(name, 0)
    return value if isinstance(value, int) else 0


class ImportBar(QFrame):
    """Shows the progress and the result of an import; hidden while idle."""

    def __init__(self, imports: BackgroundImport) -> None:
        super().__init__()
        self._import = imports
        self.text, self.bar = plain_label(), QProgressBar(textVisible=False)
        self.stop = button(self.tr("Stop"), imports.stop)
        self.resume_button = button("", imports.resume)
        self.close_button = button(self.tr("Close"), imports.dismiss)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar.setAccessibleName(self.tr("Import progress"))
        self.bar.setFixedWidth(220)
        parts = (self.text, self.bar, self.resume_button, self.stop, self.close_button)
        self.setLayout(row_layout(*parts, grows=self.text, margins=(8, 4, 8, 4)))
        imports.changed.connect(self.show_state)
        self._announced_state = ImportState.IDLE
        self.show_state()

    def show_state(self) -> None:
        state, stage = self._import.state, self._import.stage
        running, stopped = state is ImportState.RUNNING, state is ImportState.STOPPED
        self.setVisible(state is not ImportState.IDLE)
        self.bar.setVisible(running)
        self.stop.setVisible(running)
        failed = state is ImportState.FAILED
        self.resume_button.setVisible((stopped or failed) and self._import.can_resume)
        self.resume_button.setText(self.tr("Resume") if stopped else self.tr("Retry"))
        self.close_button.setVisible(not running)
        self.text.setText(self._progress_text() if running else self._result_text(state))
        self.bar.setRange(0, round(stage.total or 0) if stage else 0)
        self.bar.setValue(round(stage.done) if stage else 0)
        if not running and state is not self._announced_state:
            announce(self, self.text.text())
        self._announced_state = state

    def _progress_text(self) -> str:
        stage = self._import.stage
        number, count = self._import.step
        templates = {
            "files": self.tr("Importing images: {done}"),
            "frames": self.tr("Extracting frames: {done} of {total} seconds"),
            "faces": self.tr("Detecting faces: {done} of {total} images"),
        }
        text = self.tr("Starting…")
        if stage is not None:
            text = templates.get(stage.name, text)
            text = text.format(done=f"{stage.done:,.0f}", total=f"{stage.total or 0:,.0f}")
        if count > 1:
            text += self.tr("  ·  step {at} of {count}").format(at=number, count=count)
        return text

    def _result_text(self, state: ImportState) -> str:
        if state is ImportState.STOPPED:
            parts = [self.tr("Stopped; imported images are kept")]
        elif self._import.errors:
            parts = [self.tr("Import incomplete")]
        else:
            parts = [self.tr("Import finished")]
        if self._import.images:
            parts.append(counted(self.tr("{count} new images"), self._import.images))
        if self._import.faces:
            parts.append(counted(self.tr("{count} faces detected"), self._import.faces))
        elif state is ImportState.DONE:
            parts.append(self.tr("no new faces"))
        return "  ·  ".join([*parts, *self._import.errors])


MAX_SHOWN_NAMES = 4


class ImportForm(QWidget):
    """Shows what `harvest folder --simulate` reports, and asks how to import it.

    `simulated` is emitted when `result` is there.
    """

    simulated = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.summary, self.explanation = plain_label(), plain_label()
        self.names = QCheckBox(self.tr("Folder names are class names"))
        self.names.setToolTip(
            self.tr(
                "Names become weak labels: suggested while sorting, never applied automatically"
            )
        )
        self.detect = QRadioButton(self.tr("Detect faces"))
        self.whole_images = QRadioButton(self.tr("Whole images, or faces that are already cropped"))
        self.dropped = DroppedPaths()
        self._label: str | None = None
        self.result: SimulatedImport | None = None
        self._counts = SimulatedImport()
        self._simulation = CommandQueue(self)
        self._simulation.ended.connect(self._add_counts)
        self._simulation.emptied.connect(self._show_result)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.summary, self.detect, self.whole_images, self.explanation, self.names):
            column.addWidget(part)
        self.whole_images.toggled.connect(self._explain)

    def ask_about(self, dropped: DroppedPaths, root: Path, label: str | None = None) -> None:
        """Simulate an import into the dataset `root`; `label` is the weak label of all files."""
        self.dropped, self._label, self.result = dropped, label, None
        (self.whole_images if are_face_crops(dropped) else self.detect).setChecked(True)
        self._explain()
        self.names.hide()
        self.summary.setText(self.tr("Scanning files…"))
        self._counts = SimulatedImport()
        self._simulation.stop()
        commands = dropped.harvest(root, hints=True, label=label)
        self._simulation.add([*words, "--simulate"] for words in commands)

    def stop(self) -> None:
        self._simulation.stop()

    def _add_counts(self, words: list[str], end: CommandEnd) -> None:
        if end.code:
            self._counts.error = last_error(end.words)
            self._simulation.pending = []
        else:
            self._counts.add(Path(words[2]), end.result)

    def _show_result(self) -> None:
        result = self.result = self._counts
        self.summary.setText(self._summary_text(result))
        self.names.setVisible(self._label is None and bool(result.hints))
        self.names.setChecked(self._label is None and len(result.hints) > 1)
        self.simulated.emit()

    @property
    def can_import(self) -> bool:
        result = self.result
        if result is None or result.error:
            return False
        return bool(result.images or result.known_images or result.videos or self.dropped.videos)

    def _summary_text(self, result: SimulatedImport) -> str:
        if result.error:
            return result.error
        videos = result.videos.total() + len(self.dropped.videos)
        counts = {
            self.tr("{count} new images"): result.images,
            self.tr("{count} already in the dataset"): result.known_images,
            self.tr("{count} videos"): videos,
            self.tr("{count} ignored"): result.ignored.total(),
        }
        parts = [counted(text, count) for text, count in counts.items() if count]
        if not self.can_import:
            parts = [self.tr("No images or videos found")]
        lines = ["  ·  ".join(parts)]
        if result.hints:
            common = result.hints.most_common(MAX_SHOWN_NAMES)
            names = ", ".join(f"{name} {count:,}" for name, count in common)
            names += ", …" if len(result.hints) > MAX_SHOWN_NAMES else ""
            lines.append(self.tr("Weak labels: {names}").format(names=names))
        return "\n".join(lines)

    def _explain(self) -> None:
        if self.whole_images.isChecked():
            text = self.tr("Each image and each video frame becomes a tile.")
        else:
            text = self.tr("Runs in the background; each face becomes a tile.")
        self.explanation.setText(text)

    def plan(self) -> ImportPlan:
        videos = tuple(self.result.videos) if self.result is not None else ()
        names = not self.names.isHidden() and self.names.isChecked()
        return ImportPlan(self.dropped, self.whole_images.isChecked(), names, self._label, videos)


class ImportDialog(QDialog):
    """Asks how to import dropped files; `confirmed` (ImportPlan) if the user does."""

    confirmed = Signal(object)

    def __init__(
        self, parent: QWidget, dropped: DroppedPaths, root: Path, label: str | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Import"))
        self.form = ImportForm()
        standard = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(standard.Ok | standard.Cancel)
        self.import_button = buttons.button(standard.Ok)
        self.import_button.setText(self.tr("Import"))
        self.import_button.setEnabled(False)
        self.form.simulated.connect(self._enable_import)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self.accepted.connect(lambda: self.confirmed.emit(self.form.plan()))
        self.finished.connect(self.form.stop)
        self.finished.connect(self.deleteLater)
        note = plain_label(
            self.tr("Files are copied into the dataset; the originals are not changed.")
        )
        column = QVBoxLayout(self)
        for part in (self.form, note, buttons):
            column.addWidget(part)
        self.setMinimumWidth(em(self, 26))
        self.form.ask_about(dropped, root, label)

    def _enable_import(self) -> None:
        self.import_button.setEnabled(self.form.can_import)
        self.import_button.setDefault(True)
        self.adjustSize()


class DropFilter(QObject):
    """Accepts files that are dropped anywhere on a widget; `dropped` (paths).

    A hint with `text` is shown while files are held over the widget.
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
        """Accept files as copies: the originals are never moved."""
        kind = event.type()
        if kind == QEvent.Type.DragLeave:
            self._hint.hide()
        elif kind in (QEvent.Type.DragEnter, QEvent.Type.Drop):
            assert isinstance(event, QDropEvent)
            if event.mimeData().hasUrls() and not isinstance(event.mimeData(), TileMimeData):
                event.setDropAction(Qt.DropAction.CopyAction)
                event.accept()
                if kind == QEvent.Type.DragEnter:
                    self._show_hint()
                else:
                    self._emit_dropped(event)
                return True
        return False

    def _show_hint(self) -> None:
        self._hint.adjustSize()
        self._hint.move(self._widget.rect().center() - self._hint.rect().center())
        self._hint.raise_()
        self._hint.show()

    def _emit_dropped(self, event: QDropEvent) -> None:
        self._hint.hide()
        urls = event.mimeData().urls()
        if paths := [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]:
            self.dropped.emit(paths)


class FileDropHandler(QObject):
    """Asks how to import files that are dropped or chosen, and starts the import."""

    def __init__(self, window: QWidget, worker: SessionWorker, imports: BackgroundImport) -> None:
        super().__init__(window)
        self._window, self._worker, self._import = window, worker, imports
        self.dialog: ImportDialog | None = None
        text = self.tr("Drop here to import, or drop onto a class")
        DropFilter(window, text).dropped.connect(self.offer)

    def drop_on_row(self, names: Sequence[str], target: str) -> None:
        """Offer files that were dropped on a row of the class list: a class or a place."""
        self.offer([Path(name) for name in names], None if target.startswith(":") else target)

    def offer(self, paths: Sequence[Path], label: str | None = None) -> None:
        """Ask how to import files, with a class as the weak label of all."""
        dropped = sort_paths(paths)
        if not dropped:
            self._worker.show_message(self.tr("No images or videos found"), bad=True)
            return
        self.close_dialog()
        self.dialog = ImportDialog(self._window, dropped, self._worker.root, label)
        self.dialog.confirmed.connect(self._import.start)
        self.dialog.finished.connect(self._dialog_finished)
        self.dialog.open()

    def _dialog_finished(self) -> None:
        self.dialog = None

    def close_dialog(self) -> None:
        if self.dialog is not None:
            self.dialog.reject()

    def choose_files(self) -> None:
        self._choose(QFileDialog.FileMode.ExistingFiles)

    def choose_folder(self) -> None:
        self._choose(QFileDialog.FileMode.Directory)

    def _choose(self, mode: QFileDialog.FileMode) -> None:
        dialog = choosing(self._window, self.tr("Import"), mode=mode)
        dialog.filesSelected.connect(lambda names: self.offer([Path(name) for name in names]))


class AddButton(MenuButton):
    """Button with a menu to choose files or a folder to import."""

    def __init__(self, drops: FileDropHandler) -> None:
        super().__init__()
        self.setText(self.tr("Add"))
        self.setToolTip(self.tr("Import images, videos or folders; or drop them on the window"))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        menu = QMenu(self)
        menu.addAction(self.tr("Images and videos…"), drops.choose_files)
        menu.addAction(self.tr("Folder…"), drops.choose_folder)
        self.setMenu(menu)
