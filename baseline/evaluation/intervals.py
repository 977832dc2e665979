"""How far figures would wander with other pictures of the same kind, counted in moments.

Frames of one scene, copies and pictures of one post are right or wrong together, so the cases are
moments, not pictures. Pictures of one show or one photographer still resemble each other beyond a
moment; of other shows an interval says nothing. `benchmarks/interval_coverage.py` measures what
each interval and bound promises and what it does.

A share is a ratio of two sums over moments (Cochran, "Sampling Techniques", 1977, section 6.4).
Its variance says how many independent pictures the sample is worth, and the exact limits of so
many are taken (Korn and Graubard, "Confidence Intervals for Proportions with Small Expected Number
of Positive Counts", 1998). Drawing moments again, as the bootstrap does, is too narrow for few.
Where some moments are far larger than others these decide alone: what counts is how many of equal
size would tell as much (`effective_moments`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from baseline.evaluation.outputs import Floats, Indices
from gleanset.binomial import Interval

# scipy is imported where it is used: whoever predicts need not wait for it.
Flags = npt.NDArray[np.bool_]
Groups = Sequence[str] | npt.NDArray[Any]
"""The moment of each of N pictures, by name or number."""

_END = 0.975
"""The confidence of either end of a 95 % interval."""
_FEW_HIT = 0.7
"""The part of a moment of hits by which the variance of a share is taken to be larger."""
SIGNIFICANCE_LEVEL = 0.05


def group_numbers(names: Groups) -> Indices:
    """Return groups, named or numbered anyhow, as numbers from 0 on."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)


def effective_moments(groups: Groups) -> float:
    """Return how many moments of equal size tell as much as these of N pictures.

    (sum s)^2 / sum s^2 of their sizes (Kish, "Survey Sampling", 1965).
    """
    return _effective(np.bincount(group_numbers(groups)).astype(np.float64))


def _effective(sizes: Floats) -> float:
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def share_interval_or_none(right: Flags, groups: Groups) -> Interval | None:
    """Return `share_interval` of several moments; None for a single one, which bounds nothing."""
    return share_interval(right, groups) if len(set(groups)) > 1 else None


def share_interval(right: Flags, groups: Groups, variance_inflation: float = 1.0) -> Interval:
    """Return the 95 % interval of the share of `right` (N), whose moments are `groups` (N).

    `variance_inflation` is as for `share_at_most`.
    """
    missed = share_at_most(~right, groups, _END, variance_inflation)
    return Interval(1 - missed, share_at_most(right, groups, _END, variance_inflation))


def share_at_most(
    hits: Flags, groups: Groups, confidence: float = 0.95, variance_inflation: float = 1.0
) -> float:
    """Return the share of hits among pictures that is not exceeded with this confidence.

    `hits` and their moments `groups` are N long. Where no picture hits, nothing
    tells how alike those of a moment are, and every moment counts as one case. Where few moments
    hit they tell little of it: the variance is that with a part of a moment of hits added, as large
    as an average picture's. It is multiplied by `variance_inflation`, for
    variation that the images do not show.
    """
    from scipy.special import ndtri, stdtrit

    sums, sizes = _by_moment(hits.astype(np.float64), groups)
    moments = _effective(sizes)
    total = float(sizes.sum())
    share = float(sums.sum() / total) if total else 1.0
    if share == 0:
        return _exact_limit(0.0, moments / variance_inflation, confidence)
    if share == 1 or len(sizes) < 2:
        return 1.0
    part = _FEW_HIT * float((sizes**2).sum() / sizes.sum())
    sums, sizes = np.append(sums, part), np.append(sizes, part)
    enlarged, variance = float(sums.sum() / sizes.sum()), _variance(sums, sizes)
    worth = min(total, enlarged * (1 - enlarged) / variance) if variance > 0 else total
    # A variance that few moments tell is known as badly as Student's t has it.
    known = (float(ndtri(confidence)) / float(stdtrit(moments - 1, confidence))) ** 2
    return _exact_limit(share, worth * known / variance_inflation, confidence)


