"""The table of classes: how far each is, how often labels did not hold, what the split does."""

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
NAME, COUNT, PROGRESS, RATE = range(4)
AT_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
SHARE = Role.UserRole
"""How much of its target a class has, 0..1; against the largest class without one."""


class BarDelegate(QStyledItemDelegate):
    """Progress as a bar with its text on it."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return a height for a bar: this column decides how high all rows are."""
        return QSize(120, max(24, round(1.8 * option.fontMetrics.height())))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint a trough, a bar in the colour of selections, and the words beside what is full."""
        rect: QRect = option.rect.adjusted(4, 5, -4, -5)
        palette, words = option.palette, index.data()
        text, bar = QRect(rect), QRect(rect)
        text.setLeft(rect.right() - max(rect.width() // 3, 60))
        bar.setRight(text.left() - 6 if words else rect.right())
        painter.fillRect(bar, trough(palette))
        bar.setWidth(round(bar.width() * index.data(SHARE)))
        painter.fillRect(bar, palette.highlight())
        painter.setPen(palette.text().color())
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, words)


class ClassNumbers(NamedTuple):
    """What is known of one class; a split that is only planned takes the place of that in force."""

    row: ClassCount
    numbers: Numbers
    plan: SplitPlan | None

    def progress(self) -> str:
        """Return how many are still to be labelled."""
        left = max(0, self.numbers.target - self.row.count)
        words = tr("{left} to go").format(left=f"{left:,}") if left else tr("done")
        return words if self.numbers.target else ""

    def errors(self) -> str:
        """Return how many labels did not hold at a second look."""
        rate = self.numbers.rates.get(self.row.name)
        return f"{rate.wrong} / {rate.looked_at}" if rate and rate.looked_at else ""

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
    """Return all columns, in the language that is shown; the first ones as `NAME` to `RATE` say."""
    return (
        ClassColumn(tr("Class"), lambda of: of.row.name),
        ClassColumn(tr("Labelled"), lambda of: f"{of.row.count:,}"),
        ClassColumn(tr("Progress"), ClassNumbers.progress),
        ClassColumn(tr("Errors"), ClassNumbers.errors),
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
        self.setItemDelegateForColumn(PROGRESS, self._bar)
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
        for column in (NAME, PROGRESS):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        for column in range(len(self._columns)):  # above numbers it stands at the right as they do
            if column not in (NAME, PROGRESS):
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
        most = numbers.target or max((row.count for row in rows), default=0)
        self.clear()
        for row in rows:
            known = ClassNumbers(row, numbers, plan)
            item = QTreeWidgetItem(self, [column.text(known) for column in self._columns])
            item.setData(PROGRESS, SHARE, min(1.0, row.count / most) if most else 0.0)
            item.setToolTip(
                RATE, self.tr("Of what was looked at again without its name: C on a class page")
            )
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
