"""The windows of one program: which is open, what takes its place, the one without a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import shiboken6
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from gleanset import Dataset
from gleanset.dataset import is_dataset
from gleanset.errors import GleansetError
from gleanset.settings import FILE, Settings
from labeler.qt.settings import Preferences, SettingsSheet
from labeler.qt.taking import DropWatch, ImportQuestion
from labeler.qt.theme import larger, show_theme
from labeler.qt.translations import install, warn_of_missing_fonts
from labeler.qt.widgets import below, beside, button, choosing, enlarge_targets, plain_label
from labeler.qt.window import LabelerWindow
from labeler.sorting.dropped import ImportPlan, sort_paths

PATH = Qt.ItemDataRole.UserRole
LARGER = 1.6
MAX_SCANNED_FOLDERS = 500


class Welcome(QWidget):
    """Begins in a folder; `opened` (a dataset's folder, what is to be taken in or None).

    `renewed` asks for the same in another language.
    """

    opened = Signal(object, object)
    renewed = Signal()

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder.absolute()
        self._dropped: list[Path] = []
        self.setWindowTitle(self.tr("Gleanset labeler"))
        self.place, self.name = QLineEdit(), QLineEdit()
        self.where, self.problem = plain_label(), plain_label()
        self.take, self.question = QCheckBox(self.tr("Import existing files")), ImportQuestion()
        self.browse = button(self.tr("Choose…"), self._choose_place)
        choose = self._choose_files
        mode = QFileDialog.FileMode
        self.files = button(self.tr("Images and videos…"), lambda: choose(mode.ExistingFiles))
        self.folders = button(self.tr("Folder…"), lambda: choose(mode.Directory))
        self.make = button(self.tr("Create dataset"), self.make_dataset)
        self.datasets = QListWidget()
        self.open_button = button(self.tr("Open"), self._open_chosen)
        self.other = button(self.tr("Other…"), self._choose_dataset)
        self.settings = button(self.tr("Settings"), self.show_settings)
        self._lay_out()
        self._connect()
        self._list_datasets()
        self._begin_in(self.folder)
        enlarge_targets(self)
        drops = DropWatch(self, self.tr("Drop here to import"))
        drops.dropped.connect(self.drop)

    def _lay_out(self) -> None:
        title = plain_label(self.tr("No dataset in {folder}").format(folder=self.folder))
        title.setFont(larger(title.font(), LARGER, bold=False))
        intro = plain_label(
            self.tr(
                "A dataset is a folder with images, detected faces and your "
                "labels. Nothing is written until you press the button."
            )
        )
        both = QHBoxLayout()
        both.addWidget(self._making(), 3)
        both.addWidget(self._opening(), 2)
        last = beside(self.problem, self.settings, grows=self.problem)
        column = below(title, intro, both, last, grows=both)
        column.setContentsMargins(24, 20, 24, 20)
        column.setSpacing(14)
        self.setLayout(column)

    def _making(self) -> QGroupBox:
        box = QGroupBox(self.tr("New dataset"))
        form, inner = QFormLayout(), QVBoxLayout(box)
        form.addRow(self.tr("Location"), beside(self.place, self.browse, grows=self.place))
        form.addRow(self.tr("Name"), self.name)
        self.place.setAccessibleName(self.tr("Location"))
        self.name.setAccessibleName(self.tr("Name"))
        self.make.setDefault(True)
        hint = plain_label(self.tr("Drop images, videos or folders here to import them"))
        hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        hint.setFrameShape(QFrame.Shape.StyledPanel)
        inner.addLayout(form)
        for part in (self.where, self.take, self.question):
            inner.addWidget(part)
        inner.addWidget(hint, 1)
        inner.addLayout(beside(self.files, self.folders, None, self.make))
        return box

    def _opening(self) -> QGroupBox:
        box = QGroupBox(self.tr("Open a dataset"))
        inner = QVBoxLayout(box)
        self.datasets.setAccessibleName(self.tr("Recent datasets"))
        self.datasets.setWordWrap(True)
        inner.addWidget(self.datasets, 1)
        inner.addLayout(beside(self.other, None, self.open_button))
        return box

    def _connect(self) -> None:
        for field in (self.place, self.name):
            field.textChanged.connect(self._say_where)
            field.returnPressed.connect(self.make_dataset)
        self.take.toggled.connect(self.question.setEnabled)
        self.question.counted.connect(self._counted)
        self.take.toggled.connect(self._say_where)
        self.datasets.itemActivated.connect(self._open_chosen)
        self.datasets.currentRowChanged.connect(lambda row: self.open_button.setEnabled(row >= 0))
        shortcut = QShortcut(QKeySequence("Ctrl+,"), self)
        shortcut.activated.connect(self.show_settings)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.question.stop()
        super().closeEvent(event)

    # -- what is there

    def _list_datasets(self) -> None:
        inside = _datasets_in(self.folder)
        recent = [path for path in Preferences().recent() if is_dataset(path)]
        for path in dict.fromkeys((*inside, *recent)):
            item = QListWidgetItem(f"{path.name}\n{path.parent}")
            item.setData(PATH, path)
            self.datasets.addItem(item)
        self.open_button.setEnabled(False)
        if inside:
            self.datasets.setCurrentRow(0)

    def _begin_in(self, folder: Path) -> None:
        """Propose where a dataset is made: an empty folder becomes one, another one holds it.

        One with the settings of a dataset becomes that.
        """
        if _is_empty(folder) or (folder / FILE).is_file():
            self.place.setText(str(folder.parent))
            self.name.setText(folder.name)
        else:
            self.place.setText(str(folder))
            self.name.setText(f"{folder.name}-dataset")
        self._ask_about([] if _is_empty(folder) else [folder])
        self.name.selectAll()
        self.name.setFocus()

    def _ask_about(self, paths: Sequence[Path]) -> None:
        dropped = sort_paths(paths)
        self.take.hide()
        self.take.setChecked(False)
        self.question.setVisible(bool(dropped))
        if dropped:
            self.question.ask_about(dropped, self.target() or self.folder)
        self._say_where()

    def _counted(self) -> None:
        there = self.question.has_something
        for part in (self.take, self.question):
            part.setVisible(there)
        self.take.setChecked(there)
        if self._dropped and not there:
            self.complain(self.question.summary.text())
            self._dropped = []

    def drop(self, paths: Sequence[Path]) -> None:
        """Offer to take in what was dropped; a dataset is opened."""
        if len(paths) == 1 and is_dataset(paths[0]):
            self._open(paths[0])
            return
        self._dropped += [path for path in paths if path not in self._dropped]
        if not sort_paths(self._dropped):
            self._dropped = []
            self.complain(self.tr("No images or videos found"))
            return
        self.complain("")
        self._ask_about(self._dropped)

    # -- what is done

    def target(self) -> Path | None:
        """Return the folder that the dataset will be; None where that is no name."""
        name, place = self.name.text().strip(), self.place.text().strip()
        if not (name and place) or name in (".", "..") or Path(name).name != name:
            return None
        return Path(place).expanduser().absolute() / name

    def _say_where(self) -> None:
        target = self.target()
        there = target is not None and is_dataset(target)
        own = target in self.question.dropped.folders
        self.make.setText(self.tr("Open") if there else self.tr("Create dataset"))
        self.make.setEnabled(target is not None and not (own and self.take.isChecked()))
        if target is None:
            text = self.tr("Enter a name without /")
        elif there:
            text = self.tr("{folder} already contains a dataset").format(folder=target)
        elif own and self.take.isChecked():
            text = self.tr("The imported folder cannot be the dataset itself: enter another name")
        else:
            text = self.tr(
                "The dataset is created in {folder}. Images are copied; the "
                "originals are not changed."
            ).format(folder=target)
        self.where.setText(text)

    def make_dataset(self) -> None:
        target = self.target()
        if target is None or not self.make.isEnabled():
            return
        plan = self.question.plan() if self.take.isChecked() else None
        try:
            Dataset.create(target, Settings(name=target.name)).close()
        except GleansetError as error:
            self.complain(str(error))
            return
        self._open(target, plan)

    def _open(self, root: Path, plan: ImportPlan | None = None) -> None:
        self.question.stop()
        self.complain("")
        self.opened.emit(root, plan)

    def _open_chosen(self) -> None:
        if (item := self.datasets.currentItem()) is not None:
            self._open(item.data(PATH))

    def complain(self, why: str) -> None:
        self.problem.setText(why)

    def _choose_place(self) -> None:
        dialog = choosing(self, self.tr("Choose a folder"), self.place.text())
        dialog.fileSelected.connect(self.place.setText)

    def _choose_files(self, mode: QFileDialog.FileMode) -> None:
        dialog = choosing(self, self.tr("Import"), str(self.folder), mode)
        dialog.filesSelected.connect(lambda names: self.drop([Path(name) for name in names]))

    def _choose_dataset(self) -> None:
        dialog = choosing(self, self.tr("Open a dataset"), str(self.folder))
        dialog.fileSelected.connect(lambda name: self._open_or_say(Path(name)))

    def _open_or_say(self, path: Path) -> None:
        if is_dataset(path):
            self._open(path)
        else:
            text = self.tr("No dataset in {folder}")
            self.complain(text.format(folder=path))

    def show_settings(self) -> None:
        sheet = SettingsSheet(self, self.folder)
        sheet.wanted.connect(lambda root: self.renewed.emit())
        sheet.open()


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except OSError:
        return True


def _datasets_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            folders = [Path(entry.path) for entry in islice(entries, MAX_SCANNED_FOLDERS)]
    except OSError:
        return []
    return sorted(path for path in folders if is_dataset(path))


SIZE = (1000, 680)
LATER = Qt.ConnectionType.QueuedConnection


class Program(QObject):
    """Opens a window on a dataset, or a welcome where there is none.

    `language` and `theme` are shown instead of those that are preferred until others are chosen,
    and windows are of a `size`, where one is given.
    """

    def __init__(
        self,
        application: QApplication,
        language: str | None = None,
        *,
        theme: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(application)
        self._application = application
        self._wanted, self._size = language, size
        self.shown = ""
        self.window: LabelerWindow | None = None
        self.welcome: Welcome | None = None
        self._lost = 0
        self.speak()
        show_theme(Preferences().theme().value if theme is None else theme)

    def speak(self) -> None:
        self.shown = install(self._application, self._wanted or Preferences().language())

    def begin(self, root: Path, view: str | None = None) -> None:
        """Open a dataset, or say welcome where there is none."""
        if is_dataset(root):
            self.open(root, view)
        else:
            self.greet(root)

    def greet(self, folder: Path) -> None:
        before, self.welcome = self.welcome, Welcome(folder)
        self.welcome.resize(*SIZE)
        # Not while a button of it is still at its click: it is put away.
        self.welcome.opened.connect(self._chosen, LATER)
        self.welcome.renewed.connect(self._greet_anew, LATER)
        self.welcome.show()
        _put_away(before)

    def open(self, root: Path, view: str | None = None) -> LabelerWindow:
        """Open a window on a dataset. Raises what opening it raises."""
        window = LabelerWindow(root, view)
        Preferences().note_opened(root)
        warn_of_missing_fonts(window.worker, self.shown)
        window.anew.connect(self._instead, LATER)
        self.window = window
        if self._size is not None:
            window.resize(*self._size)
        window.show()
        window.learning.begin()
        return window

    def shut_down(self) -> int:
        """Close everything; return how many decisions could not be saved."""
        if self.window is not None:
            if shiboken6.isValid(self.window.worker):
                self.window.shut_down()
            self._lost += self.window.worker.lost
            self.window = None
        return self._lost

    def _chosen(self, root: Path, plan: ImportPlan | None) -> None:
        welcome = self.welcome
        assert welcome is not None
        try:
            window = self.open(root)
        except GleansetError as error:
            welcome.complain(str(error))
            return
        self.welcome = None
        _put_away(welcome)
        if plan is not None:
            window.taking.take(plan)

    def _greet_anew(self) -> None:
        self._wanted = None
        self.speak()
        assert self.welcome is not None
        self.greet(self.welcome.folder)

    def _instead(self, root: Path) -> None:
        """Open a dataset in the place of the window that asks; the same one in another language."""
        before = self.window
        assert before is not None
        if why := before.worker.under_way():
            before.worker.say(self.tr("Not now: {why}").format(why=why), bad=True)
            return
        self._application.setQuitOnLastWindowClosed(False)
        try:
            if before.close():
                self._lost += before.worker.lost
                self._wanted = None
                self.speak()
                self._open_or(root, before.worker.root)
        finally:
            self._application.setQuitOnLastWindowClosed(True)

    def _open_or(self, root: Path, before: Path) -> None:
        try:
            self.open(root)
        except GleansetError as error:
            self.open(before).worker.say(str(error), bad=True)


def _put_away(widget: QWidget | None) -> None:
    if widget is not None:
        widget.close()
        widget.deleteLater()
