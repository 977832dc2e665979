"""The class list at the left, which takes drops, with its field, its button and its menu."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QPoint, Qt, Signal
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
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from labeler.qt.classes.delegate import ClassListBase, ClassListDelegate
from labeler.qt.classes.model import ClassListModel, ClassListRow
from labeler.qt.grid.drag import TileMimeData
from labeler.qt.grid.thumbnails import ThumbnailLoader
from labeler.qt.session_worker import SessionWorker
from labeler.sorting.keys import KEYS
from labeler.sorting.session import SortingSession


class ClassMenu(QMenu):
    """The menu of one class. `rename` begins to edit its name in place."""

    def __init__(
        self, parent: QWidget, worker: SessionWorker, row: ClassListRow, rename: Callable[[], None]
    ) -> None:
        super().__init__(parent)
        self._worker, self._name = worker, row.target
        self._keys = dict(worker.last.keys) if worker.last else {}
        self.addAction(self.tr("Rename (F2)"), rename)
        self._key_menu()
        self._merge_menu()
        self.addAction(self.tr("Move up"), lambda: self._move(-1))
        self.addAction(self.tr("Move down"), lambda: self._move(1))

    def show_at(self, point: QPoint) -> None:
        """Show it; nothing waits for an answer."""
        self.aboutToHide.connect(self.deleteLater)
        self.popup(point)

    def _key_menu(self) -> None:
        menu = self.addMenu(self.tr("Key"))
        owners = {key: name for name, key in self._keys.items()}
        for key in KEYS:
            owner = owners.get(key, "")
            action = menu.addAction(f"{key.upper()}   {owner}".rstrip())
            action.triggered.connect(lambda checked=False, key=key: self._set_key(key))

    def _merge_menu(self) -> None:
        menu = self.addMenu(self.tr("Merge into"))
        menu.setEnabled(len(self._keys) > 1)
        name = self._name
        for other in self._keys:
            if other != name:
                action = menu.addAction(other)
                action.triggered.connect(lambda checked=False, to=other: self._merge(to))

    def _merge(self, into: str) -> None:
        name = self._name
        self._worker.decide(lambda session: session.merge_class(name, into))

    def _set_key(self, key: str) -> None:
        name, names = self._name, list(self._keys)
        self._change(lambda session: session.keys.set_key(names, name, key))

    def _move(self, by: int) -> None:
        names = list(self._keys)
        place = names.index(self._name)
        names.insert(max(0, place + by), names.pop(place))
        self._change(lambda session: session.keys.set_order(names))

    def _change(self, work: Callable[[SortingSession], object]) -> None:
        """Keys and order are settings: saved at once, and no step of the journal."""
        self._worker.ask(work, lambda answer: self._worker.refresh())


Index = QModelIndex | QPersistentModelIndex
Role = QPalette.ColorRole
EDGE = 20


class ClassListView(ClassListBase):
    """The rows. `dropped` (samples, files, target) is what was dropped on one."""

    tiles_dropped = Signal(list, str)
    files_dropped = Signal(list, str)

    def __init__(self, model: ClassListModel, thumbs: ThumbnailLoader) -> None:
        super().__init__()
        self.setModel(model)
        self.setItemDelegate(ClassListDelegate(model, thumbs, self))
        self.setUniformItemSizes(True)
        self.setAcceptDrops(True)
        self.setEditTriggers(QListView.EditTrigger.EditKeyPressed)
        self.setAccessibleName(self.tr("Classes"))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._classes = model
        thumbs.ready.connect(lambda key: self.viewport().update())

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Show what can be done with a class: also by the menu key."""
        index = self.currentIndex()
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            index = self.indexAt(event.pos())
        row = self._classes.row(index.row())
        if row is not None and row.is_class:
            place = self.viewport().mapToGlobal(self.visualRect(index).center())
            ClassMenu(self, self._classes.worker, row, lambda: self.edit(index)).show_at(place)

    def event(self, event: QEvent) -> bool:
        """Let F2 rename here, where elsewhere it shows the grid."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            row = self._classes.row(self.currentIndex().row())
            if event.key() == Qt.Key.Key_F2 and row is not None and row.is_class:
                event.accept()
                return True
        return super().event(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take our tiles, and files from anywhere."""
        if isinstance(event.mimeData(), TileMimeData) or event.mimeData().hasUrls():
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """Light the row below, which says what a drop would do."""
        number = self.indexAt(event.position().toPoint()).row()
        row = self._classes.row(number)
        self._scroll_at_edge(event.position().toPoint().y())
        self.drop_row = number
        self.viewport().update()
        if row is None:
            event.ignore()
            return
        mime = event.mimeData()
        count = len(mime.ids) if isinstance(mime, TileMimeData) else None
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
        """Light nothing any more."""
        self.drop_row, self.drop_text = -1, ""
        self.viewport().update()

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand on what was dropped."""
        row = self._classes.row(self.indexAt(event.position().toPoint()).row())
        self.drop_row, self.drop_text = -1, ""
        self.viewport().update()
        if row is None:
            event.ignore()
            return
        event.setDropAction(Qt.DropAction.CopyAction)
        event.accept()
        mime = event.mimeData()
        if isinstance(mime, TileMimeData):
            self.tiles_dropped.emit(list(mime.ids), row.target)
        else:
            paths = [url.toLocalFile() for url in mime.urls() if url.isLocalFile()]
            self.files_dropped.emit(paths, row.target)


class ClassPanel(QWidget):
    """The list with a field that finds a class by name, or makes one."""

    chosen = Signal(str)
    named = Signal(str)

    def __init__(self, worker: SessionWorker, thumbs: ThumbnailLoader) -> None:
        super().__init__()
        self.model = ClassListModel(worker, self)
        self.list = ClassListView(self.model, thumbs)
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
