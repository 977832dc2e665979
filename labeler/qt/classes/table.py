"""The table of classes: how far each is, how often labels did not hold, what the split does."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from gleanset.db.sorting import ClassCount
from labeler.numbers import PARTS, Numbers
from labeler.qt.theme import focus_ring, trough
from labeler.splits.plan import SplitPlan

Index = QModelIndex | QPersistentModelIndex
NAME, COUNT, PROGRESS, RATE = range(4)
ACROSS = Qt.Orientation.Horizontal


class ClassTableModel(QAbstractTableModel):
    """A row for each class. A split that is only planned takes the place of the one in force."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[ClassCount, ...] = ()
        self.numbers = Numbers(0, {}, {})
        self.plan: SplitPlan | None = None

    def show(self, rows: tuple[ClassCount, ...], numbers: Numbers, plan: SplitPlan | None) -> None:
        """Show other numbers."""
        self.beginResetModel()
        self.rows, self.numbers, self.plan = rows, numbers, plan
        self.endResetModel()

    def rowCount(self, parent: Index | None = None) -> int:
        """Return how many classes there are."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index | None = None) -> int:
        """Name, count, progress, errors, and the parts of a split with how close they come."""
        return RATE + 1 + len(PARTS) + 1

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return what each column is; above numbers it stands at the right as they do."""
        if role == Qt.ItemDataRole.TextAlignmentRole and orientation == ACROSS:
            side = Qt.AlignmentFlag.AlignLeft
            if section not in (NAME, PROGRESS):
                side = Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return None
        if orientation != ACROSS:
            return self.rows[section].name
        names = (
            self.tr("Class"),
            self.tr("Labelled"),
            self.tr("Progress"),
            self.tr("Errors"),
            *PARTS,
            self.tr("Off by"),
        )
        return names[section]

    def share(self, row: int) -> float:
        """Return how much of the target a class has, 0..1; against the largest class
        without one.
        """
        most = self.numbers.target or max((one.count for one in self.rows), default=0)
        return min(1.0, self.rows[row].count / most) if most else 0.0

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return texts; numbers stand at the right."""
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() != NAME:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole and index.column() == RATE:
            return self.tr("Of what was looked at again without its name: C on a class page")
        text = self._text(index.row(), index.column())
        if role == Qt.ItemDataRole.AccessibleTextRole and index.column() != NAME:
            column = self.headerData(index.column(), ACROSS)
            return f"{self.rows[index.row()].name}, {column}: {text or '–'}"
        shown = (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole)
        return text if role in shown else None

    def _text(self, row: int, column: int) -> str:
        one, target = self.rows[row], self.numbers.target
        if column == NAME:
            return one.name
        if column == COUNT:
            return f"{one.count:,}"
        if column == PROGRESS:
            left = max(0, target - one.count)
            words = self.tr("{left} to go").format(left=f"{left:,}") if left else self.tr("done")
            return words if target else ""
        if column == RATE:
            rate = self.numbers.rates.get(one.name)
            return f"{rate.wrong} / {rate.looked_at}" if rate and rate.looked_at else ""
        return self._split_text(one.name, column - RATE - 1)

    def _split_text(self, name: str, place: int) -> str:
        table = self.plan.table if self.plan else self.numbers.kept
        if place < len(PARTS):
            row = table.get(name)
            return f"{row[PARTS[place]]:,}" if row else ""
        close = self.plan.closeness.get(name) if self.plan else None
        return f"{close.deviation:.1f}" if close else ""


class BarDelegate(QStyledItemDelegate):
    """Progress as a bar with its text on it."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return a height for a bar: this column decides how high all rows are."""
        return QSize(120, max(24, round(1.8 * option.fontMetrics.height())))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint a trough, a bar in the colour of selections, and the words beside what is full."""
        model = index.model()
        assert isinstance(model, ClassTableModel)
        rect: QRect = option.rect.adjusted(4, 5, -4, -5)
        palette = option.palette
        words = model.data(index)
        text = QRect(rect)
        text.setLeft(rect.right() - max(rect.width() // 3, 60))
        bar = QRect(rect)
        bar.setRight(text.left() - 6 if words else rect.right())
        painter.fillRect(bar, trough(palette))
        full = QRect(bar)
        full.setWidth(round(bar.width() * model.share(index.row())))
        painter.fillRect(full, palette.highlight())
        painter.setPen(palette.text().color())
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, words)


class ClassTable(QTreeView):
    """The model as a table: rows of a line, the progress as a bar.

    It is a tree without branches: a table view has a corner that screen readers find no name for.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.classes = ClassTableModel()
        self.setModel(self.classes)
        self._bar = BarDelegate(self)
        self.setItemDelegateForColumn(PROGRESS, self._bar)
        self.setSelectionBehavior(QTreeView.SelectionBehavior.SelectRows)
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
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(PROGRESS, QHeaderView.ResizeMode.Stretch)

    @property
    def chosen(self) -> int:
        """The row that is selected, -1 for none."""
        rows = self.selectionModel().selectedRows()
        return rows[0].row() if rows else -1

    def show_numbers(
        self, rows: tuple[ClassCount, ...], numbers: Numbers, plan: SplitPlan | None
    ) -> None:
        """Show other numbers; the class that is selected stays so."""
        chosen = self.classes.rows[self.chosen].name if self.chosen >= 0 else ""
        self.classes.show(rows, numbers, plan)
        place = next((n for n, row in enumerate(rows) if row.name == chosen), -1)
        if place >= 0:
            self.setCurrentIndex(self.classes.index(place, NAME))

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
