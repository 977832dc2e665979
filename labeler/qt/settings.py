"""What a person prefers, kept from one time to the next, and the sheet on which it is chosen."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path

from PySide6.QtCore import QSettings, QSize, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QMainWindow,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from gleanset.dataset import is_dataset
from labeler.qt.theme import em, show_theme
from labeler.qt.translations import LANGUAGE_NAMES
from labeler.qt.views.sorting import SortingView
from labeler.qt.widgets import beside, button, choosing

MOST_RECENT = 12


class Theme(StrEnum):
    """Which colours windows have; `DESKTOP`: those of the desktop."""

    DESKTOP = ""
    LIGHT = "light"
    DARK = "dark"


class Preferences:
    """Those of all windows of this person; read anew each time, for another window may write."""

    def __init__(self) -> None:
        self._kept = QSettings()

    def language(self) -> str | None:
        return str(self._kept.value("language", "")) or None

    def keep_language(self, language: str | None) -> None:
        self._kept.setValue("language", language or "")

    def theme(self) -> Theme:
        kept = str(self._kept.value("theme", ""))
        return Theme(kept) if kept in list(Theme) else Theme.DESKTOP

    def keep_theme(self, theme: Theme) -> None:
        self._kept.setValue("theme", str(theme))

    def recent(self) -> list[Path]:
        """Return the datasets that were opened, the last one first."""
        kept = self._kept.value("recent", [])
        # A list of one comes back as text.
        names = [kept] if isinstance(kept, str) else kept if isinstance(kept, list) else []
        return [Path(str(name)) for name in names if name]

    def note_opened(self, root: Path) -> None:
        here = root.absolute()
        others = [path for path in self.recent() if path != here]
        self._kept.setValue("recent", [str(path) for path in (here, *others)][:MOST_RECENT])


TITLE_BAR_HEIGHT = 40


class WindowState:
    """The state of the windows of one dataset; size and splitters are shared by all datasets."""

    def __init__(self, root: Path) -> None:
        self._kept = QSettings()
        # What stands in a path could not be a key.
        path = str(root.absolute()).encode("utf-8", "backslashreplace")
        self._dataset = hashlib.sha256(path).hexdigest()[:16]

    def view(self) -> str:
        return str(self._kept.value(f"{self._dataset}/view", "sorting"))

    def learns(self) -> bool:
        """Return whether windows learn from what is sorted: of every dataset, and by default."""
        return bool(int(str(self._kept.value("learns", 1))))

    def keep_learns(self, on: bool) -> None:
        self._kept.setValue("learns", int(on))

    def first_word_of_learning(self) -> bool:
        """Return whether it was never said what learning needs; from here on it was."""
        first = self._kept.value("told_of_learning") is None
        self._kept.setValue("told_of_learning", 1)
        return first

    def restore(self, window: QMainWindow, split: QSplitter) -> None:
        """Put the window and its splitters where they were; at first, within the screen."""
        room = window.screen().availableGeometry().size() - QSize(0, TITLE_BAR_HEIGHT)
        window.resize(window.size().boundedTo(room))
        for name, put in (("window", window.restoreGeometry), ("split", split.restoreState)):
            if (state := self._kept.value(name)) is not None:
                put(state)

    def restore_grid(self, view: SortingView) -> None:
        view.view.set_side(int(str(self._kept.value("side", view.view.side))))
        view.place = str(self._kept.value(f"{self._dataset}/place", view.place))
        view.scrolled = int(str(self._kept.value(f"{self._dataset}/scrolled", 0)))

    def keep(
        self, window: QMainWindow, split: QSplitter, view: str, grid: SortingView | None
    ) -> None:
        """Remember all of that; `grid` is None where it was not shown."""
        self._kept.setValue("window", window.saveGeometry())
        self._kept.setValue("split", split.saveState())
        self._kept.setValue(f"{self._dataset}/view", view)
        if grid is not None:
            self._kept.setValue("side", grid.view.side)
            self._kept.setValue(f"{self._dataset}/place", grid.place)
            self._kept.setValue(f"{self._dataset}/scrolled", grid.view.verticalScrollBar().value())


class SettingsSheet(QDialog):
    """`wanted` (a dataset's folder) asks for another window in the place of this one.

    It may be the same dataset: in another language. Another dataset can be chosen where there is
    one already.
    """

    wanted = Signal(object)

    def __init__(self, parent: QWidget, root: Path) -> None:
        super().__init__(parent)
        self._root, self._kept = root, Preferences()
        self.setWindowTitle(self.tr("Settings"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.language, self.theme = QComboBox(), QComboBox()
        self.datasets = QComboBox()
        self.open_button = button(self.tr("Open"), lambda: self._open(self.datasets.currentData()))
        self.other = button(self.tr("Other…"), self._choose_dataset)
        self._fill()
        self._lay_out()
        self.theme.currentIndexChanged.connect(self._change_theme)
        self.datasets.currentIndexChanged.connect(self._may_open)
        self.finished.connect(self._change_language)

    def _fill(self) -> None:
        self.language.addItem(self.tr("System default"), None)
        for language, name in LANGUAGE_NAMES.items():
            self.language.addItem(name, language)
        self.language.setCurrentIndex(max(self.language.findData(self._kept.language()), 0))
        names = {
            Theme.DESKTOP: self.tr("System default"),
            Theme.LIGHT: self.tr("Light"),
            Theme.DARK: self.tr("Dark"),
        }
        for theme, name in names.items():
            self.theme.addItem(name, theme)
        self.theme.setCurrentIndex(list(names).index(self._kept.theme()))
        here = self._root.absolute()
        recent = [path for path in self._kept.recent() if path != here and is_dataset(path)]
        for path in (here, *recent):
            self.datasets.addItem(f"{path.name}  ·  {path.parent}", path)
        self._may_open()

    def _lay_out(self) -> None:
        form, column = QFormLayout(), QVBoxLayout(self)
        form.addRow(self.tr("Language"), self.language)
        form.addRow(self.tr("Colours"), self.theme)
        if is_dataset(self._root):
            buttons = (self.open_button, self.other)
            form.addRow(self.tr("Dataset"), beside(self.datasets, *buttons, grows=self.datasets))
        self.language.setAccessibleName(self.tr("Language"))
        self.theme.setAccessibleName(self.tr("Colours"))
        self.datasets.setAccessibleName(self.tr("Dataset"))
        note = QLabel(self.tr("The language changes when this dialog is closed."))
        answers = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        answers.rejected.connect(self.reject)
        column.addLayout(form)
        column.addWidget(note)
        column.addWidget(answers)
        self.setMinimumWidth(em(self, 34))

    def _change_theme(self) -> None:
        theme = Theme(self.theme.currentData())
        self._kept.keep_theme(theme)
        show_theme(theme.value)

    def _change_language(self) -> None:
        language = self.language.currentData()
        if language != self._kept.language():
            self._kept.keep_language(language)
            self.wanted.emit(self._root)

    def _may_open(self) -> None:
        self.open_button.setEnabled(self.datasets.currentIndex() > 0)

    def _choose_dataset(self) -> None:
        begin = str(self._root.absolute().parent)
        dialog = choosing(self, self.tr("Open a dataset"), begin)
        dialog.fileSelected.connect(lambda name: self._open(Path(name)))

    def _open(self, path: Path) -> None:
        self._kept.keep_language(self.language.currentData())
        self.wanted.emit(path)
        self.close()
