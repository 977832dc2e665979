"""The class list: its rows, which accept drops, the menu of a class, and the search field."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPoint,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QDropEvent,
    QKeyEvent,
    QPainter,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from gleanset.db.regions import SampleRegion
from labeler.qt import theme
from labeler.qt.grid.model import Index
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.grid.tile_view import draw_filling
from labeler.qt.images import ThumbnailLoader
from labeler.qt.keyboard import PLACE_KEYS
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import Role, colour
from labeler.qt.translations import describe_target, target_name, tr
from labeler.qt.widgets import (
    ENTER,
    HintedField,
    NameField,
    button,
    column_layout,
    plain_label,
    timer,
)
from labeler.sorting.grid_query import DUPLICATES, count_known
from labeler.sorting.name_matching import KnownName, match_exact_name
from labeler.sorting.session import Place, SortingProgress

PORTRAIT_DELAY_MS = 700
DRAG_MARGIN_PX = 24
"""A drag so near to the upper or lower edge scrolls the list."""
SCROLL_MS = 120
"""The list scrolls by a row after each such time."""


@dataclass(frozen=True)
class ClassListRow:
    """`target` is a class or a place such as `:later`, as `SortingSession.to` expects."""

    target: str
    name: str
    key: str
    count: int
    is_class: bool = False


class ClassListModel(QAbstractListModel):
    """Follows the worker; keys change only when a person changes them."""

    def __init__(self, worker: SessionWorker, parent: QObject | None):
        super().__init__(parent)
        self.worker = worker
        self._rows: list[ClassListRow] = []
        self._filter = ""
        self.portraits: dict[str, list[SampleRegion]] = {}
        self.acts: Callable[[str], bool] = bool
        """Whether a key acts in the view that is shown; other keys are left out."""
        self._portrait_timer = timer(self, self._request_portraits, PORTRAIT_DELAY_MS)
        worker.progressed.connect(self.update_progress)

    def update_progress(self, progress: SortingProgress) -> None:
        rows = self._make_rows(progress)
        if not self.portraits:
            self._request_portraits()
        elif not self._portrait_timer.isActive():  # not after every key
            self._portrait_timer.start()

        if [row.target for row in rows] == [row.target for row in self._rows]:
            self._rows = rows
            self.dataChanged.emit(
                self.index(0),
                self.index(len(rows) - 1),
            )
        else:  # not a reset, which would close the field of a class that is being renamed
            self.layoutAboutToBeChanged.emit()
            before = self.persistentIndexList()
            targets = [self._rows[index.row()].target for index in before]
            self._rows = rows
            now = [self.index(self.row_of(target)) for target in targets]
            self.changePersistentIndexList(before, now)
            self.layoutChanged.emit()

    def _make_rows(self, progress: SortingProgress) -> list[ClassListRow]:
        counts = progress.counts
        count = {row.name: row.count for row in counts.classes}
        classes = [
            ClassListRow(name, name, key, count.get(name, 0), is_class=True)
            for name, key in progress.keys.items()
            if self._filter.casefold() in name.casefold()
        ]

        # Reversed, so that the first one is `FIRST_PLACE`, below the heading.
        places = [
            ClassListRow(target, target_name(target), key, count_known(counts, target))
            for target, key in reversed(PLACE_KEYS.items())
        ]

        duplicates = ClassListRow(
            DUPLICATES,
            tr("Duplicates"),
            "",
            counts.duplicates,
        )
        return [
            *classes,
            *places,
            *([duplicates] if counts.duplicates else []),
        ]

    def filter_by(self, text: str) -> None:
        self._filter = text.strip()
        if self.worker.progress is not None:
            self.update_progress(self.worker.progress)

    def _request_portraits(self) -> None:
        counts = self.worker.counts
        if counts is not None and counts.classes:
            self.worker.ask(
                lambda session: session.portraits(counts.classes), self._set_portraits
            )

    def _set_portraits(self, portraits: dict[str, list[SampleRegion]]) -> None:
        self.portraits = portraits
        if self._rows:
            self.dataChanged.emit(
                self.index(0),
                self.index(len(self._rows) - 1),
            )

    def row(self, number: int) -> ClassListRow | None:
        return self._rows[number] if 0 <= number < len(self._rows) else None

    def row_of(self, target: str) -> int:
        """Return the number of the row of a class or place; -1 for none."""
        return next((n for n, row in enumerate(self._rows) if row.target == target), -1)

    @property
    def class_count(self) -> int:
        """The number of classes that are listed."""
        return sum(row.is_class for row in self._rows)

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self.row(index.row())
        if row is None:
            return None
        roles = Qt.ItemDataRole
        if role in (roles.DisplayRole, roles.EditRole):
            return row.name
        if role == roles.ToolTipRole:
            return row.name if row.target == DUPLICATES else describe_target(row.target)
        if role == roles.AccessibleTextRole:
            return tr(
                "{name}, key {key}, {count} faces"
                if self.acts(row.key)
                else "{name}, {count} faces",
                name=row.name,
                key=row.key,
                count=row.count,
            )

        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        row = self.row(index.row())
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if row and row.is_class else flags

    def setData(
        self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        row = self.row(index.row())
        name = str(value).strip()
        if row is None or not name or name == row.name:
            return False
        self.worker.decide(lambda session: session.rename_class(row.target, name))
        return True


CLASS_ROW_EM = 2.7
PLACE_ROW_EM = 2.1
HEADING_EM = 2.2
FIRST_PLACE = Place.REJECT.target
"""The row below the heading of everything that is not a class."""


class ClassListDelegate(QStyledItemDelegate):
    """Paints one row: its key, a portrait, its name and its count."""

    def __init__(
        self, model: ClassListModel, thumbs: ThumbnailLoader, parent: "ClassListView"
    ):
        super().__init__(parent)
        self._classes = model
        self._thumbs = thumbs
        self._list = parent

    def createEditor(
        self, parent: QWidget, option: QStyleOptionViewItem, index: Index
    ) -> HintedField:
        """Return a field that says which other class the name is one of."""
        field = HintedField(parent)
        own = index.data()
        worker = self._classes.worker

        def hint(text: str) -> None:
            other = match_exact_name(
                text, [KnownName(name, name) for name in worker.keys if name != own]
            )
            field.show_hint(
                tr("= {name}: merges them", name=other.label) if other else ""
            )

        field.textChanged.connect(hint)
        return field

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        """Set the name in the editor once: to set it again would lose the selection."""
        if not (
            isinstance(editor, QLineEdit) and (editor.text() or editor.isModified())
        ):
            super().setEditorData(editor, index)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return the height of a row: large enough for a portrait and for a drop."""
        row = self._classes.row(index.row())
        height = theme.em(
            self._list, PLACE_ROW_EM if row and not row.is_class else CLASS_ROW_EM
        )
        return QSize(160, height + self._heading_height(row))

    def _heading_height(self, row: ClassListRow | None) -> int:
        return (
            theme.em(self._list, HEADING_EM) if row and row.target == FIRST_PLACE else 0
        )

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: Index
    ) -> None:
        row = self._classes.row(index.row())
        if row is None:
            return
        heading = self._heading_height(row)
        font = self._list.font()
        rect: QRect = option.rect.adjusted(0, heading, 0, 0)
        if heading:
            painter.setFont(theme.scale_font(font, theme.SMALL))
            line = option.rect.adjusted(
                theme.SPACE_M, 0, 0, -rect.height() - theme.SPACE_S
            )
            theme.draw_text(
                painter,
                line,
                tr("Everything else"),
                align=Qt.AlignmentFlag.AlignBottom,
            )

        is_target = self._list.drop_row == index.row()
        is_lit = is_target or self._list.place == row.target
        has_focus = self._list.currentIndex() == index and self._list.hasFocus()
        ground = theme.lit() if is_lit else colour(Role.Window)
        pen = QPen(Qt.PenStyle.NoPen)
        if is_target or has_focus:
            pen = QPen(colour(Role.Highlight), 2)
        theme.draw_frame(
            painter, rect.adjusted(1, 2, -1, -2), pen, ground, theme.CONTROL_RADIUS
        )

        line = rect.adjusted(theme.SPACE_M, 0, -theme.SPACE_M, 0)
        if row.is_class:
            line.setLeft(self._paint_portrait(painter, line, row.target, ground))
        # From right to left: the key, the count, and the name in the room that is left.
        if self._classes.acts(row.key):
            painter.setFont(theme.scale_font(font, theme.SMALL, bold=False))
            key = row.key.title()
            width = theme.key_width(painter.fontMetrics(), key)
            theme.draw_key(painter, line.adjusted(line.width() - width, 0, 0, 0), key)
            line.setRight(line.right() - width - theme.SPACE_M)

        painter.setFont(font)
        count_width = theme.draw_text(
            painter,
            line,
            f"{row.count:,}",
            align=theme.ALIGN_RIGHT,
        )
        line.setRight(line.right() - count_width - theme.SPACE_M)

        theme.draw_text(
            painter,
            line,
            self._list.drop_text if is_target else row.name,
            colour(Role.Text),
            # The end of a name distinguishes members of one family.
            elide=Qt.TextElideMode.ElideMiddle,
        )

    def _paint_portrait(
        self, painter: QPainter, line: QRect, target: str, ground: QColor
    ) -> int:
        """Paint the portrait of a class, or its first letter; return where its name begins."""
        side = line.height() - theme.SPACE_M
        box = QRect(
            line.left(),
            line.top() + theme.SPACE_S,
            side,
            side,
        )
        portrait = self._classes.portraits.get(target)
        ratio = self._list.devicePixelRatioF()
        thumbnail = None
        if portrait:
            thumbnail = self._thumbs.get(
                portrait[0], side, ratio
            ) or self._thumbs.get_any(portrait[0])
        painter.fillRect(box, theme.backdrop())
        if isinstance(thumbnail, QPixmap):
            draw_filling(painter, box, thumbnail)
        elif not portrait:
            painter.setPen(theme.muted_text())
            painter.drawText(
                box,
                Qt.AlignmentFlag.AlignCenter,
                target[:1].upper(),
            )

        theme.round_corners(painter, box, ground, side / 2)
        return box.right() + theme.SPACE_M + 2


