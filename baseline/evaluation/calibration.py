"""Whether a confidence of 0.8 is right in 8 of 10 cases, and making it so.

Expected calibration error and temperature scaling as in Guo, Pleiss, Sun and Weinberger,
"On Calibration of Modern Neural Networks", 2017.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from baseline.evaluation.probabilities import Floats, Indices, Scores, softmax

BINS = 15
"""As in the paper, so that figures can be compared."""
COLDEST, HOTTEST = 0.05, 20.0
_STEPS = 80


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence lies above `low` up to `high`: their mean, and how many are right.

    `confidence` and `accuracy` are 0 where there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`ece` is the mean distance of confidence and accuracy over the bins, weighted by count."""

    ece: float
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return {"ece": self.ece, "bins": [asdict(one) for one in self.bins]}


def calibration(probabilities: Floats, y: Indices, bins: int = BINS) -> Calibration:
    """How far confidences (the greatest probability of each row) are from the share right."""
    sure, right = probabilities.max(1), probabilities.argmax(1) == y
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    some = np.maximum(counts, 1)
    confidence = np.bincount(place, sure, minlength=bins) / some
    accuracy = np.bincount(place, right, minlength=bins) / some
    ece = float((counts * np.abs(confidence - accuracy)).sum() / max(len(y), 1))
    return Calibration(ece, tuple(
        Bin(i / bins, (i + 1) / bins, int(counts[i]), float(confidence[i]), float(accuracy[i]))
        for i in range(bins)
    ))  # fmt: skip


def fit_temperature(logits: Scores, y: Indices) -> float:
    """The temperature that makes val likeliest; 1 where there is nothing to fit it on.

    The targets are smoothed by one case of every outcome (Platt, 1999), or else a val split
    without a mistake would ask for certainty. Kept within `COLDEST`..`HOTTEST`.
    """
    count, classes = logits.shape
    if count < 2 or classes < 2:
        return 1.0
    scores = logits.astype(np.float64)
    slip = 1 / (count + 2)
    wanted = (1 - slip) * scores[np.arange(count), y] + slip * scores.mean(1)

    def slope(warmth: float) -> float:
        # The derivative of the loss by 1/temperature, in which the loss is convex.
        expected = (softmax(scores * warmth) * scores).sum(1)
        return float((expected - wanted).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 1 / math.sqrt(low * high)
