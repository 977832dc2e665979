"""The mouse on a grid: click, range, rubber band, drag, and sweeps.

A press that slips a little is still a click: within 200 ms by up to 24 pixels, if it ends on the
same tile.
"""

import time
from collections.abc import Sequence

from PySide6.QtCore import QMimeData, QObject, QPoint, QRect, Qt
from PySide6.QtGui import QDrag, QMouseEvent, QPainter, QPixmap
from PySide6.QtWidgets import QRubberBand

from labeler.qt.grid.model import TilePrediction
from labeler.qt.grid.tile_view import Select, TileView, paint_tile
from labeler.qt.theme import Role, colour

TILES_MIME = "application/x-gleanset-tiles"
DRAG_IMAGE_SIDE = 96
DRAG_OFFSET = 14


class TileMimeData(QMimeData):
    """Dragged samples by their ids."""

    def __init__(self, ids: Sequence[int]):
        super().__init__()
        self.ids = ids
        self.setData(TILES_MIME, b"")


def paint_drag_image(view: TileView, rows: Sequence[int]) -> QPixmap:
    """Return the first tile as a stack with the number of all samples."""
    square = QRect(0, 0, DRAG_IMAGE_SIDE, DRAG_IMAGE_SIDE)
    ratio = view.devicePixelRatioF()
    image = QPixmap(square.size() * ratio)
    image.setDevicePixelRatio(ratio)
    image.fill(Qt.GlobalColor.transparent)
    stack = TilePrediction(count=len(view.tiles.ids(rows)))
    tile = view.appearance(rows[0])
    tile = tile._replace(selected=False, pointed=False, prediction=stack)
    painter = QPainter(image)
    paint_tile(painter, square, tile, colour(Role.Base))
    painter.end()
    return image


Modifier = Qt.KeyboardModifier
MAX_SLIP_PIXELS = 24
MAX_STEADY_SLIP_PIXELS = 10
SLIP_SECONDS = 0.2
MIN_LEAD_PIXELS = 6


