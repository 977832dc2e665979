"""Is one run better than another on the same pictures, or was it luck?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from baseline.evaluation.intervals import between, draws, group_numbers, mean_draws
from gleanset.shares import Interval, up_to

Right = npt.NDArray[np.bool_]
LUCK = 0.05


@dataclass(frozen=True, slots=True)
class Paired:
    """One run against another.

    `difference` in accuracy (points of 1) with its 95 % interval from drawing moments; None for
    a single moment. `only_this` and `only_other` pictures are right in one run alone, and
    `p` is McNemar's exact two-sided probability of so unequal a pair by luck (1947); it takes
    pictures for independent, the interval does not.
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
        """Whether both agree that it is no luck; of few differences the interval makes too much."""
        beyond = self.interval is not None and (self.interval.low > 0 or self.interval.high < 0)
        return beyond and self.p < LUCK


def paired(this: Right, other: Right, moments: Sequence[str]) -> Paired:
    """Compare which of the same N pictures two runs got right."""
    only_this, only_other = int((this & ~other).sum()), int((other & ~this).sum())
    groups = group_numbers(moments)
    count = int(groups.max()) + 1 if len(groups) else 0
    gain = this.astype(np.float64) - other
    interval = between(mean_draws(gain, groups, draws(count))) if count > 1 else None
    return Paired(
        float(gain.mean()) if len(gain) else 0.0, interval, only_this, only_other,
        mcnemar(only_this, only_other),
    )  # fmt: skip


def mcnemar(one: int, other: int) -> float:
    """The exact two-sided probability for `one` and `other` pictures right in one run alone."""
    return min(1.0, 2 * up_to(min(one, other), one + other, 0.5)) if one + other else 1.0