class ClassListView(QListView):
    """The rows. Drops: `tiles_dropped` (samples, target), `files_dropped` (paths, class or None).

    The drop goes to the highlighted row, which follows the mouse even if rows move beneath it.
    """

    tiles_dropped = Signal(list, str)
    files_dropped = Signal(object, object)
    place = ""
    """The class or place that is shown; its row is highlighted."""
    keeps_focus = False
    """Whether a rename began here by F2: the next class is renamed as well, by arrow and F2."""
    drop_row = -1
    drop_text = ""
    """The row under a drag, and its text."""

    def __init__(self, model: ClassListModel, thumbs: ThumbnailLoader):
        super().__init__()
        self.setModel(model)
        self.setItemDelegate(ClassListDelegate(model, thumbs, self))
        self.setFrameShape(QListView.Shape.NoFrame)
        self.viewport().setAutoFillBackground(False)
        self.setAcceptDrops(True)
        # A click leaves the keys to the faces.
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setEditTriggers(QListView.EditTrigger.EditKeyPressed)
        self.setAccessibleName(tr("Classes"))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self._classes = model
        self._drag: tuple[QPoint, int | None] | None = None
        """The mouse and the number of dragged samples (None for files); None without a drag."""
        self._scroll_timer = timer(self, self._scroll_at_edges, SCROLL_MS)
        self.verticalScrollBar().valueChanged.connect(self._update_drop_row)
        model.layoutChanged.connect(self._update_drop_row)
        model.dataChanged.connect(self._update_drop_row)
        thumbs.ready.connect(self._on_thumbnail_ready)

    def show_place(self, place: str) -> None:
        self.place = place
        self.viewport().update()

    def _on_thumbnail_ready(self, key: str) -> None:
        portraits = chain.from_iterable(self._classes.portraits.values())
        if any(portrait.key == key for portrait in portraits):
            self.viewport().update()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer to rename, merge or delete a class."""
        index = self.currentIndex()
        point = self.viewport().mapToGlobal(self.visualRect(index).center())
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            index = self.indexAt(event.pos())
            point = event.globalPos()
        row = self._classes.row(index.row())
        if row is None or not row.is_class:
            return
        menu = QMenu(self)
        worker = self._classes.worker

        def rename(new: str) -> None:
            worker.decide(lambda session: session.rename_class(row.target, new))

        menu.addAction(tr("Rename (F2)"), lambda: self.rename(index))
        merge = menu.addMenu(tr("Merge into"))
        for name in worker.keys:
            if name != row.target:
                merge.addAction(
                    name.replace("&", "&&"),
                    partial(rename, name),
                )
        merge.setEnabled(not merge.isEmpty())
        text = tr("Delete: {count} faces are no longer sorted", count=row.count)
        menu.addAction(
            text, lambda: worker.decide(lambda s: s.delete_class(row.target))
        )
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(point)

    def rename(self, index: QModelIndex) -> None:
        self.keeps_focus = False
        self.edit(index)

    def event(self, event: QEvent) -> bool:
        """Let F2 rename here; elsewhere it shows the grid. Tab begins at the row that is shown."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(
            event, QKeyEvent
        ):
            row = self._classes.row(self.currentIndex().row())
            if event.key() == Qt.Key.Key_F2 and row is not None and row.is_class:
                # The window leaves the focus here until the name is written.
                event.accept()
                self.keeps_focus = True
                return True
        elif event.type() == QEvent.Type.FocusIn and not self.currentIndex().isValid():
            row_number = self._classes.row_of(self.place or Place.QUEUE.target)
            self.setCurrentIndex(self._classes.index(row_number))

        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave letters and digits to the grid, where they are class keys; Enter is for the row."""
        if event.text().isalnum():
            event.ignore()
        else:
            super().keyPressEvent(event)
            event.setAccepted(event.isAccepted() or event.key() in ENTER)

    def dragEnterEvent(self, event: QDropEvent) -> None:
        if isinstance(event.mimeData(), TileMimeData) or event.mimeData().hasUrls():
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()

    def dragMoveEvent(self, event: QDropEvent) -> None:
        self._on_drag(event)
        event.setDropAction(Qt.DropAction.CopyAction)
        event.setAccepted(self.drop_row >= 0)

    def _on_drag(self, event: QDropEvent) -> None:
        mime = event.mimeData()
        point = event.position().toPoint()
        self._drag = (point, len(mime.ids) if isinstance(mime, TileMimeData) else None)
        self._scroll_at_edges()

    def _scroll_at_edges(self) -> None:
        # Repeated by the timer during a drag: Qt itself stops when the mouse rests.
        if self._drag is not None:
            for step in (-DRAG_MARGIN_PX, DRAG_MARGIN_PX):
                self.scrollTo(self.indexAt(self._drag[0] + QPoint(0, step)))
            self._update_drop_row()
            self._scroll_timer.start()

    def _update_drop_row(self) -> None:
        self.drop_row = -1
        self.viewport().update()
        if self._drag is None:
            return
        point, count = self._drag
        row = self._classes.row(self.indexAt(point).row())
        if row is not None and row.target != DUPLICATES:
            self.drop_row = self.indexAt(point).row()
            self.drop_text = tr(
                "Drop files → {name}" if count is None else "Drop {count} → {name}",
                count=count,
                name=row.name,
            )

    def _end_drag(self) -> None:
        self._drag = None
        self._update_drop_row()

    def dragLeaveEvent(self, event: QEvent) -> None:
        self._end_drag()

    def dropEvent(self, event: QDropEvent) -> None:
        if self._drag is None:
            self._on_drag(event)
        row = self._classes.row(self.drop_row)
        mime = event.mimeData()
        self._end_drag()
        event.setDropAction(Qt.DropAction.CopyAction)
        event.setAccepted(row is not None)
        if row is not None and isinstance(mime, TileMimeData):
            self.tiles_dropped.emit(list(mime.ids), row.target)
        elif row is not None:  # files, with the class as their weak label
            paths = [
                Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()
            ]
            self.files_dropped.emit(
                paths,
                row.target if row.is_class else None,
            )


class ClassPanel(QWidget):
    """The list with a field that finds a class by name, or creates one."""

    selected = Signal(str)
    name_entered = Signal(str)

    def __init__(self, worker: SessionWorker, thumbs: ThumbnailLoader):
        super().__init__()
        self.model = ClassListModel(worker, self)
        self.list = ClassListView(self.model, thumbs)
        self.field = NameField(worker)
        self.field.setPlaceholderText(tr("Find or create a class (/)"))
        self.field.setAccessibleName(tr("Find a class, or type a new name"))
        self.add = button(tr("+ New person"), self._add_class)
        self.add.setToolTip(tr("Add somebody new, such as Miku: type the name above"))
        self.heading = plain_label(tr("Classes"), "caption")
        self.setLayout(
            column_layout(
                self.field,
                self.heading,
                self.list,
                self.add,
                margins=(theme.SPACE_L, theme.SPACE_M, 0, theme.SPACE_M),
            )
        )

        self._worker = worker
        self.field.textEdited.connect(self._filter)  # not by what was completed
        self.field.textChanged.connect(self._on_text_changed)
        self.field.focused.connect(self.field.read_names)
        self.field.name_entered.connect(self._choose_by_name)
        self.list.activated.connect(self._choose)
        self.list.clicked.connect(self._choose)

    def _on_text_changed(self, text: str) -> None:
        if not text:
            self._filter("")

    def _filter(self, text: str) -> None:
        self.model.filter_by(text)
        is_empty = bool(text.strip()) and not self.model.class_count
        self.heading.setText(tr("No class contains this" if is_empty else "Classes"))

    def _choose(self, index: QModelIndex) -> None:
        if row := self.model.row(index.row()):
            self.selected.emit(row.target)

    def _add_class(self) -> None:
        """Create exactly the class in the field; ask for a name if it is empty."""
        if name := self.field.read_name():
            self.field.clear()
            self.name_entered.emit(name)
        else:
            self.field.setFocus()

    def rename(self, target: str) -> None:
        if (row := self.model.row_of(target)) >= 0:
            index = self.model.index(row)
            self.list.scrollTo(index)
            self.list.rename(index)

    def _choose_by_name(self, text: str) -> None:
        """Choose the class that is meant, or create one if no shown name contains the text."""
        # The list shows the classes whose names contain the text.
        match_count = self.model.class_count
        if self.field.is_new(text) and match_count:
            message = tr(
                "No class is named {name}, but it is in other names ({count}): press Tab "
                "or click to pick one, + to create it",
                name=text,
                count=match_count,
            )
            self._worker.show_message(message)
            return

        self.field.clear()
        self.name_entered.emit(self.field.resolve(text))