def _exact_limit(share: float, cases: float, confidence: float) -> float:
    """Return the exact upper limit of a share seen in so many cases (Clopper and Pearson, 1934)."""
    from scipy.special import betaincinv

    if share >= 1 or not cases:
        return 1.0
    return float(betaincinv(share * cases + 1, (1 - share) * cases, confidence))


def difference_interval(gain: Floats, groups: Groups) -> Interval:
    """Return the 95 % interval of the mean of `gain` (N, each -1, 0 or 1) between two runs.

    It joins the intervals of the shares that either run alone got right by the squares of how far
    their ends are off (Newcombe, "Improved Confidence Intervals for the Difference Between Binomial
    Proportions Based on Paired Data", 1998): where the runs never differ it is the exact limits of
    either share. What one run gains the other cannot, so the shares are correlated.
    """
    gained, lost = gain > 0, gain < 0
    ahead, behind = float(gained.mean()), float(lost.mean())
    up, down = share_interval(gained, groups), share_interval(lost, groups)
    odds = ahead * behind / ((1 - ahead) * (1 - behind)) if ahead < 1 and behind < 1 else 0.0

    def joined(first: float, second: float) -> float:
        return float((first**2 + second**2 + 2 * odds**0.5 * first * second) ** 0.5)

    mean = ahead - behind
    below = joined(ahead - up.low, down.high - behind)
    above = joined(up.high - ahead, behind - down.low)
    return Interval(max(-1.0, mean - below), min(1.0, mean + above))


def _by_moment(values: Floats, groups: Groups) -> tuple[Floats, Floats]:
    numbers = group_numbers(groups)
    sums: Floats = np.bincount(numbers, values).astype(np.float64)
    return sums, np.bincount(numbers).astype(np.float64)


def _variance(sums: Floats, sizes: Floats) -> float:
    count, total = len(sizes), sizes.sum()
    off = sums - sums.sum() / total * sizes
    return float((off**2).sum() / total**2 * count / (count - 1))


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """One run against another.

    `difference` in accuracy (points of 1) with its 95 % interval; None for a single moment.
    `only_this` and `only_other` pictures are right in one run alone, and `p` is the exact
    two-sided probability that so unequal a pair comes by luck, moments being the cases.
    """

    difference: float
    interval: Interval | None
    only_this: int
    only_other: int
    p: float

    @property
    def clear(self) -> bool:
        """Whether both agree that it is no luck."""
        beyond = self.interval is not None and (self.interval.low > 0 or self.interval.high < 0)
        return beyond and self.p < SIGNIFICANCE_LEVEL


def compare_paired(this: Flags, other: Flags, moments: Sequence[str]) -> PairedComparison:
    """Compare which of the same N pictures, of these `moments`, two runs got right."""
    only_this, only_other = int((this & ~other).sum()), int((other & ~this).sum())
    groups = group_numbers(moments)
    gain = this.astype(np.float64) - other
    return PairedComparison(
        float(gain.mean()) if len(gain) else 0.0,
        difference_interval(gain, groups) if groups.any() else None,
        only_this,
        only_other,
        randomization_test(np.bincount(groups, gain).astype(np.int64).tolist()),
    )


def randomization_test(gains: Iterable[int]) -> float:
    """Return how often the sum of `gains` would be as far from 0 if runs were swapped at random.

    A gain is by how many pictures of a moment one run is ahead; each has either sign with
    probability 1/2 (Fisher's randomization test, exact). For moments of one picture that is
    McNemar's test.
    """
    sums = list(gains)
    chances = np.ones(1)  # of the sums that can be, from the least on
    for size in filter(None, map(abs, sums)):
        more = np.zeros(len(chances) + 2 * size)
        more[: len(chances)] += chances / 2
        more[2 * size :] += chances / 2
        chances = more
    far = np.abs(np.arange(len(chances)) - len(chances) // 2) >= abs(sum(sums))
    return min(1.0, float(chances[far].sum()))
