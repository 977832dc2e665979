"""How right proposals were that a person has met: the evidence by which the next ones are sure.

A model that is judged on what is labelled knows nothing of who has no name yet. What a person made
of its last proposals does: each sample that was proposed for and then decided is a case, whose
proposal was right or not. A logistic curve over the log odds of the confidences (Platt,
"Probabilistic outputs for support vector machines", 1999) is drawn through the cases, held near to
no change by a prior, for they are few. A moment counts as one case, and older ones count less, for
the model has learnt since.

Whoever is met for the first time is a case of another kind: that nobody could have proposed the
right class says nothing of how sure the model may be of those it knows. Such cases make the chance
that somebody new comes up, by which all confidences are lowered; it is forgotten sooner, for new
ones come at once and then no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from baseline.evaluation.outputs import Floats
from gleanset.db.proposals import MetProposal

OFFSET, SLOPE = 1.0, 0.3
"""Standard deviations of the prior, about an offset of 0 and a slope of 1."""
FACT, KNOWN = "served", "known"
"""The facts of a presort that have the cases, and the classes that it could propose."""
HALF, HALF_NEW = 100, 20
"""Moments after which a case counts half, and half for the chance of somebody new."""
NOBODY_NEW = 10.0
"""So many moments of known ones are taken for met before there is any."""
KEPT = 200
"""Cases that are kept: what is older counts next to nothing."""
_EDGE = 1e-3


class ServedProposal(NamedTuple):
    """The first proposal of a sample, its confidence before this correction, and what it was.

    `new`: of whoever was on it nothing had been decided, or it was nobody's.
    """

    confidence: float
    right: bool
    moment: str
    new: bool = False


class ServedCorrection(NamedTuple):
    """A curve over log odds: `slope` times them and `offset`; and the chance of somebody `new`."""

    slope: float = 1.0
    offset: float = 0.0
    new: float = 0.0

    def apply(self, probabilities: Floats) -> Floats:
        """Return the probabilities N x classes with that of the likeliest corrected.

        What it loses goes to nobody, what it wins comes from the others.
        """
        if not probabilities.size or self == ServedCorrection():
            return probabilities
        first = np.clip(probabilities.max(1), _EDGE, 1 - _EDGE)
        told = self.at(first)
        share = np.where(told < first, told / first, (1 - told) / (1 - first))
        found: Floats = probabilities * share[:, None]
        rows = np.arange(len(found))
        found[rows, probabilities.argmax(1)] = told
        return found

    def at(self, confidence: Floats) -> Floats:
        """Return the corrected confidences."""
        found: Floats = _logistic(self.slope * _log_odds(confidence) + self.offset)
        return found * (1 - self.new)

    def undone(self, confidence: Floats) -> Floats:
        """Return the confidences that were corrected to these."""
        known = _log_odds(confidence / (1 - self.new))
        return _logistic((known - self.offset) / self.slope)


UNCORRECTED = ServedCorrection()


class ServedCases(NamedTuple):
    """The cases so far, oldest first, and the correction that they ask for."""

    cases: tuple[ServedProposal, ...] = ()

    @classmethod
    def read(cls, facts: Mapping[str, object]) -> Self:
        """Return those that the facts of a presort have; none where they cannot be read."""
        told = facts.get(FACT)
        found = [
            ServedProposal(float(one[0]), bool(one[1]), str(one[2]), bool(one[3:] and one[3]))
            for one in (told if isinstance(told, list) else [])
            if isinstance(one, list) and len(one) in (3, 4) and isinstance(one[0], int | float)
        ]
        return cls(tuple(found[-KEPT:]))

    def facts(self) -> dict[str, object]:
        """Return them as facts of a presort."""
        told = [[round(c.confidence, 4), int(c.right), c.moment, int(c.new)] for c in self.cases]
        return {FACT: told}

    def with_met(
        self,
        met: Sequence[MetProposal],
        moments: Mapping[str, str],
        known: Collection[int | None] | None = None,
    ) -> ServedCases:
        """Return them with proposals that were served since, as corrected as these ask for.

        `known` are the classes (rows) that could be proposed then; None where nobody knows.
        """

        def is_new(one: MetProposal) -> bool:
            return known is not None and one.label not in known

        before = correction_of(self.cases)
        told = before.undone(np.array([one.confidence for one in met]))
        new = (
            ServedProposal(float(sure), one.held, moments.get(one.sample, one.sample), is_new(one))
            for sure, one in zip(told, met, strict=True)
        )
        return ServedCases((*self.cases, *new)[-KEPT:])


def correction_of(cases: Sequence[ServedProposal]) -> ServedCorrection:
    """Return what the cases ask for, oldest first; no change where there are none."""
    weights, new = _weights(cases, HALF_NEW), np.array([case.new for case in cases], bool)
    chance = float(weights[new].sum() / (weights.sum() + NOBODY_NEW))
    known = [case for case in cases if not case.new]
    return _curve(known)._replace(new=round(chance, 4))


def _weights(cases: Sequence[ServedProposal], half: float) -> Floats:
    """Return how much each case counts: a moment as one, less after so many moments."""
    sizes = Counter(case.moment for case in cases)
    last = {case.moment: number for number, case in enumerate(cases)}
    ranks = {name: rank for rank, name in enumerate(sorted(last, key=lambda name: -last[name]))}
    return np.array([0.5 ** (ranks[c.moment] / half) / sizes[c.moment] for c in cases])


def _curve(cases: Sequence[ServedProposal]) -> ServedCorrection:
    """Return the curve that these cases ask for; the plain one where there are none."""
    if not cases:
        return UNCORRECTED
    weights = _weights(cases, HALF)
    odds = _log_odds(np.array([case.confidence for case in cases]))
    right = np.array([case.right for case in cases], np.float64)
    both = np.stack([odds, np.ones_like(odds)])
    prior, tight = np.array([1.0, 0.0]), np.array([1 / SLOPE**2, 1 / OFFSET**2])
    found = prior.copy()
    for _ in range(30):
        chance = _logistic(found @ both)
        slope = both @ (weights * (right - chance)) - tight * (found - prior)
        bend = (both * (weights * chance * (1 - chance))) @ both.T + np.diag(tight)
        step = np.clip(np.linalg.solve(bend, slope), -1, 1)
        found = found + step
        if np.abs(step).max() < 1e-6:
            break
    return ServedCorrection(round(max(float(found[0]), 0.2), 4), round(float(found[1]), 4))


def _log_odds(values: Floats) -> Floats:
    inside = np.clip(values, _EDGE, 1 - _EDGE)
    odds: Floats = np.log(inside / (1 - inside))
    return odds


def _logistic(values: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
    return found
