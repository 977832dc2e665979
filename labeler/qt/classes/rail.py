"""The rows of classes and places, which take drops: a drop goes to the row that is lit."""

from __future__ import annotations

from PySide6.QtCore import (
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QKeyEvent,
    QPainter,
    QPalette,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from labeler.qt.classes.menu import ClassMenu
from labeler.qt.classes.model import ClassListModel, ClassListRow, ClassOrder
from labeler.qt.edge_scroll import EdgeScroll
from labeler.qt.grid.drag import TileMimeData
from labeler.qt.pictures import ThumbnailLoader
from labeler.qt.theme import backdrop, em, muted_text

Index = QModelIndex | QPersistentModelIndex
Role = QPalette.ColorRole
ROW = 48


class ClassListBase(QListView):
    """A list with one row over which something is dragged (-1 for none), and what it says; the row
    of the `place` that is shown is highlighted.
    """

    place = ""
    drop_row = -1
    drop_text = ""


class ClassListDelegate(QStyledItemDelegate):
    """Paints one row: its key, a portrait or two, its name, its count."""

    def __init__(
        self, model: ClassListModel, thumbs: ThumbnailLoader, parent: ClassListBase
    ) -> None:
        super().__init__(parent)
        self._classes = model
        self._thumbs = thumbs
        self._list = parent

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        """Put the name into its field; not over what a person has typed there since."""
        if not (isinstance(editor, QLineEdit) and editor.isModified()):
            super().setEditorData(editor, index)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return at least 48 pixels of height: it is a target for drops."""
        return QSize(160, max(ROW, em(self._list, 2.4)))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Paint it from the palette."""
        row = self._classes.row(index.row())
        if row is None:
            return
        rect: QRect = option.rect
        palette = self._list.palette()
        target = self._list.drop_row == index.row()
        chosen = self._list.place == row.target
        if target or chosen:
            painter.fillRect(rect, palette.color(Role.Highlight))
        text = palette.color(Role.HighlightedText if target or chosen else Role.Text)
        if self._list.currentIndex() == index and self._list.hasFocus():
            painter.setPen(QPen(text, 2))
            painter.drawRect(rect.adjusted(3, 3, -3, -3))
        inner = rect.adjusted(6, 2, -8, -2)
        self._key(painter, inner, row.key, palette)
        left = inner.left() + em(self._list, 1.85)
        left = self._portrait(painter, inner, left, row.target, palette)
        count = f"{row.count:,}"
        width = painter.fontMetrics().horizontalAdvance(count)
        line = QRect(left, inner.top(), inner.right() - left, inner.height())
        painter.setPen(text if target or chosen else muted_text(palette))
        painter.drawText(line, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, count)
        painter.setPen(text)
        name = self._list.drop_text if target and self._list.drop_text else row.name
        line.setRight(line.right() - width - 6)
        # Its end tells people of one family apart.
        middle = Qt.TextElideMode.ElideMiddle
        shown = painter.fontMetrics().elidedText(name, middle, line.width())
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, shown)

    def _key(self, painter: QPainter, inner: QRect, key: str, palette: QPalette) -> None:
        side = em(self._list, 1.35)
        box = QRect(inner.left(), inner.center().y() - side // 2, side, side)
        if len(key) > 1:
            box.setWidth(side + em(self._list, 0.25))
        if key:
            painter.setPen(palette.color(Role.Mid))
            painter.setBrush(palette.color(Role.Button))
            painter.drawRoundedRect(box, 4, 4)
            painter.setPen(palette.color(Role.ButtonText))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, key.upper())

    def _portrait(
        self, painter: QPainter, inner: QRect, left: int, target: str, palette: QPalette
    ) -> int:
        if target.startswith(":"):
            return left
        side = inner.height() - 4
        box = QRect(left, inner.top() + 2, side, side)
        portrait = self._classes.portraits.get(target)
        ratio = self._list.devicePixelRatioF()
        picture = self._thumbs.get(portrait[0], side, ratio) if portrait else None
        painter.fillRect(box, backdrop(palette))
        if isinstance(picture, QPixmap):
            part = QRect(0, 0, *(2 * [min(picture.width(), picture.height())]))
            part.moveCenter(picture.rect().center())
            painter.drawPixmap(box, picture, part)
        elif not portrait:
            painter.setPen(muted_text(palette))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, target[:1].upper())
        return left + side + 8


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

    def show_place(self, place: str) -> None:
        """Highlight the row of the class or place that is shown; empty for none."""
        self.place = place
        self.viewport().update()

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
