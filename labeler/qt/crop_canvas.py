"""An image with its boxes: draw, move, resize and delete, by mouse or keyboard.

Boxes are plain values (`BoxDraft`), shown as items of a graphics scene.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import NamedTuple

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
    QTransform,
    QWheelEvent,
)
from PySide6.QtWidgets import (
    QGraphicsItem,
    QGraphicsPixmapItem,
    QGraphicsScene,
    QGraphicsView,
    QWidget,
)

from gleanset.db.regions import BoxedSample
from gleanset.records import Box
from labeler.cropping import MIN_BOX_SIDE
from labeler.qt.grid.gesture_view import ARROWS
from labeler.qt.keyboard import ClassKeyReader
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import Role, backdrop, colour, focus_ring
from labeler.qt.translations import tr

HANDLES = ((0, 0), (0.5, 0), (1, 0), (1, 0.5), (1, 1), (0.5, 1), (0, 1), (0, 0.5))
"""Corners and sides as parts of width and height, clockwise from the top left."""

_NUMBERS = count(1)


@dataclass(frozen=True)
class BoxDraft:
    """A box in pixels of the image, rotated clockwise by `angle` degrees about its center.

    `sample` is the sample of the box, None for a new one; `sent` is the position that was last sent
    to be saved. `id` stays the same when the box moves.
    """

    rect: QRectF
    angle: float = 0.0
    sample: BoxedSample | None = None
    sent: tuple[Box, float] | None = None
    id: int = field(default_factory=_NUMBERS.__next__)

    @classmethod
    def from_sample(cls, placed: BoxedSample) -> "BoxDraft":
        draft = cls(QRectF(*placed.box), placed.angle, placed)
        return replace(draft, sent=draft.place)

    @property
    def box(self) -> Box:
        rect = self.rect.normalized()
        left, top = round(rect.left()), round(rect.top())
        return Box(
            left,
            top,
            round(rect.right()) - left,
            round(rect.bottom()) - top,
        )

    @property
    def place(self) -> tuple[Box, float]:
        """The position as it would be saved."""
        return self.box, round(self.angle, 1)

    @property
    def is_unsent(self) -> bool:
        """Whether the position differs from the last one sent."""
        return self.place != self.sent

    def handle(self, number: int) -> QPointF:
        """Return the position of a handle before rotation."""
        across, down = HANDLES[number]
        return self.rect.topLeft() + QPointF(
            across * self.rect.width(), down * self.rect.height()
        )

    def move_by(self, distance: QPointF) -> "BoxDraft":
        return replace(self, rect=self.rect.translated(distance))

    def resize_by(self, by: QPointF) -> "BoxDraft":
        """Return the box wider and higher at its right and lower side."""
        rect = QRectF(self.rect)
        rect.setWidth(max(MIN_BOX_SIDE, rect.width() + by.x()))
        rect.setHeight(max(MIN_BOX_SIDE, rect.height() + by.y()))
        return self._with_sides(rect)

    def with_handle_at(self, number: int, to: QPointF) -> "BoxDraft":
        """Return the box with a handle moved to a point; the opposite side stays."""
        middle = self.rect.center()
        point = QTransform().rotate(-self.angle).map(to - middle) + middle
        rect = QRectF(self.rect)
        across, down = HANDLES[number]
        if across == 0:
            rect.setLeft(min(point.x(), rect.right() - MIN_BOX_SIDE))
        elif across == 1:
            rect.setRight(max(point.x(), rect.left() + MIN_BOX_SIDE))

        if down == 0:
            rect.setTop(min(point.y(), rect.bottom() - MIN_BOX_SIDE))
        elif down == 1:
            rect.setBottom(max(point.y(), rect.top() + MIN_BOX_SIDE))

        return self._with_sides(rect)

    def _with_sides(self, rect: QRectF) -> "BoxDraft":
        """Return the box with the sides of `rect`, which is rotated about the present center.

        The result is rotated about its own center, so that is moved to where it is drawn now.
        """
        middle = self.rect.center()
        around = QTransform().rotate(self.angle)
        rect.moveCenter(around.map(rect.center() - middle) + middle)
        return replace(self, rect=rect)

    def clamp_to(self, width: int, height: int) -> "BoxDraft":
        """Return the box moved into the image, and reduced only if it is larger."""
        rect = self.rect.normalized()
        rect.setWidth(min(rect.width(), width))
        rect.setHeight(min(rect.height(), height))
        rect.moveLeft(min(max(rect.left(), 0.0), width - rect.width()))
        rect.moveTop(min(max(rect.top(), 0.0), height - rect.height()))
        return replace(self, rect=rect)


HANDLE_MARGIN = 12
"""Half of the sensitive side of a handle, in logical pixels."""

HANDLE_HALF_SIDE = 5

MIN_DRAWN_SIDE = 9
"""Logical pixels of the longer side from which a drag draws a box: less is a click."""


class BoxHandle(QGraphicsItem):
    """A handle of `HANDLES`; equally large at every zoom."""

    def __init__(self, number: int, box: QGraphicsItem):
        super().__init__(box)
        self.number = number
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemIgnoresTransformations)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def boundingRect(self) -> QRectF:
        half = QPointF(HANDLE_MARGIN, HANDLE_MARGIN)
        return QRectF(-half, half)

    def paint(
        self, painter: QPainter, option: object, widget: QWidget | None = None
    ) -> None:
        half = QPointF(HANDLE_HALF_SIDE, HANDLE_HALF_SIDE)
        painter.setPen(QPen(colour(Role.Base), 2))
        painter.setBrush(colour(Role.Highlight))
        painter.drawRect(QRectF(-half, half))


class BoxItem(QGraphicsItem):
    """A box with its label; if selected, with handles and above the others."""

    def __init__(self, draft: BoxDraft):
        super().__init__()
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemIsSelectable)
        self._handles = [BoxHandle(number, self) for number in range(len(HANDLES))]
        self.place(draft)

    def place(self, draft: BoxDraft) -> None:
        self.prepareGeometryChange()
        self.draft = draft
        self.setTransformOriginPoint(draft.rect.center())
        self.setRotation(draft.angle)
        for handle in self._handles:
            handle.setPos(draft.handle(handle.number))
        self.update()

    def select(self, selected: bool) -> None:
        self.setSelected(selected)
        self.setZValue(selected)
        for handle in self._handles:
            handle.setVisible(selected)

    def boundingRect(self) -> QRectF:
        return self.draft.rect.normalized()

    def paint(
        self, painter: QPainter, option: object, widget: QWidget | None = None
    ) -> None:
        """Paint the outline: thicker if selected, dashed if rejected."""
        sample = self.draft.sample
        rejected = sample is not None and sample.status == "rejected"
        style = Qt.PenStyle.DashLine if rejected else Qt.PenStyle.SolidLine
        line = (Role.Highlight, 3) if self.isSelected() else (Role.Text, 2)
        outline = painter.transform().map(QPolygonF(self.draft.rect))
        painter.resetTransform()  # lines and texts do not scale with the zoom
        for role, width in ((Role.Base, line[1] + 2), line):
            painter.setPen(QPen(colour(role), width, style))
            painter.drawPolygon(outline)
        if sample and (sample.label or rejected):
            text = "✗" if rejected else str(sample.label)
            metrics = painter.fontMetrics()
            height = metrics.height() + 4
            width = metrics.horizontalAdvance(text) + 10
            corner = outline.first()
            # Above the box, but in the window: a whole image has no room above it.
            left = max(0, corner.x())
            top = max(0, corner.y() - height - 2)
            plate = QRectF(left, top, width, height)
            painter.fillRect(plate, colour(Role.Base))
            painter.setPen(colour(Role.Text))
            painter.drawText(plate, Qt.AlignmentFlag.AlignCenter, text)


Key = Qt.Key
REPEATABLE_KEYS = {
    *ARROWS,
    Key.Key_PageDown,
    Key.Key_PageUp,
    Key.Key_Tab,
    Key.Key_Backtab,
}
"""Keys that repeat while held; all others act once per press."""

IMAGE_MARGIN = 8
ZOOM_STEP = 1.15
MAX_ZOOM = 32.0


class CropCommand(Enum):
    """Commands of keys for the view above the canvas; the values are the keys."""

    NEXT_PAGE = (Key.Key_Return, Key.Key_Enter, Key.Key_PageDown)
    PREVIOUS_PAGE = (Key.Key_PageUp,)
    NEW = (Key.Key_N,)
    DELETE = (Key.Key_Delete,)
    LEAVE = (Key.Key_Escape,)


COMMAND_BY_KEY = {key: command for command in CropCommand for key in command.value}


class BoxGesture(NamedTuple):
    """A gesture: the box before it, and the box with the mouse at a point of the image."""

    before: BoxDraft
    box_at: Callable[[QPointF], BoxDraft]
    draws: bool = False


class CropCanvas(QGraphicsView):
    """A scene in pixels of the image; each box is an item, and keys act on the `current` one.

    `edited` is emitted when a gesture has changed a box or another box becomes current,
    `gesture_ended` after every gesture, `nudged` with every key that moved a box, `commanded`
    (`CropCommand`) and `keyed` (text) for other keys. Ctrl and the wheel zoom at the cursor.
    """

    edited = Signal()
    gesture_ended = Signal()
    nudged = Signal()
    keyed = Signal(str)
    commanded = Signal(CropCommand)

    def __init__(self, worker: SessionWorker):
        super().__init__()
        self.codes = ClassKeyReader(worker, self)
        self.image = QPixmap()
        self.image_size = (1, 1)
        self.placeholder = ""
        self.current = -1
        self._zoom = 1.0
        self._gesture: BoxGesture | None = None
        self._items: list[BoxItem] = []
        self._pixmap_item = QGraphicsPixmapItem()
        self._pixmap_item.setTransformationMode(
            Qt.TransformationMode.SmoothTransformation
        )
        self._pixmap_item.setCacheMode(
            QGraphicsPixmapItem.CacheMode.DeviceCoordinateCache
        )
        self._scene = QGraphicsScene(self)
        # An index is not worth it: there are few items.
        self._scene.setItemIndexMethod(QGraphicsScene.ItemIndexMethod.NoIndex)
        self._scene.addItem(self._pixmap_item)
        self.setScene(self._scene)
        # Pens and handles are larger than their item's bounding rectangle.
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.FullViewportUpdate)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.AnchorUnderMouse)
        self.setAcceptDrops(False)  # the window takes what is dropped
        # Repainted with the canvas when focus changes.
        self.viewport().setAutoFillBackground(False)
        self.viewport().setCursor(Qt.CursorShape.CrossCursor)
        self.setAccessibleName(tr("Image to draw boxes on"))

    @property
    def boxes(self) -> list[BoxDraft]:
        return [item.draft for item in self._items]

    @property
    def busy(self) -> bool:
        return self._gesture is not None

    @property
    def mouse_box(self) -> int | None:
        """The id of the box that the mouse holds."""
        return self.boxes[self.current].id if self.busy and self.current >= 0 else None

    def show_image(
        self, image: QImage, size: tuple[int, int], placeholder: str = ""
    ) -> None:
        """Show another image of `size` pixels.

        `image` may be smaller; `placeholder` is shown while there is none.
        """
        self.image_size = size
        self.placeholder = placeholder
        self._gesture = None
        self.image = QPixmap.fromImage(image)
        self._pixmap_item.setPixmap(self.image)
        if not image.isNull():
            self._pixmap_item.setTransform(
                QTransform.fromScale(size[0] / image.width(), size[1] / image.height())
            )
        self._scene.setSceneRect(0, 0, *size)
        self._zoom_to(1.0)
        self.viewport().update()

    def show_boxes(self, boxes: Sequence[BoxDraft], current: int) -> None:
        for item in self._items:
            self._scene.removeItem(item)
        self._items = [BoxItem(box) for box in boxes]
        for item in self._items:
            self._scene.addItem(item)
        self._select(min(current, len(boxes) - 1))

    def remove_current(self, current: int) -> None:
        """Remove the current box; `current` is the next one, -1 for none."""
        self.show_boxes(
            [box for n, box in enumerate(self.boxes) if n != self.current], current
        )

    def replace_box(self, draft: BoxDraft) -> None:
        """Update the box with this id."""
        for item in self._items:
            if item.draft.id == draft.id:
                item.place(draft)
        self._describe()

    def update_boxes(self, boxes: Sequence[BoxDraft]) -> None:
        """Show other boxes; the current one stays, and a gesture ends if its box is gone."""
        current_id = self.boxes[self.current].id if self.current >= 0 else None
        place = next((n for n, box in enumerate(boxes) if box.id == current_id), None)
        if current_id is not None and place is None:
            self._gesture = None
        self.show_boxes(
            boxes,
            self.current if place is None else place,
        )

    def choose(self, number: int) -> None:
        changed = number != self.current
        self._select(number)
        if changed:
            self.edited.emit()

    def _select(self, number: int) -> None:
        self.current = number
        for place, item in enumerate(self._items):
            item.select(place == number)
        self._describe()

    def _describe(self) -> None:
        text = tr("no box")
        if self.current >= 0:
            text = tr(
                "box {number} of {count}: {box}",
                number=self.current + 1,
                count=len(self._items),
                box="{}, {}, {} x {}".format(*self.boxes[self.current].box),
            )
        self.setAccessibleDescription(text)

    def _zoom_to(self, zoom: float) -> None:
        """Zoom relative to the size at which the whole image is visible."""
        self._zoom = min(max(zoom, 1.0), MAX_ZOOM)
        room = self.maximumViewportSize()
        width, height = self.image_size
        room -= QSize(IMAGE_MARGIN, IMAGE_MARGIN) * 2
        scale = min(room.width() / width, room.height() / height) * self._zoom
        self.setTransform(QTransform.fromScale(scale, scale))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._zoom_to(self._zoom)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self._zoom_to(self._zoom * ZOOM_STEP ** (event.angleDelta().y() / 120))
        else:
            super().wheelEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        place = self.viewport().rect()
        # Behind a notice, the darker ground would look like a frame around it.
        is_empty = self.image.isNull() and not self.placeholder
        painter.fillRect(
            place,
            colour(Role.Window) if is_empty else backdrop(),
        )
        painter.setPen(colour(Role.Text))
        if self.image.isNull():
            painter.drawText(
                place,
                Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap,
                self.placeholder,
            )
        else:
            painter.end()
            super().paintEvent(event)
            painter.begin(self.viewport())

        focus_ring(painter, place, self)

    def _map_to_image(self, event: QMouseEvent) -> QPointF:
        inverse, _ = self.viewportTransform().inverted()
        return inverse.map(event.position())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() != Qt.MouseButton.LeftButton or self.image.isNull():
            return
        start = self._map_to_image(event)
        under = self.items(event.position().toPoint())
        handles = [item.number for item in under if isinstance(item, BoxHandle)]
        boxes = [item for item in under if isinstance(item, BoxItem)]
        # Of boxes within each other, the smallest.
        hit = min(boxes, key=lambda item: item.draft.rect.width(), default=None)
        # Only the current box shows handles; if it is small, several may be under the mouse.
        if handles:
            before = self.boxes[self.current]
            self._gesture = BoxGesture(
                before, lambda point: before.with_handle_at(min(handles), point)
            )
        elif hit is not None and hit.draft.rect != self.sceneRect():
            self.choose(self._items.index(hit))
            before = hit.draft
            self._gesture = BoxGesture(
                before, lambda point: before.move_by(point - start)
            )
        else:  # a box of the whole image cannot be moved: a click selects it
            self.choose(self._items.index(hit) if hit is not None else -1)
            new = BoxDraft(QRectF(start, start))
            self._gesture = BoxGesture(
                new, lambda point: self._span(new, point), draws=True
            )

    mouseDoubleClickEvent = mousePressEvent  # noqa: N815 - a press like any other

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        if self._gesture is None:
            return
        box = self._gesture.box_at(self._map_to_image(event))
        if box.id not in {draft.id for draft in self.boxes}:  # drawn until now
            side = max(box.rect.width(), box.rect.height())
            # m11 is the horizontal scale, the same as the vertical one.
            if side * self.transform().m11() < MIN_DRAWN_SIDE:
                return
            self.show_boxes([*self.boxes, box], len(self.boxes))

        self._place_current(box)

    def _span(self, box: BoxDraft, point: QPointF) -> BoxDraft:
        rect = QRectF(box.rect.topLeft(), point).normalized()
        return replace(box, rect=rect.intersected(self.sceneRect()))

    def _place_current(self, draft: BoxDraft) -> None:
        """Move the current box to where `draft` is.

        Its sample stays the current one, which may be newer than that of `draft`.
        """
        placed = draft.clamp_to(*self.image_size)
        self.replace_box(
            replace(self.boxes[self.current], rect=placed.rect, angle=placed.angle)
        )

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._end_gesture()

    def _end_gesture(self, *, cancelled: bool = False) -> None:
        """End the gesture; `cancelled` restores the box as it was before."""
        gesture = self._gesture
        self._gesture = None
        box = self.boxes[self.current] if self.current >= 0 else None
        if gesture is not None and box is not None and box.id == gesture.before.id:
            # A new box that is too narrow or too low was drawn by accident.
            if gesture.draws and (cancelled or min(box.box[2:]) < MIN_BOX_SIDE):
                self.remove_current(-1)
            elif cancelled:
                self._place_current(gesture.before)
            elif box.is_unsent:
                self.edited.emit()

        self.gesture_ended.emit()

    def focusNextPrevChild(self, next: bool) -> bool:  # noqa: A002 - the name that Qt gives it
        """Move the focus from box to box, and out after the last one."""
        number = self.current + (1 if next else -1)
        if self.busy or not 0 <= number < len(self._items):
            return super().focusNextPrevChild(next)
        self.choose(number)
        self.ensureVisible(self._items[number])
        return True

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Key(event.key())
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if self.busy:  # the mouse holds the current box
            if key == Key.Key_Escape:
                self._end_gesture(cancelled=True)
            else:
                event.ignore()

            return

        if event.isAutoRepeat() and key not in REPEATABLE_KEYS:
            return
        # None: it was used up by a code of two keys. Empty: not a class key.
        code = self.codes.read(event)
        if code is None:
            return
        if key in ARROWS and self.current >= 0:
            length = 10 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1
            step = QPointF(*ARROWS[key]) * length
            box = self.boxes[self.current]
            self._place_current(box.resize_by(step) if control else box.move_by(step))
            self.nudged.emit()
        # The second letter of a code is not a command.
        elif key in COMMAND_BY_KEY and not control and len(code) < 2:
            self.commanded.emit(COMMAND_BY_KEY[key])
        elif code:
            self.keyed.emit(code)
        else:
            event.ignore()
