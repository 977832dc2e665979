"""Keeping boxes: each change is a step; what is drawn while one is saved is never touched.

Changes are handed to the worker at once and carried out in order. Which sample a box is by then is
looked up when its turn comes: a box that is moved, labelled or deleted while it is still being
saved may have become another sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from PySide6.QtCore import QObject, QRectF, Signal

from gleanset.db.samples import BoxedSample
from gleanset.errors import GleansetError, UsageError
from labeler.cropping.session import Drawn, ImageBoxes, in_use, put, sheet, take_away
from labeler.qt.crop.boxes import BoxDraft, brought_up_to_date
from labeler.qt.crop.canvas import CropCanvas
from labeler.qt.session_worker import SessionWorker
from labeler.sorting.session import NO_STEP, SortingSession, StepResult


class CropSaving(QObject):
    """Hands the boxes of a canvas to the worker. `read` (ImageBoxes): after a change."""

    read = Signal(object)

    def __init__(self, worker: SessionWorker, canvas: CropCanvas) -> None:
        super().__init__()
        self._worker, self._canvas = worker, canvas
        self._first: dict[str, tuple[QRectF, float]] = {}
        self._keys: dict[int, str] = {}
        self._newest: dict[int, str] = {}  # the same, on the worker's thread
        self._under_way: Counter[int] = Counter()
        self._leaving: set[int] = set()

    @property
    def pending(self) -> bool:
        """Whether something is being saved."""
        return bool(self._under_way or self._leaving)

    def save(self, sha256: str) -> None:
        """Keep every box that was changed, but for the one under the mouse."""
        for box in self._canvas.boxes:
            if box.changed and box.id != self._canvas.held:
                sent = replace(box, sent=box.place)
                self._canvas.replace_box(sent)
                self._put(sha256, sent)

    def _put(self, sha256: str, draft: BoxDraft) -> None:
        drawn: list[Drawn] = []

        def work(session: SortingSession) -> StepResult:
            box, angle = draft.place
            drawn.append(put(session.dataset, sha256, box, angle, self._sample_of(draft)))
            self._newest[draft.id] = drawn[-1].key
            return session.adopt(drawn[-1].step, 1)

        def then(done: StepResult) -> None:
            self._rested(draft)
            self._keys[draft.id] = drawn[-1].key
            self._note_first(draft.kept, drawn[-1].key)

        def failed(error: GleansetError) -> None:
            self._rested(draft)
            self._give_up(draft)
            self._worker.say(str(error), bad=True)

        self._under_way[draft.id] += 1
        self._decide(sha256, work, then, failed)

    def take_away(self, sha256: str, draft: BoxDraft) -> None:
        """Take a sample away."""

        def work(session: SortingSession) -> StepResult:
            key = self._sample_of(draft)
            if key is None:  # it could not be saved before
                return NO_STEP
            return session.adopt(take_away(session.dataset, key).step, 1)

        def failed(error: GleansetError) -> None:
            self._leaving.discard(draft.id)
            self._worker.say(str(error), bad=True)

        self._leaving.add(draft.id)
        self._decide(sha256, work, lambda done: self._leaving.discard(draft.id), failed)

    def label(self, sha256: str, draft: BoxDraft, target: str) -> None:
        """Give the sample that a box is, or is about to be, a class."""

        def work(session: SortingSession) -> StepResult:
            key = self._sample_of(draft)
            if key is None:
                raise UsageError("a box that was not saved has no class", "draw it anew")
            key = in_use(session.dataset, key).key
            return session.to(list(session.tiles.rows_of([key]).values()), target)

        self._decide(sha256, work, None, None, of=[target])

    def _decide(
        self,
        sha256: str,
        work: Callable[[SortingSession], StepResult],
        then: Callable[[StepResult], None] | None,
        failed: Callable[[GleansetError], None] | None,
        of: Sequence[str] = (),
    ) -> None:
        self._worker.decide(work, then, failed, of)
        self._worker.ask(lambda session: sheet(session.dataset, sha256), self.read.emit)

    def _sample_of(self, draft: BoxDraft) -> str | None:
        """Return the sample that a box is by now. On the worker's thread."""
        return self._newest.get(draft.id, draft.kept.key if draft.kept else None)

    def _rested(self, draft: BoxDraft) -> None:
        self._under_way[draft.id] -= 1
        self._under_way += Counter()  # without those that are zero

    def _give_up(self, draft: BoxDraft) -> None:
        """Put a box that could not be saved back where it was, unless it was moved since."""
        boxes = self._canvas.boxes
        if not any(box.id == draft.id and box.place == draft.place for box in boxes):
            return
        if draft.kept is None:
            self._canvas.renew([box for box in boxes if box.id != draft.id])
        else:
            self._canvas.replace_box(replace(BoxDraft.of(draft.kept), id=draft.id))

    def bring_up_to_date(self, found: ImageBoxes) -> None:
        """Show the boxes as they are kept now; what a person is at stays."""
        leaving = {self._keys.get(number) for number in self._leaving}
        staying = [box for box in found.boxes if box.key not in leaving]
        busy = {*self._under_way, self._canvas.held}
        self._canvas.renew(brought_up_to_date(self._canvas.boxes, staying, self._keys, busy))

    def _note_first(self, before: BoxedSample | None, key: str) -> None:
        if before is not None:
            self._first[key] = self._first.get(before.key, (QRectF(*before.box), before.angle))

    def as_it_was(self, draft: BoxDraft) -> BoxDraft:
        """Return a box where it was before this window first moved it."""
        if draft.kept is None:
            return draft
        rect, angle = self._first.get(draft.kept.key, (QRectF(*draft.kept.box), draft.kept.angle))
        return replace(draft, rect=rect, angle=angle)
