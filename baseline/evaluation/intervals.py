"""Confidence intervals of shares, with groups as the cases.

Frames of one scene, copies and images of one post are right or wrong together, so the cases are
groups, not images. Images of one show or photographer are similar beyond a group; intervals do not
cover other shows. `benchmarks/interval_coverage.py` measures the coverage.

A share is a ratio of two sums over groups (Cochran, "Sampling Techniques", 1977, section 6.4). Its
variance gives the effective sample size, for which exact limits are computed (Korn and Graubard,
"Confidence Intervals for Proportions with Small Expected Number of Positive Counts", 1998). A
cluster bootstrap is too narrow for few groups. For unequal groups the effective number counts
(`effective_groups`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gleanset.arrays import Array, BoolArray, Float64Array, IntArray
from gleanset.html.words import count
from gleanset.records import Interval

# scipy is imported where it is used, so that predictions need not wait for it.

Groups = Sequence[str] | Array
"""The group of each of N images, by name or number."""

_ONE_SIDED_CONFIDENCE = 0.975
"""The confidence of either limit of a 95 % interval."""
_PSEUDO_GROUP_SHARE = 0.7
"""Part of a group of hits that is added to the variance of a share."""
SIGNIFICANCE_LEVEL = 0.05
MIN_RELIABLE_GROUPS = 20
"""Minimum number of groups for a figure without a warning."""
UNKNOWN_INTERVAL = Interval(0.0, 1.0)
"""Interval of a share that is counted on a single group."""


def small_sample_warning(groups: int | None, effective: float | None = None) -> str:
    """Return a warning if figures are based on few groups, else an empty text.

    `effective` is the effective number of groups, which is lower if some are far larger.
    """
    if groups is None:
        return ""
    if effective is None:
        effective = groups
    if effective >= MIN_RELIABLE_GROUPS:
        return ""

    number = f"only {count(groups, 'group')}"
    if groups >= MIN_RELIABLE_GROUPS:
        number = f"{groups} groups of unequal size, as reliable as {effective:.0f} equal ones"
    return (
        f"{number} (scenes, posts, similar images): "
        f"estimates are rough below {MIN_RELIABLE_GROUPS}"
    )


def required_sample_size(share: float) -> int:
    """Return the cases without a hit that show a rate of at most `share`, with 95 % confidence."""
    if not 0 < share < 1:
        return 0
    return math.ceil(math.log(1 - 0.95) / math.log1p(-share))


def group_numbers(names: Groups) -> IntArray:
    """Number groups from 0."""
    _, numbers = np.unique(names, return_inverse=True)
    return numbers.astype(np.int64)


def effective_groups(groups: Groups) -> float:
    """Return the effective number of groups: (sum s)^2 / sum s^2 of their sizes s.

    Source: Kish, "Survey Sampling", 1965.
    """
    return _effective_number(np.bincount(group_numbers(groups)).astype(np.float64))


def _effective_number(sizes: Float64Array) -> float:
    if not len(sizes):
        return 0.0
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def share_interval_or_none(
    right: BoolArray, groups: Groups, variance_inflation: float = 1.0
) -> Interval | None:
    """Return `share_interval`, or None for a single group."""
    if len(set(groups)) < 2:
        return None
    return share_interval(right, groups, variance_inflation)


def share_interval(
    right: BoolArray, groups: Groups, variance_inflation: float = 1.0
) -> Interval:
    """Return the 95 % interval of the share of `right` (N) with `groups` (N)."""
    miss_bound = bound_share(~right, groups, _ONE_SIDED_CONFIDENCE, variance_inflation)
    hit_bound = bound_share(right, groups, _ONE_SIDED_CONFIDENCE, variance_inflation)
    return Interval(1 - miss_bound, hit_bound)


def bound_share(
    hits: BoolArray,
    groups: Groups,
    confidence: float = 0.95,
    variance_inflation: float = 1.0,
) -> float:
    """Return the upper confidence limit of the share of `hits` (N) with `groups` (N).

    Without hits, the correlation within groups is unknown and every group counts as one case. The
    variance is computed as if part of one more group, all hits, had been seen, or few hits would
    look too certain. `variance_inflation` multiplies it, for variation that the images do not show.
    """
    from scipy.special import ndtri, stdtrit

    # Hits and sizes of the groups.
    numbers = group_numbers(groups)
    sums = np.bincount(numbers, hits).astype(np.float64)
    sizes = np.bincount(numbers).astype(np.float64)
    effective = _effective_number(sizes)
    total = float(sizes.sum())
    share = float(sums.sum() / total) if total else 1.0
    if share == 0:
        return _exact_limit(0.0, effective / variance_inflation, confidence)
    if share == 1 or len(sizes) < 2:
        return 1.0

    variance = _share_variance(sums, sizes)
    cases = total
    if variance.value > 0:
        # Independent cases that would have this variance.
        padded = variance.padded_share
        cases = min(total, padded * (1 - padded) / variance.value)

    # With few groups the variance itself is uncertain, as in Student's t.
    normal = float(ndtri(confidence))
    correction = (normal / float(stdtrit(effective - 1, confidence))) ** 2
    return _exact_limit(share, cases * correction / variance_inflation, confidence)


class _ShareVariance(NamedTuple):
    """Variance of a share, and the share with a part of a group of hits added."""

    value: float
    padded_share: float


def _share_variance(sums: Float64Array, sizes: Float64Array) -> _ShareVariance:
    """Return the variance of a share, by the hits and sizes of its groups.

    Adding a whole group would make intervals twice as wide as needed (docs/experiments.md).
    """
    # Part of a group of the size that an image's group has on average, all of it hits.
    pseudo_size = _PSEUDO_GROUP_SHARE * float((sizes**2).sum() / sizes.sum())
    sums = np.append(sums, pseudo_size)
    sizes = np.append(sizes, pseudo_size)
    share = float(sums.sum() / sizes.sum())

    # The variance of a ratio of sums over groups (Cochran, section 6.4).
    groups = len(sizes)
    residuals = (sums - share * sizes) / sizes.sum()
    return _ShareVariance(float((residuals**2).sum() * groups / (groups - 1)), share)


def _exact_limit(share: float, cases: float, confidence: float) -> float:
    """Return the exact upper limit of a share (Clopper and Pearson, 1934)."""
    from scipy.special import betaincinv

    if share >= 1 or not cases:
        return 1.0
    return float(
        betaincinv(
            share * cases + 1,
            (1 - share) * cases,
            confidence,
        )
    )


def difference_interval(gain: Float64Array, groups: Groups) -> Interval:
    """Return the 95 % interval of the mean of `gain` (N, each -1, 0 or 1) between two runs.

    It combines the intervals of the shares that only one run got right (Newcombe, "Improved
    Confidence Intervals for the Difference Between Binomial Proportions Based on Paired Data",
    1998), with the correlation of two exclusive shares.
    """
    is_gain = gain > 0
    is_loss = gain < 0
    gain_share = float(is_gain.mean())
    loss_share = float(is_loss.mean())
    gain_interval = share_interval(is_gain, groups)
    loss_interval = share_interval(is_loss, groups)

    # Of two exclusive shares: the square root of the product of their odds.
    correlation = 0.0
    if gain_share < 1 and loss_share < 1:
        others = (1 - gain_share) * (1 - loss_share)
        correlation = (gain_share * loss_share / others) ** 0.5

    def combine(first: float, second: float) -> float:
        """Add two deviations; exclusive shares vary in opposite directions."""
        return float((first**2 + second**2 + 2 * correlation * first * second) ** 0.5)

    # How far the limits are from the difference.
    below = combine(
        gain_share - gain_interval.low,
        loss_interval.high - loss_share,
    )
    above = combine(
        gain_interval.high - gain_share,
        loss_share - loss_interval.low,
    )
    difference = gain_share - loss_share
    return Interval(
        max(-1.0, difference - below),
        min(1.0, difference + above),
    )


@dataclass(frozen=True)
class PairedComparison:
    """Comparison of two runs on the same images.

    `difference` is in accuracy (0..1), with its 95 % interval or None for a single group.
    `p` is the exact two-sided p-value with groups as the cases.
    """

    difference: float
    interval: Interval | None
    p: float

    @property
    def clear(self) -> bool:
        """Whether the difference is significant by both the interval and `p`."""
        if self.interval is None:
            return False
        excludes_zero = self.interval.low > 0 or self.interval.high < 0
        return excludes_zero and self.p < SIGNIFICANCE_LEVEL


def compare_paired(
    this: BoolArray, other: BoolArray, groups: Sequence[str]
) -> PairedComparison:
    """Compare the correct predictions (N) of two runs on images of these groups (N)."""
    # Groups are numbered from 0: another number is of a second group.
    numbers = group_numbers(groups)
    has_groups = bool(numbers.any())
    gain = this.astype(np.float64) - other
    group_gains = np.bincount(numbers, gain).astype(np.int64)
    return PairedComparison(
        difference=float(gain.mean()) if len(gain) else 0.0,
        interval=difference_interval(gain, numbers) if has_groups else None,
        p=randomization_test(group_gains.tolist()),
    )


def randomization_test(gains: Sequence[int]) -> float:
    """Return the two-sided p-value of Fisher's exact randomization test.

    A gain is the difference in correct images of a group; each has either sign with probability
    1/2. For groups of one image it is McNemar's test.
    """
    # The probability of each sum of signed gains, from the lowest to the highest possible sum; the
    # sum 0 is in the middle. With one more group the lowest is lower by `size`, so what stays at
    # its index is now the probability of a sum lower by `size` (the group has the sign -). What
    # moves up by 2 * `size` is that of a sum higher by `size` (the sign +).
    probabilities = np.ones(1)
    for size in map(abs, gains):
        if size:
            next_probabilities = np.zeros(len(probabilities) + 2 * size)
            next_probabilities[: len(probabilities)] += probabilities / 2
            next_probabilities[2 * size :] += probabilities / 2
            probabilities = next_probabilities

    sums = np.arange(len(probabilities)) - len(probabilities) // 2
    is_as_extreme = np.abs(sums) >= abs(sum(gains))
    # Rounding may add up to more than 1.
    return min(1.0, float(probabilities[is_as_extreme].sum()))
