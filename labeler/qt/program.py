"""The windows of the program: the welcome window, the window of a dataset, its replacement."""

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
from gleanset.settings import SETTINGS_FILE, Settings
from labeler.qt.file_import import DropFilter, ImportForm
from labeler.qt.settings import Preferences, SettingsDialog
from labeler.qt.theme import TITLE, scaled, show_theme
from labeler.qt.translations import install, warn_of_missing_fonts
from labeler.qt.widgets import (
    button,
    choosing,
    column_layout,
    enlarge_targets,
    plain_label,
    row_layout,
)
from labeler.qt.window import LabelerWindow
from labeler.sorting.import_plan import ImportPlan, sort_paths

PATH_ROLE = Qt.ItemDataRole.UserRole
MAX_SCANNED_FOLDERS = 500


class Welcome(QWidget):
    """Window for a folder without a dataset: creates a dataset or opens another one.

    `opened` (root, ImportPlan or None); `language_changed` asks for a new window.
    """

    opened = Signal(object, object)
    language_changed = Signal()

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder.absolute()
        self._dropped: list[Path] = []
        self.setWindowTitle(self.tr("Gleanset labeler"))
        self.location, self.name = QLineEdit(), QLineEdit()
        self.target_text, self.problem = plain_label(), plain_label()
        self.take, self.form = QCheckBox(self.tr("Import existing files")), ImportForm()
        self.browse = button(self.tr("Choose…"), self._choose_location)
        choose, mode = self._choose_files, QFileDialog.FileMode
        files, folders = self.tr("Images and videos…"), self.tr("Folder…")
        self.files = button(files, lambda: choose(mode.ExistingFiles))
        self.folders = button(folders, lambda: choose(mode.Directory))
        self.make = button(self.tr("Create dataset"), self.create_dataset)
        self.datasets = QListWidget()
        self.open_button = button(self.tr("Open"), self._open_selected)
        self.other = button(self.tr("Other…"), self._choose_dataset)
        self.settings = button(self.tr("Settings"), self.show_settings)
        self._lay_out()
        self._connect()
        self._list_datasets()
        self._propose_target(self.folder)
        enlarge_targets(self)
        drops = DropFilter(self, self.tr("Drop here to import"))
        drops.dropped.connect(self.drop)

    def _lay_out(self) -> None:
        title = plain_label(self.tr("No dataset in {folder}").format(folder=self.folder))
        title.setFont(scaled(title.font(), TITLE))
        intro = plain_label(
            self.tr(
                "A dataset is a folder with images, detected faces and your labels. "
                "Nothing is written until you press the button."
            )
        )
        boxes = QHBoxLayout()
        boxes.addWidget(self._creation_box(), 3)
        boxes.addWidget(self._open_box(), 2)
        footer = row_layout(self.problem, self.settings, grows=self.problem)
        column = column_layout(title, intro, boxes, footer, grows=boxes)
        column.setContentsMargins(24, 20, 24, 20)
        column.setSpacing(14)
        self.setLayout(column)

    def _creation_box(self) -> QGroupBox:
        box = QGroupBox(self.tr("New dataset"))
        form, inner = QFormLayout(), QVBoxLayout(box)
        location = self.tr("Location")
        form.addRow(location, row_layout(self.location, self.browse, grows=self.location))
        form.addRow(self.tr("Name"), self.name)
        self.location.setAccessibleName(location)
        self.name.setAccessibleName(self.tr("Name"))
        self.make.setDefault(True)
        hint = plain_label(self.tr("Drop images, videos or folders here to import them"))
        hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        hint.setFrameShape(QFrame.Shape.StyledPanel)
        inner.addLayout(form)
        for part in (self.target_text, self.take, self.form):
            inner.addWidget(part)
        inner.addWidget(hint, 1)
        inner.addLayout(row_layout(self.files, self.folders, None, self.make))
        return box

    def _open_box(self) -> QGroupBox:
        box = QGroupBox(self.tr("Open a dataset"))
        inner = QVBoxLayout(box)
        self.datasets.setAccessibleName(self.tr("Recent datasets"))
        self.datasets.setWordWrap(True)
        inner.addWidget(self.datasets, 1)
        inner.addLayout(row_layout(self.other, None, self.open_button))
        return box

    def _connect(self) -> None:
        for field in (self.location, self.name):
            field.textChanged.connect(self._show_target)
            field.returnPressed.connect(self.create_dataset)
        self.take.toggled.connect(self.form.setEnabled)
        self.take.toggled.connect(self._show_target)
        self.form.simulated.connect(self._offer_import)
        self.datasets.itemActivated.connect(self._open_selected)
        self.datasets.currentRowChanged.connect(lambda row: self.open_button.setEnabled(row >= 0))
        shortcut = QShortcut(QKeySequence("Ctrl+,"), self)
        shortcut.activated.connect(self.show_settings)

    def closeEvent(self, event: QCloseEvent) -> None:
        self.form.stop()
        super().closeEvent(event)

    # -- existing datasets and files

    def _list_datasets(self) -> None:
        inside = _datasets_in(self.folder)
        recent = [path for path in Preferences().recent_datasets() if is_dataset(path)]
        for path in dict.fromkeys((*inside, *recent)):
            item = QListWidgetItem(f"{path.name}\n{path.parent}")
            item.setData(PATH_ROLE, path)
            self.datasets.addItem(item)
        self.open_button.setEnabled(False)
        if inside:
            self.datasets.setCurrentRow(0)

    def _propose_target(self, folder: Path) -> None:
        # An empty folder, or one with the settings of a dataset, becomes the dataset.
        if _is_empty(folder) or (folder / SETTINGS_FILE).is_file():
            self.location.setText(str(folder.parent))
            self.name.setText(folder.name)
        else:
            self.location.setText(str(folder))
            self.name.setText(f"{folder.name}-dataset")
        self._simulate_import([] if _is_empty(folder) else [folder])
        self.name.selectAll()
        self.name.setFocus()

    def _simulate_import(self, paths: Sequence[Path]) -> None:
        dropped = sort_paths(paths)
        self.take.hide()
        self.take.setChecked(False)
        self.form.setVisible(bool(dropped))
        if dropped:
            self.form.ask_about(dropped, self.target() or self.folder)
        self._show_target()

    def _offer_import(self) -> None:
        can_import = self.form.can_import
        for part in (self.take, self.form):
            part.setVisible(can_import)
        self.take.setChecked(can_import)
        if self._dropped and not can_import:
            self.show_problem(self.form.summary.text())
            self._dropped = []

    def drop(self, paths: Sequence[Path]) -> None:
        """Offer to import what was dropped; open a dataset."""
        if len(paths) == 1 and is_dataset(paths[0]):
            self._open(paths[0])
            return
        self._dropped += [path for path in paths if path not in self._dropped]
        if not sort_paths(self._dropped):
            self._dropped = []
            self.show_problem(self.tr("No images or videos found"))
            return
        self.show_problem("")
        self._simulate_import(self._dropped)

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
        imports_itself = target in self.form.dropped.folders and self.take.isChecked()
        self.make.setText(self.tr("Open") if exists else self.tr("Create dataset"))
        self.make.setEnabled(target is not None and not imports_itself)
        if target is None:
            text = self.tr("Enter a name without /")
        elif exists:
            text = self.tr("{folder} already contains a dataset").format(folder=target)
        elif imports_itself:
            text = self.tr("The imported folder cannot be the dataset itself: enter another name")
        else:
            text = self.tr(
                "The dataset is created in {folder}. Images are copied; the originals "
                "are not changed."
            ).format(folder=target)
        self.target_text.setText(text)

    def create_dataset(self) -> None:
        target = self.target()
        if target is None or not self.make.isEnabled():
            return
        plan = self.form.plan() if self.take.isChecked() else None
        try:
            Dataset.create(target, Settings(name=target.name)).close()
        except GleansetError as error:
            self.show_problem(str(error))
            return
        self._open(target, plan)

    def _open(self, root: Path, plan: ImportPlan | None = None) -> None:
        self.form.stop()
        self.show_problem("")
        self.opened.emit(root, plan)

    def _open_selected(self) -> None:
        if (item := self.datasets.currentItem()) is not None:
            self._open(item.data(PATH_ROLE))

    def show_problem(self, text: str) -> None:
        self.problem.setText(text)

    def _choose_location(self) -> None:
        dialog = choosing(self, self.tr("Choose a folder"), self.location.text())
        dialog.fileSelected.connect(self.location.setText)

    def _choose_files(self, mode: QFileDialog.FileMode) -> None:
        dialog = choosing(self, self.tr("Import"), str(self.folder), mode)
        dialog.filesSelected.connect(lambda names: self.drop([Path(name) for name in names]))

    def _choose_dataset(self) -> None:
        dialog = choosing(self, self.tr("Open a dataset"), str(self.folder))
        dialog.fileSelected.connect(lambda name: self._open_if_dataset(Path(name)))

    def _open_if_dataset(self, path: Path) -> None:
        if is_dataset(path):
            self._open(path)
        else:
            self.show_problem(self.tr("No dataset in {folder}").format(folder=path))

    def show_settings(self) -> None:
        dialog = SettingsDialog(self, self.folder)
        dialog.reopen_requested.connect(lambda root: self.language_changed.emit())
        dialog.open()


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
            self.show_welcome(root)

    def show_welcome(self, folder: Path) -> None:
        before, self.welcome = self.welcome, Welcome(folder)
        self.welcome.resize(*WELCOME_SIZE)
        # Queued: a button of the window must finish its click before the window is deleted.
        self.welcome.opened.connect(self._open_from_welcome, QUEUED)
        self.welcome.language_changed.connect(self._renew_welcome, QUEUED)
        self.welcome.show()
        _close_and_delete(before)

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

    def _open_from_welcome(self, root: Path, plan: ImportPlan | None) -> None:
        welcome = self.welcome
        assert welcome is not None
        try:
            window = self.open(root)
        except GleansetError as error:
            welcome.show_problem(str(error))
            return
        self.welcome = None
        _close_and_delete(welcome)
        if plan is not None:
            window.imports.start(plan)

    def _renew_welcome(self) -> None:
        self._language_override = None
        self._install_language()
        assert self.welcome is not None
        self.show_welcome(self.welcome.folder)

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


def _close_and_delete(widget: QWidget | None) -> None:
    if widget is not None:
        widget.close()
        widget.deleteLater()
