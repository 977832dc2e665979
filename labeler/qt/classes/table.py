"""The table of classes: how many samples each has, and what the split does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
)

from gleanset.db.sorting import ClassCount
from gleanset.records import SPLITS
from labeler.numbers import Numbers
from labeler.qt.theme import focus_ring, trough
from labeler.qt.translations import tr
from labeler.splits.plan import SplitPlan

Index = QModelIndex | QPersistentModelIndex
Role = Qt.ItemDataRole
NAME, COUNT, BAR = range(3)
AT_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
SHARE = Role.UserRole
"""How large a class is against the largest one, 0..1."""


class BarDelegate(QStyledItemDelegate):
    """Draws the size of a class as a bar."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return a height for a bar: this column decides how high all rows are."""
        return QSize(120, max(24, round(1.8 * option.fontMetrics.height())))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint a trough, and on it a bar in the colour of selections."""
        bar: QRect = option.rect.adjusted(4, 5, -4, -5)
        painter.fillRect(bar, trough(option.palette))
        bar.setWidth(round(bar.width() * index.data(SHARE)))
        painter.fillRect(bar, option.palette.highlight())


class ClassNumbers(NamedTuple):
    """What is known of one class; a split that is only planned takes the place of that in force."""

    row: ClassCount
    numbers: Numbers
    plan: SplitPlan | None

    def within(self, part: str) -> str:
        """Return how many are in a part of the split."""
        parts = (self.plan.table if self.plan else self.numbers.kept).get(self.row.name)
        return f"{parts[part]:,}" if parts else ""

    def off_by(self) -> str:
        """Return how far the planned split is from what was asked for."""
        close = self.plan.closeness.get(self.row.name) if self.plan else None
        return f"{close.deviation:.1f}" if close else ""


class ClassColumn(NamedTuple):
    """A column: its title, and its text for one class."""

    title: str
    text: Callable[[ClassNumbers], str]


def columns() -> tuple[ClassColumn, ...]:
    """Return all columns, in the language that is shown; the first ones as `NAME` to `BAR` say."""
    return (
        ClassColumn(tr("Class"), lambda of: of.row.name),
        ClassColumn(tr("Labelled"), lambda of: f"{of.row.count:,}"),
        ClassColumn(tr("Size"), lambda of: ""),
        *(ClassColumn(part, partial(ClassNumbers.within, part=part)) for part in SPLITS),
        ClassColumn(tr("Off by"), ClassNumbers.off_by),
    )


class ClassTable(QTreeWidget):
    """A row for each class, with all `columns`.

    It is a tree without branches: a table view has a corner that screen readers find no name for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._columns = columns()
        self.setHeaderLabels([column.title for column in self._columns])
        self._bar = BarDelegate(self)
        self.setItemDelegateForColumn(BAR, self._bar)
        self.setAccessibleName(self.tr("Classes"))
        self.setTabKeyNavigation(False)
        self.setAlternatingRowColors(True)
        self.setRootIsDecorated(False)
        self.setItemsExpandable(False)
        self.setUniformRowHeights(True)
        header = self.header()
        header.setSectionsMovable(False)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for column in (NAME, BAR):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        for column in range(len(self._columns)):  # above numbers it stands at the right as they do
            if column not in (NAME, BAR):
                self.headerItem().setTextAlignment(column, AT_RIGHT)

    @property
    def chosen(self) -> str:
        """The class whose row is selected, empty for none."""
        items = self.selectedItems()
        return items[0].text(NAME) if items else ""

    def show_numbers(
        self, rows: tuple[ClassCount, ...], numbers: Numbers, plan: SplitPlan | None
    ) -> None:
        """Show other numbers; the class that is selected stays so."""
        chosen = self.chosen
        most = max((row.count for row in rows), default=0)
        self.clear()
        for row in rows:
            known = ClassNumbers(row, numbers, plan)
            item = QTreeWidgetItem(self, [column.text(known) for column in self._columns])
            item.setData(BAR, SHARE, row.count / most if most else 0.0)
            for number, column in enumerate(self._columns[COUNT:], COUNT):
                item.setTextAlignment(number, AT_RIGHT)
                words = f"{row.name}, {column.title}: {item.text(number) or '–'}"
                item.setData(number, Role.AccessibleTextRole, words)
            if row.name == chosen:
                self.setCurrentItem(item)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the rows, and the frame of the focus."""
        super().paintEvent(event)
        port = self.viewport()
        focus_ring(QPainter(port), port.rect(), self.palette(), focused=self.hasFocus())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave letters and digits to the window: there is nothing here to be found by them."""
        if event.text().isalnum():
            event.ignore()
        else:
            super().keyPressEvent(event)
