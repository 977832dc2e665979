"""Class pages: what is proposed next, and what happens when a page is filed.

After each page everything is proposed anew from what was decided, so that one correction mends
others. Nothing is filed that was not on a page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from curation.similarity.clustering import list_tracks, refine_with_tracks
from gleanset.db.sorting import SampleFeatures, SortingQueue
from gleanset.operations import operation
from labeler.likeness import NEARLY_ALL, Vectors
from labeler.sorting.groups import (
    FEWEST,
    FEWEST_LATER,
    MOST,
    SURELY,
    LikenessGroup,
    divided,
    like_no_class,
    likeness_groups,
    overview,
)
from labeler.sorting.measuring import POOL
from labeler.sorting.page_layout import (
    FIRST,
    ROOM,
    ClassPage,
    PageKind,
    Stack,
    beside_each_other,
    by_tenths,
    compose,
    plain_page,
    stacks_of,
)
from labeler.sorting.proposals import Proposer, mean_proposal
from labeler.sorting.session import NO_STEP, WITH_PAGE, SortingSession, StepResult


class PooledSamples(NamedTuple):
    """Samples that are looked at, and what is proposed for all that waits besides them."""

    likes: list[SampleFeatures]
    others: set[str | None]


class WaitingPool:
    """Chooses for one session what is looked at. Skipped samples come last."""

    def __init__(self, session: SortingSession) -> None:
        self._session = session
        self._queue = SortingQueue(session.dataset.db)
        self._skipped: dict[int, str | None] = {}

    def next(self) -> PooledSamples:
        """Return what is to be looked at now."""
        rows, others = self._rows()
        fresh = [row for row in rows if row not in self._skipped]
        if rows and not fresh:
            # Everything else is done: those that were skipped come again.
            self._skipped.clear()
            fresh = rows
        others |= {self._skipped[row] for row in rows if row in self._skipped}
        return PooledSamples(self._queue.get_features(fresh[:POOL]), others)

    def _rows(self) -> tuple[list[int], set[str | None]]:
        """Return waiting samples; of very many those of the most frequent prediction."""
        most = POOL + len(self._skipped)
        rows = self._queue.list_waiting(most + 1)
        if len(rows) > most and (proposed := self._queue.count_proposed()):
            label = max(proposed, key=lambda row: (proposed[row], -row))
            others = {self._session.classes.get_name(row) for row in proposed}
            return self._queue.list_proposed(label, most), {*others}
        return rows, {None} if len(rows) > most else set()

    def skip(self, page: ClassPage) -> None:
        """Look at others first."""
        for tile in page.tiles:
            self._skipped.update(dict.fromkeys(tile.rows, tile.proposal.label))


class LookAtQueue(NamedTuple):
    """What is thought of the samples that wait, at one moment.

    `vectors` are those of the samples by the number of their stack, `decided` those of others that
    have a class. Stacks (by number) that are `like_none` are in a group that is like no class.
    `named` says how many each class has; `proposed` are all that are proposed. There are no groups
    while too few can be `compared`.
    """

    stacks: list[Stack]
    groups: list[LikenessGroup]
    like_none: set[int]
    vectors: Vectors
    decided: Vectors
    named: Counter[str]
    proposed: set[str | None]
    compared: bool


class Pages:
    """Makes pages for one session.

    There are no groups before nearly all that waits can be compared: of a few that are measured
    first, each would have several people.
    """

    def __init__(self, session: SortingSession) -> None:
        self._session = session
        self._queue = SortingQueue(session.dataset.db)
        self._pool = WaitingPool(session)
        self.proposer = Proposer(session)
        self._split: set[int] = set()
        self._stacks: list[Stack] = []
        self._learnt = False
        # What was decided before tells how sure a class is proposed, as a first page would.
        counts = session.tiles.get_counts().classes
        self._tested = {row.name for row in counts if row.count >= FIRST}
        self._unreadable: set[int] = set()

    def next(self, room: int = ROOM) -> ClassPage | None:
        """Return the next page of at most `room` tiles; None when nothing waits."""
        return self._shown(self._look(), room)

    def _shown(self, look: LookAtQueue, room: int) -> ClassPage | None:
        self._stacks = look.stacks
        return _page(look, room, self._tested) if look.stacks else None

    def all_measured(self) -> None:
        """Note that what has no descriptor now will have none."""
        waiting = self._queue.get_features(self._queue.list_waiting(POOL))
        self._unreadable = {like.id for like in waiting if like.descriptor is None}

    def anew(self, page: ClassPage, room: int = ROOM) -> ClassPage | None:
        """Return a page in place of one that can be compared better by now, else None."""
        if page.kind is PageKind.PLAIN:
            look = self._look()
            return self._shown(look, room) if look.compared else None
        seen = [] if self._learnt else self._queue.get_features(page.rows)
        return self.next(room) if self.proposer.likeness.is_learnt(seen) else None

    def _look(self) -> LookAtQueue:
        likes, others = self._pool.next()
        classes = self._session.tiles.get_counts().classes
        decided = self.proposer.decided(classes)
        everybody = [*likes, *decided]
        self._learnt = self.proposer.likeness.is_learnt(everybody)
        space = self.proposer.likeness.space(everybody)
        proposals = self.proposer.proposals(likes, decided, space, classes)
        stacks = [
            Stack(n[0], tuple(likes[m].id for m in n), mean_proposal([proposals[m] for m in n]))
            for n in stacks_of(likes, self._split)
        ]
        named = Counter({row.name: row.count for row in classes if row.count})
        (vectors, there), known = space(likes), space(decided)[0]
        # All of a track are compared as one, by what tracks say of likeness.
        tracks = list_tracks(one.track for one in everybody)
        both = refine_with_tracks(np.concatenate([vectors, known]), tracks)
        vectors, known = both[: len(likes)], both[len(likes) :]
        never = sum(like.id in self._unreadable for like in likes)
        compared = bool(there.sum() >= min(MOST, NEARLY_ALL * len(there) - never))
        beside = beside_each_other(stacks, likes)
        groups = likeness_groups(stacks, vectors, known, beside) if compared else []
        like_none = like_no_class(groups, vectors, known, [like.label or 0 for like in decided])
        proposed = {proposal.label for proposal in proposals} | others
        return LookAtQueue(stacks, groups, like_none, vectors, known, named, proposed, compared)

    def sureness(self, label: str | None) -> tuple[int, ...]:
        """Return the confidences on the last page in ten counts (see `by_tenths`)."""
        return by_tenths(
            (stack.proposal.confidence, len(stack.rows))
            for stack in self._stacks
            if stack.proposal.label is not None and label in (None, stack.proposal.label)
        )

    def nearest(self, row: int) -> list[int]:
        """Return the decided samples (rows) that are most like one, as of the last page."""
        return [like.id for like, _ in self.proposer.nearest(row)]

    def skip(self, page: ClassPage) -> None:
        """Show other pages first."""
        self._pool.skip(page)

    def divide(self, page: ClassPage, number: int) -> ClassPage:
        """Return an overview with one of its groups in two, by likeness."""
        first = sum(page.groups[:number])
        tiles = page.tiles[first : first + page.groups[number]]
        likes = self._queue.get_features([tile.rows[0] for tile in tiles])
        if len(likes) < max(2, len(tiles)):
            return page
        return divided(page, number, self.proposer.likeness.space(likes)(likes)[0])

    def split(self, rows: Iterable[int]) -> None:
        """Show the samples of a stack one by one from now on."""
        self._split.update(rows)

    def file(
        self,
        page: ClassPage,
        lifted: Collection[int] = (),
        sent: Collection[int] = (),
        label: str | None = None,
    ) -> StepResult:
        """File what is `in`: all tiles (by number) that were neither lifted nor sent elsewhere.

        `label` is the name for a page of look-alikes, or another class for the whole page. What
        was lifted is not proposed as this class again. `NO_STEP` where nothing is left to be filed.
        """
        chosen = {
            n: label or t.proposal.label
            for n, t in enumerate(page.tiles)
            if n not in lifted and n not in sent
        }
        labels = {row: name for n, name in chosen.items() if name for row in page.tiles[n].rows}
        refused = {
            row: label or page.tiles[n].proposal.label or ""
            for n in lifted
            for row in page.tiles[n].rows
        }
        with self._session.dataset.db.transaction():
            still = self._still_waiting(labels)
            no = {row: name for row, name in self._still_waiting(refused).items() if name}
            done = NO_STEP
            if still or no:
                names = set(still.values())
                did = (
                    operation("label", count=len(still), label=names.pop())
                    if len(names) == 1
                    else operation("label-each", count=len(still), classes=len(names))
                )
                done = self._session.file_each(still, did, WITH_PAGE, no)
        # Only now: while the disk refuses, this is tried again and again.
        if page.kind is not PageKind.GROUPS:
            self._tested |= {tile.proposal.label for tile in page.tiles if tile.proposal.label}
        return done

    def _still_waiting(self, labels: Mapping[int, str]) -> dict[int, str]:
        """Return them without what another window has decided since the page was made."""
        tiles = self._session.tiles.get_many(list(labels))
        return {row: labels[row] for row, tile in tiles.items() if tile.status == "queue"}


def _page(look: LookAtQueue, room: int, tested: Collection[str]) -> ClassPage | None:
    """Return unnamed groups, else proposals, else smaller groups, else what is left."""
    # Whoever is hinted to be of a class that has nobody yet is on the page of that class.
    met = {None, *look.named}
    unsure = {
        stack.number
        for stack in look.stacks
        if stack.proposal.label in met
        and (stack.number in look.like_none or stack.proposal.confidence < SURELY)
    }
    nobody = [
        group._replace(stacks=tuple(stack for stack in group.stacks if stack.number in unsure))
        for group in look.groups
    ]
    left = [stack for stack in look.stacks if stack.proposal.label is None]
    comparable = left if look.compared else []
    fewest = FEWEST_LATER if look.named else FEWEST
    return (
        overview(nobody, look.vectors, room, fewest)
        or compose(look.stacks, look.vectors, room, tested, look.named)
        or overview(
            likeness_groups(comparable, look.vectors, look.decided[:0]), look.vectors, room, 1
        )
        or plain_page(left, room)
    )
