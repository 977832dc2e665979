"""Same or different? A group of look-alikes beside a class, or beside another group without a name,
where an answer would settle most.

What is the same as a class gets the class; what is different is refused it, and never proposed as
it again. Two groups without a name are bound or held apart: the name that one gets is proposed for
all that are bound to it. All are steps of the journal: undone like any other, and there tomorrow.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from gleanset.db.changes import NO_BONDS, SampleBonds
from gleanset.db.sorting import SortingQueue
from gleanset.operations import operation
from labeler.likeness import Vectors
from labeler.sorting.groups import LikenessGroup, alike_between
from labeler.sorting.page_layout import ClassPage, PageKind, PageTile, Stack
from labeler.sorting.proposals import NO_IDEA
from labeler.sorting.session import NO_STEP, WITH_PAGE, SortingSession, StepResult

EXAMPLES = 8
"""Faces of the class that are shown."""
MOST_BESIDE = 24
"""Faces of a group that are shown beside another one: only what is seen is bound."""
FEWEST, SETTLED = 2, 0.9
"""A question is about so many tiles at least, and not asked where it is so sure."""
CONFUSED = 1 / 3
"""What is less likely the same comes after all that somebody could confuse, however much it is."""
ALIKE_SLOPE, ALIKE_HALF = 8.0, 0.45
"""How likely two groups are one person, by how much they are alike beside how much each is within
itself: a logistic curve, drawn through the groups of two sets (docs/experiments.md)."""


class Question(NamedTuple):
    """Is this group of the class it is thought to be of, or the same as `other`?

    `sure` is how likely it is, `tiles` how many that settles; `label` is empty where another group
    is asked about.
    """

    group: LikenessGroup
    label: str
    sure: float
    tiles: int
    other: LikenessGroup | None = None

    @property
    def rank(self) -> tuple[bool, float, int]:
        """Where it comes among others: what could be confused first, of that what settles most."""
        worth = self.tiles * 4 * self.sure * (1 - self.sure)
        return self.sure < CONFUSED, -worth, self.about[0]

    @property
    def about(self) -> tuple[int, str | int]:
        """What tells it from other questions: the first sample below, and who is above."""
        first = self.group.stacks[0].rows[0]
        return (first, self.label) if self.other is None else (self.other.stacks[0].rows[0], first)


def questions(
    groups: Sequence[LikenessGroup], vectors: Vectors, bonds: SampleBonds = NO_BONDS
) -> list[Question]:
    """Return what may be asked, large groups, half believed, first."""
    asked, unnamed = [], []
    for group in groups:
        if len(group.stacks) < FEWEST:
            continue
        label, sure = _thought_of(group)
        if label is not None and 1 - SETTLED <= sure <= SETTLED:
            asked.append(Question(group, label, sure, len(group.stacks)))
        elif sure < 1 - SETTLED and not group.decided:
            unnamed.append(group)
    asked += _between(unnamed, vectors, bonds)
    return sorted(asked, key=lambda question: question.rank)


def _thought_of(group: LikenessGroup) -> tuple[str | None, float]:
    """Return the class that most of a group are proposed as, and how sure that is of all."""
    labels = Counter(s.proposal.label for s in group.stacks if s.proposal.label is not None)
    for label, _ in labels.most_common(1):
        tops = [dict(stack.proposal.top).get(label, 0.0) for stack in group.stacks]
        return label, sum(tops) / len(tops)
    return None, 0.0


def _between(
    groups: Sequence[LikenessGroup], vectors: Vectors, bonds: SampleBonds
) -> Iterator[Question]:
    """Yield the pairs of groups that may be one person; what settles is the smaller one."""
    people = [{bonds.person(row) for s in group.stacks for row in s.rows} for group in groups]
    apart = [bonds.not_with(row for s in group.stacks for row in s.rows) for group in groups]
    alike = alike_between([vectors[[s.number for s in group.stacks]] for group in groups])
    for one, group in enumerate(groups):
        for two in range(one + 1, len(groups)):
            sure = 1 / (1 + math.exp(-ALIKE_SLOPE * (alike[one, two] - ALIKE_HALF)))
            if sure >= 1 - SETTLED and not apart[one] & people[two]:
                size = min(len(group.stacks), len(groups[two].stacks))
                yield Question(group, "", sure, size, groups[two])


class Ties:
    """Asks and keeps the answers. `skipped` questions are asked no more in this session."""

    def __init__(self, session: SortingSession) -> None:
        self._session = session
        self._queue = SortingQueue(session.dataset.db)
        self._skipped: set[tuple[int, str | int]] = set()

    def page(self, groups: Sequence[LikenessGroup], vectors: Vectors) -> ClassPage | None:
        """Return the pair that would settle most; None for none.

        Of a class some examples come first, of a group all that can be seen.
        """
        for question in questions(groups, vectors, self._session.bonds.now()):
            if question.about in self._skipped:
                continue
            if question.other is not None:
                return _beside(question.group, question.other)
            if examples := self._examples(question.label):
                return _of_class(question.label, examples, question.group.stacks)
        return None

    def _examples(self, label: str) -> list[PageTile]:
        row = self._session.classes.id_of(label)
        found = self._queue.decided([row], EXAMPLES) if row is not None else []
        return [PageTile((one,), NO_IDEA) for one in found]

    def skip(self, page: ClassPage) -> None:
        """Do not ask this again."""
        below = page.tiles[page.groups[0]].rows[0]
        self._skipped.add((below, page.label or page.tiles[0].rows[0]))

    def answer(self, page: ClassPage, lifted: Collection[int], *, same: bool) -> StepResult:
        """Keep that both sides are the same, or that they are not; `lifted` tiles (by number) are
        left out.

        What another window has decided meanwhile stays. `NO_STEP` where nothing is left.
        """
        first = page.groups[0]
        ones, others = (
            self._waiting(page, [n for n in side if n not in lifted])
            for side in (range(first), range(first, len(page.tiles)))
        )
        label = page.label
        if not others or (label is None and not ones):
            return NO_STEP
        if label is None:
            return (
                self._session.bind([*ones, *others]) if same else self._session.part(ones, others)
            )
        self._session.refuse_gone([label])
        if same:
            return self._session.file(others, label, WITH_PAGE)
        did = operation("not-of-class", count=len(others), label=label)
        return self._session.file_each({}, did, refused=dict.fromkeys(others, label))

    def put_together(self, page: ClassPage, numbers: Collection[int]) -> StepResult:
        """Keep that tiles of an overview (by number) are of one person; `NO_STEP` for fewer than
        two that wait still.
        """
        rows = self._waiting(page, numbers)
        return self._session.bind(rows) if len(rows) > 1 else NO_STEP

    def _waiting(self, page: ClassPage, numbers: Collection[int]) -> list[int]:
        """Return the samples of some tiles that nobody has decided."""
        asked = [row for number in numbers for row in page.tiles[number].rows]
        tiles = self._session.tiles.of(asked)
        return [row for row in asked if row in tiles and tiles[row].status == "queue"]


def _of_class(label: str, examples: Sequence[PageTile], stacks: Sequence[Stack]) -> ClassPage:
    """Return a class beside a group that may be of it."""
    tiles = (*examples, *(PageTile(stack.rows, NO_IDEA) for stack in stacks))
    return ClassPage(PageKind.PAIR, label, tiles, 0, 0, (len(examples), len(stacks)))


def _beside(group: LikenessGroup, other: LikenessGroup) -> ClassPage:
    """Return two groups that may be one person, the most typical faces of each."""
    sides = [one.stacks[:MOST_BESIDE] for one in (group, other)]
    tiles = tuple(PageTile(stack.rows, NO_IDEA) for side in sides for stack in side)
    return ClassPage(PageKind.PAIR, None, tiles, 0, 0, tuple(map(len, sides)))
