"""How sure a share is that was counted on few cases."""

from __future__ import annotations

import math
from typing import NamedTuple

FEW = 20
"""Below so many moments a figure is told with a warning."""


class Interval(NamedTuple):
    """A confidence interval of a share, or of a mean."""

    low: float
    high: float


UNKNOWN = Interval(0.0, 1.0)
"""What is known of a share that was counted on a single moment."""


def few(moments: int | None, effective: float | None = None) -> str:
    """Say plainly that so few moments tell little; empty from `FEW` on, and where none is known.

    Where some are far larger than others, they are worth `effective` ones of equal size.
    """
    if moments is None or (worth := moments if effective is None else effective) >= FEW:
        return ""
    held = "only 1 moment" if moments == 1 else f"only {moments} moments"
    if moments >= FEW:
        held = f"{moments} moments so unequal in size that they tell as little as {worth:.0f}"
    return f"{held} (scenes, posts, look-alikes): below {FEW} any figure is a rough guess"


def needed_for(share: float, confidence: float = 0.95) -> int:
    """Return how many cases without a hit show that at most `share` are hits."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-share)) if 0 < share < 1 else 0
