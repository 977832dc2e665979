"""Files, folders and videos that are dropped on a window, or chosen in a dialog.

Pictures dropped on a class are of that class, at once. What is dropped anywhere else is asked
about: whether it is faces, or faces are to be found in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QObject, Qt, Signal
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import (
    QButtonGroup,
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
from labeler.qt.taking import Taking
from labeler.qt.theme import em
from labeler.qt.translations import counted
from labeler.qt.widgets import MenuButton, choosing
from labeler.sorting.dropped import DroppedFiles, HowTaken, TakePlan, look_at

SHOWN_FOLDERS = 4
"""So many names of folders are shown."""


class TakeChoice(QWidget):
    """Says what there is, and lets a person choose what becomes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.hints = QCheckBox(self.tr("Folders have the names of those who are in them"))
        self.hints.setToolTip(
            self.tr("The names are hints: they are offered when you sort, and decide nothing")
        )
        self.meaning = QLabel()
        self.meaning.setWordWrap(True)
        self.files = DroppedFiles()
        self.buttons = {
            HowTaken.FIND: QRadioButton(self.tr("Find the faces in them")),
            HowTaken.FACES: QRadioButton(self.tr("The pictures are faces, as they are")),
            HowTaken.WHOLE: QRadioButton(self.tr("Whole pictures: they show something else")),
        }
        group, column = QButtonGroup(self), QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.summary)
        for button in self.buttons.values():
            group.addButton(button)
            column.addWidget(button)
            button.toggled.connect(self._explain)
        column.addWidget(self.meaning)
        column.addWidget(self.hints)

    def offer(self, files: DroppedFiles) -> None:
        """Show what was files, with the likeliest choice."""
        self.files = files
        self.summary.setText(files_in_words(files, self))
        self.buttons[files.guess].setChecked(True)
        self.buttons[HowTaken.FACES].setVisible(bool(files.pictures))
        self.hints.setVisible(bool(files.folders))
        self.hints.setChecked(files.by_class)

    @property
    def how(self) -> HowTaken:
        """What is chosen."""
        chosen = (how for how, button in self.buttons.items() if button.isChecked())
        return next(chosen, self.files.guess)

    def _explain(self) -> None:
        words = {
            HowTaken.FIND: self.tr("They are searched beside the window: each face is a tile."),
            HowTaken.FACES: self.tr("Each picture is a tile; in videos, faces are looked for."),
            HowTaken.WHOLE: self.tr("Each picture, and each frame of a video, is a tile."),
        }
        self.meaning.setText(words[self.how])

    def plan(self, label: str | None = None) -> TakePlan:
        """Return what was chosen; `label` is the class it was dropped on."""
        hints = self.hints.isChecked() and bool(self.files.folders)
        return TakePlan(self.files, self.how, hints, label)


def files_in_words(files: DroppedFiles, by: QObject) -> str:
    """Return how many of what there is."""
    pictures = by.tr("{count} pictures")
    names = ", ".join(files.folders[:SHOWN_FOLDERS])
    if len(files.folders) > 1:
        pictures = by.tr("{count} pictures in {number} folders ({names})")
        names += ", …" if len(files.folders) > SHOWN_FOLDERS else ""
    parts = [
        counted(text, count, number=len(files.folders), names=names)
        for count, text in (
            (files.pictures, pictures),
            (files.videos, by.tr("{count} videos")),
            (files.archives, by.tr("{count} archives")),
        )
        if count
    ]
    text = by.tr("Found: {what}") if files.complete else by.tr("Found, among more: {what}")
    return text.format(what=", ".join(parts))


class TakeSheet(QDialog):
    """Asks what is to become of a drop; `chosen` (TakePlan) when it is to be taken in."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget, files: DroppedFiles, label: str | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Take in"))
        self._label = label
        self.choice = TakeChoice()
        self.choice.offer(files)
        keys = QDialogButtonBox.StandardButton
        self.answers = QDialogButtonBox(keys.Ok | keys.Cancel)
        self.answers.button(keys.Ok).setText(self.tr("Take in"))
        self.answers.accepted.connect(self.accept)
        self.answers.rejected.connect(self.reject)
        self.accepted.connect(lambda: self.chosen.emit(self.choice.plan(self._label)))
        self.finished.connect(self.deleteLater)
        note = QLabel(self.tr("They are copied into the dataset; your files stay as they are."))
        note.setWordWrap(True)
        column = QVBoxLayout(self)
        for part in (self.choice, note, self.answers):
            column.addWidget(part)
        self.setMinimumWidth(em(self, 26))


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
    """Hands what a person drops or chooses to `Taking`, asked about where it may mean two things.

    `sheet` is what is asked at the moment.
    """

    def __init__(self, window: QWidget, worker: SessionWorker, taking: Taking) -> None:
        super().__init__(window)
        self._window, self._worker, self._taking = window, worker, taking
        self.sheet: TakeSheet | None = None
        text = self.tr("Drop them here: you are asked what they are. Or onto a class")
        DropWatch(window, text).dropped.connect(self.offer)

    def on_row(self, names: Sequence[str], target: str) -> None:
        """Take in what was dropped on a row of the class list; `target` is its class or place."""
        paths = [Path(name) for name in names]
        if target.startswith(":"):
            self.offer(paths)
        else:
            self._taking.take(TakePlan(look_at(paths), HowTaken.FACES, label=target))

    def offer(self, paths: Sequence[Path]) -> None:
        """Ask what files are, and take them in."""
        files = look_at(paths)
        if not files:
            self._worker.say(self.tr("There is no picture and no video in that"), bad=True)
            return
        if self.sheet is not None:
            self.sheet.reject()
        self.sheet = TakeSheet(self._window, files)
        self.sheet.chosen.connect(self._taking.take)
        self.sheet.finished.connect(self._answered)
        self.sheet.open()

    def _answered(self) -> None:
        self.sheet = None

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
