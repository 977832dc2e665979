"""Keeping boxes: one change at a time, each a step; what was changed meanwhile comes next."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, QRectF, Signal

from gleanset.db.cropping import Placed
from gleanset.errors import GleansetError
from labeler.cropping.session import Drawn, Sheet, put, sheet, take_away
from labeler.qt.box_state import Draft
from labeler.qt.crop_canvas import CropCanvas
from labeler.qt.desk import Desk
from labeler.sorting.session import Done, SortingSession


class CropSaving(QObject):
    """Hands the boxes of a canvas to the desk. `saved` (Sheet, number of the current box)."""

    saved = Signal(object, int)

    def __init__(self, desk: Desk, canvas: CropCanvas) -> None:
        super().__init__()
        self._desk, self._canvas = desk, canvas
        self._first: dict[str, tuple[QRectF, float]] = {}
        self.pending = False

    def save(self, sha256: str) -> bool:
        """Keep the first box that was changed; whether there was one, or one is being kept."""
        number = next((n for n, box in enumerate(self._canvas.boxes) if box.changed), -1)
        if self.pending or number < 0:
            return self.pending
        draft = self._canvas.boxes[number]
        drawn: list[Drawn] = []

        def work(session: SortingSession) -> Done:
            drawn.append(put(session.dataset, sha256, draft.box, round(draft.angle, 1), draft.kept))
            return session.adopt(drawn[-1].step, 1)

        def then(done: Done) -> None:
            self._note_first(draft.kept, drawn[-1].key)
            self._read(sha256, drawn[-1].key, draft)

        def failed(error: GleansetError) -> None:
            self._desk.say(str(error), bad=True)
            self._read(sha256, "", None)

        self.pending = True
        self._desk.decide(work, then, failed)
        return True

    def take_away(self, sha256: str, box: Placed) -> None:
        """A sample is none any more."""

        def work(session: SortingSession) -> Done:
            gone = take_away(session.dataset, box)
            return session.adopt(gone.step, 1)

        self.pending = True
        self._desk.decide(work, lambda done: self._read(sha256, "", None),
                          lambda error: self._read(sha256, "", None))  # fmt: skip

    def _read(self, sha256: str, key: str, submitted: Draft | None) -> None:
        def then(found: Sheet) -> None:
            self.pending = False
            self._show(found, key, submitted)

        def failed(error: GleansetError) -> None:
            self.pending = False
            self._desk.say(str(error), bad=True)

        self._desk.ask(lambda session: sheet(session.dataset, sha256), then, failed)

    def _show(self, found: Sheet, key: str, submitted: Draft | None) -> None:
        """The boxes as they are kept now; the current one as it was moved since."""
        canvas, boxes = self._canvas, [Draft.of(box) for box in found.boxes]
        place = next((n for n, box in enumerate(found.boxes) if box.key == key), -1)
        now = canvas.boxes[canvas.current] if canvas.current >= 0 else None
        if place >= 0 and now is not None and submitted is not None and now != submitted:
            same = now.kept is not None and submitted.kept == now.kept
            if same and now.changed:
                boxes[place] = replace(boxes[place], rect=now.rect, angle=now.angle)
        canvas.show_boxes(boxes, place)
        self.saved.emit(found, place)

    def _note_first(self, before: Placed | None, key: str) -> None:
        if before is not None:
            self._first[key] = self._first.get(before.key, (QRectF(*before.box), before.angle))

    def as_it_was(self, draft: Draft) -> Draft:
        """A box where it was before this window first moved it."""
        if draft.kept is None:
            return draft
        rect, angle = self._first.get(draft.kept.key, (QRectF(*draft.kept.box), draft.kept.angle))
        return replace(draft, rect=rect, angle=angle)
