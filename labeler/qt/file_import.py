"""Imports of dropped or chosen files and of searches: the commands that run, and their progress.

Files that are dropped on a class get it as a weak label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QLabel,
    QMenu,
    QProgressBar,
    QSizePolicy,
    QWidget,
)

from labeler.qt.commands import CommandEnd, CommandQueue, CommandStage, last_error
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.import_dialogs import ImportDialog, PlanDialog, SearchDialog
from labeler.qt.session_worker import SessionWorker
from labeler.qt.translations import counted
from labeler.qt.widgets import MenuButton, announce, button, choosing, plain_label, row_layout
from labeler.sorting.import_plan import ImportPlan, SearchPlan, sort_paths


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
    def is_search(self) -> bool:
        """Whether the running command searches a site."""
        return self._commands[self.step[0] - 1][1] == "keyword"

    @property
    def detects_faces(self) -> bool:
        return any(words[0] in ("facecrop", "gleanset") for words in self._commands)

    @property
    def can_resume(self) -> bool:
        return bool(self._commands) and not self.running

    def start(self, plan: ImportPlan | SearchPlan) -> None:
        """Start an import or a search, or queue it behind the running one."""
        self._add(plan.commands(self._worker.root))

    def run_command(self, *words: str) -> None:
        """Run a command on the dataset, such as `facecrop run --new`."""
        self._add([[*words, "-d", str(self._worker.root.absolute())]])

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
        self.images += _count(end, "added")
        self.faces += _count(end, "faces")
        error = last_error(end.words) if end.code else ""
        if "no_results" in end.result:
            error = self.tr("The site finds nothing for these words")
        if error and error not in self.errors:
            self.errors.append(error)
        self.images_added.emit()

    def _finish(self) -> None:
        self.state = ImportState.FAILED if self.errors else ImportState.DONE
        self.changed.emit()


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
        self.setObjectName("card")
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
            searching = self.tr("Searching for {words}: {done} of {total} images")
            other = self.tr("Working: {done} of {total}")
            text = searching if self._import.is_search else templates.get(stage.name, other)
            done, total = f"{stage.done:,.0f}", f"{stage.total or 0:,.0f}"
            text = text.format(words=stage.name, done=done, total=total)
        if count > 1:
            text += self.tr("  ·  step {at} of {count}").format(at=number, count=count)
        return text

    def _result_text(self, state: ImportState) -> str:
        if state is ImportState.STOPPED:
            parts = [self.tr("Stopped; imported images are kept")]
        elif self._import.errors:
            parts = [self.tr("Incomplete")]
        else:
            parts = [self.tr("Finished")]
        if self._import.images:
            parts.append(counted(self.tr("{count} new images"), self._import.images))
        if self._import.faces:
            parts.append(counted(self.tr("{count} faces detected"), self._import.faces))
        elif state is ImportState.DONE and self._import.detects_faces:
            parts.append(self.tr("no new faces"))
        return "  ·  ".join([*parts, *self._import.errors])


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
    """Asks how to import files that are dropped or chosen, or what to search; starts it."""

    def __init__(self, window: QWidget, worker: SessionWorker, imports: BackgroundImport) -> None:
        super().__init__(window)
        self._window, self._worker, self._import = window, worker, imports
        self.dialog: PlanDialog | None = None
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
        self._open(ImportDialog(self._window, dropped, self._worker.root, label))

    def search(self) -> None:
        """Ask what to search on which site."""
        self._open(SearchDialog(self._window))

    def _open(self, dialog: PlanDialog) -> None:
        self.close_dialog()
        self.dialog = dialog
        dialog.confirmed.connect(self._import.start)
        dialog.finished.connect(self._dialog_finished)
        dialog.open()

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
    """Button with a menu to choose files or a folder to import, or to search a site."""

    def __init__(self, drops: FileDropHandler) -> None:
        super().__init__()
        self.setText(self.tr("Add"))
        self.setToolTip(self.tr("Import images, videos or folders; or drop them on the window"))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        menu = QMenu(self)
        menu.addAction(self.tr("Images and videos…"), drops.choose_files)
        menu.addAction(self.tr("Folder…"), drops.choose_folder)
        menu.addAction(self.tr("Search a site…"), drops.search)
        self.setMenu(menu)
