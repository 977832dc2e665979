"""Labels that are likely wrong, by confident learning.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021:
a class is taken for sure where its probability reaches the mean that it has on its own pictures.
Where the surest such class is not the label, the label is likely wrong. The probabilities must
come from networks that had not learnt the picture (out of fold).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baseline.evaluation.probabilities import Floats, Indices


@dataclass(frozen=True, slots=True)
class Suspect:
    """Row `row` has a label that is likely wrong, `suggested` is the likelier class.

    `confidence` is the probability of `suggested`, `margin` what it has above the label's.
    """

    row: int
    suggested: int
    confidence: float
    margin: float


def likely_wrong(probabilities: Floats, y: Indices) -> list[Suspect]:
    """The off-diagonal of the confident joint, the widest margin first."""
    classes = probabilities.shape[1]
    sums = np.bincount(y, probabilities[np.arange(len(y)), y], minlength=classes)
    counts = np.bincount(y, minlength=classes)
    # A class without pictures has no mean to reach.
    own = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    sure = np.where(probabilities >= own, probabilities, -1.0)
    suggested = sure.argmax(1)
    rows = np.flatnonzero((sure.max(1) > 0) & (suggested != y))
    found = [_suspect(probabilities, y, int(row), int(suggested[row])) for row in rows]
    # Below its label a class is no suggestion, however much above its mean.
    return sorted((one for one in found if one.margin > 0), key=lambda one: (-one.margin, one.row))


def _suspect(probabilities: Floats, y: Indices, row: int, suggested: int) -> Suspect:
    confidence = float(probabilities[row, suggested])
    return Suspect(row, suggested, confidence, confidence - float(probabilities[row, y[row]]))
