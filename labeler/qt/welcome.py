"""The window for a folder without a dataset: make one, take in what lies there, or open another.

Nothing is written before a person says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gleanset import Dataset
from gleanset.dataset import is_dataset
from gleanset.errors import GleansetError
from gleanset.settings import FILE, Settings
from labeler.qt.file_drops import DropWatch, ImportQuestion
from labeler.qt.preferences import Preferences
from labeler.qt.settings_sheet import SettingsSheet
from labeler.qt.theme import larger
from labeler.qt.widgets import below, beside, choosing, enlarge_targets
from labeler.sorting.dropped import ImportPlan, sort_paths

PATH = Qt.ItemDataRole.UserRole
LARGER = 1.6
MOST_INSIDE = 500
"""So many folders in a folder are looked at for datasets."""


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
        self.where, self.problem = QLabel(), QLabel()
        self.take, self.question = QCheckBox(self.tr("Take in what is there")), ImportQuestion()
        self.browse = QPushButton(self.tr("Choose …"))
        self.files = QPushButton(self.tr("Pictures and videos …"))
        self.folders = QPushButton(self.tr("A folder …"))
        self.make = QPushButton(self.tr("Make the dataset"))
        self.datasets = QListWidget()
        self.open_button = QPushButton(self.tr("Open"))
        self.other = QPushButton(self.tr("Another one …"))
        self.settings = QPushButton(self.tr("Settings"))
        self._lay_out()
        self._connect()
        self._list_datasets()
        self._begin_in(self.folder)
        enlarge_targets(self)
        drops = DropWatch(self, self.tr("Drop them here: they will be taken in"))
        drops.dropped.connect(self.drop)

    def _lay_out(self) -> None:
        title = QLabel(self.tr("There is no dataset in {folder}").format(folder=self.folder))
        title.setFont(larger(title.font(), LARGER, bold=False))
        intro = QLabel(
            self.tr(
                "A dataset is a folder that keeps pictures, the faces in them and what you decide. "
                "Nothing is written before you press the button."
            )
        )
        for label in (title, intro, self.where, self.problem):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        both = QHBoxLayout()
        both.addWidget(self._making(), 3)
        both.addWidget(self._opening(), 2)
        last = beside(self.problem, self.settings, grows=self.problem)
        column = below(title, intro, both, last, grows=both)
        column.setContentsMargins(24, 20, 24, 20)
        column.setSpacing(14)
        self.setLayout(column)

    def _making(self) -> QGroupBox:
        box = QGroupBox(self.tr("Make a dataset"))
        form, inner = QFormLayout(), QVBoxLayout(box)
        form.addRow(self.tr("In"), beside(self.place, self.browse, grows=self.place))
        form.addRow(self.tr("Name"), self.name)
        self.place.setAccessibleName(self.tr("In"))
        self.name.setAccessibleName(self.tr("Name"))
        self.make.setDefault(True)
        hint = QLabel(self.tr("Drop pictures, videos or folders here to take them in"))
        hint.setWordWrap(True)
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
        self.datasets.setAccessibleName(self.tr("Datasets that were opened before"))
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
        self.make.clicked.connect(self.make_dataset)
        self.browse.clicked.connect(self._choose_place)
        self.other.clicked.connect(self._choose_dataset)
        self.files.clicked.connect(lambda: self._choose_files(QFileDialog.FileMode.ExistingFiles))
        self.folders.clicked.connect(lambda: self._choose_files(QFileDialog.FileMode.Directory))
        self.open_button.clicked.connect(self._open_chosen)
        self.datasets.itemActivated.connect(self._open_chosen)
        self.datasets.currentRowChanged.connect(lambda row: self.open_button.setEnabled(row >= 0))
        self.settings.clicked.connect(self.show_settings)
        shortcut = QShortcut(QKeySequence("Ctrl+,"), self)
        shortcut.activated.connect(self.show_settings)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Look at files no more."""
        self.question.stop()
        super().closeEvent(event)

    # -- what is there

    def _list_datasets(self) -> None:
        """Show the datasets that lie in the folder, then those that were opened before."""
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
        """Offer what was counted."""
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
            self.complain(self.tr("There is no picture and no video in that"))
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
        self.make.setText(self.tr("Open") if there else self.tr("Make the dataset"))
        self.make.setEnabled(target is not None and not (own and self.take.isChecked()))
        if target is None:
            text = self.tr("Write a name without / in it")
        elif there:
            text = self.tr("There is a dataset in {folder} already").format(folder=target)
        elif own and self.take.isChecked():
            text = self.tr("The pictures cannot lie in the dataset itself: write another name")
        else:
            text = self.tr(
                "It will be made in {folder}. Pictures are copied into it; your files stay as they "
                "are."
            ).format(folder=target)
        self.where.setText(text)

    def make_dataset(self) -> None:
        """Make the dataset, and have it opened."""
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
        """Say why something cannot be done; nothing where it can."""
        self.problem.setText(why)

    def _choose_place(self) -> None:
        dialog = choosing(self, self.tr("Choose a folder"), self.place.text())
        dialog.fileSelected.connect(self.place.setText)

    def _choose_files(self, mode: QFileDialog.FileMode) -> None:
        dialog = choosing(self, self.tr("Take in"), str(self.folder), mode)
        dialog.filesSelected.connect(lambda names: self.drop([Path(name) for name in names]))

    def _choose_dataset(self) -> None:
        dialog = choosing(self, self.tr("Open a dataset"), str(self.folder))
        dialog.fileSelected.connect(lambda name: self._open_or_say(Path(name)))

    def _open_or_say(self, path: Path) -> None:
        if is_dataset(path):
            self._open(path)
        else:
            text = self.tr("There is no dataset in {folder}")
            self.complain(text.format(folder=path))

    def show_settings(self) -> None:
        """Show the settings that are no dataset's."""
        sheet = SettingsSheet(self, self.folder)
        sheet.wanted.connect(lambda root: self.renewed.emit())
        sheet.open()


def _is_empty(folder: Path) -> bool:
    """Return whether nothing lies in a folder, or there is none."""
    try:
        return not any(folder.iterdir())
    except OSError:
        return True


def _datasets_in(folder: Path) -> list[Path]:
    """Return the datasets that lie in a folder itself."""
    try:
        with os.scandir(folder) as entries:
            folders = [Path(entry.path) for entry in islice(entries, MOST_INSIDE)]
    except OSError:
        return []
    return sorted(path for path in folders if is_dataset(path))
