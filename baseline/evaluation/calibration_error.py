"""Whether a confidence of 0.8 is right in 8 of 10 cases.

Expected calibration error as in Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural
Networks", 2017.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from baseline.evaluation.probabilities import Floats, Indices

BINS = 15
"""As in the paper, so that figures can be compared."""


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
class CalibrationError:
    """`ece` is the mean distance of confidence and accuracy over the bins, weighted by count."""

    ece: float
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return {"ece": self.ece, "bins": [asdict(one) for one in self.bins]}


def calibration_error(probabilities: Floats, y: Indices, bins: int = BINS) -> CalibrationError:
    """How far confidences (the greatest probability of each row) are from the share right."""
    sure, right = probabilities.max(1), probabilities.argmax(1) == y
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    some = np.maximum(counts, 1)
    confidence = np.bincount(place, sure, minlength=bins) / some
    accuracy = np.bincount(place, right, minlength=bins) / some
    ece = float((counts * np.abs(confidence - accuracy)).sum() / max(len(y), 1))
    return CalibrationError(ece, tuple(
        Bin(i / bins, (i + 1) / bins, int(counts[i]), float(confidence[i]), float(accuracy[i]))
        for i in range(bins)
    ))  # fmt: skip
