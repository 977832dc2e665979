"""The program: the window of a dataset, or a dialog for a folder without one."""

from pathlib import Path

import shiboken6
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QApplication, QCheckBox, QDialog, QLineEdit

from gleanset import Dataset
from gleanset.dataset import is_dataset
from gleanset.errors import GleansetError
from gleanset.settings import SETTINGS_FILE
from labeler.qt.settings import get_language, get_theme
from labeler.qt.theme import SPACE_L, SPACE_XL, show_theme
from labeler.qt.translations import install, tr
from labeler.qt.widgets import (
    button,
    choose_paths,
    column_layout,
    form_layout,
    plain_label,
    row_layout,
)
from labeler.qt.window import LabelerWindow


class Welcome(QDialog):
    """Dialog for a folder without a dataset: creates a dataset or opens another one.

    `opened` (root, folders to import).
    """

    opened = Signal(object, object)

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder.resolve()
        self.setWindowTitle(tr("Gleanset labeler"))
        self.title = plain_label(style="title")
        self.target = QLineEdit()
        self.problem = plain_label()
        self.take = QCheckBox(tr("Import the images of this folder"))
        self.make = button("", self.create_dataset, primary=True)
        intro = plain_label(
            tr(
                "A dataset is a folder with images, detected faces and your labels. "
                "Your own files are never changed."
            )
        )

        form = form_layout(
            {tr("Dataset"): (self.target, button(tr("Choose…"), self._choose_target))}
        )
        other = button(tr("Open a dataset…"), self._choose_dataset)
        self.make.setDefault(True)
        self.setLayout(
            column_layout(
                self.title,
                intro,
                form,
                self.take,
                self.problem,
                None,
                row_layout(other, None, self.make),
                margins=(SPACE_XL,) * 4,
                spacing=SPACE_L,
            )
        )

        self.target.textChanged.connect(self._show_target)
        self._propose_target()

    def _propose_target(self) -> None:
        # An empty folder, or one with the settings of a dataset, becomes the dataset.
        folder = self.folder
        is_target = (folder / SETTINGS_FILE).is_file() or not any(folder.glob("*"))
        target = folder if is_target else folder / f"{folder.name}-dataset"
        title = tr(
            "{folder} has a dataset"
            if is_dataset(target)
            else "No dataset in {folder} yet",
            folder=folder,
        )
        self.title.setText(title)
        self.target.setText(str(target))
        self.take.setVisible(not is_target)
        self.take.setChecked(not (is_target or is_dataset(target)))

    def _show_target(self, text: str) -> None:
        self.make.setText(tr("Open" if is_dataset(Path(text)) else "Create dataset"))
        self.make.setEnabled(bool(text.strip()))

    def create_dataset(self) -> None:
        """Create the dataset, or open it if it exists."""
        target = Path(self.target.text().strip()).expanduser().absolute()
        try:
            Dataset.create(target).close()
        except GleansetError as error:
            self.problem.setText(str(error))
            return
        self.opened.emit(
            target,
            [self.folder] if self.take.isChecked() else [],
        )

    def _choose_target(self) -> None:
        choose_paths(
            self,
            tr("Choose a folder"),
            str(self.folder),
            lambda paths: self.target.setText(paths[0]),
        )

    def _choose_dataset(self) -> None:
        choose_paths(
            self,
            tr("Open a dataset"),
            str(self.folder),
            lambda paths: self.opened.emit(Path(paths[0]), []),
        )


class Program(QObject):
    """Opens the window of a dataset, or the welcome dialog for a folder without one."""

    def __init__(self, application: QApplication):
        super().__init__(application)
        self.window: LabelerWindow | None = None
        self.welcome: Welcome | None = None
        install(application, get_language())
        show_theme(get_theme())

    def begin(self, root: Path, view: str | None = None) -> None:
        """Open a dataset, or show the welcome dialog for a folder without one."""
        if is_dataset(root):
            self.open(root, view)
        else:
            self.welcome = Welcome(root)
            # Queued: a button must finish its click before the dialog is deleted.
            self.welcome.opened.connect(
                self._open_from_welcome, Qt.ConnectionType.QueuedConnection
            )
            self.welcome.show()

    def open(self, root: Path, view: str | None = None) -> LabelerWindow:
        """Open the window of a dataset. Raises what `Dataset.open` raises."""
        window = self.window = LabelerWindow(root, view)
        window.show()
        window.learning.begin()
        return window

    def shut_down(self) -> int:
        """Close everything; return the number of decisions that could not be saved."""
        if self.window is None:
            return 0
        if shiboken6.isValid(self.window.worker):
            self.window.shut_down()
        return self.window.worker.lost_count

    def _open_from_welcome(self, root: Path, folders: list[Path]) -> None:
        assert self.welcome is not None
        try:
            window = self.open(root)
        except GleansetError as error:
            self.welcome.problem.setText(str(error))
            return

        self.welcome.close()
        self.welcome.deleteLater()
        self.welcome = None
        if folders:
            window.drops.offer(folders)
