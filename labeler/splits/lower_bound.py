"""A lower bound on how far any split is from its shares: what is the moments' own doing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import floor

# So many sums on each side of what is asked are tried.
_NEAREST = 12


def least_deviation(
    sizes: Iterable[int], want: Sequence[float], have: Sequence[int] | None = None
) -> float:
    """Return the least deviation that a split of whole moments can have for a class.

    `sizes` are how many samples of the class each moment has, `have` what the parts hold that
    cannot be moved. What a part gets is a sum of some of the sizes (subset sums as bits:
    Pisinger, "Linear time algorithms for knapsack problems with bounded weights", 1999, section
    1), and all parts together get everything: the least distance for which both can be.
    """
    numbers = list(sizes)
    sums, total = _sums(numbers), sum(numbers)
    fixed = have or [0] * len(want)
    gaps = [wanted - held for wanted, held in zip(want, fixed, strict=True)]
    near = [_near(sums, gap) for gap in gaps]
    least = max(min(distances) for distances in (row.values() for row in near))
    for distance in sorted({d for row in near for d in row.values() if d >= least}):
        if _add_up([[s for s, d in row.items() if d <= distance + 1e-9] for row in near], total):
            return distance
    return least


def _add_up(choices: Iterable[Sequence[int]], total: int) -> bool:
    """Tell whether one of each adds up to the total."""
    reached = 1
    for choice in choices:
        after = 0
        for number in choice:
            after |= reached << number
        reached = after
    return bool(reached >> total & 1)


def _sums(sizes: Iterable[int]) -> int:
    """Return all sums of some of the sizes, as set bits."""
    sums = 1
    for size, count in sorted(Counter(sizes).items()):
        left, step = count, 1
        while left:  # any number up to `count` is a sum of these steps
            step = min(step, left)
            sums |= sums << (size * step)
            left -= step
            step *= 2
    return sums


def _near(sums: int, wanted: float) -> dict[int, float]:
    """Find the nearest sums on both sides of a number, and how far they are."""
    low = max(0, floor(wanted))
    below, above, found = sums & ((1 << (low + 1)) - 1), sums >> (low + 1), []
    for _ in range(_NEAREST):
        if below:
            found.append(below.bit_length() - 1)
            below ^= 1 << found[-1]
        if above:
            found.append(low + (above & -above).bit_length())
            above &= above - 1
    return {number: abs(wanted - number) for number in found}
