"""Settings of a user and state of the windows, and the dialog that changes them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import QSettings, QSize, Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QMainWindow,
    QSplitter,
    QWidget,
)

from labeler.qt.theme import SPACE_L, show_theme
from labeler.qt.translations import LANGUAGE_NAMES, tr
from labeler.qt.widgets import (
    KeyHints,
    LetterKeysChip,
    SwitchedLabel,
    column_layout,
    form_layout,
    plain_label,
)


def get_language() -> str | None:
    """Return the language that the user chose for all windows; None for the system's."""
    return str(QSettings().value("language", "")) or None


def get_theme() -> str:
    """Return the theme that the user chose: "light", "dark", or '' for the desktop's."""
    return str(QSettings().value("theme", ""))


TITLE_BAR_HEIGHT = 40


class WindowState:
    """State of the windows of one dataset; all datasets share the size and the splitters."""

    def __init__(self, root: Path):
        self._settings = QSettings()
        # A path may contain characters that a key may not.
        path = str(root.absolute()).encode("utf-8", "backslashreplace")
        self._dataset = hashlib.sha256(path).hexdigest()[:16]

    def view(self) -> str:
        return str(self._settings.value(f"{self._dataset}/view", "pages"))

    def restore(self, window: QMainWindow, split: QSplitter) -> None:
        """Restore the geometry of a window; the first time, fit it to the screen."""
        size = window.screen().availableGeometry().size() - QSize(0, TITLE_BAR_HEIGHT)
        window.resize(window.size().boundedTo(size))
        restores = {"window": window.restoreGeometry, "split": split.restoreState}
        for name, restore in restores.items():
            if (state := self._settings.value(name)) is not None:
                restore(state)

    def save(self, window: QMainWindow, split: QSplitter, view: str) -> None:
        self._settings.setValue("window", window.saveGeometry())
        self._settings.setValue("split", split.saveState())
        self._settings.setValue(f"{self._dataset}/view", view)


class SettingsDialog(QDialog):
    """Language, colours and key hints of all windows."""

    def __init__(self, parent: QWidget):
        super().__init__(parent)
        self._window = parent
        self.setWindowTitle(tr("Settings"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.language = QComboBox()
        self.theme = QComboBox()
        self.hints = self._make_box(tr("Key hints below the faces"), KeyHints)
        self.letters = self._make_box(
            tr("Class keys on class pages, too"), LetterKeysChip
        )
        self._fill(self.language, LANGUAGE_NAMES, get_language())
        self._fill(
            self.theme,
            {"light": tr("Light"), "dark": tr("Dark")},
            get_theme(),
        )

        form = form_layout(
            {
                tr("Language"): (self.language,),
                tr("Colours"): (self.theme,),
                tr("Keys"): (self.hints,),
                tr("Letters"): (self.letters,),
            }
        )

        note = plain_label(
            tr("Another language is shown when the window is opened again.")
        )
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        self.setLayout(column_layout(form, note, buttons, margins=(SPACE_L,) * 4))
        self.language.setFocus(Qt.FocusReason.TabFocusReason)
        self.theme.currentIndexChanged.connect(self._change_theme)
        self.language.currentIndexChanged.connect(
            lambda: QSettings().setValue("language", self.language.currentData())
        )

    def _fill(
        self, box: QComboBox, names: Mapping[str, str], current: str | None
    ) -> None:
        box.addItem(tr("System default"), "")
        for value, name in names.items():
            box.addItem(name, value)
        box.setCurrentIndex(max(box.findData(current), 0))

    def _make_box(self, text: str, kind: type[SwitchedLabel]) -> QCheckBox:
        """Return a box that shows or hides all widgets of a kind."""
        box = QCheckBox(text)
        box.setChecked(kind.is_switched_on())

        def store(enabled: bool) -> None:
            QSettings().setValue(kind.SETTING, int(enabled))
            for widget in self._window.findChildren(kind):
                widget.show_setting()

        box.toggled.connect(store)
        return box

    def _change_theme(self) -> None:
        QSettings().setValue("theme", self.theme.currentData())
        show_theme(get_theme())
