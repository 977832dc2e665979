"""Are these two pictures of the same class? The ROC of likeness over pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from baseline.evaluation.retrieval import Vectors, likeness

PAIRS = 2_000_000
"""More pairs than that are thinned out: the figures would not change in their third digit."""
RATES = (1e-2, 1e-3)
_POINTS = 60


@dataclass(frozen=True, slots=True)
class Roc:
    """The curve: false positive rate and true positive rate, both rising from 0 to 1."""

    false: npt.NDArray[np.float64]
    true: npt.NDArray[np.float64]

    @property
    def area(self) -> float:
        """The area under the curve: the chance that a true case scores above a false one."""
        return float(np.trapezoid(self.true, self.false))

    def true_at(self, false: float) -> float:
        """The greatest true positive rate with at most this false positive rate."""
        return float(self.true[np.searchsorted(self.false, false, side="right") - 1])

    def equal_error(self) -> float:
        """Where as many true cases are refused as false ones taken, between points by a line."""
        refused = 1 - self.true
        after = int(np.argmax(self.false >= refused))
        if after == 0:
            return float(self.false[0])
        a, b = after - 1, after
        gap_a, gap_b = refused[a] - self.false[a], self.false[b] - refused[b]
        share = gap_a / (gap_a + gap_b) if gap_a + gap_b else 0.0
        return float(self.false[a] + share * (self.false[b] - self.false[a]))

    def points(self) -> list[tuple[float, float]]:
        """Some points of the curve, for a drawing."""
        at = np.unique(np.linspace(0, len(self.false) - 1, _POINTS).round().astype(int))
        at = np.union1d(at, np.searchsorted(self.true, np.linspace(0, 1, _POINTS)))
        at = at[at < len(self.false)]
        return [(float(self.false[i]), float(self.true[i])) for i in at]


def roc(scores: npt.NDArray[np.floating], positive: npt.NDArray[np.bool_]) -> Roc | None:
    """The curve of `scores` (higher means positive), ties as one step; None for one kind only."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    true = positive[order].cumsum()[last]
    false = last + 1 - true
    return Roc(np.append(0, false) / negatives, np.append(0, true) / positives)


@dataclass(frozen=True, slots=True)
class Verification:
    """The ROC over pairs of pictures.

    `true_positive_rate` is by false positive rate; None where there are too few pairs of moments
    of different classes to tell so small a rate. `curve` are points (false, true).
    """

    pairs: int
    same: int
    auc: float
    equal_error_rate: float
    true_positive_rate: dict[str, float | None]
    curve: list[tuple[float, float]]

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self)


def verification(
    queries: Vectors, gallery: Vectors, rates: Sequence[float] = RATES, seed: int = 0
) -> Verification | None:
    """Compare every query with every picture of the gallery, but for those of its moment.

    None where all pairs are of one kind.
    """
    scores, same = _pairs(queries, gallery, seed)
    curve = roc(scores, same)
    if curve is None:
        return None
    others = _apart(queries, gallery)
    return Verification(
        pairs=len(same),
        same=int(same.sum()),
        auc=curve.area,
        equal_error_rate=curve.equal_error(),
        true_positive_rate={
            f"{rate:g}": curve.true_at(rate) if others * rate >= 1 else None for rate in rates
        },
        curve=curve.points(),
    )


def _apart(queries: Vectors, gallery: Vectors) -> int:
    """How many pairs of moments there are that differ in class: frames of one are no more pairs."""
    one, two = (set(zip(v.moments.tolist(), v.y.tolist(), strict=True)) for v in (queries, gallery))
    alike = 0
    for at in (0, 1):
        ours, theirs = (Counter(pair[at] for pair in pairs) for pairs in (one, two))
        alike += sum(number * theirs[key] for key, number in ours.items())
    return len(one) * len(two) - alike + len(one & two)


def _pairs(
    queries: Vectors, gallery: Vectors, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    share = min(1.0, PAIRS / max(1, len(queries) * len(gallery)))
    scores, same = [np.zeros(0, np.float32)], [np.zeros(0, np.bool_)]
    for part, cosines in likeness(queries, gallery):
        taken = cosines > -np.inf
        if share < 1:
            taken &= random.random(cosines.shape, dtype=np.float32) < share
        scores.append(cosines[taken])
        same.append((queries.y[part, None] == gallery.y)[taken])
    return np.concatenate(scores), np.concatenate(same)
