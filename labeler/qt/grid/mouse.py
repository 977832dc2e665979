"""The mouse on a grid: click, range, rubber band, drag, and painting over neighbours.

A press that slips a little is still a click: within 200 ms by up to 24 pixels, as long as it ends
on the same tile. A click that costs a selection of several can be taken back. However many tiles
are dragged, their files are looked up at the drop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

from PySide6.QtCore import (
    QItemSelectionModel,
    QMetaType,
    QMimeData,
    QObject,
    QPoint,
    QRect,
    Qt,
    QUrl,
    Signal,
)
from PySide6.QtGui import QDrag, QMouseEvent, QPainter, QPixmap
from PySide6.QtWidgets import QRubberBand

from labeler.qt.grid.painter import paint_tile
from labeler.qt.grid.tile_view import TileView
from labeler.qt.widgets import EdgeScroll

TILES = "application/x-gleanset-tiles"
FILES = "text/uri-list"
PICTURE = 96
SHOWN = 3
BESIDE = 14

Paths = Callable[[Sequence[int]], list[str]]
"""The files of samples, by their ids."""


class TileMimeData(QMimeData):
    """What is dragged: samples by their ids, and the way to their files."""

    def __init__(self, ids: Sequence[int], paths: Paths) -> None:
        super().__init__()
        self.ids = ids
        self._paths = paths

    def formats(self) -> list[str]:
        """Return ours first; files for everybody else."""
        return [TILES, FILES]

    def hasFormat(self, mime: str) -> bool:
        return mime in (TILES, FILES)

    def retrieveData(self, mime: str, kind: QMetaType | QMetaType.Type) -> Any:
        """Look the files up: called at the drop."""
        if mime == FILES:
            return [QUrl.fromLocalFile(path) for path in self._paths(self.ids)]
        return str(len(self.ids)).encode() if mime == TILES else None


class TileDrag:
    """Drags tiles, one drag at a time in the whole program: Qt has one mouse."""

    under_way = False

    @classmethod
    def start(cls, view: TileView, rows: Sequence[int], paths: Paths) -> None:
        """Drag tiles until they are dropped. Others may copy, and never move our files."""
        if cls.under_way:
            return  # a large drag may still be ending
        drag = QDrag(view)
        drag.setMimeData(TileMimeData(view.tiles.ids(rows), paths))
        drag.setPixmap(drag_picture(view, rows))
        drag.setHotSpot(QPoint(-BESIDE, -BESIDE))  # what lies below the pointer stays readable
        cls.under_way = True
        try:
            drag.exec(Qt.DropAction.CopyAction | Qt.DropAction.LinkAction, Qt.DropAction.CopyAction)
        finally:
            cls.under_way = False


def drag_picture(view: TileView, rows: Sequence[int]) -> QPixmap:
    """Return a picture of at most three faces and the number of all, whatever that is."""
    ratio = view.devicePixelRatioF()
    picture = QPixmap(round((PICTURE + 40) * ratio), round((PICTURE + 20) * ratio))
    picture.setDevicePixelRatio(ratio)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    for place, row in reversed(list(enumerate(rows[:SHOWN]))):
        plain = view.appearance(row)._replace(selected=False, pointed=False)
        paint_tile(painter, QRect(place * 10, place * 6, PICTURE, PICTURE), plain, view.palette())
    if len(rows) > 1:
        text = f"{len(view.tiles.ids(rows)):,}"
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        box = painter.fontMetrics().boundingRect(text).adjusted(-8, -4, 8, 4)
        box.moveBottomRight(QPoint(PICTURE + 36, PICTURE + 18))
        painter.fillRect(box, view.palette().highlight())
        painter.setPen(view.palette().highlightedText().color())
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
    painter.end()
    return picture


Select = QItemSelectionModel.SelectionFlag
Modifier = Qt.KeyboardModifier
SLIP, STEADY_SLIP, SLIP_SECONDS = 24, 10, 0.2


class Gesture(Enum):
    """What a button that is held is doing."""

    NONE = auto()
    PRESS = auto()
    BAND = auto()
    DRAG = auto()


class TileMouse(QObject):
    """The state of one gesture on a view, from press to release; it changes the selection itself.

    `lifted` (row) comes where a tile is to be lifted or put back,
    `moved_over` (row, -1) while no button is held, `dragged` (rows) when a drag begins.
    """

    lifted = Signal(int)
    moved_over = Signal(int)
    dragged = Signal(list)

    def __init__(self, view: TileView) -> None:
        super().__init__(view)
        self._view = view
        self._from = QPoint()
        self._row = -1
        self._since = 0.0
        self._gesture = Gesture.NONE
        self._band: QRubberBand | None = None
        self._end = QPoint()
        self._edges = EdgeScroll(view, edge=0)
        view.verticalScrollBar().valueChanged.connect(self._scrolled)
        self._before: list[int] = []
        self.at: QPoint | None = None
        """Where the mouse was last, in the viewport; None outside."""
        self.leads = False
        """Whether the mouse, rather than a key, has moved last."""
        self.lifts = False
        """Whether a click lifts a tile, rather than selects it."""
        self.anchor = -1
        self.lost: list[int] = []
        """A selection that a plain click has just cleared."""

    @property
    def busy(self) -> bool:
        return self._gesture is Gesture.BAND

    def _row_at(self, point: QPoint) -> int:
        return self._view.indexAt(point).row()

    def press(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self._from, self._since = event.position().toPoint(), time.monotonic()
        self._row = self._row_at(self._from)
        self._gesture = Gesture.PRESS
        self._before = self._view.selected_rows() if event.modifiers() else []

    def move(self, event: QMouseEvent) -> None:
        point = self.at = event.position().toPoint()
        self.leads = True
        row = self._row_at(point)
        if not event.buttons() & Qt.MouseButton.LeftButton:
            self.moved_over.emit(row)
        elif self._gesture is Gesture.BAND:
            self._draw_band(point)
        elif self._gesture is Gesture.PRESS and self._left_the_spot(point):
            self._begin(point, event.modifiers())

    def _left_the_spot(self, point: QPoint) -> bool:
        far = max(abs(point.x() - self._from.x()), abs(point.y() - self._from.y()))
        steady = time.monotonic() - self._since > SLIP_SECONDS
        return far >= (STEADY_SLIP if steady or self._row < 0 else SLIP)

    def _begin(self, point: QPoint, modifiers: Modifier) -> None:
        """Begin a drag from a tile, or a band from the ground or with Shift or Ctrl."""
        if self._row >= 0 and not modifiers & (Modifier.ShiftModifier | Modifier.ControlModifier):
            self._gesture = Gesture.DRAG
            chosen = self._view.selected_rows()
            self.dragged.emit(chosen if self._row in set(chosen) else self._view.meant([self._row]))
            self._gesture = Gesture.NONE
            return
        self._gesture = Gesture.BAND
        self._band = QRubberBand(QRubberBand.Shape.Rectangle, self._view.viewport())
        self._from += QPoint(0, self._view.verticalOffset())
        self._draw_band(point)
        self._band.show()

    def _draw_band(self, point: QPoint) -> None:
        self._end = point
        self._edges.hold(point)
        offset = QPoint(0, self._view.verticalOffset())
        area = QRect(self._from - offset, point).normalized()
        if self._band is not None:
            self._band.setGeometry(area.intersected(self._view.viewport().rect()))
        self._view.setSelection(area, Select.ClearAndSelect)
        if self._before:
            self._view.select_ranges([(row, row) for row in self._before], Select.Select)

    def _scrolled(self) -> None:
        if self._gesture is Gesture.BAND:
            self._draw_band(self._end)

    def release(self, event: QMouseEvent) -> None:
        """End the gesture: what never left its spot was a click."""
        gesture = self._gesture
        self.cancel()
        point = event.position().toPoint()
        stayed = self._row_at(point) == self._row or not self._left_the_spot(point)
        if gesture is Gesture.PRESS and stayed:
            self._click(event.modifiers())

    def _click(self, modifiers: Modifier) -> None:
        row = self._row
        if row >= 0 and modifiers & Modifier.ControlModifier:
            self._view.select_ranges([(row, row)], Select.Toggle)
            self.anchor = row
        elif row >= 0 and modifiers & Modifier.ShiftModifier:
            self.anchor = max(self.anchor, 0)
            self.extend_to(row)
        else:
            self._plain_click(row)
        if row >= 0:
            self._view.selectionModel().setCurrentIndex(
                self._view.tiles.index(row), Select.NoUpdate
            )

    def _plain_click(self, row: int) -> None:
        chosen = self._view.selected_rows()
        if len(chosen) > 1:
            self.lost = chosen
        self._view.selectionModel().clearSelection()
        if row < 0:
            return
        if self.lifts:
            self.lifted.emit(row)
        else:
            self._view.select_ranges([(row, row)], Select.ClearAndSelect)
        self.anchor = row

    def extend_to(self, row: int) -> None:
        first, last = sorted((max(self.anchor, 0), row))
        self._view.select_ranges([(first, last)], Select.ClearAndSelect)

    def restore_lost(self) -> bool:
        """Select again what a click cleared; return whether there was something."""
        rows, self.lost = self.lost, []
        if not rows:
            return False
        self._view.select_ranges([(row, row) for row in rows], Select.ClearAndSelect)
        return True

    def forget(self) -> None:
        """Drop all rows that are remembered: other tiles are shown, they mean nothing any more."""
        self.cancel()
        self._row = self.anchor = -1
        self._before, self.lost = [], []

    def cancel(self) -> None:
        """End a band or a press without effect, as Esc does."""
        self._gesture = Gesture.NONE
        self._edges.stop()
        if self._band is not None:
            self._band.deleteLater()
            self._band = None
