"""Files, folders and videos that are dropped on a window, or chosen in a dialog.

A drop asks one question, with what `harvest folder --simulate` reports, and runs our commands. What
is dropped on a class hints at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QObject, Qt, Signal
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFrame,
    QLabel,
    QMenu,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from labeler.qt.grid.drag import TileMimeData
from labeler.qt.session_worker import SessionWorker
from labeler.qt.taking import Simulation, Taking
from labeler.qt.theme import em
from labeler.qt.translations import counted
from labeler.qt.widgets import MenuButton, choosing
from labeler.sorting.dropped import (
    DroppedPaths,
    ImportPlan,
    SimulatedImport,
    look_like_faces,
    sort_paths,
)

SHOWN_HINTS = 4
"""Classes of hints that are shown."""


class ImportQuestion(QWidget):
    """Shows what `harvest folder --simulate` reports, and asks what becomes of it.

    `counted` says that `result` has come.
    """

    counted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.summary, self.meaning = QLabel(), QLabel()
        for label in (self.summary, self.meaning):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.hints = QCheckBox(self.tr("Folders have the names of those who are in them"))
        self.hints.setToolTip(
            self.tr("The names are hints: they are offered when you sort, and decide nothing")
        )
        self.search = QRadioButton(self.tr("Find the faces in them"))
        self.whole = QRadioButton(self.tr("Whole pictures, or faces that are cut already"))
        self.dropped = DroppedPaths()
        self._label: str | None = None
        self.result: SimulatedImport | None = None
        self._simulation = Simulation(self)
        self._simulation.ended.connect(self._show_result)
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
        self.summary.setText(self.tr("Looking at the files …"))
        self._simulation.start(dropped.harvest(root, hints=True, label=label))

    def stop(self) -> None:
        """End the simulation."""
        self._simulation.stop()

    def _show_result(self, result: SimulatedImport) -> None:
        self.result = result
        self.summary.setText(self._words(result))
        self.hints.setVisible(self._label is None and bool(result.hints))
        self.hints.setChecked(self._label is None and len(result.hints) > 1)
        self.counted.emit()

    @property
    def has_something(self) -> bool:
        """Whether there is something to import."""
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
                (result.images, self.tr("{count} new pictures")),
                (result.known, self.tr("{count} known already")),
                (videos, self.tr("{count} videos")),
                (result.ignored.total(), self.tr("{count} ignored")),
            )
            if count
        ]
        if not self.has_something:
            parts = [self.tr("There is no picture and no video in that")]
        lines = ["  ·  ".join(parts)]
        if result.hints:
            most = result.hints.most_common(SHOWN_HINTS)
            names = ", ".join(f"{name} {count:,}" for name, count in most)
            names += ", …" if len(result.hints) > SHOWN_HINTS else ""
            lines.append(self.tr("Hints: {names}").format(names=names))
        return "\n".join(lines)

    def _explain(self) -> None:
        if self.whole.isChecked():
            text = self.tr("Each picture, and each frame of a video, is a tile.")
        else:
            text = self.tr("They are searched beside the window: each face is a tile.")
        self.meaning.setText(text)

    def plan(self) -> ImportPlan:
        """Return what was chosen."""
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
        self.setWindowTitle(self.tr("Take in"))
        self.question = ImportQuestion()
        keys = QDialogButtonBox.StandardButton
        self.answers = QDialogButtonBox(keys.Ok | keys.Cancel)
        self.take = self.answers.button(keys.Ok)
        self.take.setText(self.tr("Take in"))
        self.take.setEnabled(False)
        self.question.counted.connect(self._counted)
        self.answers.accepted.connect(self.accept)
        self.answers.rejected.connect(self.reject)
        self.accepted.connect(lambda: self.chosen.emit(self.question.plan()))
        self.finished.connect(self.question.stop)
        self.finished.connect(self.deleteLater)
        note = QLabel(self.tr("They are copied into the dataset; your files stay as they are."))
        note.setWordWrap(True)
        column = QVBoxLayout(self)
        for part in (self.question, note, self.answers):
            column.addWidget(part)
        self.setMinimumWidth(em(self, 26))
        self.question.ask_about(dropped, root, label)

    def _counted(self) -> None:
        self.take.setEnabled(self.question.has_something)
        self.take.setDefault(True)
        self.adjustSize()


def local_paths(mime: QMimeData) -> list[Path]:
    """Return the files and folders that are dragged; none where it is something else."""
    if isinstance(mime, TileMimeData) or not mime.hasUrls():
        return []
    return [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]


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
        if paths := local_paths(event.mimeData()):
            self.dropped.emit(paths)


class FileDrops(QObject):
    """Asks about what a person drops or chooses, and hands it to `Taking`.

    `sheet` is the question that is shown.
    """

    def __init__(self, window: QWidget, worker: SessionWorker, taking: Taking) -> None:
        super().__init__(window)
        self._window, self._worker, self._taking = window, worker, taking
        self.sheet: ImportSheet | None = None
        text = self.tr("Drop them here: you are asked what they are. Or onto a class")
        DropWatch(window, text).dropped.connect(self.offer)

    def on_row(self, names: Sequence[str], target: str) -> None:
        """Ask about what was dropped on a row of the class list; `target` is its class or place."""
        self.offer([Path(name) for name in names], None if target.startswith(":") else target)

    def offer(self, paths: Sequence[Path], label: str | None = None) -> None:
        """Ask what files are, and take them in, as hints of a class."""
        dropped = sort_paths(paths)
        if not dropped:
            self._worker.say(self.tr("There is no picture and no video in that"), bad=True)
            return
        self.end()
        self.sheet = ImportSheet(self._window, dropped, self._worker.root, label)
        self.sheet.chosen.connect(self._taking.take)
        self.sheet.finished.connect(self._answered)
        self.sheet.open()

    def _answered(self) -> None:
        self.sheet = None

    def end(self) -> None:
        """Ask no more."""
        if self.sheet is not None:
            self.sheet.reject()

    def choose_files(self) -> None:
        """Let files be chosen, as if they were dropped."""
        self._choose(QFileDialog.FileMode.ExistingFiles)

    def choose_folder(self) -> None:
        """Let a folder be chosen."""
        self._choose(QFileDialog.FileMode.Directory)

    def _choose(self, mode: QFileDialog.FileMode) -> None:
        dialog = choosing(self._window, self.tr("Take in"), mode=mode)
        dialog.filesSelected.connect(lambda names: self.offer([Path(name) for name in names]))


class AddButton(MenuButton):
    """Takes pictures and videos in without a mouse."""

    def __init__(self, drops: FileDrops) -> None:
        super().__init__()
        self.setText(self.tr("Add"))
        self.setToolTip(self.tr("Take pictures, videos or folders in: drop them here as well"))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        menu = QMenu(self)
        menu.addAction(self.tr("Pictures and videos …"), drops.choose_files)
        menu.addAction(self.tr("A folder …"), drops.choose_folder)
        self.setMenu(menu)
