"""How sure proposals are: how many there are in each tenth of confidence."""

from __future__ import annotations

from collections.abc import Iterable

TENTHS = 10


def by_tenths(proposals: Iterable[tuple[float, int]]) -> tuple[int, ...]:
    """Return ten counts: how many samples are proposed with 0-10 %, 10-20 % … 90-100 %.

    `proposals` are confidences (0..1), each with a number of samples.
    """
    counts = [0] * TENTHS
    for confidence, samples in proposals:
        counts[min(TENTHS - 1, max(0, int(confidence * TENTHS)))] += samples
    return tuple(counts)
