"""Settings: language, colours, the dataset. Each acts at once."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gleanset.dataset import is_dataset
from labeler.qt.preferences import Preferences, Theme
from labeler.qt.theme import em, show_theme
from labeler.qt.translations import LANGUAGE_NAMES
from labeler.qt.widgets import beside, choosing


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
        self.open_button = QPushButton(self.tr("Open"))
        self.other = QPushButton(self.tr("Another one …"))
        self._fill()
        self._lay_out()
        self.theme.currentIndexChanged.connect(self._change_theme)
        self.other.clicked.connect(self._choose_dataset)
        self.open_button.clicked.connect(self._open_chosen)
        self.datasets.currentIndexChanged.connect(self._may_open)
        self.finished.connect(self._change_language)

    def _fill(self) -> None:
        self.language.addItem(self.tr("That of the desktop"), None)
        for language, name in LANGUAGE_NAMES.items():
            self.language.addItem(name, language)
        self.language.setCurrentIndex(max(self.language.findData(self._kept.language()), 0))
        names = {
            Theme.DESKTOP: self.tr("Those of the desktop"),
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
        note = QLabel(self.tr("Another language is shown as soon as this is closed."))
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

    def _open_chosen(self) -> None:
        self._open(self.datasets.currentData())

    def _choose_dataset(self) -> None:
        begin = str(self._root.absolute().parent)
        dialog = choosing(self, self.tr("Open a dataset"), begin)
        dialog.fileSelected.connect(lambda name: self._open(Path(name)))

    def _open(self, path: Path) -> None:
        self._kept.keep_language(self.language.currentData())
        self.wanted.emit(path)
        self.close()
