"""Class pages: what is proposed next, and what happens when a page is filed.

After each page everything is proposed anew from what was decided, so that one correction mends
others. Nothing is filed that was not on a page.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from gleanset.db.proposals import SampleFeatures, SampleProposals, SortingQueue
from gleanset.db.sorting import ClassCount
from gleanset.operations import Operation, operation
from labeler.likeness import Likeness, Space, Vectors
from labeler.sorting.checks import Checks, ClassCompletion, CompletedClass
from labeler.sorting.groups import (
    FEWEST,
    FEWEST_LATER,
    LikenessGroup,
    chance_of_new,
    divided,
    likeness_groups,
    overview,
    unlike_all,
    unmeasured,
)
from labeler.sorting.measuring import measure_some
from labeler.sorting.page_layout import (
    HOPELESS,
    ROOM,
    ClassPage,
    PageKind,
    Stack,
    compose,
    stacks_of,
)
from labeler.sorting.proposals import (
    ClassOpinion,
    ClassProposal,
    ErrorCalibration,
    NeighbourReliability,
    Neighbours,
    NeighbourVote,
    combined,
    of_hint,
)
from labeler.sorting.session import NO_STEP, WITH_PAGE, SortingSession, StepResult
from labeler.sorting.ties import Ties

POOL = 3000
"""So many samples are looked at for one page: bounded, however many wait."""

DECIDED = 2000

MEASURING, A_FEW = 3.0, 32
"""So many seconds are spent before the first faces are shown, some samples at a time."""


class Pages:
    """Makes pages for one session. Skipped samples come last."""

    def __init__(self, session: SortingSession) -> None:
        self._session = session
        self._queue = SortingQueue(session.dataset.db)
        self._likeness = Likeness(session.dataset)
        self.calibration = ErrorCalibration()
        self.reliability = NeighbourReliability()
        self._votes: dict[int, ClassOpinion] = {}
        self._decided: list[SampleFeatures] | None = None
        self._skipped: dict[int, str | None] = {}
        self._finishing = ClassCompletion(session)
        self._split: set[int] = set()
        self._named: set[str] = set()
        self._groups: list[LikenessGroup] = []
        self.ties = Ties(session)

    def next(self, room: int = ROOM) -> ClassPage | None:
        """Return the next page of at most `room` tiles; None when nothing waits."""
        likes, others = self._pool()
        if not likes:
            self._finishing.see(others)
            return None
        classes = self._session.tiles.counts().classes
        self._decided = self._decided_samples(classes)
        if not self._decided:
            likes = self._measured(likes)
        space = self._likeness.space([*likes, *self._decided])
        proposals = self._proposals(likes, self._decided, space, classes)
        self._finishing.see({proposal.label for proposal in proposals} | others)
        stacks = [
            Stack(
                n[0],
                tuple(likes[m].id for m in n),
                _shared([proposals[m] for m in n]),
                next((likes[m].hint for m in n if likes[m].hint), None),
            )
            for n in stacks_of(likes, self._split)
        ]
        counts = {row.name: row.count for row in classes}
        return self._page(stacks, space(likes)[0], space(self._decided)[0], counts, room)

    def _measured(self, likes: list[SampleFeatures]) -> list[SampleFeatures]:
        """Measure for some seconds what cannot be compared yet: the first groups are to be groups
        of look-alikes.
        """
        end, after = time.monotonic() + MEASURING, 0
        rows = [like.id for like in likes]
        while any(like.descriptor is None for like in likes) and time.monotonic() < end:
            after = measure_some(self._session.dataset, A_FEW, after)
            if not after:
                return self._queue.of(rows)
        return self._queue.of(rows) if after else likes

    def _page(
        self,
        stacks: list[Stack],
        vectors: Vectors,
        decided: Vectors,
        counts: Mapping[str, int],
        room: int,
    ) -> ClassPage | None:
        """Return an overview while there are groups of whom nobody knows the name, then pages of
        what is proposed, then what is left over, in groups however small.
        """
        self._named = {name for name, count in counts.items() if count}
        groups = likeness_groups(stacks, vectors, decided)
        unlike = unlike_all(groups, chance_of_new(counts.values()))
        stacks = [
            stack._replace(proposal=stack.proposal.doubted(unlike.get(stack.number, 0.0)))
            if stack.hint is None and stack.proposal.label in self._named
            else stack
            for stack in stacks
        ]
        by_number = {stack.number: stack for stack in stacks}
        groups = [
            g._replace(stacks=tuple(by_number[stack.number] for stack in g.stacks)) for g in groups
        ]
        self._groups = groups
        unsure = {s.number for s in stacks if s.proposal.confidence < 1 - HOPELESS}
        nobody = [
            g._replace(stacks=tuple(stack for stack in g.stacks if stack.number in unsure))
            for g in groups
        ]
        left = [stack for stack in stacks if stack.proposal.label is None]
        return (
            overview(nobody, vectors, room, FEWEST_LATER if self._named else FEWEST)
            or compose(stacks, vectors, room)
            or overview(likeness_groups(left, vectors, decided[:0]), vectors, room, fewest=1)
            or unmeasured(left)
        )

    def _pool(self) -> tuple[list[SampleFeatures], set[str | None]]:
        """Return what is looked at for a page, and what is proposed for all that waits
        besides it.
        """
        rows, others = self._rows()
        fresh = [row for row in rows if row not in self._skipped]
        if rows and not fresh:
            # Everything else is done: those that were skipped come again.
            self._skipped.clear()
            fresh = rows
        others |= {self._skipped[row] for row in rows if row in self._skipped}
        return self._queue.of(fresh[:POOL]), others

    def _rows(self) -> tuple[list[int], set[str | None]]:
        """Return those of the class that most wait for, where there are more than can be
        looked at.
        """
        most = POOL + len(self._skipped)
        rows = self._queue.waiting(most + 1)
        if len(rows) > most and (proposed := self._queue.proposed()):
            label = max(proposed, key=lambda row: (proposed[row], -row))
            others = {self._session.classes.name_of(row) for row in proposed}
            return self._queue.waiting_for(label, most), {*others}
        return rows, {None} if len(rows) > most else set()

    def _proposals(
        self,
        likes: list[SampleFeatures],
        decided: list[SampleFeatures],
        space: Space,
        classes: Sequence[ClassCount],
    ) -> list[ClassProposal]:
        rows = [like.id for like in likes]
        names = {row.id: row.name for row in classes}
        offers = self._queue.offers(rows)
        refused = self._session.changes.refused(rows)
        share = _share_of(offers.values(), {row.id for row in classes if row.count})
        self._votes = {}
        if share is not None:
            # What a presort says and its vectors are one source; the descriptor is another one.
            space = self._likeness.by_descriptor
        vectors, there = space(likes)
        neighbours = _neighbours(decided, space)
        vote = neighbours.vote(vectors, _bias(share, classes))
        unseen = len(names) - len(neighbours.classes)
        found = []
        for number, like in enumerate(likes):
            offer = offers.get(like.id)
            said = {names[c]: sure for c, sure in offer.proposals if c in names} if offer else {}
            opinions = [ClassOpinion(said) if said else of_hint(like.hint)]
            if there[number]:
                vote_opinion = _of_vote(vote, number, names, unseen, self.reliability.worth)
                self._votes[like.id] = vote_opinion
                opinions.append(vote_opinion)
            no = [names[c] for c in refused.get(like.id, ()) if c in names]
            found.append(combined(opinions, list(names.values()), no, self.calibration.doubt))
        return found

    def _decided_samples(self, classes: Sequence[ClassCount]) -> list[SampleFeatures]:
        each = max(12, DECIDED // max(1, len(classes)))
        return self._queue.of(self._queue.decided([row.id for row in classes], each))

    def nearest(self, row: int, most: int = 4) -> list[int]:
        """Return the decided samples (rows) that are nearest to one, as of the last page."""
        if self._decided is None:
            self._decided = self._decided_samples(self._session.tiles.counts().classes)
        like = self._queue.of([row])
        others = [decided for decided in self._decided if decided.id != row]
        space = self._likeness.space([*like, *others])
        (vectors, there), (among, known) = space(like), space(others)
        if not there.any():
            return []
        alike = np.where(known, among @ vectors[0], -np.inf)
        near = np.argsort(-alike)[: min(most, int(known.sum()))]
        return [others[int(number)].id for number in near]

    def skip(self, page: ClassPage) -> None:
        """Show other pages first."""
        if page.kind is PageKind.PAIR:
            self.ties.skip(page)
            return
        for tile in page.tiles:
            self._skipped.update(dict.fromkeys(tile.rows, tile.proposal.label))

    def offer(self) -> CompletedClass | None:
        """Return a class that is done, as of the last page, and can be checked."""
        return self._finishing.offer()

    def check(self, label: str) -> ClassPage | None:
        """Return a dozen of a class without its name; None where there is nothing to look
        at again.
        """
        self._finishing.taken(label)
        return Checks(self._session).page(label)

    def pair(self) -> ClassPage | None:
        """Return a group and a class, as of the last page, of which it would settle most whether
        they are the same; None where there is nothing to ask.
        """
        self.next()
        return self.ties.page(self._groups)

    def divide(self, page: ClassPage, number: int) -> ClassPage:
        """Return an overview with one of its groups in two, by likeness."""
        first = sum(group.size for group in page.groups[:number])
        tiles = page.tiles[first : first + page.groups[number].size]
        likes = self._queue.of([tile.rows[0] for tile in tiles])
        if len(likes) < max(2, len(tiles)):
            return page
        return divided(page, number, self._likeness.space(likes)(likes)[0])

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
        with self._session.dataset.db.write():
            still = self._still_waiting(labels)
            no = {row: name for row, name in self._still_waiting(refused).items() if name}
            something = still or no
            done = (
                self._session.file_each(still, _filing(still), WITH_PAGE, no)
                if something
                else NO_STEP
            )
        # Only now: while the disk refuses, this is tried again and again.
        self._learn(page, lifted, sent, label)
        if something:
            self._finishing.filed(set(still.values()))
            self._learn_votes(page)
        return done

    def _learn_votes(self, page: ClassPage) -> None:
        """How often the neighbours were right, now that it is known who is who."""
        for row, tile in self._session.tiles.of(page.rows).items():
            says = self._votes.pop(row, ClassOpinion({})).says
            if says and tile.label is not None:
                label = max(says, key=lambda name: says[name])
                self.reliability.learn(says[label], right=label == tile.label)

    def _learn(
        self,
        page: ClassPage,
        lifted: Collection[int],
        sent: Collection[int],
        label: str | None,
    ) -> None:
        if page.kind is not PageKind.GROUPS:
            wrong = len(page.tiles) if label else len(set(lifted) | set(sent))
            self.calibration.learn(page.expected_wrong, wrong)

    def _still_waiting(self, labels: Mapping[int, str]) -> dict[int, str]:
        """Return them without what another window has decided since the page was made."""
        tiles = self._session.tiles.of(list(labels))
        return {row: labels[row] for row, tile in tiles.items() if tile.status == "queue"}


def _filing(labels: Mapping[int, str]) -> Operation:
    """Return what filing these samples is: in one class, or in several."""
    names = set(labels.values())
    if len(names) == 1:
        return operation("label", count=len(labels), label=names.pop())
    return operation("label-each", count=len(labels), classes=len(names))


def _neighbours(decided: list[SampleFeatures], space: Space) -> Neighbours:
    vectors, there = space(decided)
    labels = np.array([like.label or 0 for like in decided], np.int64)
    return Neighbours(vectors[there], labels[there])


def _bias(share: float | None, classes: Iterable[ClassCount]) -> float:
    """Return the log odds that a sample is of a known class, before anybody looks at it."""
    if share is not None:
        return math.log((share + 0.02) / (1.02 - share))
    new = chance_of_new(row.count for row in classes)
    return math.log((1 - new) / new)


def _share_of(offers: Iterable[SampleProposals], decided: Collection[int]) -> float | None:
    """Return which part of what waits a presort expects in classes with decided samples; None
    without.
    """
    sums = [
        sum(sure for label, sure in o.proposals if label in decided) for o in offers if o.proposals
    ]
    return min(1.0, sum(sums) / len(sums)) if sums else None


def _of_vote(
    vote: NeighbourVote, number: int, names: Mapping[int, str], unseen: int, trust: float
) -> ClassOpinion:
    """Return the neighbours' word, where the sample is rather of a class that they know.

    What they doubt is for the `unseen` classes, of which nobody has shown them a face.
    """
    first, second = names.get(int(vote.label[number])), names.get(int(vote.second[number]))
    known, sure = float(vote.known[number]), trust * float(vote.confidence[number])
    if first is None or known < 0.5:
        return ClassOpinion({})
    says = {first: sure * known if unseen else sure}
    if second is not None:
        says[second] = (1 - sure) * known * 0.7
    return ClassOpinion(says)


def _shared(proposals: list[ClassProposal]) -> ClassProposal:
    """Return what a stack is proposed as: the mean of its samples."""
    if len(proposals) == 1:
        return proposals[0]
    sums: dict[str, float] = {}
    for proposal in proposals:
        for name, share in proposal.top:
            sums[name] = sums.get(name, 0.0) + share / len(proposals)
    best = sorted(sums.items(), key=lambda item: (-item[1], item[0]))[:3]
    return ClassProposal(tuple(best))
