"""Uncertainty of shares that are counted on few cases."""

from __future__ import annotations

import math
from typing import NamedTuple

MIN_RELIABLE_GROUPS = 20
"""Minimum number of groups for a figure without a warning."""


class Interval(NamedTuple):
    """Confidence interval of a share or a mean."""

    low: float
    high: float


UNKNOWN_INTERVAL = Interval(0.0, 1.0)
"""Interval of a share that is counted on a single group."""


def small_sample_warning(groups: int | None, effective: float | None = None) -> str:
    """Return a warning if figures are based on few groups, else an empty text.

    `effective` is the effective number of groups, which is lower if some are far larger.
    """
    if groups is None or (groups if effective is None else effective) >= MIN_RELIABLE_GROUPS:
        return ""
    number = f"only {groups} group{'s' if groups != 1 else ''}"
    if effective is not None and groups >= MIN_RELIABLE_GROUPS:
        number = f"{groups} groups of very unequal size (effective number {effective:.0f})"
    return (
        f"{number} (scenes, posts, similar images): estimates are rough below {MIN_RELIABLE_GROUPS}"
    )


def required_sample_size(share: float, confidence: float = 0.95) -> int:
    """Return the number of cases without a hit that shows a rate of at most `share`."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-share)) if 0 < share < 1 else 0
