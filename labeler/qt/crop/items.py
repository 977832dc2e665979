"""The items of the canvas's scene, whose unit is a pixel of the image: a box and its handles."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPalette, QPen, QPolygonF
from PySide6.QtWidgets import QGraphicsItem, QWidget

from labeler.qt.crop.boxes import HANDLES, TURN, BoxDraft

Role = QPalette.ColorRole
GRIP = 9
"""Half of the side of a handle, in logical pixels: 18 across, and a margin when pressed."""

SQUARE = 5
"""Half of the side of a handle as it is painted."""

TURN_REACH = 26
"""How far above the box the handle stands that turns it, in logical pixels."""


class BoxHandle(QGraphicsItem):
    """A handle of `HANDLES`, or `TURN` on its stem; equally large at every zoom."""

    def __init__(self, number: int, box: QGraphicsItem) -> None:
        super().__init__(box)
        self.number = number
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemIgnoresTransformations)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._middle = QPointF(0, -TURN_REACH if number == TURN else 0)

    def boundingRect(self) -> QRectF:
        """Return what can be pressed: more than what is painted, but for the stem."""
        half = QPointF(GRIP + 3, GRIP + 3)
        return QRectF(self._middle - half, self._middle + half)

    def paint(self, painter: QPainter, option: object, widget: QWidget | None = None) -> None:
        """Paint a square, or a stem with a circle."""
        palette = widget.palette() if widget else QPalette()
        half = QPointF(SQUARE, SQUARE)
        for role, width in ((Role.Base, 4), (Role.Highlight, 2)):
            painter.setPen(QPen(palette.color(role), width))
            painter.drawLine(QPointF(), self._middle)
        painter.setPen(QPen(palette.color(Role.Base), 2))
        painter.setBrush(palette.color(Role.Highlight))
        if self.number == TURN:
            painter.drawEllipse(self._middle, SQUARE + 2, SQUARE + 2)
        else:
            painter.drawRect(QRectF(-half, half))


class BoxItem(QGraphicsItem):
    """A box with its label; with handles, and above the others, while it is selected."""

    def __init__(self, draft: BoxDraft) -> None:
        super().__init__()
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemIsSelectable)
        self._handles = {number: BoxHandle(number, self) for number in range(TURN, len(HANDLES))}
        self.place(draft)

    def place(self, draft: BoxDraft) -> None:
        """Show the box as it is now."""
        self.prepareGeometryChange()
        self.draft = draft
        self.setTransformOriginPoint(draft.rect.center())
        self.setRotation(draft.angle)
        for number, handle in self._handles.items():
            handle.setPos(draft.handle(number))
        self._handles[TURN].setRotation(draft.angle)
        self.update()

    def select(self, selected: bool) -> None:
        """Make it the selected one, or no more."""
        self.setSelected(selected)
        self.setZValue(selected)
        for handle in self._handles.values():
            handle.setVisible(selected)

    def boundingRect(self) -> QRectF:
        """Return the box itself: that is what can be pressed."""
        return self.draft.rect.normalized()

    def paint(self, painter: QPainter, option: object, widget: QWidget | None = None) -> None:
        """Paint the outline: thicker where it is selected, dashed where it is no face."""
        kept, palette = self.draft.kept, widget.palette() if widget else QPalette()
        rejected = kept is not None and kept.status == "rejected"
        style = Qt.PenStyle.DashLine if rejected else Qt.PenStyle.SolidLine
        line = (Role.Highlight, 3) if self.isSelected() else (Role.Text, 2)
        outline = painter.transform().map(QPolygonF(self.draft.rect))
        painter.resetTransform()  # lines and texts are in logical pixels, at every zoom
        for role, width in ((Role.Base, line[1] + 2), line):
            painter.setPen(QPen(palette.color(role), width, style))
            painter.drawPolygon(outline)
        if kept is not None and (kept.label or rejected):
            text, metrics = "✗" if rejected else str(kept.label), painter.fontMetrics()
            height, width = metrics.height() + 4, metrics.horizontalAdvance(text) + 10
            corner = outline.first()
            plate = QRectF(corner.x(), corner.y() - height - 2, width, height)
            painter.fillRect(plate, palette.color(Role.Base))
            painter.setPen(palette.color(Role.Text))
            painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, text)
