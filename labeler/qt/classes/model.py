"""The rows of the class list: classes in the person's order, then the places besides classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from gleanset.db.regions import SampleRegion
from labeler.qt.session_worker import SessionWorker
from labeler.qt.translations import counted
from labeler.qt.widgets import timer
from labeler.sorting.grid_rows import SET_ASIDE
from labeler.sorting.session import Place, SortingProgress

REST_MS = 700


Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class ClassListRow:
    """`target` is what `SortingSession.to` takes: a class, or a place such as `:later`."""

    target: str
    name: str
    key: str
    count: int
    is_class: bool = False
    takes: bool = True
    """Whether faces can be sent there."""


class ClassOrder(StrEnum):
    """How classes are sorted: as the person put them, by name, by number, by last use."""

    OWN = "own"
    NAME = "name"
    NUMBER = "number"
    RECENT = "recent"


class ClassListModel(QAbstractListModel):
    """Follows the worker; keys change only when a person changes them.

    Where classes are sorted by number or last use, rows move only while nobody `holds` them: no
    row moves away under the mouse.
    """

    def __init__(self, worker: SessionWorker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.worker = worker
        self._rows: list[ClassListRow] = []
        self._filter = ""
        self.portraits: dict[str, list[SampleRegion]] = {}
        self.order = ClassOrder.OWN
        self.holds: Callable[[], bool] = lambda: False
        self._places: dict[str, int] = {}
        self._used: dict[str, int] = {}
        self._rest = timer(self, self._ask_portraits, REST_MS)
        worker.progressed.connect(self.take)
        worker.stepped.connect(self.note_use)

    def take(self, progress: SortingProgress) -> None:
        rows = self._made(progress)
        if not self.portraits:
            self._ask_portraits()
        elif not self._rest.isActive():  # a little after counts have changed, not after every key
            self._rest.start()
        if [row.target for row in rows] == [row.target for row in self._rows]:
            self._rows = rows
            self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))
        else:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()

    def _made(self, progress: SortingProgress) -> list[ClassListRow]:
        counts = progress.counts
        number = {row.name: row.count for row in counts.classes}
        self._sort(list(progress.keys), number)
        classes = [
            ClassListRow(name, name, key, number.get(name, 0), is_class=True)
            for name, key in sorted(
                progress.keys.items(), key=lambda item: self._places.get(item[0], 0)
            )
            if self._filter.casefold() in name.casefold()
        ]
        aside = ClassListRow(SET_ASIDE, self.tr("Duplicates"), "", counts.aside, takes=False)
        return [
            *classes,
            ClassListRow(Place.REJECT.target, self.tr("Not a face"), "⌫", counts.rejected),
            ClassListRow(Place.OTHER.target, self.tr("Unlisted person"), "O", counts.other),
            ClassListRow(Place.LATER.target, self.tr("Skipped"), "L", counts.later),
            ClassListRow(Place.QUEUE.target, self.tr("Not sorted yet"), "Q", counts.waiting),
            *([aside] if counts.aside else []),
        ]

    def _sort(self, names: list[str], number: dict[str, int]) -> None:
        """Give each class its place; a new one comes last while somebody holds the rows."""
        if self.holds() and self._places:
            held = [name for name in self._places if name in names]
            names = held + [name for name in names if name not in self._places]
        elif self.order is ClassOrder.NAME:
            names.sort(key=str.casefold)
        elif self.order is ClassOrder.NUMBER:
            names.sort(key=lambda name: -number.get(name, 0))
        elif self.order is ClassOrder.RECENT:
            names.sort(key=lambda name: -self._used.get(name, 0))
        self._places = {name: place for place, name in enumerate(names)}

    def sort_by(self, order: ClassOrder) -> None:
        self.order, self._places = order, {}
        self.note_use()
        self._renew()

    def _renew(self) -> None:
        if self.worker.progress is not None:
            self.take(self.worker.progress)

    def note_use(self) -> None:
        """Ask which classes were used last, where that sorts them."""
        if self.order is ClassOrder.RECENT:
            self.worker.ask(lambda session: session.last_used(), self._take_used)

    def _take_used(self, used: dict[str, int]) -> None:
        self._used = used
        self._renew()

    def find(self, text: str) -> None:
        self._filter = text.strip()
        self._renew()

    def _ask_portraits(self) -> None:
        if self.worker.progress is not None and (counts := self.worker.progress.counts.classes):
            self.worker.ask(lambda session: session.portraits(counts), self._show_portraits)

    def _show_portraits(self, portraits: dict[str, list[SampleRegion]]) -> None:
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
