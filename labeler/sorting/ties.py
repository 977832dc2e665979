"""Same or different? A group of look-alikes beside a class, where an answer would settle most.

What is the same gets the class; what is different is refused it, and never proposed as it again.
Both are steps of the journal: undone like any other, and there tomorrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from gleanset.db.proposals import SortingQueue
from gleanset.operations import operation
from labeler.sorting.groups import LikenessGroup
from labeler.sorting.page_layout import ClassPage, PageGroup, PageKind, PageTile
from labeler.sorting.proposals import NO_IDEA
from labeler.sorting.session import NO_STEP, WITH_PAGE, SortingSession, StepResult

EXAMPLES = 8
"""Faces of the class that are shown."""
FEWEST, SETTLED = 2, 0.9
"""A question is about so many tiles at least, and not asked where it is so sure."""


class Question(NamedTuple):
    """Is this group of the class it is thought to be of? `worth` is how many tiles that settles."""

    group: LikenessGroup
    label: str
    worth: float


def questions(groups: Sequence[LikenessGroup]) -> list[Question]:
    """Return what may be asked, first what would settle most: large groups, half believed."""
    found = []
    for group in groups:
        labels = Counter(s.proposal.label for s in group.stacks if s.proposal.label is not None)
        for label, _ in labels.most_common(1):
            tops = [dict(stack.proposal.top).get(label, 0.0) for stack in group.stacks]
            sure = sum(tops) / len(tops)
            if len(tops) >= FEWEST and 1 - SETTLED <= sure <= SETTLED:
                found.append(Question(group, label, len(tops) * 4 * sure * (1 - sure)))
    return sorted(found, key=lambda q: (-q.worth, q.label))


class Ties:
    """Asks and keeps the answers. `skipped` questions are asked no more in this session."""

    def __init__(self, session: SortingSession) -> None:
        self._session = session
        self._queue = SortingQueue(session.dataset.db)
        self._skipped: set[tuple[int, str]] = set()

    def page(self, groups: Sequence[LikenessGroup]) -> ClassPage | None:
        """Return the pair that would settle most, some of the class first; None for none."""
        for question in questions(groups):
            row = self._session.classes.id_of(question.label)
            examples = self._queue.decided([row], EXAMPLES) if row is not None else []
            if not examples or (question.group.stacks[0].rows[0], question.label) in self._skipped:
                continue
            tiles = [PageTile((one,), NO_IDEA) for one in examples]
            tiles += [PageTile(stack.rows, NO_IDEA) for stack in question.group.stacks]
            sides = (
                PageGroup(len(examples), question.label),
                PageGroup(len(question.group.stacks)),
            )
            return ClassPage(PageKind.PAIR, question.label, tuple(tiles), 0, 0, sides)
        return None

    def skip(self, page: ClassPage) -> None:
        """Do not ask this again."""
        first = page.tiles[page.groups[0].size].rows[0]
        self._skipped.add((first, page.label or ""))

    def answer(self, page: ClassPage, lifted: Collection[int], *, same: bool) -> StepResult:
        """File what is the same, or note that it is not; `lifted` tiles (by number) are left out.

        What another window has decided meanwhile stays. `NO_STEP` where nothing is left.
        """
        label = page.label or ""
        asked = [
            row
            for number, tile in enumerate(page.tiles)
            if number >= page.groups[0].size and number not in lifted
            for row in tile.rows
        ]
        tiles = self._session.tiles.of(asked)
        rows = [row for row in asked if row in tiles and tiles[row].status == "queue"]
        if not rows:
            return NO_STEP
        if same:
            return self._session.file(rows, label, WITH_PAGE)
        did = operation("not-of-class", count=len(rows), label=label)
        return self._session.file_each({}, did, refused=dict.fromkeys(rows, label))
