"""One box on a canvas: two lines, light on dark, so that it is seen on any picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPalette, QPen, QPolygonF

from labeler.qt.box_state import HANDLES, TURN, Draft

if TYPE_CHECKING:
    from labeler.qt.crop_canvas import CropCanvas

Role = QPalette.ColorRole
SQUARE = 5


def paint_box(painter: QPainter, canvas: CropCanvas, box: Draft, current: bool) -> None:
    """Paint a box, with its label; the current one thicker and with handles."""
    corners = [canvas.to_widget(point) for point in box.outline()]
    palette, rejected = canvas.palette(), box.kept is not None and box.kept.status == "rejected"
    style = Qt.PenStyle.DashLine if rejected else Qt.PenStyle.SolidLine
    lines = ((Role.Base, 5), (Role.Highlight, 3)) if current else ((Role.Base, 4), (Role.Text, 2))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for role, width in lines:
        painter.setPen(QPen(palette.color(role), width, style))
        painter.drawPolygon(QPolygonF(corners))
    if box.kept is not None and (box.kept.label or rejected):
        _label(painter, corners[0], "✗" if rejected else str(box.kept.label), palette)
    if current:
        _handles(painter, canvas, box, palette)


def _label(painter: QPainter, corner: QPointF, text: str, palette: QPalette) -> None:
    metrics = painter.fontMetrics()
    place = QRectF(
        corner.x(),
        corner.y() - metrics.height() - 6,
        metrics.horizontalAdvance(text) + 10,
        metrics.height() + 4,
    )
    painter.fillRect(place, palette.color(Role.Base))
    painter.setPen(palette.color(Role.Text))
    painter.drawText(place, Qt.AlignmentFlag.AlignCenter, text)


def _handles(painter: QPainter, canvas: CropCanvas, box: Draft, palette: QPalette) -> None:
    from labeler.qt.crop_canvas import TURN_REACH

    reach = TURN_REACH / canvas.scale
    top, turn = canvas.to_widget(box.handle(1, 0)), canvas.to_widget(box.handle(TURN, reach))
    for role, width in ((Role.Base, 4), (Role.Highlight, 2)):
        painter.setPen(QPen(palette.color(role), width))
        painter.drawLine(top, turn)
    painter.setPen(QPen(palette.color(Role.Base), 2))
    painter.setBrush(palette.color(Role.Highlight))
    for number in range(len(HANDLES)):
        middle = canvas.to_widget(box.handle(number, reach))
        painter.drawRect(QRectF(middle.x() - SQUARE, middle.y() - SQUARE, 2 * SQUARE, 2 * SQUARE))
    painter.drawEllipse(turn, SQUARE + 2, SQUARE + 2)
    painter.setBrush(Qt.BrushStyle.NoBrush)
