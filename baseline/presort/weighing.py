"""From scores and evidence to probabilities that hold, and how well they did.

A sample beside labelled ones of its scene or post is another case than one alone: the model has
seen all but the same picture, and evidence speaks. Either kind is calibrated by labelled samples
that were held out as the samples that wait are: alone with their whole moment, beside others by
themselves. Evidence is weighed in before, so what is printed is what is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from baseline.evaluation.calibration import fit_temperature
from baseline.evaluation.calibration_error import calibration_error
from baseline.evaluation.probabilities import Floats, Indices, Scores, log_softmax, softmax
from baseline.presort.classify import HeldOut, Learnt
from baseline.presort.evidence import COPIES, HINTS, TIES, Evidence

CAUTIOUS = 2.0
"""The temperature where there is too little to choose one by."""


class Scale(NamedTuple):
    """Temperatures of the scores by themselves, and of what they and the evidence say together."""

    looks: float = CAUTIOUS
    whole: float = 1.0

    def applied(self, scores: Scores, gains: Floats) -> Floats:
        """The probabilities, N x classes."""
        return softmax(log_softmax(scores, self.looks) + gains, self.whole)


@dataclass(frozen=True, slots=True)
class Judged:
    """Probabilities M x classes of the samples `rows` (M), as they would have been served.

    `y` are their classes. Those of labelled copies, which are of one class, are not among them.
    """

    rows: Indices
    y: Indices
    probabilities: Floats

    def to_json(self) -> dict[str, object]:
        """How many there are, the share right, and how far confidence is from it (ECE)."""
        if not len(self.rows):
            return {"held_out": 0, "accuracy": None, "ece": None}
        right = float((self.probabilities.argmax(1) == self.y).mean())
        ece = calibration_error(self.probabilities, self.y).ece
        return {"held_out": len(self.rows), "accuracy": right, "ece": ece}


@dataclass(frozen=True, slots=True)
class Weighed:
    """`probabilities` N x classes of all samples; how those held out came out, and the scale."""

    probabilities: Floats
    alone: Judged
    beside: Judged
    scale: Scale


def weigh(
    learnt: Learnt,
    rows: Indices,
    y: Indices,
    kinds: Sequence[Evidence],
    moments: Sequence[str | None],
) -> Weighed:
    """Weigh what was learnt from `rows` of the samples, which are of classes `y`, and `kinds`.

    `moments` (N) are those of the samples that teach.
    """
    width = learnt.scores.shape[1]
    gains = {one.kind: one.gains(moments, width) for one in kinds if one.kind != COPIES}
    copies = next(one for one in kinds if one.kind == COPIES)
    copied = copies.named()
    tied = next((one.named() for one in kinds if one.kind == TIES and one.counts), set())
    plain = gains[HINTS]
    both = plain + gains[TIES]

    def judge(held: HeldOut, among: set[int], gains: Floats) -> tuple[Scale, Judged]:
        at = np.array([n for n, row in enumerate(rows[held.rows]) if row in among], np.int64)
        own, scores = held.rows[at], held.scores[at]
        scale = _scale(scores, gains[rows[own]], y[own])
        return scale, Judged(own, y[own], scale.applied(scores, gains[rows[own]]))

    scale, alone = judge(learnt.alone, set(rows.tolist()) - copied, plain)
    found = scale.applied(learnt.scores, plain)
    near, beside = judge(learnt.beside, tied - copied, both)
    if len(beside.rows):
        there = np.array(sorted(tied), np.int64)
        found[there] = near.applied(learnt.scores[there], both[there])
    # A copy is of the class of its twin, or no copy: its looks are those of the twin anyway.
    there = np.array(sorted(copied), np.int64)
    said = copies.shares(len(found), width)[there]
    found[there] = copies.trust() * said + (1 - copies.trust()) * found[there]
    return Weighed(found, alone, beside, scale)


def _scale(scores: Scores, gains: Floats, y: Indices) -> Scale:
    """The temperatures that make held-out classes likeliest."""
    if not len(y):
        return Scale()
    looks = fit_temperature(scores, y)
    if not gains.any():
        return Scale(looks)
    both = (log_softmax(scores, looks) + gains).astype(np.float32)
    return Scale(looks, fit_temperature(both, y))
