"""Duplicate sets and doubtful labels, which a person checks a few at a time."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from gleanset.db.journal import REVIEW
from gleanset.db.sorting import SampleTile
from gleanset.db.views import ReviewItem
from gleanset.files.store import hash_bytes
from labeler.duplicates.plan import DuplicateSet, accept, keep_all
from labeler.review import accept_suggestions, confirm_labels
from labeler.sorting.session import SortingSession, StepResult
from labeler.web.api_models import SentStep

MAX_DOUBTFUL = 24
"""Doubtful labels that are shown at once."""


class CheckedFace(msgspec.Struct):
    """A face with its class; `other` is one that somebody else or similar faces suggest, if any.

    `people` are those who disagree.
    """

    key: str
    label: str | None
    size: tuple[int, int]
    other: str | None = None
    confidence: float | None = None
    people: str = ""


class CheckPage(msgspec.Struct):
    """Faces to check, of `left` sets or faces; an `is_uncertain` set may be no duplicates.

    Its `id` is that of these faces with these labels: steps refer to faces by their position.
    """

    left: int
    faces: list[CheckedFace]
    is_uncertain: bool = False
    id: str = ""

    def __post_init__(self) -> None:
        self.id = hash_bytes(msgspec.json.encode(self.faces))


class CopiesCheck(NamedTuple):
    """The check of a duplicate set; its best copy is the first face."""

    copies: DuplicateSet

    @property
    def rows(self) -> list[int]:
        """The samples of the set."""
        return self.copies.rows

    def describe(self, tiles: Mapping[int, SampleTile], left: int) -> CheckPage:
        """Return what a person sees; `tiles` are for `LabelsCheck`, which has the same methods."""
        faces = [
            CheckedFace(face.key, face.label, (face.width, face.height))
            for face in self.copies.members
        ]
        return CheckPage(
            left,
            faces,
            self.copies.doubtful,
        )

    def settle(self, session: SortingSession, sent: SentStep) -> StepResult:
        """Keep one copy, by position; without one, none of them is a copy."""
        dataset = session.dataset
        if not sent.tiles:
            return session.adopt(keep_all(dataset, [self.copies]))
        best = self.copies.members[sent.tiles[0]].key
        return session.adopt(accept(dataset, [self.copies.with_best(best)]))


class LabelsCheck(NamedTuple):
    """The check of labels that similar faces contradict."""

    items: Sequence[ReviewItem]

    @property
    def rows(self) -> list[int]:
        """The samples with these labels."""
        return [item.id for item in self.items]

    def describe(self, tiles: Mapping[int, SampleTile], left: int) -> CheckPage:
        """Return what a person sees; `tiles` are those of its samples by row."""
        faces = [
            CheckedFace(
                tiles[item.id].key,
                item.label,
                tiles[item.id].region.region.box[2:],
                item.other,
                item.value,
                item.people,
            )
            for item in self.items
        ]
        return CheckPage(left, faces)

    def settle(self, session: SortingSession, sent: SentStep) -> StepResult:
        """Confirm labels, or else give each face a class, or what is suggested for it."""
        items = [self.items[n] for n in sent.tiles]
        if sent.act == "confirm":
            return confirm_labels(
                session,
                {i.id: str(i.label) for i in items},
            )
        if sent.label:
            return session.decide([item.id for item in items], sent.label, REVIEW)
        return accept_suggestions(session, {i.id: str(i.other) for i in items})


NO_CHECK = LabelsCheck(())
