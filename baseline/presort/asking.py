"""Which samples are odd, and which a person should label next: those of different groups, in turns.

With a model the least sure of each group come first, without one the most typical (TypiClust:
Hacohen, Dekel and Weinshall, "Active Learning on a Budget", 2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from curation.likeness.recommend import Flags, Floats, Indices, Rows

MOST = 100
"""Samples that are asked for: some pages of a window."""


def least_sure(
    probabilities: Floats, group: Indices, free: Flags, copies: Sequence[str]
) -> list[int]:
    """Return up to `MOST` of the samples that are `free`, one of each group, then the second of
    each: those whose likeliest two classes (of N x classes) are least apart come first.

    Of `copies` of one name only one is taken.
    """
    best = np.sort(probabilities, axis=1)
    margin = best[:, -1] - best[:, -2]
    return _in_turns(margin, margin, group, np.flatnonzero(free), copies)


def most_typical(odd: Floats, group: Indices, free: Flags, copies: Sequence[str]) -> list[int]:
    """Return the same by how `odd` samples are, the largest groups first in each turn."""
    size = np.bincount(group)[group].astype(np.float64)
    return _in_turns(odd, -size, group, np.flatnonzero(free), copies)


def _in_turns(
    within: Floats, among: Floats, group: Indices, rows: Indices, copies: Sequence[str]
) -> list[int]:
    """Return rows ordered `within` their group, and `among` those of one turn."""
    taken: set[str] = set()
    turn: Counter[int] = Counter()
    ranked = []
    for row in rows[np.argsort(within[rows], kind="stable")].tolist():
        if copies[row] not in taken:
            taken.add(copies[row])
            number = int(group[row])
            ranked.append((turn[number], float(among[row]), row))
            turn[number] += 1
    return [row for *_, row in sorted(ranked)[:MOST]]


def oddness(vectors: Rows, kind: Indices) -> Floats:
    """Return how far each sample is from the middle of its kind: 0 typical, 0.5 far out, up to 1.

    The distance in robust standard deviations (median, 1.4826 MAD) above the median of its kind,
    or of all samples for a kind of fewer than 5.
    """
    counts = np.bincount(kind)
    ends = np.cumsum(counts)
    members = np.split(np.argsort(kind, kind="stable"), ends[:-1])
    distance = np.zeros(len(vectors))
    for rows in members:
        if len(rows):
            middle_of_kind = vectors[rows].mean(0, dtype=np.float64)
            distance[rows] = np.linalg.norm(vectors[rows] - middle_of_kind, axis=1)
    middle, spread = _spread(distance)
    middles, spreads = np.full(len(counts), middle), np.full(len(counts), spread)
    for number in np.flatnonzero(counts >= 5):
        middles[number], spreads[number] = _spread(distance[members[number]])
    far = np.maximum(distance - middles[kind], 0) / np.maximum(spreads[kind], spread / 4 + 1e-9)
    score: Floats = far**2 / (far**2 + 9.0)
    return score


def _spread(values: Floats) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))
