"""The grid that all views show their tiles in: one fixed layout, painted as far as it is seen.

The selection is kept by ranges: all of 100,000 tiles is one range.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from math import isqrt

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QFocusEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QRegion,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QAbstractScrollArea, QListView

from gleanset.db.sorting import SampleTile
from labeler.qt.grid.layout import GAP, HEADING, GridLayout, PlacedSection
from labeler.qt.grid.model import TileModel
from labeler.qt.grid.painter import TileAppearance, paint_tile
from labeler.qt.images import ThumbnailLoader
from labeler.qt.theme import backdrop, focus_ring
from labeler.qt.widgets import timer

TURN_MS = 400
MAX_STACK_FACES = 40


class StackPlayer(QObject):
    """`turned` (row) comes when a tile shows another face."""

    turned = Signal(int)

    def __init__(self, model: TileModel, parent: QObject) -> None:
        super().__init__(parent)
        self._model, self._row = model, -1
        self._faces: Sequence[SampleTile] = ()
        self._timer = timer(self, self._turn, TURN_MS)

    def point_at(self, row: int) -> None:
        """Show the faces of this tile's stack; -1 for none."""
        self._timer.stop()
        self._row, self._faces = row, ()
        if row >= 0 and len(samples := sorted(self._model.ids([row]))) > 1:
            every = -(-len(samples) // MAX_STACK_FACES)
            self._model.read_stack(samples[::every], lambda faces: self._begin(row, faces))

    def face(self, row: int) -> SampleTile | None:
        return self._faces[0] if self._faces and row == self._row else None

    def _begin(self, row: int, faces: Sequence[SampleTile]) -> None:
        if row == self._row and len(faces) > 1:
            self._faces = faces
            self.turned.emit(row)
            self._timer.start()

    def _turn(self) -> None:
        self._faces = self._faces[1:]
        self.turned.emit(self._row)
        if self._faces:
            self._timer.start()


Select = QItemSelectionModel.SelectionFlag


Index = QModelIndex | QPersistentModelIndex
SMALLEST, LARGEST, USUAL = 48, 480, 104
ZOOM = 1.15
STEPS_PER_WHEEL_NOTCH = 3
NEARLY_ALL = 0.75
"""The part of a tile that has to be painted at once before it counts as seen."""


class TileView(QListView):
    """Tiles in sections, a list to screen readers; subclasses add what mouse and keys do.

    `pointed` (row, -1) follows the mouse or the keyboard, whichever moved last; `arranged` comes
    when tiles lie elsewhere than before, laid out or scrolled.
    """

    pointed = Signal(int)
    arranged = Signal()

    def __init__(self, model: TileModel, thumbs: ThumbnailLoader) -> None:
        super().__init__()
        self.side = USUAL
        self.point = -1
        self._grid = GridLayout((), 1, self.side)
        self._thumbs = thumbs
        self._shows: dict[str, set[int]] = {}
        """The tiles that were painted with each sample's picture, or without it as yet."""
        self.tiles, self._player = model, StackPlayer(model, self)
        self.seen: set[int] = set()
        """The samples that were painted, with their pictures, since they are shown."""
        self.setModel(model)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setMouseTracking(True)
        self.setAccessibleName(self.tr("Faces"))
        model.sections_changed.connect(self._model_shown)
        thumbs.ready.connect(self._thumb_ready)
        self._player.turned.connect(self._paint_anew)

    def _model_shown(self) -> None:
        self.seen.clear()
        self._shows.clear()
        self.set_point(-1)
        self.lay_out()
        self.verticalScrollBar().setValue(0)

    def lay_out(self) -> None:
        """Compute the grid anew: for another width, size or content."""
        self._grid = GridLayout(self.tiles.sections, self.viewport().width(), self.side)
        bar, height = self.verticalScrollBar(), self.viewport().height()
        bar.setRange(0, max(0, self._grid.height - height))
        # A line that is cut by an edge is nearly whole after the next step: none is passed over.
        line = max((place.cell for place in self._grid.placed), default=self.side)
        step = max(height - line // 2 - GAP, height // 4, 1)
        bar.setPageStep(step)
        bar.setSingleStep(max(1, min(self.side, step // STEPS_PER_WHEEL_NOTCH)))
        self.viewport().update()
        self.arranged.emit()

    def set_side(self, side: int) -> None:
        """Set the size of an ordinary tile in logical pixels; what is on top stays there."""
        side = min(max(side, SMALLEST), LARGEST)
        if side != self.side:
            top = self._grid.row_at(QPoint(GAP + 1, self.verticalOffset() + GAP + 1))
            self.side = side
            self.lay_out()
            if top > 0:
                self.verticalScrollBar().setValue(self._grid.rect(top).top() - GAP)

    def zoom(self, factor: float) -> None:
        """Make tiles larger or smaller by as much as is seen: columns swallow a smaller step."""
        shown, side = self._grid.rect(0).width(), 0
        while shown and self._grid.rect(0).width() == shown and self.side != side:
            side = self.side
            self.set_side(round(side * factor))

    def fit(self, smallest: int, largest: int) -> None:
        """The largest tiles with which everything is seen at once; scroll where that is not so."""
        size, sections = self.viewport().size(), self.tiles.sections
        area = size.width() * size.height() // max(1, self.tiles.rowCount())
        sides = range(min(largest, isqrt(area)), smallest, -4)
        fitting = (
            n for n in sides if GridLayout(sections, size.width(), n).height <= size.height()
        )
        self.side = next(fitting, smallest)
        self.lay_out()

    def room_for(self, side: int) -> int:
        """Return how many tiles of such a side are seen at once, in one section."""
        size, cell = self.viewport().size(), side + GAP
        return ((size.width() - GAP) // cell) * ((size.height() - GAP) // cell)

    # -- the selection, by ranges

    def select_ranges(self, ranges: Iterable[tuple[int, int]], command: Select) -> None:
        selection, model = QItemSelection(), self.tiles
        for first, last in ranges:
            selection.select(model.index(first, 0), model.index(last, 0))
        self.selectionModel().select(selection, command)

    def selected_ranges(self) -> list[tuple[int, int]]:
        chosen = self.selectionModel().selection()
        parts = (chosen.at(number) for number in range(chosen.size()))
        return [(part.top(), part.bottom()) for part in parts if part.isValid()]

    def selected_rows(self) -> list[int]:
        rows: set[int] = set()
        for first, last in self.selected_ranges():
            rows.update(range(first, last + 1))
        return sorted(rows)

    def selectAll(self) -> None:
        if self.tiles.rowCount():
            self.select_ranges([(0, self.tiles.rowCount() - 1)], Select.ClearAndSelect)

    def invert_selection(self) -> None:
        if self.tiles.rowCount():
            self.select_ranges([(0, self.tiles.rowCount() - 1)], Select.Toggle)

    # -- what was seen

    def in_sight(self) -> list[int]:
        """Return the tiles that are seen now, not only an edge of them."""
        area = self.viewport().rect().translated(0, self.verticalOffset())
        rows = (row for first, last in self._grid.ranges(area) for row in range(first, last + 1))
        return [row for row in rows if self._is_in(self._grid.rect(row), area)]

    def _is_in(self, rect: QRect, area: QRect) -> bool:
        """Return whether nearly all of a tile lies in an area, or as much as the window has."""
        if area.contains(rect):
            return True
        seen, most = rect.intersected(area).size(), self.viewport().size().boundedTo(rect.size())
        wanted = most * NEARLY_ALL
        return seen.height() >= wanted.height() and seen.width() >= wanted.width()

    def unseen(self, rows: Iterable[int] | None = None) -> list[int]:
        """Return which of these tiles, or of all, were not painted since they are shown."""
        rows = range(self.tiles.rowCount()) if rows is None else rows
        return [row for row in rows if self.tiles.id(row) not in self.seen]

    def look_from(self, row: int) -> None:
        self.verticalScrollBar().setValue(self._grid.rect(row).top() - GAP)

    # -- what Qt asks of every item view

    def doItemsLayout(self) -> None:
        """Lay out by arithmetic: a hundred thousand tiles need no list of places."""
        self.lay_out()

    def updateGeometries(self) -> None:
        """Do nothing: scroll bars are set in `lay_out`."""

    def visualRect(self, index: Index) -> QRect:
        rect = self._grid.rect(index.row()) if index.isValid() else QRect()
        return rect.translated(0, -self.verticalOffset())

    def indexAt(self, point: QPoint) -> QModelIndex:
        row = self._grid.row_at(point + QPoint(0, self.verticalOffset()))
        return self.tiles.index(row) if row >= 0 else QModelIndex()

    def scrollTo(
        self,
        index: Index,
        hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible,
    ) -> None:
        rect, height = self.visualRect(index), self.viewport().height()
        bar = self.verticalScrollBar()
        if rect.top() < GAP:
            bar.setValue(bar.value() + rect.top() - GAP)
        elif rect.bottom() > height - GAP:
            bar.setValue(bar.value() + rect.bottom() - height + GAP)

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Paint anew: a list view would look for items that it has not laid out, and do nothing."""
        self.viewport().update()
        self.arranged.emit()

    def horizontalOffset(self) -> int:
        return 0

    def verticalOffset(self) -> int:
        return self.verticalScrollBar().value()

    def isIndexHidden(self, index: Index) -> bool:
        return False

    def moveCursor(
        self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier
    ) -> QModelIndex:
        moves = QAbstractItemView.CursorAction
        steps = {
            moves.MoveLeft: (-1, 0),
            moves.MoveRight: (1, 0),
            moves.MoveUp: (0, -1),
            moves.MoveDown: (0, 1),
            moves.MovePrevious: (-1, 0),
            moves.MoveNext: (1, 0),
        }
        last = self.tiles.rowCount() - 1
        row = max(self.currentIndex().row(), 0)
        if action in (moves.MoveHome, moves.MoveEnd):
            row = 0 if action == moves.MoveHome else last
        elif action in steps and self.currentIndex().isValid():
            row = self._grid.moved(row, *steps[action])
        return self.tiles.index(row) if last >= 0 else QModelIndex()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Choose no tile by focus alone (Qt would), so the first arrow key leads to the first."""
        QAbstractScrollArea.focusInEvent(self, event)
        self.viewport().update()

    def setSelection(self, rect: QRect, command: Select) -> None:
        area = rect.normalized().translated(0, self.verticalOffset())
        self.select_ranges(self._grid.ranges(area), command)

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        return QRegion(self.viewport().rect())

    def section_rows(self, row: int) -> range:
        place = self._grid.of(row)
        return range(place.first, place.first + place.section.count) if place else range(0)

    def section_at(self, point: QPoint) -> range:
        """Return the tiles of the section whose box contains a point of the viewport."""
        place = self._grid.section_at(point + QPoint(0, self.verticalOffset()))
        return range(place.first, place.first + place.section.count) if place else range(0)

    def lit_section(self) -> range:
        """Return the tiles of the section that is painted as a target."""
        return range(0)

    def set_point(self, row: int) -> None:
        """Point at a tile; -1 for none."""
        if row != self.point:
            self._paint_anew(self.point)
            self._paint_anew(row)
            self.point = row
            self._player.point_at(row)
            self.pointed.emit(row)

    def _paint_anew(self, row: int) -> None:
        if 0 <= row < self.tiles.rowCount():
            self.update(self.tiles.index(row))

    def target_rows(self) -> list[int]:
        """Return what a key acts on: the selection, or else the tile that is pointed at."""
        chosen = self.selected_rows()
        return chosen or (
            self.meant([self.point]) if 0 <= self.point < self.tiles.rowCount() else []
        )

    def meant(self, rows: list[int]) -> list[int]:
        """Return the tiles that are meant where some are pointed at; here these alone."""
        return rows

    def key_state(self) -> Hashable:
        """Return what is pointed at, chosen and seen, to compare before and after a key."""
        return (
            self.point,
            tuple(self.selected_ranges()),
            self._grid.rect(0).width(),
            self.verticalOffset(),
            tuple(self.tiles.id(row) for row in self.in_sight()),
            tuple(self.tiles.states.items()),
        )

    # -- painting

    def _thumb_ready(self, key: str) -> None:
        # Many arrive between two frames: one repaint serves them all, and nothing besides them.
        for row in self._shows.pop(key, ()):
            self.viewport().update(self._grid.rect(row).translated(0, -self.verticalOffset()))

    def caption(self, row: int) -> str:
        """Return the line over the lower edge of a tile; none in a plain grid."""
        return ""

    def heading(self, place: PlacedSection) -> str:
        return place.section.title

    def appearance(self, row: int) -> TileAppearance:
        tile, ratio = self._player.face(row) or self.tiles.tile(row), self.devicePixelRatioF()
        side = self._grid.rect(row).width()
        picture = self._thumbs.get(tile.region, side, ratio) if tile else None
        if tile:
            self._shows.setdefault(tile.key, set()).add(row)
        chosen = self.selectionModel().isRowSelected(row, QModelIndex())
        return TileAppearance(
            picture,
            self.tiles.state(row),
            self.tiles.proposal(row),
            chosen,
            row == self.point,
            self.caption(row),
        )

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        palette, offset = self.palette(), self.verticalOffset()
        painter.fillRect(event.rect(), backdrop(palette))
        if event.region() == QRegion(self.viewport().rect()):
            self._shows.clear()
        area = event.region().translated(0, offset)
        self._headings(painter, area.boundingRect(), offset)
        # A few of all where a few have changed.
        ranges = (pair for part in area for pair in self._grid.ranges(part))  # type: ignore[attr-defined]
        for row in sorted({row for first, last in ranges for row in range(first, last + 1)}):
            rect, look = self._grid.rect(row), self.appearance(row)
            paint_tile(painter, rect.translated(0, -offset), look, palette)
            painted = area.intersected(rect).boundingRect()
            if look.picture is not None and self._is_in(rect, painted):
                self.seen.add(self.tiles.id(row))
        focus_ring(painter, self.viewport().rect(), palette, focused=self.hasFocus())
        painter.end()

    def _headings(self, painter: QPainter, area: QRect, offset: int) -> None:
        palette, lit = self.palette(), self.lit_section()
        for place in self._grid.placed:
            right = place.right if place.section.beside else self.viewport().width()
            line = QRect(place.left + 2, place.top - HEADING - offset, right - place.left, HEADING)
            is_lit = place.first in lit
            if is_lit:
                _paint_lit(painter, place.box.translated(0, -offset), palette)
            if place.section.title and line.translated(0, offset).intersects(area):
                painter.setPen((palette.highlightedText() if is_lit else palette.text()).color())
                text = painter.fontMetrics().elidedText(
                    self.heading(place), Qt.TextElideMode.ElideRight, line.width() - 4
                )
                painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, text)

    def resizeEvent(self, event: QResizeEvent) -> None:
        QAbstractItemView.resizeEvent(self, event)
        self.lay_out()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom with Ctrl and the wheel; the wheel alone scrolls and never turns a page."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(ZOOM if event.angleDelta().y() > 0 else 1 / ZOOM)
            event.accept()
        else:
            super().wheelEvent(event)


def _paint_lit(painter: QPainter, box: QRect, palette: QPalette) -> None:
    frame = box.adjusted(-GAP + 1, 1, -1, -1)
    painter.fillRect(
        QRect(frame.left(), frame.top(), frame.width(), HEADING - 2), palette.highlight()
    )
    painter.setPen(QPen(palette.highlight().color(), 2))
    painter.drawRect(frame)
