"""The rows of classes and places, which take drops: a drop goes to the row that is lit."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QKeyEvent,
)
from PySide6.QtWidgets import QListView

from labeler.qt.classes.delegate import ClassListBase, ClassListDelegate
from labeler.qt.classes.menu import ClassMenu
from labeler.qt.classes.model import ClassListModel, ClassListRow, ClassOrder
from labeler.qt.edge_scroll import EdgeScroll
from labeler.qt.grid.drag import TileMimeData
from labeler.qt.grid.thumbnails import ThumbnailLoader

Index = QModelIndex | QPersistentModelIndex


class ClassListView(ClassListBase):
    """The rows. `tiles_dropped` (samples, target) and `files_dropped` (paths, target) are drops.

    What is lit while something is held over the rows is what lies under the mouse, also after
    the rows have moved beneath it; and what was lit last is what takes the drop.
    """

    tiles_dropped = Signal(list, str)
    files_dropped = Signal(list, str)
    shown = Signal(str)

    def __init__(self, model: ClassListModel, thumbs: ThumbnailLoader) -> None:
        super().__init__()
        self.setModel(model)
        self.setItemDelegate(ClassListDelegate(model, thumbs, self))
        self.setUniformItemSizes(True)
        self.setAcceptDrops(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys to the faces
        self.setEditTriggers(QListView.EditTrigger.EditKeyPressed)
        self.setAccessibleName(self.tr("Classes"))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self._classes = model
        model.holds = lambda: self._held is not None or self.viewport().underMouse()
        self._lit: ClassListRow | None = None
        self._held: tuple[QPoint, int | None] | None = None
        self._edges = EdgeScroll(self)
        self.verticalScrollBar().valueChanged.connect(self._light)
        model.modelReset.connect(self._light)
        model.dataChanged.connect(self._light)
        thumbs.ready.connect(self._thumb_ready)

    def _thumb_ready(self, key: str) -> None:
        if any(seen.key == key for some in self._classes.portraits.values() for seen in some):
            self.viewport().update()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Show what can be done with a class: also by the menu key."""
        index = self.currentIndex()
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            index = self.indexAt(event.pos())
        row = self._classes.row(index.row())
        if row is not None and row.is_class:
            place = self.viewport().mapToGlobal(self.visualRect(index).center())
            menu = ClassMenu(
                self,
                self._classes.worker,
                row,
                lambda: self.edit(index),
                own_order=self._classes.order is ClassOrder.OWN,
            )
            menu.opened.connect(lambda: self.shown.emit(row.target))
            menu.show_at(place)

    def event(self, event: QEvent) -> bool:
        """Let F2 rename here, where elsewhere it shows the grid."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            row = self._classes.row(self.currentIndex().row())
            if event.key() == Qt.Key.Key_F2 and row is not None and row.is_class:
                event.accept()
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave letters and digits to the faces, where they are the keys of classes."""
        if event.text().isalnum():
            event.ignore()
        else:
            super().keyPressEvent(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take our tiles, and files from anywhere."""
        if isinstance(event.mimeData(), TileMimeData) or event.mimeData().hasUrls():
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """Light the row below, which says what a drop would do; scroll at the edges."""
        self._hold(event)
        if self._lit is None:
            event.ignore()
            return
        event.setDropAction(Qt.DropAction.CopyAction)
        event.accept()

    def _hold(self, event: QDropEvent) -> None:
        mime, point = event.mimeData(), event.position().toPoint()
        self._held = (point, len(mime.ids) if isinstance(mime, TileMimeData) else None)
        self._edges.hold(point)
        self._light()

    def _light(self) -> None:
        """Light what is under the mouse now; nothing where nothing is held."""
        if self._held is None:
            return
        point, count = self._held
        self.drop_row, self.drop_text = self.indexAt(point).row(), ""
        self._lit = self._classes.row(self.drop_row)
        if self._lit is not None and not self._lit.takes:
            self.drop_row, self._lit = -1, None
        if self._lit is not None:
            self.drop_text = (
                self.tr("Drop {count} → {name}").format(count=f"{count:,}", name=self._lit.name)
                if count is not None
                else self.tr("Drop files → {name}").format(name=self._lit.name)
            )
        self.viewport().update()

    def _let_go(self) -> None:
        """Light nothing any more, and scroll no further."""
        self._edges.stop()
        self._held, self._lit = None, None
        self.drop_row, self.drop_text = -1, ""
        self.viewport().update()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Light nothing any more."""
        self._let_go()

    def dropEvent(self, event: QDropEvent) -> None:
        """Hand on what was dropped, to the row that was lit."""
        if self._held is None:
            self._hold(event)
        row = self._lit
        self._let_go()
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
