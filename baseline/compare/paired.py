"""Is one run better than another on the same pictures, or was it luck?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from baseline.evaluation.intervals import difference_interval, group_numbers
from gleanset.binomial import Interval

Right = npt.NDArray[np.bool_]
LUCK = 0.05


@dataclass(frozen=True, slots=True)
class Paired:
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

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self) | {"interval": self.interval and list(self.interval)}

    @property
    def clear(self) -> bool:
        """Whether both agree that it is no luck."""
        beyond = self.interval is not None and (self.interval.low > 0 or self.interval.high < 0)
        return beyond and self.p < LUCK


def paired(this: Right, other: Right, moments: Sequence[str]) -> Paired:
    """Compare which of the same N pictures two runs got right."""
    only_this, only_other = int((this & ~other).sum()), int((other & ~this).sum())
    groups = group_numbers(moments)
    gain = this.astype(np.float64) - other
    return Paired(
        float(gain.mean()) if len(gain) else 0.0,
        difference_interval(gain, groups) if groups.any() else None,
        only_this,
        only_other,
        swapped(np.bincount(groups, gain).astype(np.int64).tolist()),
    )


def swapped(gains: Iterable[int]) -> float:
    """How often the sum of `gains` would be as far from 0 if runs were swapped at random.

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