class TileMouse(QObject):
    """The state of one gesture, from press to release; it drags tiles and changes the selection.

    It calls `click_tile`, `click_outside` and `move_over` of its view.
    """

    drags = False  # tiles of any window of the process

    def __init__(self, view: TileView):
        super().__init__(view)
        self._view = view
        self._pressed_at = QPoint()
        self._pressed_row = -1
        self._press_time = 0.0
        self._is_press = False
        """Whether the button is held and has not moved."""
        self._band: QRubberBand | None = None
        self._band_end = QPoint()
        view.verticalScrollBar().valueChanged.connect(
            lambda: self._draw_band(self._band_end)
        )
        self._selection_before: list[int] = []
        self.at: QPoint | None = None
        """The last position of the mouse in the viewport; None outside."""
        self._leads = False
        self._rested_at = QPoint()
        self.anchor = -1

    @property
    def leads(self) -> bool:
        """Whether the mouse, rather than a key, moved last."""
        return self._leads

    @leads.setter
    def leads(self, leads: bool) -> None:
        self._leads = leads
        self._rested_at = self.at or QPoint()

    def follow(self, point: QPoint) -> None:
        """Note where the mouse is; it leads again once it has moved more than a hand trembles."""
        far = (point - self._rested_at).manhattanLength() >= MIN_LEAD_PIXELS
        self._leads = self._leads or self.at is None or far
        self.at = point

    @property
    def busy(self) -> bool:
        return self._band is not None

    def _row_at(self, point: QPoint) -> int:
        return self._view.indexAt(point).row()

    def press(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self.at = self._pressed_at = event.position().toPoint()
        self.leads = True
        self._press_time = time.monotonic()
        self._pressed_row = self._row_at(self._pressed_at)
        self._is_press = True
        self._selection_before = self._view.selected_rows() if event.modifiers() else []

    def move(self, event: QMouseEvent) -> None:
        point = event.position().toPoint()
        self.follow(point)
        row = self._row_at(point)
        if not event.buttons() & Qt.MouseButton.LeftButton:
            self._view.move_over(row)
        elif not self._is_press:
            self._draw_band(point)
        elif self._has_moved(point):
            self._begin(point, event.modifiers())

    def _has_moved(self, point: QPoint) -> bool:
        far = (point - self._pressed_at).manhattanLength()
        # A hand that slips does so within an instant; a slow move is meant as a drag. The larger
        # limit is for presses on a tile only.
        steady = time.monotonic() - self._press_time > SLIP_SECONDS
        limit = (
            MAX_STEADY_SLIP_PIXELS
            if steady or self._pressed_row < 0
            else MAX_SLIP_PIXELS
        )
        return far >= limit

    def _begin(self, point: QPoint, modifiers: Modifier) -> None:
        """Begin a drag from a tile or card, or a band from elsewhere or with Shift or Ctrl."""
        self._is_press = False
        rows = self._view.movable_rows(self._pressed_at)
        if self._pressed_row >= 0:
            rows = self._view.selected_rows()
            if self._pressed_row not in rows:
                rows = [self._pressed_row]

        if rows and not modifiers & (Modifier.ShiftModifier | Modifier.ControlModifier):
            self._drag(rows)
            return
        self._band = QRubberBand(
            QRubberBand.Shape.Rectangle,
            self._view.viewport(),
        )
        # In the content, not in the viewport: the view may be scrolled while the band is drawn.
        self._pressed_at += QPoint(0, self._view.verticalOffset())
        self._draw_band(point)
        self._band.show()

    def _drag(self, rows: Sequence[int]) -> None:
        """Drag tiles until they are dropped."""
        if self.drags:
            return  # a large drag may take long to end
        drag = QDrag(self._view)
        drag.setMimeData(TileMimeData(self._view.tiles.ids(rows)))
        drag.setPixmap(paint_drag_image(self._view, rows))
        # Keep the drop target visible.
        drag.setHotSpot(QPoint(-DRAG_OFFSET, -DRAG_OFFSET))
        TileMouse.drags = True
        try:
            drag.exec(Qt.DropAction.CopyAction)
        finally:
            TileMouse.drags = False

    def _draw_band(self, point: QPoint) -> None:
        if self._band is None:
            return
        self._band_end = point
        offset = QPoint(0, self._view.verticalOffset())
        area = QRect(self._pressed_at - offset, point).normalized()
        self._band.setGeometry(area.intersected(self._view.viewport().rect()))
        self._view.setSelection(area, Select.ClearAndSelect)
        # With Shift or Ctrl the band adds to the selection that was there before.
        self._view.select_ranges(
            [(row, row) for row in self._selection_before], Select.Select
        )

    def release(self, event: QMouseEvent) -> None:
        """End the gesture: a press that did not move is a click."""
        was_press = self._is_press
        self.cancel()
        point = event.position().toPoint()
        if was_press and (
            self._row_at(point) == self._pressed_row or not self._has_moved(point)
        ):
            self._click(event.modifiers())

    def _click(self, modifiers: Modifier) -> None:
        row = self._pressed_row
        selection = self._view.selectionModel()
        if row < 0:
            selection.clearSelection()
            self._view.click_outside(self._pressed_at)
            return

        if modifiers & Modifier.ControlModifier:
            self._view.select_ranges([(row, row)], Select.Toggle)
            self.anchor = row
        elif modifiers & Modifier.ShiftModifier:
            self.extend_to(row)
        else:
            selection.clearSelection()
            self._view.click_tile(row)
            self.anchor = row

        selection.setCurrentIndex(self._view.tiles.index(row), Select.NoUpdate)

    def extend_to(self, row: int) -> None:
        self.anchor = max(self.anchor, 0)
        first, last = sorted((self.anchor, row))
        self._view.select_ranges(
            [(first, last)],
            Select.ClearAndSelect,
        )

    def forget(self) -> None:
        """Forget all rows, because other tiles are shown."""
        self.cancel()
        self._pressed_row = self.anchor = -1
        self._selection_before = []

    def cancel(self) -> None:
        """End a band or a press without effect, as Esc does."""
        self._is_press = False
        if self._band is not None:
            self._band.deleteLater()
            self._band = None
