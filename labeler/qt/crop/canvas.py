"""An image with its boxes: draw, move, resize, level and delete, by mouse or by keyboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QWidget

from gleanset.db.samples import BoxedSample
from labeler.qt.classes.keys import class_key
from labeler.qt.crop.boxes import HANDLES, TURN, BoxDraft, brought_up_to_date
from labeler.qt.theme import backdrop, focus_ring

Key, Role = Qt.Key, QPalette.ColorRole
ARROWS = {Key.Key_Left: (-1, 0), Key.Key_Right: (1, 0), Key.Key_Up: (0, -1), Key.Key_Down: (0, 1)}
TILTS = {
    Key.Key_BracketLeft: -1,
    Key.Key_BraceLeft: -10,
    Key.Key_BracketRight: 1,
    Key.Key_BraceRight: 10,
}
GRIP = 9
"""Half of the side of a handle, in logical pixels: 18 across, and a margin when pressed."""

TURN_REACH = 26
FEWEST = 4
"""Pixels of the shorter side of a new box: less was a slip of the mouse."""

SQUARE = 5
"""Half of the side of a handle as it is painted."""


class CropCanvas(QWidget):
    """Boxes are `BoxDraft`s in pixels of the image; `current` is the one that keys act on.

    `edited` comes when a gesture has changed a box, `rested` after every gesture, `nudged` with
    every key that moved a box, `commanded` (text) for keys that are none of the canvas's own.
    """

    edited = Signal()
    rested = Signal()
    nudged = Signal()
    chosen = Signal()
    keyed = Signal(str)
    commanded = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.image, self.size_of = QImage(), (1, 1)
        self.boxes: list[BoxDraft] = []
        self.current = -1
        self.words = ""
        self._grip: int | None = None
        self._kind = ""
        self._from = QPointF()
        self._before: BoxDraft | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName(self.tr("Image to draw boxes on"))
        self.setMinimumSize(200, 150)

    def show_image(self, image: QImage, size: tuple[int, int], words: str = "") -> None:
        """Show another image of `size` pixels; `image` may be smaller. `words` stand for it."""
        self.image, self.size_of, self.words = image, size, words
        self._kind = ""
        self.update()

    def show_boxes(self, boxes: list[BoxDraft], current: int) -> None:
        """Show other boxes."""
        self.boxes, self.current = boxes, min(current, len(boxes) - 1)
        self._speak()
        self.update()

    def bring_up_to_date(
        self, found: Sequence[BoxedSample], keys: Mapping[int, str], under_way: Iterable[int] = ()
    ) -> None:
        """Show what the catalogue has by now; see `brought_up_to_date`. A gesture goes on."""
        held = {self.boxes[self.current].id} if self.busy and self.current >= 0 else set()
        self.renew(brought_up_to_date(self.boxes, found, keys, held | {*under_way}))

    def renew(self, boxes: list[BoxDraft]) -> None:
        """Show other boxes; the current one stays the same, a gesture ends with its box."""
        chosen = self.boxes[self.current].id if self.current >= 0 else None
        place = next((n for n, box in enumerate(boxes) if box.id == chosen), None)
        if chosen is not None and place is None:
            self._kind = ""
        self.show_boxes(boxes, self.current if place is None else place)

    @property
    def busy(self) -> bool:
        """Whether a button is held."""
        return bool(self._kind)

    # -- where things are

    @property
    def scale(self) -> float:
        """Logical pixels of the widget for one of the image."""
        width, height = self.size_of
        return min((self.width() - 16) / width, (self.height() - 16) / height)

    def area(self) -> QRectF:
        """Return where the image is painted."""
        width, height = (side * self.scale for side in self.size_of)
        return QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)

    def to_image(self, point: QPointF) -> QPointF:
        """Return a point of the widget in pixels of the image."""
        return (point - self.area().topLeft()) / self.scale

    def to_widget(self, point: QPointF) -> QPointF:
        """Return a point of the image in the widget."""
        return point * self.scale + self.area().topLeft()

    def _grip_at(self, point: QPointF) -> int | None:
        """Return the handle of the current box under a point of the widget."""
        if self.current < 0:
            return None
        box = self.boxes[self.current]
        for number in range(TURN, len(HANDLES)):
            away: QPointF = self.to_widget(box.handle(number, TURN_REACH / self.scale)) - point
            if max(abs(away.x()), abs(away.y())) <= GRIP + 3:
                return number
        return None

    def _box_at(self, point: QPointF) -> int:
        """Return the smallest box under a point of the image, -1 for none."""
        found = [n for n, box in enumerate(self.boxes) if box.holds(point)]
        return min(found, key=lambda n: self.boxes[n].rect.width(), default=-1)

    def choose(self, number: int) -> None:
        """Make a box the current one."""
        if number != self.current:
            self.current = number
            self.chosen.emit()
        self._speak()
        self.update()

    def _speak(self) -> None:
        text = (
            self.tr("no box")
            if self.current < 0
            else self.tr("box {number} of {count}: {box}").format(
                number=self.current + 1,
                count=len(self.boxes),
                box="{}, {}, {} x {}".format(*self.boxes[self.current].box),
            )
        )
        self.setAccessibleDescription(text)

    # -- mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take a handle, a box, or begin a new one."""
        if event.button() != Qt.MouseButton.LeftButton or self.image.isNull():
            return
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self._from = self.to_image(event.position())
        self._grip = self._grip_at(event.position())
        hit = self._box_at(self._from)
        if self._grip is not None:
            self._kind = "pull"
        elif hit >= 0:
            self._kind = "move"
            self.choose(hit)
        else:
            self._kind = "draw"
            self.choose(-1)
        self._before = self.boxes[self.current] if self.current >= 0 else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with it, or show what a press would do."""
        point = self.to_image(event.position())
        if self._kind == "draw":
            self._draw_to(point)
        elif self._kind and self._before is not None:
            away = point - self._from
            moved = (
                self._before.moved(away.x(), away.y())
                if self._kind == "move"
                else self._before.pulled(self._grip or 0, point)
            )
            self._put(moved)
        else:
            over = self._grip_at(event.position()) is not None
            self.setCursor(
                Qt.CursorShape.PointingHandCursor if over else Qt.CursorShape.CrossCursor
            )

    def _draw_to(self, point: QPointF) -> None:
        rect = QRectF(self._from, point).normalized().intersected(QRectF(0, 0, *self.size_of))
        if self._before is None and max(rect.width(), rect.height()) * self.scale < GRIP:
            return
        if self._before is None:
            self.boxes.append(BoxDraft(rect))
            self.current = len(self.boxes) - 1
        self._before = self.boxes[self.current]
        self._put(BoxDraft(rect))

    def _put(self, where: BoxDraft) -> None:
        """Move the current box there; what it is a sample of may have changed meanwhile."""
        there = where.kept_within(*self.size_of)
        self.boxes[self.current] = replace(
            self.boxes[self.current], rect=there.rect, angle=there.angle
        )
        self._speak()
        self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the gesture: what changed is to be kept."""
        kind, self._kind = self._kind, ""
        if kind == "draw" and self._before is not None and self._too_small():
            self._drop_current()
        elif kind and self.current >= 0 and self.boxes[self.current].changed:
            self.edited.emit()
        self.rested.emit()

    def _drop_current(self) -> None:
        self.show_boxes([b for n, b in enumerate(self.boxes) if n != self.current], -1)

    def _too_small(self) -> bool:
        return min(self.boxes[self.current].box[2:]) < FEWEST

    # -- keys

    def event(self, event: QEvent) -> bool:
        """Lead Tab from box to box, and out at the last one: no trap."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Key.Key_Tab: 1, Key.Key_Backtab: -1}.get(Key(event.key()))
            if step and not self.busy and 0 <= self.current + step < len(self.boxes):
                self.choose(self.current + step)
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move, size and tilt the current box; the rest is the view's."""
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        key = Key(event.key())
        if key == Key.Key_Escape and self._kind:
            self.cancel()
        elif self.busy:  # keys mean the current box, which the mouse has
            event.ignore()
        elif key in ARROWS and self.current >= 0:
            across, down = (step * (10 if shift else 1) for step in ARROWS[key])
            box = self.boxes[self.current]
            self._nudge(box.grown(across, down) if control else box.moved(across, down))
        elif key in TILTS and self.current >= 0:
            tilt = TILTS[key] * (10 if shift and abs(TILTS[key]) == 1 else 1)
            self._nudge(self.boxes[self.current].turned(tilt))
        elif control or not self._command(event, key):
            event.ignore()

    def _command(self, event: QKeyEvent, key: Qt.Key) -> bool:
        names = {
            Key.Key_R: "reset",
            Key.Key_N: "new",
            Key.Key_Delete: "delete",
            Key.Key_Return: "save",
            Key.Key_Backspace: "delete",
            Key.Key_Enter: "save",
            Key.Key_PageDown: "next_page",
            Key.Key_PageUp: "previous_page",
            Key.Key_Escape: "leave",
        }
        if key in names:
            self.commanded.emit(names[key])
        elif letter := class_key(event):
            self.keyed.emit(letter)
        return key in names or bool(class_key(event))

    def _nudge(self, draft: BoxDraft) -> None:
        self._put(draft)
        self.nudged.emit()

    def cancel(self) -> None:
        """Put it back as it was before the press, for Esc."""
        kind, self._kind = self._kind, ""
        if kind == "draw" and self._before is not None:
            self._drop_current()
        elif kind and self._before is not None:
            self._put(self._before)
        self.rested.emit()

    # -- painting

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the image, the boxes over it, the current one with its handles."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), backdrop(self.palette()))
        focus_ring(painter, self.rect(), self.palette(), focused=self.hasFocus())
        painter.setPen(self.palette().text().color())
        if self.image.isNull():
            painter.drawText(
                self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self.words
            )
            return
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(self.area(), self.image)
        for number, box in enumerate(self.boxes):
            paint_box(painter, self, box, number == self.current)


def paint_box(painter: QPainter, canvas: CropCanvas, box: BoxDraft, current: bool) -> None:
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


def _handles(painter: QPainter, canvas: CropCanvas, box: BoxDraft, palette: QPalette) -> None:
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
