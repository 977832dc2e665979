"""Boxes on a canvas as plain values: their positions, and the changes of gestures."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QTransform

from gleanset.db.regions import BoxedSample
from gleanset.records import Box

HANDLES = ((0, 0), (0.5, 0), (1, 0), (1, 0.5), (1, 1), (0.5, 1), (0, 1), (0, 0.5))
"""Corners and sides as parts of width and height, clockwise from the top left."""

ROTATE_HANDLE = -1
"""The handle above the box, which rotates it."""

_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
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
    def from_sample(cls, placed: BoxedSample) -> BoxDraft:
        return cls(QRectF(*placed.box), placed.angle, placed, (placed.box, round(placed.angle, 1)))

    def saved_as(self, placed: BoxedSample) -> BoxDraft:
        """Return the same box on the screen with the sample that it is now."""
        if self.changed:
            return replace(self, sample=placed)
        return replace(BoxDraft.from_sample(placed), id=self.id)

    @property
    def box(self) -> Box:
        rect = self.rect.normalized()
        left, top = round(rect.left()), round(rect.top())
        return Box(left, top, round(rect.right()) - left, round(rect.bottom()) - top)

    @property
    def place(self) -> tuple[Box, float]:
        """The position as it would be saved."""
        return self.box, round(self.angle, 1)

    @property
    def changed(self) -> bool:
        """Whether the position differs from the last one sent."""
        return self.place != self.sent

    def handle(self, number: int) -> QPointF:
        """Return the position of a handle before rotation."""
        across, down = (0.5, 0) if number == ROTATE_HANDLE else HANDLES[number]
        rect = self.rect
        return rect.topLeft() + QPointF(across * rect.width(), down * rect.height())

    def moved(self, across: float, down: float) -> BoxDraft:
        return replace(self, rect=self.rect.translated(across, down))

    def resized(self, across: float, down: float) -> BoxDraft:
        """Return the box wider and higher at its right and lower side."""
        rect = QRectF(self.rect)
        rect.setWidth(max(4.0, rect.width() + across))
        rect.setHeight(max(4.0, rect.height() + down))
        return replace(self, rect=rect)

    def rotated(self, degrees: float) -> BoxDraft:
        """Return the box rotated further, normalized to -180..180 degrees."""
        return replace(self, angle=(self.angle + degrees + 180) % 360 - 180)

    def with_handle_at(self, number: int, to: QPointF) -> BoxDraft:
        """Return the box with a handle moved to a point; the opposite side stays."""
        middle = self.rect.center()
        if number == ROTATE_HANDLE:
            angle = math.degrees(math.atan2(to.x() - middle.x(), middle.y() - to.y()))
            return replace(self, angle=0.0 if abs(angle) < 1 else round(angle, 1))
        point = QTransform().rotate(-self.angle).map(to - middle) + middle
        rect = QRectF(self.rect)
        across, down = HANDLES[number]
        if across == 0:
            rect.setLeft(min(point.x(), rect.right() - 4))
        elif across == 1:
            rect.setRight(max(point.x(), rect.left() + 4))
        if down == 0:
            rect.setTop(min(point.y(), rect.bottom() - 4))
        elif down == 1:
            rect.setBottom(max(point.y(), rect.top() + 4))
        return replace(self, rect=rect)

    def clamped(self, width: int, height: int) -> BoxDraft:
        """Return the box moved into the image, and reduced only if it is larger."""
        rect = self.rect.normalized()
        rect.setWidth(min(rect.width(), width))
        rect.setHeight(min(rect.height(), height))
        rect.moveLeft(min(max(rect.left(), 0.0), width - rect.width()))
        rect.moveTop(min(max(rect.top(), 0.0), height - rect.height()))
        return replace(self, rect=rect)


def update_drafts(
    drafts: Sequence[BoxDraft],
    samples: Sequence[BoxedSample],
    keys: Mapping[int, str],
    under_way: Container[int | None],
) -> list[BoxDraft]:
    """Return the boxes of a screen after the catalogue was read, during a gesture too.

    `keys` are the samples that boxes (by id) are known to be. Boxes `under_way` to be saved, and
    those changed since, stay as they are. Boxes that the catalogue does not have any more are
    removed.
    """
    drafts_by_key = {
        keys.get(draft.id, draft.sample.key if draft.sample else ""): draft for draft in drafts
    }
    updated = []
    for sample in samples:
        draft = drafts_by_key.pop(sample.key, None)
        if draft is None:
            updated.append(BoxDraft.from_sample(sample))
        elif draft.id in under_way:
            updated.append(replace(draft, sample=sample))
        else:
            updated.append(draft.saved_as(sample))
    shown_ids = {draft.id for draft in updated}
    missing = [draft for draft in drafts if draft.id not in shown_ids]
    pending = [draft for draft in missing if draft.changed or draft.id in under_way]
    return updated + [replace(draft, sample=None) for draft in pending]
