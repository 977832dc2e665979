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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from baseline.evaluation.outputs import Floats, Indices
from gleanset.records import Interval

# scipy is imported where it is used, so that predictions need not wait for it.
Flags = npt.NDArray[np.bool_]
Groups = Sequence[str] | npt.NDArray[Any]
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
    if (
        groups is None
        or (groups if effective is None else effective) >= MIN_RELIABLE_GROUPS
    ):
        return ""
    number = f"only {groups} group{'s' if groups != 1 else ''}"
    if effective is not None and groups >= MIN_RELIABLE_GROUPS:
        number = f"{groups} groups of unequal size, as reliable as {effective:.0f} equal ones"
    return (
        f"{number} (scenes, posts, similar images): "
        f"estimates are rough below {MIN_RELIABLE_GROUPS}"
    )


def required_sample_size(share: float, confidence: float = 0.95) -> int:
    """Return the number of cases without a hit that shows a rate of at most `share`."""
    return (
        math.ceil(math.log(1 - confidence) / math.log1p(-share)) if 0 < share < 1 else 0
    )


def group_numbers(names: Groups) -> Indices:
    """Number groups from 0."""
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)


def effective_groups(groups: Groups) -> float:
    """Return the effective number of groups: (sum s)^2 / sum s^2 of their sizes s.

    Source: Kish, "Survey Sampling", 1965.
    """
    return _effective_number(np.bincount(group_numbers(groups)).astype(np.float64))


def _effective_number(sizes: Floats) -> float:
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def share_interval_or_none(
    right: Flags, groups: Groups, variance_inflation: float = 1.0
) -> Interval | None:
    """Return `share_interval`, or None for a single group."""
    return (
        share_interval(right, groups, variance_inflation)
        if len(set(groups)) > 1
        else None
    )


def share_interval(
    right: Flags, groups: Groups, variance_inflation: float = 1.0
) -> Interval:
    """Return the 95 % interval of the share of `right` (N) with `groups` (N)."""
    missed = bound_share(~right, groups, _ONE_SIDED_CONFIDENCE, variance_inflation)
    high = bound_share(right, groups, _ONE_SIDED_CONFIDENCE, variance_inflation)
    return Interval(1 - missed, high)


def bound_share(
    hits: Flags,
    groups: Groups,
    confidence: float = 0.95,
    variance_inflation: float = 1.0,
) -> float:
    """Return the upper confidence limit of the share of `hits` (N) with `groups` (N).

    Without hits, the correlation within groups is unknown and every group counts as one case. With
    few groups that hit, the variance is that with a part of a group of hits added, of average
    size. `variance_inflation` multiplies the variance, for variation that the images do not show.
    """
    from scipy.special import ndtri, stdtrit

    numbers = group_numbers(groups)
    sums = np.bincount(numbers, hits)
    sizes = np.bincount(numbers).astype(np.float64)
    effective = _effective_number(sizes)
    total = float(sizes.sum())
    share = float(sums.sum() / total) if total else 1.0
    if share == 0:
        return _exact_limit(0.0, effective / variance_inflation, confidence)
    if share == 1 or len(sizes) < 2:
        return 1.0
    part = _PSEUDO_GROUP_SHARE * float((sizes**2).sum() / sizes.sum())
    sums, sizes = np.append(sums, part), np.append(sizes, part)
    enlarged = float(sums.sum() / sizes.sum())
    count = len(sizes)
    residuals = (sums - enlarged * sizes) / sizes.sum()
    variance = float((residuals**2).sum() * count / (count - 1))
    cases = min(total, enlarged * (1 - enlarged) / variance) if variance > 0 else total
    # With few groups the variance itself is uncertain, as in Student's t.
    correction = (
        float(ndtri(confidence)) / float(stdtrit(effective - 1, confidence))
    ) ** 2
    return _exact_limit(share, cases * correction / variance_inflation, confidence)


def _exact_limit(share: float, cases: float, confidence: float) -> float:
    """Return the exact upper limit of a share (Clopper and Pearson, 1934)."""
    from scipy.special import betaincinv

    if share >= 1 or not cases:
        return 1.0
    return float(betaincinv(share * cases + 1, (1 - share) * cases, confidence))


def difference_interval(gain: Floats, groups: Groups) -> Interval:
    """Return the 95 % interval of the mean of `gain` (N, each -1, 0 or 1) between two runs.

    It combines the intervals of the shares that only one run got right (Newcombe, "Improved
    Confidence Intervals for the Difference Between Binomial Proportions Based on Paired Data",
    1998), with the correlation of two exclusive shares.
    """
    gained = gain > 0
    lost = gain < 0
    ahead, behind = float(gained.mean()), float(lost.mean())
    up, down = share_interval(gained, groups), share_interval(lost, groups)
    odds = (
        ahead * behind / ((1 - ahead) * (1 - behind))
        if ahead < 1 and behind < 1
        else 0.0
    )

    def joined(first: float, second: float) -> float:
        return float((first**2 + second**2 + 2 * odds**0.5 * first * second) ** 0.5)

    mean = ahead - behind
    below = joined(ahead - up.low, down.high - behind)
    above = joined(up.high - ahead, behind - down.low)
    return Interval(max(-1.0, mean - below), min(1.0, mean + above))


@dataclass(frozen=True)
class PairedComparison:
    """Comparison of two runs on the same images.

    `difference` is in accuracy (0..1), with its 95 % interval or None for a single group.
    `only_this` and `only_other` count images that one run alone got right; `p` is the exact
    two-sided p-value with groups as the cases.
    """

    difference: float
    interval: Interval | None
    only_this: int
    only_other: int
    p: float

    @property
    def clear(self) -> bool:
        """Whether the difference is significant by both the interval and `p`."""
        beyond = self.interval is not None and (
            self.interval.low > 0 or self.interval.high < 0
        )
        return beyond and self.p < SIGNIFICANCE_LEVEL


def compare_paired(
    this: Flags, other: Flags, groups: Sequence[str]
) -> PairedComparison:
    """Compare the correct predictions (N) of two runs on images of these groups (N)."""
    only_this, only_other = int((this & ~other).sum()), int((other & ~this).sum())
    numbers = group_numbers(groups)
    gain = this.astype(np.float64) - other
    return PairedComparison(
        float(gain.mean()) if len(gain) else 0.0,
        difference_interval(gain, numbers) if numbers.any() else None,
        only_this,
        only_other,
        randomization_test(np.bincount(numbers, gain).astype(np.int64).tolist()),
    )


def randomization_test(gains: Iterable[int]) -> float:
    """Return the two-sided p-value of Fisher's exact randomization test.

    A gain is the difference in correct images of a group; each has either sign with probability
    1/2. For groups of one image it is McNemar's test.
    """
    gains = list(gains)
    probabilities = np.ones(1)  # of the possible sums, ascending
    for size in filter(None, map(abs, gains)):
        widened = np.zeros(len(probabilities) + 2 * size)
        widened[: len(probabilities)] += probabilities / 2
        widened[2 * size :] += probabilities / 2
        probabilities = widened
    sums = np.arange(len(probabilities)) - len(probabilities) // 2
    return min(1.0, float(probabilities[np.abs(sums) >= abs(sum(gains))].sum()))
