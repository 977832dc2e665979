"""Settings: language, colours, the dataset, where exports go, learning. Each acts at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gleanset.dataset import is_dataset
from labeler.qt.learning import Learning
from labeler.qt.preferences import Preferences, Theme
from labeler.qt.theme import em, show_theme
from labeler.qt.translations import LANGUAGE_NAMES


class SettingsSheet(QDialog):
    """`wanted` (a dataset's folder) asks for another window in the place of this one.

    It may be the same dataset: in another language. `learning` is None where there is no dataset
    yet.
    """

    wanted = Signal(object)

    def __init__(self, parent: QWidget, root: Path, learning: Learning | None = None) -> None:
        super().__init__(parent)
        self._root, self._learning, self._kept = root, learning, Preferences()
        self.setWindowTitle(self.tr("Settings"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.language, self.theme = QComboBox(), QComboBox()
        self.learns = QCheckBox(self.tr("Learn from what is sorted, by itself"))
        self.exports, self.datasets = QLineEdit(), QComboBox()
        self.open_button = QPushButton(self.tr("Open"))
        self.other = QPushButton(self.tr("Another one …"))
        self.browse = QPushButton(self.tr("Choose …"))
        self._fill()
        self._lay_out()
        self.theme.currentIndexChanged.connect(self._change_theme)
        self.learns.toggled.connect(self._change_learning)
        self.exports.editingFinished.connect(self._change_exports)
        self.browse.clicked.connect(self._browse)
        self.other.clicked.connect(self._choose_dataset)
        self.open_button.clicked.connect(self._open_chosen)
        self.datasets.currentIndexChanged.connect(self._may_open)
        self.finished.connect(self._change_exports)
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
        self.learns.setChecked(self._learning is not None and self._learning.wanted)
        self.exports.setText(str(self._kept.exports(self._root)))
        here = self._root.absolute()
        recent = [path for path in self._kept.recent() if path != here and is_dataset(path)]
        for path in (here, *recent):
            self.datasets.addItem(f"{path.name}  ·  {path.parent}", path)
        self._may_open()

    def _lay_out(self) -> None:
        form, column = QFormLayout(), QVBoxLayout(self)
        rows: list[tuple[str, QWidget]] = [
            (self.tr("Language"), self.language),
            (self.tr("Colours"), self.theme),
        ]
        for name, part in rows:
            form.addRow(name, part)
        if self._learning is not None:
            form.addRow(
                self.tr("Dataset"), _side_by_side(self.datasets, self.open_button, self.other)
            )
            form.addRow(self.tr("Exports go to"), _side_by_side(self.exports, self.browse))
            form.addRow("", self.learns)
        for part, name in (
            (self.language, self.tr("Language")),
            (self.theme, self.tr("Colours")),
            (self.datasets, self.tr("Dataset")),
            (self.exports, self.tr("Exports go to")),
        ):
            part.setAccessibleName(name)
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

    def _change_learning(self, on: bool) -> None:
        if self._learning is not None:
            self._learning.want(on)

    def _change_exports(self) -> None:
        text = self.exports.text().strip()
        folder = Path(text).expanduser().absolute() if text else None
        self._kept.keep_exports(self._root, folder)
        self.exports.setText(str(self._kept.exports(self._root)))

    def _browse(self) -> None:
        dialog = QFileDialog(self, self.tr("Exports go to"), self.exports.text())
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.exports.setText)
        dialog.fileSelected.connect(lambda name: self._change_exports())
        dialog.open()

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
        dialog = QFileDialog(self, self.tr("Open a dataset"), str(self._root.absolute().parent))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda name: self._open(Path(name)))
        dialog.open()

    def _open(self, path: Path) -> None:
        self._kept.keep_language(self.language.currentData())
        self.wanted.emit(path)
        self.close()


class SettingsButton(QToolButton):
    """Shows the settings."""

    def __init__(self, show: Callable[[], object]) -> None:
        super().__init__()
        self.setText(self.tr("Settings"))
        self.setToolTip(self.tr("Language, colours, dataset, exports (Ctrl+,)"))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.clicked.connect(show)


def _side_by_side(field: QWidget, *buttons: QWidget) -> QWidget:
    both = QWidget()
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(field, 1)
    for button in buttons:
        row.addWidget(button)
    return both
