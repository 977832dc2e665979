"""What is proposed for each sample that waits: as a presort would by now, on the vectors that are
there; what a person said of single samples counts before that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from curation.moments import assign_moments
from curation.similarity.class_learning import (
    TOP,
    estimate_membership,
    learn_classes,
    list_training_keys,
)
from gleanset.db.classes import Changes, normalize_class_name
from gleanset.db.journal import get_unseen_labels
from gleanset.db.proposals import PresortSample, PresortSamples, Proposals
from gleanset.db.sorting import ClassCount, SampleFeatures, SortingQueue
from gleanset.errors import UsageError
from labeler.likeness import Likeness, Space, Vectors
from labeler.sorting.session import SortingSession

DECIDED = 2000
"""So many decided samples others are compared with."""
HINT = 0.8
"""How often a hint is right, as long as nothing is known: queries find bystanders."""
MOST_SURE = 0.995
LIKELY = 0.5
"""The only class is proposed for those who are rather of it than not."""


class ClassProposal(NamedTuple):
    """Classes with their probabilities, the likeliest first; empty where nobody knows."""

    top: tuple[tuple[str, float], ...] = ()

    @property
    def label(self) -> str | None:
        """The first proposal."""
        return self.top[0][0] if self.top else None

    @property
    def confidence(self) -> float:
        """How sure it is; 0 for none."""
        return self.top[0][1] if self.top else 0.0

    def renamed(self, names: Mapping[str, str]) -> ClassProposal:
        """Return it with other names of classes."""
        return ClassProposal(tuple((names.get(name, name), sure) for name, sure in self.top))

    def but(self, refused: Collection[str], named: Collection[str]) -> ClassProposal:
        """Return it without refused classes, else the others with equal probabilities."""
        left = tuple(each for each in self.top if each[0] not in refused)
        if left or not self.top:
            return ClassProposal(left)
        others = sorted(name for name in named if name not in refused)
        return ClassProposal(tuple((name, 1 / (len(others) + 1)) for name in others[:TOP]))


NO_IDEA = ClassProposal()


def mean_proposal(proposals: Sequence[ClassProposal]) -> ClassProposal:
    """Return what several samples that are decided as one are proposed as."""
    if len(proposals) == 1:
        return proposals[0]
    sums: dict[str, float] = {}
    for proposal in proposals:
        for name, share in proposal.top:
            sums[name] = sums.get(name, 0.0) + share / len(proposals)
    return ClassProposal(tuple(sorted(sums.items(), key=lambda each: (-each[1], each[0]))[:TOP]))


def of_hint(hint: str | None) -> ClassProposal:
    """Return a hint as a proposal; none where it could not be the name of a class."""
    with suppress(UsageError):
        if hint is not None:
            return ClassProposal(((normalize_class_name(hint), HINT),))
    return NO_IDEA


class Proposer:
    """Proposes for the samples of one session."""

    def __init__(self, session: SortingSession) -> None:
        self._session, self._db = session, session.dataset.db
        self._queue = SortingQueue(self._db)
        self.likeness = Likeness(session.dataset)
        self._decided: list[SampleFeatures] | None = None

    def decided(self, classes: Sequence[ClassCount]) -> list[SampleFeatures]:
        """Return samples that have a class, of each class some, as they are now."""
        each = max(12, DECIDED // max(1, len(classes)))
        self._decided = self._queue.get_features(
            self._queue.list_decided([row.id for row in classes], each)
        )
        return self._decided

    def proposals(
        self,
        likes: Sequence[SampleFeatures],
        decided: Sequence[SampleFeatures],
        space: Space,
        classes: Sequence[ClassCount],
    ) -> list[ClassProposal]:
        """Return what is proposed for each of some samples, beside those that are decided."""
        names = {row.id: row.name for row in classes}
        named = {row.name for row in classes if row.count}
        rows = [like.id for like in likes]
        proposed = self._learnt(likes, decided, space)
        refused = self._session.changes.get_refused_classes(rows)
        proposals = []
        for like in likes:
            proposal = proposed.get(like.id, NO_IDEA)
            hinted = of_hint(like.hint)
            if not proposal.top or (hinted.label and hinted.label not in named):
                proposal = hinted  # a class of which nothing was learnt yet
            no_class = {names[row] for row in refused.get(like.id, ()) if row in names}
            proposals.append(proposal.but(no_class, names.values()) if no_class else proposal)
        return proposals

    def _learnt(
        self, likes: Sequence[SampleFeatures], decided: Sequence[SampleFeatures], space: Space
    ) -> dict[int, ClassProposal]:
        """Return what a presort would propose now; empty before a class has a name."""
        every = [*decided, *self._queue.get_features(self._queue.list_rejected(DECIDED)), *likes]
        vectors, there = space(every)
        rows = [one.id for one, known in zip(every, there.tolist(), strict=True) if known]
        known = PresortSamples(self._db).get_many(rows)
        usable = [n for n, one in enumerate(every) if known.get(one.id) is not None]
        samples = [one for n in usable if (one := known[every[n].id]) is not None]
        moments = assign_moments(self._db, list_training_keys(samples))
        learnt = learn_classes(samples, vectors[usable], moments, get_unseen_labels(self._db))
        if learnt is None:
            return self._of_the_only_class([every[n] for n in usable], samples, vectors[usable])
        return {
            every[n].id: ClassProposal(tuple((p.label, min(MOST_SURE, p.confidence)) for p in top))
            for n, top in zip(usable, learnt.likeliest, strict=True)
        }

    @staticmethod
    def _of_the_only_class(
        every: Sequence[SampleFeatures], samples: Sequence[PresortSample], vectors: Vectors
    ) -> dict[int, ClassProposal]:
        labels = {sample.label for sample in samples} - {None}
        if len(labels) != 1:
            return {}
        known = np.array([sample.label is not None for sample in samples], np.bool_)
        likely = estimate_membership(vectors, known).tolist()
        return {
            one.id: ClassProposal(((str(*labels), min(MOST_SURE, sure)),))
            for one, sure in zip(every, likely, strict=True)
            if sure >= LIKELY
        }

    def nearest(self, row: int, most: int = 4) -> list[tuple[SampleFeatures, float]]:
        """Return the decided samples that are most like one, and how much, as of the last page."""
        decided = self._decided
        if decided is None:
            decided = self.decided(self._session.tiles.get_counts().classes)
        like = self._queue.get_features([row])
        others = [one for one in decided if one.id != row]
        space = self.likeness.space([*like, *others])
        (vectors, there), (among, known) = space(like), space(others)
        if not there.any():
            return []
        alike = np.where(known, among @ vectors[0], -np.inf)
        near = np.argsort(-alike)[: min(most, int(known.sum()))]
        return [(others[number], float(alike[number])) for number in near.tolist()]


NEAREST = 3
"""So many of the decided samples that are most alike are named."""


class ProposalReasons(NamedTuple):
    """What speaks for classes: (class, share) from the newest presort and of the most alike faces.

    `hint` is what a query or a folder suggests, `refused` the classes a person said it is not.
    """

    presorted: tuple[tuple[str, float], ...] = ()
    hint: str | None = None
    alike: tuple[tuple[str, float], ...] = ()
    refused: tuple[str, ...] = ()


def reasons_for(session: SortingSession, sample: int) -> ProposalReasons:
    """Return what is known of a sample (row); nothing of one that is gone."""
    queue = SortingQueue(session.dataset.db)
    found = queue.get_features([sample])
    if not found:
        return ProposalReasons()
    one = found[0]
    presorted = Proposals(session.dataset.db).get_many([one.key]).get(one.key)
    refused = Changes(session.dataset.db).get_refused_classes([sample]).get(sample, frozenset())
    return ProposalReasons(
        tuple(map(tuple, presorted.proposals)) if presorted else (),  # type: ignore[arg-type]
        one.hint,
        tuple(
            (session.classes.get_name(other.label or 0), alike)
            for other, alike in Proposer(session).nearest(sample, NEAREST)
        ),
        tuple(sorted(session.classes.get_name(row) for row in refused)),
    )
