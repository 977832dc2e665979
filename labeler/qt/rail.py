"""The rail at the left: classes as rows with key, portraits, name and count, to drop on."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QKeyEvent,
    QPalette,
)
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from labeler.qt.desk import Desk
from labeler.qt.drag_out import TileMime
from labeler.qt.rail_delegate import RailDelegate, RailView
from labeler.qt.rail_menu import RailMenu
from labeler.qt.rail_model import RailModel
from labeler.qt.thumbs import ThumbLoader

Index = QModelIndex | QPersistentModelIndex
Role = QPalette.ColorRole
EDGE = 20


class RailList(RailView):
    """The rows. `dropped` (samples, files, target) is what was dropped on one."""

    tiles_dropped = Signal(list, str)
    files_dropped = Signal(list, str)

    def __init__(self, model: RailModel, thumbs: ThumbLoader) -> None:
        super().__init__()
        self.setModel(model)
        self.setItemDelegate(RailDelegate(model, thumbs, self))
        self.setUniformItemSizes(True)
        self.setAcceptDrops(True)
        self.setEditTriggers(QListView.EditTrigger.EditKeyPressed)
        self.setAccessibleName(self.tr("Classes"))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._rail = model
        thumbs.ready.connect(lambda key: self.viewport().update())

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """What can be done with a class: also by the menu key."""
        index = self.currentIndex()
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            index = self.indexAt(event.pos())
        row = self._rail.row(index.row())
        if row is not None and row.is_class:
            place = self.viewport().mapToGlobal(self.visualRect(index).center())
            RailMenu(self, self._rail.desk, row, lambda: self.edit(index)).show_at(place)

    def event(self, event: QEvent) -> bool:
        """F2 renames here, where elsewhere it shows the grid."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            row = self._rail.row(self.currentIndex().row())
            if event.key() == Qt.Key.Key_F2 and row is not None and row.is_class:
                event.accept()
                return True
        return super().event(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take our tiles, and files from anywhere."""
        if isinstance(event.mimeData(), TileMime) or event.mimeData().hasUrls():
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """The row below is lit and says what a drop would do."""
        number = self.indexAt(event.position().toPoint()).row()
        row = self._rail.row(number)
        self._scroll_at_edge(event.position().toPoint().y())
        self.drop_row = number
        self.viewport().update()
        if row is None:
            event.ignore()
            return
        mime = event.mimeData()
        count = len(mime.ids) if isinstance(mime, TileMime) else None
        self.drop_text = (
            self.tr("Drop {count} → {name}").format(count=f"{count:,}", name=row.name)
            if count is not None
            else self.tr("Drop files → {name}").format(name=row.name)
        )
        event.setDropAction(Qt.DropAction.CopyAction)
        event.accept()

    def _scroll_at_edge(self, y: int) -> None:
        bar, height = self.verticalScrollBar(), self.viewport().height()
        if y < EDGE or y > height - EDGE:
            bar.setValue(bar.value() + (-bar.singleStep() if y < EDGE else bar.singleStep()))

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Nothing is lit any more."""
        self.drop_row, self.drop_text = -1, ""
        self.viewport().update()

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand on what was dropped."""
        row = self._rail.row(self.indexAt(event.position().toPoint()).row())
        self.drop_row, self.drop_text = -1, ""
        self.viewport().update()
        if row is None:
            event.ignore()
            return
        event.setDropAction(Qt.DropAction.CopyAction)
        event.accept()
        mime = event.mimeData()
        if isinstance(mime, TileMime):
            self.tiles_dropped.emit(list(mime.ids), row.target)
        else:
            paths = [url.toLocalFile() for url in mime.urls() if url.isLocalFile()]
            self.files_dropped.emit(paths, row.target)


class Rail(QWidget):
    """The list with a field that finds a class by name, or makes one."""

    chosen = Signal(str)
    named = Signal(str)

    def __init__(self, desk: Desk, thumbs: ThumbLoader) -> None:
        super().__init__()
        self.model = RailModel(desk, self)
        self.list = RailList(self.model, thumbs)
        self.field = QLineEdit()
        self.field.setPlaceholderText(self.tr("Find or name a class (/)"))
        self.field.setAccessibleName(self.tr("Find a class, or name a new one"))
        self.field.setClearButtonEnabled(True)
        self.add = QPushButton(self.tr("+ New class (N)"))
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 0, 6)
        for part in (self.field, self.list, self.add):
            column.addWidget(part)
        self.field.textChanged.connect(self.model.find)
        self.field.returnPressed.connect(self._name)
        self.add.clicked.connect(self._add)
        self.list.activated.connect(self._choose)
        self.list.clicked.connect(self._choose)

    def _choose(self, index: QModelIndex) -> None:
        row = self.model.row(index.row())
        if row is not None:
            self.chosen.emit(row.target)

    def _add(self) -> None:
        """Make exactly the class that stands in the field; ask for a name where none does."""
        text = self.field.text().strip()
        self.field.clear()
        if text:
            self.named.emit(text)
        else:
            self.field.setFocus()

    def _name(self) -> None:
        """Enter takes the one class that is left, or makes one of this name."""
        text = self.field.text().strip()
        found = [
            row for n in range(self.model.rowCount()) if (row := self.model.row(n)) and row.is_class
        ]
        exact = next((row.target for row in found if row.name.casefold() == text.casefold()), None)
        name = exact or (found[0].target if len(found) == 1 else text)
        self.field.clear()
        if name:
            self.named.emit(name)
