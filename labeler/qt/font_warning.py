"""Says, once, that letters will be shown as boxes, and what mends it."""

from __future__ import annotations

from PySide6.QtCore import QObject

from labeler.qt.desk import Desk
from labeler.qt.translations import lacks_letters
from labeler.sorting.session import Progress


class FontWarning(QObject):
    """Watches the names of classes of a desk."""

    def __init__(self, desk: Desk, language: str, parent: QObject) -> None:
        super().__init__(parent)
        self._desk, self._language = desk, language
        desk.progressed.connect(self._look)

    def _look(self, progress: Progress) -> None:
        names = [row.name for row in progress.counts.classes]
        if lacks_letters(self._language, names):
            self._desk.progressed.disconnect(self._look)
            self._desk.say(
                self.tr(
                    "No font on this computer has Japanese or Chinese letters: install one, "
                    "such as fonts-noto-cjk"
                ),
                bad=True,
            )
