"""How sure a share is that was counted on few cases: intervals and bounds of a proportion."""

from __future__ import annotations

import math
from typing import NamedTuple

_Z95 = 1.959963984540054
"""The 97.5 % point of the normal distribution: 95 % lie between it and its negative."""
_HALVINGS = 60
"""Bisection of 0..1 down to the precision of a float."""


class Interval(NamedTuple):
    """A confidence interval of a share."""

    low: float
    high: float


def wilson(right: int, count: int) -> Interval:
    """The 95 % score interval of a share (Wilson, 1927; without continuity correction).

    Unlike the textbook plus-or-minus it stays within 0..1 and is honest for few pictures.
    """
    if count == 0:
        return Interval(0.0, 1.0)
    share, z2 = right / count, _Z95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def at_most(hits: int, count: int, confidence: float = 0.95) -> float:
    """The share that is not exceeded with this confidence, when `hits` of `count` were seen.

    The exact one-sided bound of Clopper and Pearson (1934). It also bounds the share beyond
    the (hits + 1)-th largest of `count` values (Wilks, 1941: tolerance limits), which is how a
    threshold is chosen.
    """
    if hits >= count:
        return 1.0
    low, high = hits / count, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if up_to(hits, count, middle) > 1 - confidence else (low, middle)
    return high


def needed_for(share: float, confidence: float = 0.95) -> int:
    """How many cases without a hit it takes to promise that hits are at most this `share`."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-share)) if 0 < share < 1 else 0


def up_to(hits: int, count: int, share: float) -> float:
    """The probability of at most `hits` hits among `count` cases that each hit with `share`."""
    if share <= 0:
        return 1.0
    if share >= 1 or hits >= count:
        return float(hits >= count)
    log, log_not = math.log(share), math.log1p(-share)
    return math.fsum(
        math.exp(_log_choose(count, k) + k * log + (count - k) * log_not) for k in range(hits + 1)
    )


def _log_choose(count: int, k: int) -> float:
    return math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
