"""The windows of the program: the welcome window, the window of a dataset, its replacement."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import shiboken6
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
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
from gleanset.settings import SETTINGS_FILE, Settings
from labeler.qt.file_import import DropFilter
from labeler.qt.settings import Preferences
from labeler.qt.theme import SPACE_L, SPACE_XL, TITLE, scaled, show_theme
from labeler.qt.translations import install, warn_of_missing_fonts
from labeler.qt.widgets import (
    button,
    choosing,
    column_layout,
    enlarge_targets,
    form_layout,
    plain_label,
    row_layout,
)
from labeler.qt.window import LabelerWindow
from labeler.sorting.import_plan import contains_images, sort_paths

PATH_ROLE = Qt.ItemDataRole.UserRole
MAX_SCANNED_FOLDERS = 500


class Welcome(QWidget):
    """Window for a folder without a dataset: creates a dataset or opens another one.

    `opened` (root, paths to import).
    """

    opened = Signal(object, object)

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder.absolute()
        self.setWindowTitle(self.tr("Gleanset labeler"))
        self.location, self.name = QLineEdit(), QLineEdit()
        self.target_text, self.problem = plain_label(), plain_label()
        self.take = QCheckBox(self.tr("Import the images of this folder"))
        self.browse = button(self.tr("Choose…"), self._choose_location)
        self.make = button("", self.create_dataset, primary=True)
        self.open_box, self.datasets = QGroupBox(self.tr("Recent datasets")), QListWidget()
        self.open_button = button(self.tr("Open"), self._open_selected)
        self.other = button(self.tr("Open a dataset…"), self._choose_dataset)
        self._lay_out()
        self._connect()
        self._list_datasets()
        self._propose_target()
        enlarge_targets(self)
        drops = DropFilter(self, self.tr("Drop here to import"))
        drops.dropped.connect(self.drop)

    def _lay_out(self) -> None:
        title = plain_label(self.tr("No dataset in {folder}").format(folder=self.folder))
        title.setFont(scaled(title.font(), TITLE))
        intro = plain_label(
            self.tr(
                "A dataset is a folder with images, detected faces and your labels. "
                "Your own files are copied and never changed."
            )
        )
        boxes = QHBoxLayout()
        boxes.addWidget(self._creation_box(), 3)
        boxes.addWidget(self.open_box, 2)
        footer = row_layout(self.problem, self.other, grows=self.problem)
        column = column_layout(title, intro, boxes, footer, grows=boxes)
        column.setContentsMargins(SPACE_XL, SPACE_XL, SPACE_XL, SPACE_XL)
        column.setSpacing(SPACE_L)
        self.setLayout(column)

    def _creation_box(self) -> QGroupBox:
        box = QGroupBox(self.tr("New dataset"))
        form = form_layout(
            {self.tr("Location"): (self.location, self.browse), self.tr("Name"): (self.name,)}
        )
        self.make.setDefault(True)
        hint = plain_label(self.tr("Or drop images, videos or folders here"))
        hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        make = row_layout(None, self.make)
        parts = (form, self.target_text, self.take, make, hint)
        QVBoxLayout(box).addLayout(column_layout(*parts, grows=hint))
        return box

    def _connect(self) -> None:
        for field in (self.location, self.name):
            field.textChanged.connect(self._show_target)
            field.returnPressed.connect(self.create_dataset)
        self.datasets.itemActivated.connect(self._open_selected)
        self.datasets.currentRowChanged.connect(lambda row: self.open_button.setEnabled(row >= 0))

    def _list_datasets(self) -> None:
        inside = _datasets_in(self.folder)
        recent = [path for path in Preferences().recent_datasets() if is_dataset(path)]
        for path in dict.fromkeys((*inside, *recent)):
            item = QListWidgetItem(f"{path.name}\n{path.parent}")
            item.setData(PATH_ROLE, path)
            self.datasets.addItem(item)
        self.datasets.setAccessibleName(self.tr("Recent datasets"))
        self.datasets.setWordWrap(True)
        open_button = row_layout(None, self.open_button)
        column = column_layout(self.datasets, open_button, grows=self.datasets)
        QVBoxLayout(self.open_box).addLayout(column)
        self.open_box.setVisible(self.datasets.count() > 0)
        self.open_button.setEnabled(False)
        if inside:
            self.datasets.setCurrentRow(0)

    def _propose_target(self) -> None:
        # An empty folder, or one with the settings of a dataset, becomes the dataset.
        folder, is_dataset_itself = self.folder, (self.folder / SETTINGS_FILE).is_file()
        is_target = is_dataset_itself or _is_empty(folder)
        self.location.setText(str(folder.parent if is_target else folder))
        self.name.setText(folder.name if is_target else f"{folder.name}-dataset")
        can_import = not is_target and contains_images(folder)
        self.take.setVisible(can_import)
        self.take.setChecked(can_import)
        self._show_target()
        self.name.selectAll()
        self.name.setFocus()

    def drop(self, paths: Sequence[Path]) -> None:
        """Open a dataset, or create one and offer to import what was dropped."""
        if len(paths) == 1 and is_dataset(paths[0]):
            self.opened.emit(paths[0], [])
        elif sort_paths(paths):
            self.create_dataset(paths)
        else:
            self.show_problem(self.tr("No images or videos found"))

    # -- create or open

    def target(self) -> Path | None:
        """Return the folder of the new dataset, or None for an invalid name."""
        name, location = self.name.text().strip(), self.location.text().strip()
        if not (name and location) or name in (".", "..") or Path(name).name != name:
            return None
        return Path(location).expanduser().absolute() / name

    def _show_target(self) -> None:
        target = self.target()
        exists = target is not None and is_dataset(target)
        self.make.setText(self.tr("Open") if exists else self.tr("Create dataset"))
        self.make.setEnabled(target is not None)
        if target is None:
            text = self.tr("Enter a name without /")
        elif exists:
            text = self.tr("{folder} already contains a dataset").format(folder=target)
        else:
            text = self.tr("The dataset is created in {folder}.").format(folder=target)
        self.target_text.setText(text)

    def create_dataset(self, paths: Sequence[Path] = ()) -> None:
        """Create the dataset, or open it if it exists, and offer to import `paths`."""
        target = self.target()
        if target is None:
            return
        if not paths and self.take.isChecked():
            paths = [self.folder]
        try:
            Dataset.create(target, Settings(name=target.name)).close()
        except GleansetError as error:
            self.show_problem(str(error))
            return
        self.opened.emit(target, paths)

    def _open_selected(self) -> None:
        if (item := self.datasets.currentItem()) is not None:
            self.opened.emit(item.data(PATH_ROLE), [])

    def show_problem(self, text: str) -> None:
        self.problem.setText(text)

    def _choose_location(self) -> None:
        dialog = choosing(self, self.tr("Choose a folder"), self.location.text())
        dialog.fileSelected.connect(self.location.setText)

    def _choose_dataset(self) -> None:
        dialog = choosing(self, self.tr("Open a dataset"), str(self.folder))
        dialog.fileSelected.connect(lambda name: self._open_if_dataset(Path(name)))

    def _open_if_dataset(self, path: Path) -> None:
        if is_dataset(path):
            self.opened.emit(path, [])
        else:
            self.show_problem(self.tr("No dataset in {folder}").format(folder=path))


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


WELCOME_SIZE = (1000, 680)
QUEUED = Qt.ConnectionType.QueuedConnection


class Program(QObject):
    """Opens the window of a dataset, or the welcome window for a folder without one.

    `language` and `theme` override the preferences until the user chooses others; `size` is that of
    new windows.
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
        self._language_override, self._size = language, size
        self.language = ""
        self.window: LabelerWindow | None = None
        self.welcome: Welcome | None = None
        self._lost_count = 0
        self._install_language()
        show_theme(Preferences().theme().value if theme is None else theme)

    def _install_language(self) -> None:
        language = self._language_override or Preferences().language()
        self.language = install(self._application, language)

    def begin(self, root: Path, view: str | None = None) -> None:
        """Open a dataset, or show the welcome window for a folder without one."""
        if is_dataset(root):
            self.open(root, view)
        else:
            self.welcome = Welcome(root)
            self.welcome.resize(*WELCOME_SIZE)
            # Queued: a button of the window must finish its click before the window is deleted.
            self.welcome.opened.connect(self._open_from_welcome, QUEUED)
            self.welcome.show()

    def open(self, root: Path, view: str | None = None) -> LabelerWindow:
        """Open the window of a dataset. Raises what `Dataset.open` raises."""
        window = LabelerWindow(root, view)
        Preferences().add_recent(root)
        warn_of_missing_fonts(window.worker, self.language)
        window.reopen_requested.connect(self._replace_window, QUEUED)
        self.window = window
        if self._size is not None:
            window.resize(*self._size)
        window.show()
        window.learning.begin()
        return window

    def shut_down(self) -> int:
        """Close everything; return the number of decisions that could not be saved."""
        if self.window is not None:
            if shiboken6.isValid(self.window.worker):
                self.window.shut_down()
            self._lost_count += self.window.worker.lost_count
            self.window = None
        return self._lost_count

    def _open_from_welcome(self, root: Path, paths: Sequence[Path]) -> None:
        welcome = self.welcome
        assert welcome is not None
        try:
            window = self.open(root)
        except GleansetError as error:
            welcome.show_problem(str(error))
            return
        self.welcome = None
        welcome.close()
        welcome.deleteLater()
        if paths:
            window.drops.offer(paths)

    def _replace_window(self, root: Path) -> None:
        # Another dataset, or the same one in another language.
        before = self.window
        assert before is not None
        if unfinished := before.worker.unfinished_work():
            text = self.tr("Not now: {why}").format(why=unfinished)
            before.worker.show_message(text, bad=True)
            return
        self._application.setQuitOnLastWindowClosed(False)
        try:
            if before.close():
                self._lost_count += before.worker.lost_count
                self._language_override = None
                self._install_language()
                self._open_or_return(root, before.worker.root)
        finally:
            self._application.setQuitOnLastWindowClosed(True)

    def _open_or_return(self, root: Path, before: Path) -> None:
        try:
            self.open(root)
        except GleansetError as error:
            self.open(before).worker.show_message(str(error), bad=True)
