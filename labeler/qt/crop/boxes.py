"""The boxes on a canvas as plain values: where they are, and how a gesture changes them."""

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
"""Corners and sides, as parts of width and height; clockwise from the top left."""

TURN = -1
"""The handle above the box, which turns it."""

_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class BoxDraft:
    """A box in pixels of the image, turned clockwise by `angle` degrees about its middle.

    `kept` is the sample it is of, None for a new one; `sent` where it was when it was last
    handed over to be saved. `id` stays the same wherever it is moved.
    """

    rect: QRectF
    angle: float = 0.0
    kept: BoxedSample | None = None
    sent: tuple[Box, float] | None = None
    id: int = field(default_factory=_NUMBERS.__next__)

    @classmethod
    def of(cls, placed: BoxedSample) -> BoxDraft:
        return cls(QRectF(*placed.box), placed.angle, placed, (placed.box, round(placed.angle, 1)))

    def kept_as(self, placed: BoxedSample) -> BoxDraft:
        """Return the same box of the screen as the sample that it is by now."""
        if self.changed:
            return replace(self, kept=placed)
        return replace(BoxDraft.of(placed), id=self.id)

    @property
    def box(self) -> Box:
        rect = self.rect.normalized()
        left, top = round(rect.left()), round(rect.top())
        return Box(left, top, round(rect.right()) - left, round(rect.bottom()) - top)

    @property
    def place(self) -> tuple[Box, float]:
        """Where it is, as it would be saved."""
        return self.box, round(self.angle, 1)

    @property
    def changed(self) -> bool:
        """Whether it is elsewhere than when it was last handed over."""
        return self.place != self.sent

    def handle(self, number: int) -> QPointF:
        """Return where a handle is before the box is turned; `TURN` stands on the upper side."""
        across, down = (0.5, 0) if number == TURN else HANDLES[number]
        rect = self.rect
        return rect.topLeft() + QPointF(across * rect.width(), down * rect.height())

    def moved(self, across: float, down: float) -> BoxDraft:
        return replace(self, rect=self.rect.translated(across, down))

    def grown(self, across: float, down: float) -> BoxDraft:
        """Return it wider and higher at its right and lower side."""
        rect = QRectF(self.rect)
        rect.setWidth(max(4.0, rect.width() + across))
        rect.setHeight(max(4.0, rect.height() + down))
        return replace(self, rect=rect)

    def turned(self, degrees: float) -> BoxDraft:
        """Return it turned further, at most to 180 degrees either way."""
        return replace(self, angle=(self.angle + degrees + 180) % 360 - 180)

    def pulled(self, number: int, to: QPointF) -> BoxDraft:
        """Return it with a handle pulled to a point; the opposite side stays as it is."""
        middle = self.rect.center()
        if number == TURN:
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

    def kept_within(self, width: int, height: int) -> BoxDraft:
        """Return it pushed back into the image, made smaller only where it is larger than that."""
        rect = self.rect.normalized()
        rect.setWidth(min(rect.width(), width))
        rect.setHeight(min(rect.height(), height))
        rect.moveLeft(min(max(rect.left(), 0.0), width - rect.width()))
        rect.moveTop(min(max(rect.top(), 0.0), height - rect.height()))
        return replace(self, rect=rect)


def brought_up_to_date(
    drafts: Sequence[BoxDraft],
    kept: Sequence[BoxedSample],
    keys: Mapping[int, str],
    under_way: Container[int | None],
) -> list[BoxDraft]:
    """The boxes of a screen after the catalogue was read; the gesture under the mouse goes on.

    `keys` are the samples that boxes (by id) are known to be. Boxes `under_way` to be saved, and
    those that were changed since, stay as they are on the screen. What the catalogue does not
    have any more is gone from the screen, too.
    """
    mine = {keys.get(draft.id, draft.kept.key if draft.kept else ""): draft for draft in drafts}
    shown = []
    for placed in kept:
        draft = mine.pop(placed.key, None)
        if draft is None:
            shown.append(BoxDraft.of(placed))
        elif draft.id in under_way:
            shown.append(replace(draft, kept=placed))
        else:
            shown.append(draft.kept_as(placed))
    there = {draft.id for draft in shown}
    rest = [draft for draft in drafts if draft.id not in there]
    staying = [draft for draft in rest if draft.changed or draft.id in under_way]
    return shown + [replace(draft, kept=None) for draft in staying]
