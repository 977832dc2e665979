"""What a person prefers, kept from one time to the next: language, colours, datasets, exports."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path

from PySide6.QtCore import QSettings

MOST_RECENT = 12


class Theme(StrEnum):
    """Which colours windows have; `DESKTOP`: those of the desktop."""

    DESKTOP = ""
    LIGHT = "light"
    DARK = "dark"


def dataset_key(root: Path) -> str:
    """Return the key of a dataset's own settings: what stands in a path could not be one."""
    path = str(root.absolute()).encode("utf-8", "backslashreplace")
    return hashlib.sha256(path).hexdigest()[:16]


class Preferences:
    """Those of all windows of this person; read anew each time, for another window may write."""

    def __init__(self) -> None:
        self._kept = QSettings()

    def language(self) -> str | None:
        """Return the language that was chosen; None for that of the desktop."""
        return str(self._kept.value("language", "")) or None

    def keep_language(self, language: str | None) -> None:
        """Remember a language; None for that of the desktop."""
        self._kept.setValue("language", language or "")

    def theme(self) -> Theme:
        """Return which colours were chosen."""
        kept = str(self._kept.value("theme", ""))
        return Theme(kept) if kept in list(Theme) else Theme.DESKTOP

    def keep_theme(self, theme: Theme) -> None:
        """Remember which colours were chosen."""
        self._kept.setValue("theme", str(theme))

    def recent(self) -> list[Path]:
        """Return the datasets that were opened, the last one first."""
        kept = self._kept.value("recent", [])
        # A list of one comes back as text.
        names = [kept] if isinstance(kept, str) else kept if isinstance(kept, list) else []
        return [Path(str(name)) for name in names if name]

    def note_opened(self, root: Path) -> None:
        """Remember that a dataset was opened."""
        here = root.absolute()
        others = [path for path in self.recent() if path != here]
        self._kept.setValue("recent", [str(path) for path in (here, *others)][:MOST_RECENT])

    def exports(self, root: Path) -> Path:
        """Return the folder in which exports of a dataset are written."""
        kept = str(self._kept.value(f"{dataset_key(root)}/exports", ""))
        return Path(kept) if kept else root.absolute() / "exports"

    def keep_exports(self, root: Path, folder: Path | None) -> None:
        """Remember that folder; None for the dataset's own."""
        self._kept.setValue(f"{dataset_key(root)}/exports", str(folder) if folder else "")
