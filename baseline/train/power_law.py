"""A power law through the errors of a learning curve, with what is not known about it.

The error at n pictures a class is a + b n^-c (Figueroa et al., "Predicting sample size required for
classification performance", 2012; Hestness et al., "Deep Learning Scaling is Predictable,
Empirically", 2017). A few points do not tell a, b and c, and a best fit through them promises too
much. So a grid of laws is held against the points, on the scale of logits and with the covariance
of points that are judged on the same pictures. A range is that of all laws which the points do not
refute (the profile likelihood), whatever one believes of laws beforehand; what stands in its
middle is the median of the laws, weighed by how well they fit and how usual they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from baseline.judge.intervals import Flags
from baseline.judge.outputs import Floats
from gleanset.binomial import Interval

FLOORS = np.linspace(0.0, 1.0, 21)
"""What may be left of today's error with endless pictures: a share of it, the less the likelier."""
EXPONENTS = np.geomspace(0.1, 2.0, 16)
"""About 0.5 is usual."""
_LITTLE, _PART = 0.1, 0.5
"""The part of a moment that is added to errors, and to their covariance."""
REFUTED = 5.4
"""By so much worse than the best a law fits that is refuted: chi-squared at 95 % is 3.84; more, for
the covariance is known from the same few moments, and laws bend."""
LEVELS = np.linspace(-10.0, 5.0, 151)
"""Logits of the error at the largest size that was tried."""


@dataclass(frozen=True, slots=True)
class ErrorRange:
    """The error to expect at so many pictures a class, and where it lies with 95 % confidence."""

    pictures: float
    error: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class PowerLaws:
    """Laws and their `weights` (L, summing to 1): the `level` is the error at `largest` pictures.

    Those that `stand` (L) are not refuted. `seen` is the 95 % interval of the error at `largest`:
    of few mistakes no law says how few there might be. `luck` is the variance of the logit of the
    error between one training set and another.
    """

    largest: float
    level: Floats
    floor: Floats
    exponent: Floats
    weights: Floats
    stand: Flags
    seen: Interval
    luck: float

    def errors(self, pictures: float) -> Floats:
        """Return the error of each law at so many pictures a class: L."""
        found: Floats = _errors(self.level, self.floor, self.exponent, pictures / self.largest)
        return found

    def at(self, pictures: float) -> ErrorRange:
        """Return the error of one training on so many pictures a class."""
        errors = np.clip(self.errors(pictures), 1e-9, 1 - 1e-9)
        order = np.argsort(errors)
        middle = float(errors[order][np.searchsorted(self.weights[order].cumsum(), 0.5)])
        left = errors[self.stand] / self.level[self.stand]
        least = min(float(errors[self.stand].min()), self.seen.low * float(left.min()))
        most = max(float(errors[self.stand].max()), self.seen.high * float(left.max()))
        luck, at = 1.96 * self.luck**0.5, float(_logit(np.array(middle)))
        low, high = _logit(np.clip((least, most), 1e-9, 1 - 1e-9)).tolist()
        ends = at - math.hypot(max(0.0, at - low), luck), at + math.hypot(max(0.0, high - at), luck)
        return ErrorRange(pictures, middle, Interval(*_expit(np.array(ends)).tolist()))


def fit_power_laws(
    pictures: Floats, logits: Floats, covariance: Floats, seen: Interval, luck: float = 0.0
) -> PowerLaws:
    """Weigh the laws by points: `pictures` a class (P), logits of the errors (P), and their
    covariance (P x P); `seen` is the interval of the error at the largest.
    """
    largest = float(pictures.max())
    level, floor, exponent = (
        part.ravel() for part in np.meshgrid(_expit(LEVELS), FLOORS, EXPONENTS, indexing="ij")
    )
    told = np.stack([_errors(level, floor, exponent, n / largest) for n in pictures], 1)
    off = _logit(np.clip(told, 1e-9, 1 - 1e-6)) - logits
    distance = np.einsum("lp,pq,lq->l", off, np.linalg.pinv(covariance), off)
    behind = distance - distance.min()
    usual = (1 - floor) * np.exp(-0.5 * (np.log(exponent / 0.5) / 0.7) ** 2)
    weights = usual * np.exp(-0.5 * behind)
    stand = behind <= REFUTED
    return PowerLaws(largest, level, floor, exponent, weights / weights.sum(), stand, seen, luck)


def _errors(level: Floats, floor: Floats, exponent: Floats, times: float) -> Floats:
    """Return the error at `times` the largest size; below it no more than all are wrong."""
    found: Floats = level * (floor + (1 - floor) * times ** (-exponent))
    return np.minimum(found, 1.0)


def _logit(share: Floats) -> Floats:
    found: Floats = np.log(share) - np.log1p(-share)
    return found


def _expit(logit: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-logit))
    return found


def clustered_logits(wrong: Floats, judged: Floats) -> tuple[Floats, Floats]:
    """Return the logits (P) of the errors at P sizes, and their covariance (P x P).

    `wrong` is moments x P, the mistakes in each moment, and `judged` (moments) its pictures. To the
    errors a little is added, for logits' sake; to their covariance a part of a moment that is all
    wrong, and all right, as for other intervals: where nothing is wrong that is not known of
    moments that were not seen. Few moments tell little of a variance, which is widened as
    Student's t has it.
    """
    from scipy.special import stdtrit

    share, _ = _added(wrong, judged, _LITTLE)
    seen, off = _added(wrong, judged, _PART)
    count = len(judged) + 1
    covariance = off.T @ off / (judged.sum() + 2 * _PART * judged.mean()) ** 2
    slope = seen * (1 - seen)
    wider = (float(stdtrit(max(count - 2, 1), 0.975)) / 1.96) ** 2 * count / (count - 1)
    return _logit(share), covariance / np.outer(slope, slope) * wider


def _added(wrong: Floats, judged: Floats, part: float) -> tuple[Floats, Floats]:
    """Return the errors (P) with a part of a moment of mistakes and one of hits added, and by how
    much each moment is off.
    """
    more = part * float(judged.mean())
    sums = np.concatenate((wrong, np.full((1, wrong.shape[1]), more)))
    sizes = np.append(judged, 2 * more)
    share = sums.sum(0) / sizes.sum()
    return share, sums - share * sizes[:, None]
