"""What is proposed for samples that wait: every source's word on them, as far as it was right."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from gleanset.db.proposals import Proposals
from gleanset.db.sorting import ClassCount, SampleFeatures, SampleProposals, SortingQueue
from labeler.likeness import Likeness, Space
from labeler.sorting.groups import chance_of_new
from labeler.sorting.proposals import (
    MOST_SURE,
    ClassOpinion,
    ClassProposal,
    NeighbourReliability,
    Neighbours,
    NeighbourVote,
    combined,
    of_hint,
)
from labeler.sorting.session import SortingSession

DECIDED = 2000
"""So many decided samples others are compared with."""

BOUND = 0.98
"""How sure it is that who was bound to somebody is of that one's class."""


class Proposer:
    """Asks the presort, hints and neighbours for one session, and learns how right they were."""

    def __init__(self, session: SortingSession) -> None:
        self._session = session
        self._queue = SortingQueue(session.dataset.db)
        self._proposals = Proposals(session.dataset.db)
        self.likeness = Likeness(session.dataset)
        self.reliability = NeighbourReliability()
        self._votes: dict[int, ClassOpinion] = {}
        self._decided: list[SampleFeatures] | None = None

    def decided(self, classes: Sequence[ClassCount]) -> list[SampleFeatures]:
        """Return samples that have a class, of each class some, as they are now."""
        each = max(12, DECIDED // max(1, len(classes)))
        self._decided = self._queue.of(self._queue.decided([row.id for row in classes], each))
        return self._decided

    def proposals(
        self,
        likes: list[SampleFeatures],
        decided: list[SampleFeatures],
        space: Space,
        classes: Sequence[ClassCount],
    ) -> list[ClassProposal]:
        """Return what is proposed for each of some samples, beside those that are decided."""
        rows = [like.id for like in likes]
        names = {row.id: row.name for row in classes}
        named = {row.id for row in classes if row.count}
        # What was learnt before a class had a name takes its faces for others.
        offers = {} if self._proposals.not_known() else self._queue.offers(rows)
        refused = self._session.changes.refused(rows)
        bonds = self._session.bonds.now()
        share = _share_of(offers.values(), named)
        self._votes = {}
        if share is not None:
            # What a presort says and its vectors are one source; the descriptor is another one.
            space = self.likeness.by_descriptor
        vectors, there = space(likes)
        neighbours = _neighbours(decided, space)
        vote = neighbours.vote(vectors, _bias(share, classes))
        unseen = len(names) - len(neighbours.classes)
        found = []
        for number, like in enumerate(likes):
            offer = offers.get(like.id)
            offered = offer.proposals if offer else ()
            said = {names[c]: min(MOST_SURE, sure) for c, sure in offered if c in names}
            opinions = [ClassOpinion(said) if said else of_hint(like.hint)]
            if there[number]:
                vote_opinion = _of_vote(vote, number, names, unseen, self.reliability.worth)
                self._votes[like.id] = vote_opinion
                opinions.append(vote_opinion)
            if bound := [names[c] for c in bonds.classes_of(like.id) if c in names]:
                opinions.append(ClassOpinion(dict.fromkeys(bound, BOUND / len(bound))))
            no_class = refused.get(like.id, frozenset()) | bonds.not_classes_of(like.id)
            no = [names[c] for c in no_class if c in names]
            found.append(combined(opinions, list(names.values()), no))
        return found

    def nearest(self, row: int, most: int = 4) -> list[int]:
        """Return the decided samples (rows) that are nearest to one, as of the last page."""
        decided = self._decided
        if decided is None:
            decided = self.decided(self._session.tiles.counts().classes)
        like = self._queue.of([row])
        others = [one for one in decided if one.id != row]
        space = self.likeness.space([*like, *others])
        (vectors, there), (among, known) = space(like), space(others)
        if not there.any():
            return []
        alike = np.where(known, among @ vectors[0], -np.inf)
        near = np.argsort(-alike)[: min(most, int(known.sum()))]
        return [others[int(number)].id for number in near]

    def learn_votes(self, rows: Sequence[int]) -> None:
        """Note how often the neighbours were right, now that it is known who is who."""
        for row, tile in self._session.tiles.of(rows).items():
            says = self._votes.pop(row, ClassOpinion({})).says
            if says and tile.label is not None:
                label = max(says, key=lambda name: says[name])
                self.reliability.learn(says[label], right=label == tile.label)


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
