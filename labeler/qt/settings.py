"""Settings of a user and state of the windows, and the dialog that changes them."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path

from PySide6.QtCore import QSettings, QSize, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QMainWindow,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from gleanset.dataset import is_dataset
from labeler.qt.theme import em, show_theme
from labeler.qt.translations import LANGUAGE_NAMES
from labeler.qt.views.grid import GridView
from labeler.qt.widgets import (
    HINTS_SETTING,
    KeyHints,
    button,
    choosing,
    column_layout,
    form_layout,
)

MAX_RECENT = 12


class Theme(StrEnum):
    """Colours of the windows; `DESKTOP` follows the desktop."""

    DESKTOP = ""
    LIGHT = "light"
    DARK = "dark"


class Preferences:
    """Settings of all windows of a user; read each time, as another window may write them."""

    def __init__(self) -> None:
        self._settings = QSettings()

    def language(self) -> str | None:
        return str(self._settings.value("language", "")) or None

    def set_language(self, language: str | None) -> None:
        self._settings.setValue("language", language or "")

    def theme(self) -> Theme:
        theme = str(self._settings.value("theme", ""))
        return Theme(theme) if theme in list(Theme) else Theme.DESKTOP

    def set_theme(self, theme: Theme) -> None:
        self._settings.setValue("theme", str(theme))

    def recent_datasets(self) -> list[Path]:
        """Return the datasets that were opened, the latest first."""
        paths = self._settings.value("recent", [], type=list)
        return [Path(str(path)) for path in paths if path]  # type: ignore[attr-defined]

    def add_recent(self, root: Path) -> None:
        root = root.absolute()
        others = [path for path in self.recent_datasets() if path != root]
        self._settings.setValue("recent", [str(path) for path in (root, *others)][:MAX_RECENT])


TITLE_BAR_HEIGHT = 40


class WindowState:
    """State of the windows of one dataset; all datasets share the size and the splitters."""

    def __init__(self, root: Path) -> None:
        self._settings = QSettings()
        # A path may contain characters that a key may not.
        path = str(root.absolute()).encode("utf-8", "backslashreplace")
        self._dataset = hashlib.sha256(path).hexdigest()[:16]

    def view(self) -> str:
        return str(self._settings.value(f"{self._dataset}/view", "pages"))

    def learns(self) -> bool:
        """Return whether suggestions are updated automatically, in every dataset."""
        return bool(self._settings.value("learns", True, type=bool))

    def set_learns(self, on: bool) -> None:
        self._settings.setValue("learns", int(on))

    def restore(self, window: QMainWindow, split: QSplitter) -> None:
        """Restore the geometry of a window; the first time, fit it to the screen."""
        size = window.screen().availableGeometry().size() - QSize(0, TITLE_BAR_HEIGHT)
        window.resize(window.size().boundedTo(size))
        restores = {"window": window.restoreGeometry, "split": split.restoreState}
        for name, restore in restores.items():
            if (state := self._settings.value(name)) is not None:
                restore(state)

    def restore_grid(self, view: GridView) -> None:
        value = self._settings.value
        view.view.set_side(int(str(value("side", view.view.side))))
        view.place = str(value(f"{self._dataset}/place", view.place))
        view.scrolled = int(str(value(f"{self._dataset}/scrolled", 0)))

    def save(self, window: QMainWindow, split: QSplitter, view: str, grid: GridView | None) -> None:
        """Save the state; `grid` is None if it was not shown."""
        self._settings.setValue("window", window.saveGeometry())
        self._settings.setValue("split", split.saveState())
        self._settings.setValue(f"{self._dataset}/view", view)
        if grid is not None:
            scrolled = grid.view.verticalScrollBar().value()
            self._settings.setValue("side", grid.view.side)
            self._settings.setValue(f"{self._dataset}/place", grid.place)
            self._settings.setValue(f"{self._dataset}/scrolled", scrolled)


class SettingsDialog(QDialog):
    """Language, colours and other datasets.

    `reopen_requested` (a dataset's folder) asks for a new window in place of this one, for another
    dataset or another language.
    """

    reopen_requested = Signal(object)

    def __init__(self, parent: QWidget, root: Path) -> None:
        super().__init__(parent)
        self._root, self._preferences = root, Preferences()
        self.setWindowTitle(self.tr("Settings"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.language, self.theme = QComboBox(), QComboBox()
        self.datasets, self.hints = QComboBox(), QCheckBox(self.tr("Key hints below the faces"))
        self.open_button = button(self.tr("Open"), lambda: self._open(self.datasets.currentData()))
        self.other = button(self.tr("Other…"), self._choose_dataset)
        self._fill()
        self._lay_out()
        self.hints.setChecked(KeyHints.enabled())
        self.hints.toggled.connect(lambda on: QSettings().setValue(HINTS_SETTING, int(on)))
        self.theme.currentIndexChanged.connect(self._change_theme)
        self.datasets.currentIndexChanged.connect(self._enable_open)
        self.finished.connect(self._change_language)

    def _fill(self) -> None:
        self.language.addItem(self.tr("System default"), None)
        for language, name in LANGUAGE_NAMES.items():
            self.language.addItem(name, language)
        index = self.language.findData(self._preferences.language())
        self.language.setCurrentIndex(max(index, 0))
        names = {
            Theme.DESKTOP: self.tr("System default"),
            Theme.LIGHT: self.tr("Light"),
            Theme.DARK: self.tr("Dark"),
        }
        for theme, name in names.items():
            self.theme.addItem(name, theme)
        self.theme.setCurrentIndex(list(names).index(self._preferences.theme()))
        root = self._root.absolute()
        recent = self._preferences.recent_datasets()
        for path in (root, *(path for path in recent if path != root and is_dataset(path))):
            self.datasets.addItem(f"{path.name}  ·  {path.parent}", path)
        self._enable_open()

    def _lay_out(self) -> None:
        form = form_layout(
            {
                self.tr("Language"): (self.language,),
                self.tr("Colours"): (self.theme,),
                self.tr("Keys"): (self.hints,),
                self.tr("Dataset"): (self.datasets, self.open_button, self.other),
            }
        )
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        QVBoxLayout(self).addLayout(column_layout(form, buttons))
        self.setMinimumWidth(em(self, 34))

    def _change_theme(self) -> None:
        theme = Theme(self.theme.currentData())
        self._preferences.set_theme(theme)
        show_theme(theme.value)

    def _change_language(self) -> None:
        language = self.language.currentData()
        if language != self._preferences.language():
            self._preferences.set_language(language)
            self.reopen_requested.emit(self._root)

    def _enable_open(self) -> None:
        self.open_button.setEnabled(self.datasets.currentIndex() > 0)

    def _choose_dataset(self) -> None:
        folder = str(self._root.absolute().parent)
        dialog = choosing(self, self.tr("Open a dataset"), folder)
        dialog.fileSelected.connect(lambda name: self._open(Path(name)))

    def _open(self, path: Path) -> None:
        self._preferences.set_language(self.language.currentData())
        self.reopen_requested.emit(path)
        self.close()
