"""How right proposals were that a person has met: the evidence by which the next ones are sure.

A model that is judged on what is labelled knows nothing of who has no name yet. What a person made
of its last proposals does: each sample that was proposed for and then decided is a case, whose
proposal was right or not. A logistic curve over the log odds of the confidences (Platt,
"Probabilistic outputs for support vector machines", 1999) is drawn through the cases, held near to
no change by a prior, for they are few. A moment counts as one case, and older ones count less, for
the model has learnt since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from baseline.evaluation.outputs import Floats
from gleanset.db.proposals import MetProposal

OFFSET, SLOPE = 1.0, 0.3
"""Standard deviations of the prior, about an offset of 0 and a slope of 1."""
FACT = "served"
"""The fact of a presort that has the cases."""
HALF = 40
"""Moments after which a case counts half."""
KEPT = 200
"""Cases that are kept: what is older counts next to nothing."""
_EDGE = 1e-3


class ServedProposal(NamedTuple):
    """The first proposal of a sample, its confidence before this correction, and what it was."""

    confidence: float
    right: bool
    moment: str


class ServedCorrection(NamedTuple):
    """A curve over log odds: `slope` times them and `offset`."""

    slope: float = 1.0
    offset: float = 0.0

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
        return _logistic(self.slope * _log_odds(confidence) + self.offset)

    def undone(self, confidence: Floats) -> Floats:
        """Return the confidences that were corrected to these."""
        return _logistic((_log_odds(confidence) - self.offset) / self.slope)


UNCORRECTED = ServedCorrection()


class ServedCases(NamedTuple):
    """The cases so far, oldest first, and the correction that they ask for."""

    cases: tuple[ServedProposal, ...] = ()

    @classmethod
    def read(cls, facts: Mapping[str, object]) -> Self:
        """Return those that the facts of a presort have; none where they cannot be read."""
        told = facts.get(FACT)
        found = [
            ServedProposal(float(one[0]), bool(one[1]), str(one[2]))
            for one in (told if isinstance(told, list) else [])
            if isinstance(one, list) and len(one) == 3 and isinstance(one[0], int | float)
        ]
        return cls(tuple(found[-KEPT:]))

    def facts(self) -> dict[str, object]:
        """Return them as facts of a presort."""
        return {FACT: [[round(c.confidence, 4), int(c.right), c.moment] for c in self.cases]}

    def with_met(self, met: Sequence[MetProposal], moments: Mapping[str, str]) -> ServedCases:
        """Return them with proposals that were served since, as corrected as these ask for."""
        before = correction_of(self.cases)
        told = before.undone(np.array([one.confidence for one in met]))
        new = (
            ServedProposal(float(sure), one.held, moments.get(one.sample, one.sample))
            for sure, one in zip(told, met, strict=True)
        )
        return ServedCases((*self.cases, *new)[-KEPT:])


def correction_of(cases: Sequence[ServedProposal]) -> ServedCorrection:
    """Return what the cases ask for, oldest first; no change where there are none."""
    if not cases:
        return UNCORRECTED
    sizes = Counter(case.moment for case in cases)
    last = {case.moment: number for number, case in enumerate(cases)}
    ranks = {name: rank for rank, name in enumerate(sorted(last, key=lambda name: -last[name]))}
    weights = np.array([0.5 ** (ranks[c.moment] / HALF) / sizes[c.moment] for c in cases])
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
