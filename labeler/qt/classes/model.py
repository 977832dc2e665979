"""The class list as an item model: classes in their order, then the other places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from gleanset.db.regions import SampleRegion
from labeler.qt.session_worker import SessionWorker
from labeler.qt.translations import counted
from labeler.qt.widgets import timer
from labeler.sorting.grid_query import DUPLICATES
from labeler.sorting.session import Place, SortingProgress

PORTRAIT_DELAY_MS = 700


Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class ClassListRow:
    """`target` is a class or a place such as `:later`, as `SortingSession.to` expects."""

    target: str
    name: str
    key: str
    count: int
    is_class: bool = False
    accepts_drops: bool = True
    """Whether samples can be sent there."""


class ClassListModel(QAbstractListModel):
    """Follows the worker; keys change only when a person changes them."""

    def __init__(self, worker: SessionWorker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.worker = worker
        self._rows: list[ClassListRow] = []
        self._filter = ""
        self.portraits: dict[str, list[SampleRegion]] = {}
        self._portrait_timer = timer(self, self._request_portraits, PORTRAIT_DELAY_MS)
        worker.progressed.connect(self.update_progress)

    def update_progress(self, progress: SortingProgress) -> None:
        rows = self._make_rows(progress)
        if not self.portraits:
            self._request_portraits()
        elif not self._portrait_timer.isActive():  # not after every key
            self._portrait_timer.start()
        if [row.target for row in rows] == [row.target for row in self._rows]:
            self._rows = rows
            self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))
        else:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()

    def _make_rows(self, progress: SortingProgress) -> list[ClassListRow]:
        counts = progress.counts
        count = {row.name: row.count for row in counts.classes}
        classes = [
            ClassListRow(name, name, key, count.get(name, 0), is_class=True)
            for name, key in progress.keys.items()
            if self._filter.casefold() in name.casefold()
        ]
        duplicates = ClassListRow(
            DUPLICATES, self.tr("Duplicates"), "", counts.duplicates, accepts_drops=False
        )
        return [
            *classes,
            ClassListRow(Place.REJECT.target, self.tr("Not a face"), "⌫", counts.rejected),
            ClassListRow(Place.OTHER.target, self.tr("Unlisted person"), "O", counts.other),
            ClassListRow(Place.LATER.target, self.tr("Skipped"), "L", counts.later),
            ClassListRow(Place.QUEUE.target, self.tr("Not sorted yet"), "Q", counts.pending),
            *([duplicates] if counts.duplicates else []),
        ]

    def filter_by(self, text: str) -> None:
        self._filter = text.strip()
        if self.worker.progress is not None:
            self.update_progress(self.worker.progress)

    def _request_portraits(self) -> None:
        if self.worker.progress is not None and (counts := self.worker.progress.counts.classes):
            self.worker.ask(lambda session: session.portraits(counts), self._set_portraits)

    def _set_portraits(self, portraits: dict[str, list[SampleRegion]]) -> None:
        self.portraits = portraits
        if self._rows:
            self.dataChanged.emit(self.index(0), self.index(len(self._rows) - 1))

    def row(self, number: int) -> ClassListRow | None:
        return self._rows[number] if 0 <= number < len(self._rows) else None

    def row_of(self, target: str) -> int:
        """Return the number of the row of a class or place; -1 for none."""
        return next((n for n, row in enumerate(self._rows) if row.target == target), -1)

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self.row(index.row())
        if row is None:
            return None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return row.name
        if role == Qt.ItemDataRole.AccessibleTextRole:
            spoken = self.tr("{name}, {count} faces")
            if row.key:
                spoken = self.tr("{name}, key {key}, {count} faces")
            return counted(spoken, row.count, name=row.name, key=row.key)
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.name
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        row, flags = self.row(index.row()), super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if row and row.is_class else flags

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        row = self.row(index.row())
        name = str(value).strip()
        if row is None or not name or name == row.name:
            return False
        self.worker.decide(lambda session: session.rename_class(row.target, name))
        return True
