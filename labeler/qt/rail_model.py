"""The rows of the rail: classes in the person's order, then the places besides classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from gleanset.db.measures import SampleRegion
from labeler.qt.desk import Desk
from labeler.sorting.session import Progress

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class RailRow:
    """`target` is what `SortingSession.to` takes: a class, or a place such as `:later`."""

    target: str
    name: str
    key: str
    count: int
    is_class: bool = False
    wanted: int = 0


class RailModel(QAbstractListModel):
    """Follows the desk; order and keys change only when a person changes them."""

    def __init__(self, desk: Desk, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.desk = desk
        self._rows: list[RailRow] = []
        self._filter = ""
        self.portraits: dict[str, list[SampleRegion]] = {}
        desk.progressed.connect(self.take)

    def take(self, progress: Progress) -> None:
        """Show where the work stands."""
        rows = self._made(progress)
        if [row.target for row in rows] == [row.target for row in self._rows]:
            self._rows = rows
            self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))
        else:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()

    def _made(self, progress: Progress) -> list[RailRow]:
        counts = progress.counts
        number = {row.name: row.count for row in counts.classes}
        wanted = progress.target
        classes = [
            RailRow(name, name, key, number.get(name, 0), is_class=True, wanted=wanted)
            for name, key in progress.keys.items()
            if self._filter.casefold() in name.casefold()
        ]
        return [
            *classes,
            RailRow(":not a face", self.tr("Not a face"), "⌫", counts.rejected),
            RailRow(":other", self.tr("Other faces"), "O", counts.other),
            RailRow(":later", self.tr("Later"), "L", counts.later),
            RailRow(":queue", self.tr("Not sorted yet"), "Q", counts.waiting),
        ]

    def find(self, text: str) -> None:
        """Show only the classes whose names hold this text."""
        self._filter = text.strip()
        if self.desk.last is not None:
            self.take(self.desk.last)

    def show_portraits(self, found: dict[str, list[SampleRegion]]) -> None:
        """Faces for the rows of classes."""
        self.portraits = found
        if self._rows:
            self.dataChanged.emit(self.index(0), self.index(len(self._rows) - 1))

    def row(self, number: int) -> RailRow | None:
        """One row."""
        return self._rows[number] if 0 <= number < len(self._rows) else None

    def with_key(self, key: str) -> RailRow | None:
        """The class that has a key."""
        keys = self.desk.last.keys if self.desk.last else {}
        name = next((name for name, its in keys.items() if its == key), None)
        return None if name is None else RailRow(name, name, key, 0, is_class=True)

    def rowCount(self, parent: Index | None = None) -> int:
        """How many rows there are."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names for people and for screen readers."""
        row = self.row(index.row())
        if row is None:
            return None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return row.name
        if role == Qt.ItemDataRole.AccessibleTextRole:
            spoken = self.tr("{name}, {count} faces")
            if row.key:
                spoken = self.tr("{name}, key {key}, {count} faces")
            return spoken.format(name=row.name, key=row.key, count=row.count)
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.name
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Classes can be renamed."""
        row, flags = self.row(index.row()), super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if row and row.is_class else flags

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Rename a class."""
        row = self.row(index.row())
        name = str(value).strip()
        if row is None or not name or name == row.name:
            return False
        self.desk.decide(lambda session: session.rename_class(row.target, name))
        return True
