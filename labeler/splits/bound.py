"""How close any split at all could come, so that a plan can say what is the moments' fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import floor


def least_deviation(
    sizes: Iterable[int], want: Sequence[float], have: Sequence[int] | None = None
) -> float:
    """No split of whole moments brings every part of a class closer to its wish than this.

    `sizes` are how many samples of the class each moment has, `have` what the parts hold that
    cannot be moved. What a part gets is a sum of some of the sizes; the nearest such sum is
    as close as that part can come (subset sums as bits: Pisinger, "Linear time algorithms for
    knapsack problems with bounded weights", 1999, section 1).
    """
    sums = _sums(sizes)
    fixed = have or [0] * len(want)
    return max(_distance(sums, wanted - held) for wanted, held in zip(want, fixed, strict=True))


def _sums(sizes: Iterable[int]) -> int:
    """All sums of some of the sizes, as set bits."""
    sums = 1
    for size, count in sorted(Counter(sizes).items()):
        left, step = count, 1
        while left:  # any number up to `count` is a sum of these steps
            step = min(step, left)
            sums |= sums << (size * step)
            left -= step
            step *= 2
    return sums


def _distance(sums: int, wanted: float) -> float:
    """From a number to the nearest sum."""
    low = max(0, floor(wanted))
    below = sums & ((1 << (low + 1)) - 1)
    above = sums >> (low + 1)
    distances = [abs(wanted - (below.bit_length() - 1))]
    if above:
        distances.append(abs(low + (above & -above).bit_length() - wanted))
    return min(distances)
