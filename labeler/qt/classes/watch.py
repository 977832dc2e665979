"""Tells when there are other classes than before, whoever made, renamed or deleted one."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from labeler.qt.session_worker import SessionWorker
from labeler.sorting.session import SortingProgress


class ClassWatch(QObject):
    """Knows the `names` of the classes; `changed` (those that are gone), once pages are renamed."""

    changed = Signal(object)

    def __init__(self, worker: SessionWorker, parent: QObject) -> None:
        super().__init__(parent)
        self.names: set[str] = set()
        worker.progressed.connect(self._take)

    def _take(self, progress: SortingProgress) -> None:
        before, self.names = self.names, set(progress.keys)
        if before != self.names:
            QTimer.singleShot(0, self, lambda: self.changed.emit(before - self.names))
