"""What samples share with labelled ones, and hints, as evidence beside what they look like.

How far a kind of evidence is to be trusted is counted on the labelled samples themselves, by
moments: frames of one scene are one witness and one case, however many of them are labelled.
p(class | looks, evidence) ~ p(class | looks) x p(evidence | class), where a piece of evidence
names the right class with the share counted and any other class alike (naive Bayes).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from baseline.judge.calibration import calibration_error, fit_temperature
from baseline.judge.outputs import Floats, Indices, Scores, log_softmax, softmax
from baseline.presort.classify import HeldOutScores, LearntScores
from gleanset.db.proposals import PresortSample

LEAST_SEEN = 10
"""Moments by which a kind of evidence must have been judged before it counts at all."""
COPIES, TIES, HINTS = "group", "ties", "hint"
SURE = 0.998
"""Copies of one picture are of one class, as far as `labeler dedup` is right."""

Members = dict[str, dict[str, Counter[int]]]
"""For each group or tie how many labelled samples of each moment have which class."""


class PriorVote(NamedTuple):
    """A class that evidence names for the sample of a row.

    Each moment that speaks has one vote, and one of several minds divides it.
    """

    row: int
    label: int
    votes: float


@dataclass(frozen=True, slots=True)
class LabelPrior:
    """One kind of evidence: what it names, and in which share of each moment it named rightly.

    `judged` holds the moments with labelled samples that it names a class for, `classes` says of
    how many it chooses.
    """

    kind: str
    classes: int
    judged: Mapping[str, float]
    votes: Sequence[PriorVote]

    @property
    def counts(self) -> bool:
        """Return whether it is known well enough to count."""
        return self.kind == COPIES or len(self.judged) >= LEAST_SEEN

    def trust(self, but: str | None = None) -> float:
        """Return the share of moments it names rightly, shrunk by one case of each class.

        Judged without the moment `but`, which must not speak for itself.
        """
        if self.kind == COPIES:
            return SURE
        left = [right for moment, right in self.judged.items() if moment != but]
        return (sum(left) + 1) / (len(left) + self.classes)

    def named(self) -> set[int]:
        """Return the rows that it names a class for."""
        return {vote.row for vote in self.votes}

    def shares(self, samples: int, width: int) -> Floats:
        """Return the share of its votes for each class, `samples` x `width`; 0 without votes."""
        found = np.zeros((samples, width))
        for row, label, votes in self.votes:
            found[row, label] += votes
        total: Floats = found / np.maximum(found.sum(1, keepdims=True), 1e-12)
        return total

    def gains(self, moments: Sequence[str | None], width: int) -> Floats:
        """Return what it adds to the logarithms of the probabilities, N x `width`.

        `moments` are those of the labelled samples, None for the others.
        """
        found = np.zeros((len(moments), width))
        if not self.counts:
            return found
        weights = {name: _log_odds(self.trust(name), width) for name in {None, *self.judged}}
        for row, label, votes in self.votes:
            found[row, label] += votes * weights.get(moments[row], weights[None])
        return found


def label_priors(
    samples: Sequence[PresortSample], number: Mapping[str, int], moments: Sequence[str | None]
) -> list[LabelPrior]:
    """Return the kinds of evidence there are: copies, scenes and posts, hints.

    `number` numbers the classes, `moments` (N) are those of the labelled samples.
    """
    return [
        _shared(COPIES, samples, lambda one: (one.group,) if one.group else (), number, moments),
        _shared(TIES, samples, lambda one: one.ties, number, moments),
        _hinted(samples, number, moments),
    ]


def _shared(
    kind: str,
    samples: Sequence[PresortSample],
    of: Callable[[PresortSample], Sequence[str]],
    number: Mapping[str, int],
    moments: Sequence[str | None],
) -> LabelPrior:
    """Return what labelled samples with the same group or tie say of each other and of the rest."""
    members: Members = defaultdict(lambda: defaultdict(Counter))
    for one, moment in zip(samples, moments, strict=True):
        if one.label in number and moment is not None:
            for name in of(one):
                members[name][moment][number[str(one.label)]] += 1
    votes: list[PriorVote] = []
    judged: dict[str, list[float]] = defaultdict(list)
    for row, (one, moment) in enumerate(zip(samples, moments, strict=True)):
        own = number.get(one.label or "", -1) if moment is not None else -1
        named = _votes(members, of(one), moment, own)
        votes += [PriorVote(row, label, share) for label, share in sorted(named.items())]
        if named and moment is not None and own >= 0:
            judged[moment].append(named.get(own, 0.0) / sum(named.values()))
    return LabelPrior(kind, len(number), _means(judged), votes)


def _votes(
    members: Members, names: Sequence[str], moment: str | None, own: int
) -> dict[int, float]:
    """Return the votes for each class of the labelled samples that share one of `names`.

    Of a labelled sample, which is of a `moment` and of the class `own`, all but itself.
    """
    told: dict[str, Counter[int]] = defaultdict(Counter)
    for name in names:
        for speaker, labels in members.get(name, {}).items():
            told[speaker] += labels
            if own >= 0 and speaker == moment:
                told[speaker][own] -= 1
    found: dict[int, float] = defaultdict(float)
    for labels in told.values():
        total = labels.total()
        for label, count in labels.items():
            if count:
                found[label] += count / total
    return found


def _hinted(
    samples: Sequence[PresortSample], number: Mapping[str, int], moments: Sequence[str | None]
) -> LabelPrior:
    """Hints that name a class, judged by the samples that have both a hint and a label."""
    votes = [
        PriorVote(row, number[str(one.hint)], 1)
        for row, one in enumerate(samples)
        if one.hint in number
    ]
    judged: dict[str, list[float]] = defaultdict(list)
    for row, label, _ in votes:
        moment, given = moments[row], samples[row].label
        if moment is not None and given in number:
            judged[moment].append(float(number[str(given)] == label))
    return LabelPrior(HINTS, len(number), _means(judged), votes)


def _means(judged: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """One case a moment: the share right within it."""
    return {moment: float(np.mean(cases)) for moment, cases in judged.items()}


def _log_odds(trust: float, width: int) -> float:
    """Return how much likelier a class is for being named, as a logarithm."""
    return float(np.log(trust) - np.log((1 - trust) / max(width - 1, 1)))


CAUTIOUS = 2.0
"""The temperature where there is too little to choose one by."""


class Temperatures(NamedTuple):
    """Temperatures of the scores by themselves, and of scores and evidence together."""

    scores: float = CAUTIOUS
    combined: float = 1.0

    def apply(self, scores: Scores, gains: Floats) -> Floats:
        """Return the probabilities, N x classes."""
        return softmax(log_softmax(scores, self.scores) + gains, self.combined)


@dataclass(frozen=True, slots=True)
class HeldOutProbabilities:
    """Probabilities M x classes of the samples `rows` (M), as they would have been served.

    `y` are their classes, `seen` (M) which of these somebody has looked at: they alone are a judge.
    Those of labelled copies, which are of one class, are not among them.
    """

    rows: Indices
    y: Indices
    probabilities: Floats
    seen: npt.NDArray[np.bool_]

    def to_json(self) -> dict[str, object]:
        """Return how many there are, the share right, and how far confidence is from it (ECE)."""
        y, probabilities = self.y[self.seen], self.probabilities[self.seen]
        if not len(y):
            return {"held_out": 0, "accuracy": None, "ece": None}
        right = float((probabilities.argmax(1) == y).mean())
        ece = calibration_error(probabilities, y).ece
        return {"held_out": len(y), "accuracy": right, "ece": ece}


@dataclass(frozen=True, slots=True)
class CombinedProbabilities:
    """`probabilities` N x classes of all samples, and those of the held-out ones before."""

    probabilities: Floats
    alone: HeldOutProbabilities
    beside: HeldOutProbabilities
    temperatures: Temperatures


def combine(
    learnt: LearntScores,
    rows: Indices,
    y: Indices,
    kinds: Sequence[LabelPrior],
    moments: Sequence[str | None],
    unseen: Collection[int] = (),
) -> CombinedProbabilities:
    """Weigh what was learnt from `rows` of the samples, which are of classes `y`, and `kinds`.

    `moments` (N) are those of the samples that teach. Nothing is calibrated on the labels of the
    samples (rows) that are `unseen`.
    """
    width = learnt.scores.shape[1]
    gains = {one.kind: one.gains(moments, width) for one in kinds if one.kind != COPIES}
    copies = next(one for one in kinds if one.kind == COPIES)
    copied = copies.named()
    tied = next((one.named() for one in kinds if one.kind == TIES and one.counts), set())
    plain = gains[HINTS]
    both = plain + gains[TIES]

    def judge(
        held: HeldOutScores, among: set[int], gains: Floats
    ) -> tuple[Temperatures, HeldOutProbabilities]:
        at = np.array([n for n, row in enumerate(rows[held.rows]) if row in among], np.int64)
        own, scores = held.rows[at], held.scores[at]
        seen = np.array([row not in unseen for row in rows[own].tolist()], np.bool_)
        judges = own[seen]
        scale = _scale(scores[seen], gains[rows[judges]], y[judges])
        told = scale.apply(scores, gains[rows[own]])
        return scale, HeldOutProbabilities(own, y[own], told, seen)

    scale, alone = judge(learnt.alone, set(rows.tolist()) - copied, plain)
    found = scale.apply(learnt.scores, plain)
    near, beside = judge(learnt.beside, tied - copied, both)
    if len(beside.rows):
        there = np.array(sorted(tied), np.int64)
        found[there] = near.apply(learnt.scores[there], both[there])
    # A copy is of the class of its twin, or no copy: its looks are those of the twin anyway.
    there = np.array(sorted(copied), np.int64)
    said = copies.shares(len(found), width)[there]
    found[there] = copies.trust() * said + (1 - copies.trust()) * found[there]
    return CombinedProbabilities(found, alone, beside, scale)


def _scale(scores: Scores, gains: Floats, y: Indices) -> Temperatures:
    """Return the temperatures that make held-out classes likeliest."""
    if not len(y):
        return Temperatures()
    scores_temperature = fit_temperature(scores, y)
    if not gains.any():
        return Temperatures(scores_temperature)
    both = (log_softmax(scores, scores_temperature) + gains).astype(np.float32)
    return Temperatures(scores_temperature, fit_temperature(both, y))
