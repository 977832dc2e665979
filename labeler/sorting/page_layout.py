"""From proposals to a page: which faces are shown together, in which order, and how large.

Faces of one track are stacked, shown as one tile and decided as one, and so are faces of one moment
that look nearly equal. Only both together make such a stack: frames of a video that are near in
time, and descriptors that are nearly equal. Whoever stands beside a character is not stacked with
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

import numpy as np

from curation.similarity.descriptor import uncentered_space
from gleanset.db.sorting import SampleFeatures
from labeler.likeness import Vectors
from labeler.sorting.proposals import ClassProposal

TENTHS = 10
SECONDS = 2.0
NEARLY = 0.4
"""Descriptors (uncentered) at most so far apart: .72 of the pairs of a drawn track are, and one in
1,900 pairs of two people, twins mostly."""


def stacks_of(likes: Sequence[SampleFeatures], split: Collection[int] = ()) -> list[list[int]]:
    """Return the numbers of samples that belong together, each sample in one stack, most of one.

    A track is one. Else a stack goes on as long as the next frame is near the last one and looks
    like the first one, so that a slow pan does not end at somebody else. Rows in `split` stay
    alone.
    """
    vectors, there = uncentered_space().get_vectors([like.descriptor for like in likes])
    stacks: list[list[int]] = []
    open_: dict[str, list[list[int]]] = {}
    followed: dict[str, list[int]] = {}

    def when(number: int) -> tuple[str, float, int]:
        like = likes[number]
        return like.video or "", like.time or 0.0, like.id

    for number in sorted(range(len(likes)), key=when):
        like = likes[number]
        if like.track is not None and like.id not in split:
            if like.track not in followed:
                stacks.append(followed.setdefault(like.track, []))
            followed[like.track].append(number)
            continue
        if like.video is None or like.time is None or not there[number] or like.id in split:
            stacks.append([number])
            continue
        mine = [
            stack
            for stack in open_.get(like.video, [])
            if like.time - (likes[stack[-1]].time or 0.0) <= SECONDS
        ]
        fitting = next((s for s in mine if _fits(number, s, likes, vectors)), None)
        if fitting is None:
            fitting = [number]
            stacks.append(fitting)
            mine.append(fitting)
        else:
            fitting.append(number)
        open_[like.video] = mine
    return stacks


def beside_each_other(
    stacks: Sequence[Stack], likes: Sequence[SampleFeatures]
) -> set[tuple[int, int]]:
    """Return the pairs of stacks (by number) that one picture shows."""
    images = {like.id: like.image for like in likes}
    shown: dict[int, set[int]] = {}
    for stack in stacks:
        for row in stack.rows:
            shown.setdefault(images[row], set()).add(stack.number)
    return {pair for numbers in shown.values() for pair in combinations(sorted(numbers), 2)}


def _fits(number: int, stack: list[int], likes: Sequence[SampleFeatures], vectors: Vectors) -> bool:
    """Nearly equal to the first, and not a second face of a picture that is in the stack."""
    if any(likes[other].image == likes[number].image for other in stack):
        return False
    return float(np.linalg.norm(vectors[number] - vectors[stack[0]])) <= NEARLY


ROOM = 96
EXPECTED_WRONG = 6.0
"""A page ends where so many are expected to be wrong."""
WORTH_A_PAGE = 2 * EXPECTED_WRONG
"""Where fewer than that are expected to be wrong after it, all of what is left is one page: another
one costs an Enter, and what it would have learnt by then rights less than that.
"""

TOO_MIXED, HOPELESS = 0.15, 0.30
"""The share expected to be wrong over which a page is split, and over which it is no page."""

DOUBTFUL, MOST_DOUBTFUL = 0.85, 18
HEADING = 4
"""A section takes the room of so many tiles besides its own: its heading, the end of its line."""
LEFT_ROOM, FULL, FEW = 24, 0.9, 6
"""Where no class fills so much of a page, or the only one has fewer than a few sure faces, several
share one: an Enter for each of ten classes costs more than to look over ten headings.
"""

FIRST = 24
"""Faces on the first page of a class, whose proposals were not tested on decisions yet; as many as
are decided of it where those are more.
"""


def by_tenths(proposals: Iterable[tuple[float, int]]) -> tuple[int, ...]:
    """Return ten counts: how many samples are proposed with 0-10 %, 10-20 % … 90-100 %.

    `proposals` are confidences (0..1), each with a number of samples.
    """
    counts = [0] * TENTHS
    for confidence, samples in proposals:
        counts[min(TENTHS - 1, max(0, int(confidence * TENTHS)))] += samples
    return tuple(counts)


class Stack(NamedTuple):
    """One tile: samples that are decided as one, and what is proposed for them.

    `number` is that of its first sample in the pool, `rows` those of the catalogue.
    """

    number: int
    rows: tuple[int, ...]
    proposal: ClassProposal


class PageTile(NamedTuple):
    """A tile of a page: the samples it stands for and its proposals."""

    rows: tuple[int, ...]
    proposal: ClassProposal


class PageKind(StrEnum):
    """One class, groups nobody knows, what is left of several, and what cannot be compared yet."""

    CLASS = "class"
    GROUPS = "groups"
    LEFT = "left"
    PLAIN = "plain"


class ClassPage(NamedTuple):
    """What is shown at once.

    The first `doubtful` tiles are the doubtful ones. `of` is how many wait for the same class.
    Tiles of an overview are in `groups` of so many each. How many are expected to be wrong is not
    to be told before such proposals were `tested` on decisions.
    """

    kind: PageKind
    label: str | None
    tiles: tuple[PageTile, ...]
    doubtful: int = 0
    of: int = 0
    groups: tuple[int, ...] = ()
    tested: bool = False

    @property
    def expected_wrong(self) -> float:
        """How many of the tiles for which a class is proposed are expected to be wrong."""
        return sum(1 - t.proposal.confidence for t in self.tiles if t.proposal.label is not None)

    @property
    def rows(self) -> list[int]:
        """All samples on it."""
        return [row for tile in self.tiles for row in tile.rows]

    @property
    def labels(self) -> set[str]:
        """The classes that it names."""
        labels = {self.label, *(tile.proposal.label for tile in self.tiles)}
        return {label for label in labels if label is not None}

    @property
    def sureness(self) -> tuple[int, ...]:
        """How sure its proposals are: ten counts (see `by_tenths`)."""
        said = (tile for tile in self.tiles if tile.proposal.label is not None)
        return by_tenths((tile.proposal.confidence, len(tile.rows)) for tile in said)

    def renamed(self, names: Mapping[str, str]) -> ClassPage:
        """Return it with other names of classes, which are called so by now."""
        tiles = tuple(one._replace(proposal=one.proposal.renamed(names)) for one in self.tiles)
        label = None if self.label is None else names.get(self.label, self.label)
        return self._replace(label=label, tiles=tiles)


def compose(
    stacks: Sequence[Stack],
    vectors: Vectors,
    room: int,
    tested: Collection[str],
    decided: Counter[str],
) -> ClassPage | None:
    """Return the next page, of one class or of several; None where nothing is proposed.

    A first page of a class that was not `tested` on decisions is small, as long as few samples of
    it are `decided`.
    """
    by_class: dict[str, list[Stack]] = {}
    for stack in stacks:
        if stack.proposal.label is not None and stack.proposal.confidence >= 1 - HOPELESS:
            by_class.setdefault(stack.proposal.label, []).append(stack)
    pages = [class_page(label, mine, vectors, room) for label, mine in by_class.items()]
    guessed = [stack for stack in stacks if stack.proposal.label is not None]
    most = max((len(page.tiles) for page in pages), default=0)
    whole = room * FULL if len(pages) > 1 else FEW
    # After a page of a few that leaves others over would come one that is no larger.
    if pages and (most >= whole or most == len(guessed)):
        best = max(
            pages, key=lambda page: (len(page.tiles) - page.expected_wrong, page.label or "")
        )
        if (label := str(best.label)) in tested:
            return best._replace(tested=True)
        return class_page(label, by_class[label], vectors, min(room, max(FIRST, decided[label])))
    if not guessed:
        return None
    first = max(FIRST, sum(decided.values()))
    page = left_page(guessed, vectors, room if tested else min(room, first))
    return page._replace(tested=page.labels <= {*tested})


def class_page(label: str, stacks: Sequence[Stack], vectors: Vectors, room: int) -> ClassPage:
    """Return the surest of one class, up to an expected number of errors."""
    taken: list[Stack] = []
    wrong = 0.0
    for stack in sorted(stacks, key=lambda s: (-s.proposal.confidence, s.number)):
        wrong += 1 - stack.proposal.confidence
        least = max(TOO_MIXED, 1 - taken[0].proposal.confidence) if taken else 1.0
        # Of what is as doubtful from the first on no part is purer than all.
        mixed = len(taken) >= FEW and wrong / (len(taken) + 1) > least + 0.001
        # The hundredth is for sums of equal parts that come out a little high.
        if taken and (wrong > EXPECTED_WRONG + 0.01 or len(taken) >= room or mixed):
            break
        taken.append(stack)
    least_sure = sorted(taken, key=lambda s: (s.proposal.confidence, s.number))
    doubtful = [s for s in least_sure if s.proposal.confidence < DOUBTFUL][:MOST_DOUBTFUL]
    if len(doubtful) == len(taken):  # all are alike
        doubtful = []
    sure = in_order([s for s in taken if s not in doubtful], vectors)
    tiles = [PageTile(s.rows, s.proposal) for s in (*doubtful, *sure)]
    return ClassPage(
        PageKind.CLASS, label, tuple(tiles), len(doubtful), sum(len(s.rows) for s in stacks)
    )


def left_page(stacks: Sequence[Stack], vectors: Vectors, room: int) -> ClassPage:
    """Return several classes on one page, each tile with its own first proposal, class by class.

    Look-alikes are side by side within a class: one sweep mends several.
    """
    taken: list[Stack] = []
    labels: set[str] = set()
    wrong, of_all = 0.0, sum(1 - stack.proposal.confidence for stack in stacks)
    for stack in sorted(stacks, key=lambda s: (-s.proposal.confidence, s.number)):
        wrong += 1 - stack.proposal.confidence
        full = len(taken) + HEADING * len(labels) >= room
        enough = wrong > EXPECTED_WRONG and of_all - wrong > WORTH_A_PAGE
        if len(taken) >= LEFT_ROOM and (enough or full):
            break
        taken.append(stack)
        labels.add(stack.proposal.label or "")
    tiles: list[PageTile] = []
    for label in sorted(labels):
        mine = [stack for stack in taken if (stack.proposal.label or "") == label]
        tiles += [PageTile(s.rows, s.proposal) for s in in_order(mine[::-1], vectors)]
    return ClassPage(PageKind.LEFT, None, tuple(tiles), 0, sum(len(s.rows) for s in stacks))


def plain_page(stacks: Sequence[Stack], room: int) -> ClassPage | None:
    """Return stacks of which nothing can be said, as they came; None for no stack."""
    tiles = tuple(PageTile(stack.rows, stack.proposal) for stack in stacks[:room])
    return ClassPage(PageKind.PLAIN, None, tiles, 0, len(stacks)) if tiles else None


def in_order(stacks: Sequence[Stack], vectors: Vectors) -> list[Stack]:
    """Look-alikes side by side: from each to the nearest that is left, so one sweep mends many."""
    if len(stacks) < 3:
        return list(stacks)
    chosen = vectors[[stack.number for stack in stacks]]
    apart = np.sqrt(np.maximum(2 - 2 * (chosen @ chosen.T), 0))
    here, order = 0, [0]
    apart[:, 0] = np.inf
    for _ in range(len(stacks) - 1):
        here = int(np.argmin(apart[here]))
        apart[:, here] = np.inf
        order.append(here)
    return [stacks[number] for number in order]
