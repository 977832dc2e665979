"""The table of classes: how far each is, how often labels did not hold, what the split does."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from gleanset.db.sorting import ClassCount
from labeler.numbers import PARTS, Numbers
from labeler.qt.theme import focus_ring, trough
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


class ClassTable(QTreeWidget):
    """A row for each class. A split that is only planned takes the place of the one in force.

    It is a tree without branches: a table view has a corner that screen readers find no name for.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        names = (self.tr("Class"), self.tr("Labelled"), self.tr("Progress"), self.tr("Errors"))
        self._names = (*names, *PARTS, self.tr("Off by"))
        self.setHeaderLabels(self._names)
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
        for column in range(len(self._names)):  # above numbers it stands at the right as they do
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
            item = QTreeWidgetItem(self, self._texts(row, numbers, plan))
            item.setData(PROGRESS, SHARE, min(1.0, row.count / most) if most else 0.0)
            item.setToolTip(
                RATE, self.tr("Of what was looked at again without its name: C on a class page")
            )
            for column in range(COUNT, len(self._names)):
                item.setTextAlignment(column, AT_RIGHT)
                words = f"{row.name}, {self._names[column]}: {item.text(column) or '–'}"
                item.setData(column, Role.AccessibleTextRole, words)
            if row.name == chosen:
                self.setCurrentItem(item)

    def _texts(self, row: ClassCount, numbers: Numbers, plan: SplitPlan | None) -> list[str]:
        left = max(0, numbers.target - row.count)
        words = self.tr("{left} to go").format(left=f"{left:,}") if left else self.tr("done")
        rate = numbers.rates.get(row.name)
        parts = (plan.table if plan else numbers.kept).get(row.name)
        close = plan.closeness.get(row.name) if plan else None
        return [
            row.name,
            f"{row.count:,}",
            words if numbers.target else "",
            f"{rate.wrong} / {rate.looked_at}" if rate and rate.looked_at else "",
            *(f"{parts[part]:,}" if parts else "" for part in PARTS),
            f"{close.deviation:.1f}" if close else "",
        ]

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
