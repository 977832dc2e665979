"""Whether a confidence of 0.8 is right in 8 of 10 cases.

Expected calibration error as in Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural
Networks", 2017; of each class apart (classwise-ECE) as in Kull et al., "Beyond temperature
scaling: Obtaining well-calibrated multi-class probabilities with Dirichlet calibration", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from baseline.evaluation.probabilities import Floats, Indices

FEW = 20
"""Moments of a class below which its calibration error is mostly chance."""
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
    return CalibrationError(
        ece,
        tuple(
            Bin(i / bins, (i + 1) / bins, int(counts[i]), float(confidence[i]), float(accuracy[i]))
            for i in range(bins)
        ),
    )


@dataclass(frozen=True, slots=True)
class ClassCalibration:
    """One class: `expected` is the mean probability it is given, `share` how often it is true.

    `ece` is the mean distance of both over the bins of its probability, weighted by count. The
    class has `moments`; where they are `few`, its figures are mostly chance.
    """

    name: str
    expected: float
    share: float
    ece: float
    moments: int
    few: bool


@dataclass(frozen=True, slots=True)
class ClasswiseError:
    """`ece` is the plain mean over the classes; `warning` names those that val or test show little
    of, and is empty where there are none."""

    ece: float
    classes: tuple[ClassCalibration, ...]
    warning: str

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self)


def classwise_error(
    probabilities: Floats, y: Indices, moments: Sequence[str], classes: Sequence[str]
) -> ClasswiseError:
    """How far the probability (N x C) of each class is from how often it is true."""
    named = np.array(moments, dtype=np.str_)
    told = tuple(
        _of_class(name, probabilities[:, at], y == at, len(np.unique(named[y == at])))
        for at, name in enumerate(classes)
    )
    few = [one.name for one in told if one.few]
    warning = (
        f"fewer than {FEW} moments, so mostly chance: {', '.join(few[:8])}"
        f"{' and others' if len(few) > 8 else ''}"
        if few
        else ""
    )
    return ClasswiseError(float(np.mean([one.ece for one in told])), told, warning)


def _of_class(
    name: str, probability: Floats, true: npt.NDArray[np.bool_], moments: int
) -> ClassCalibration:
    place = np.clip(np.ceil(probability * BINS).astype(np.int64) - 1, 0, BINS - 1)
    off = np.bincount(place, probability - true, minlength=BINS)
    count = max(len(true), 1)
    return ClassCalibration(
        name,
        float(probability.sum() / count),
        float(true.sum() / count),
        float(np.abs(off).sum() / count),
        moments,
        moments < FEW,
    )
