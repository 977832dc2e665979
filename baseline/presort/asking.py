"""Which samples are odd, and which a person should label next: unsure ones that differ.

With a model, BADGE (Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
Bounds", 2020): samples far apart in the gradient that their labels would cause, (p - 1[best]) x v,
which is long where the model is unsure. Without one, typical samples of different groups
(TypiClust: Hacohen, Dekel and Weinshall, "Active Learning on a Budget", 2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from curation.likeness.recommend import Flags, Floats, Indices, Rows

MOST = 100
"""Samples that are asked for: some pages of a window."""


def diverse_uncertain(
    probabilities: Floats, vectors: Rows, free: Flags, copies: Sequence[str]
) -> list[int]:
    """Return up to `MOST` of the samples that are `free`, the most telling first.

    The first has the longest gradient, each next one that farthest from those chosen: taking the
    farthest did better than drawing it with a chance, as the paper does (docs/experiments.md). Of
    `copies` of one name only one is taken.
    """
    rest = probabilities.copy()
    rest[np.arange(len(rest)), probabilities.argmax(1)] -= 1
    length = (rest**2).sum(1) * (vectors.astype(np.float64) ** 2).sum(1)
    gap = np.where(free, length, 0.0)
    chosen: list[int] = []
    taken: set[str] = set()
    while len(chosen) < MOST and gap.max() > 0:
        pick = int(gap.argmax())
        gap[pick] = 0
        if copies[pick] in taken:
            continue
        taken.add(copies[pick])
        chosen.append(pick)
        shared = (rest @ rest[pick]) * (vectors @ vectors[pick])
        gap = np.minimum(gap, np.maximum(length + length[pick] - 2 * shared, 0))
    return chosen


def typical_of_groups(odd: Floats, group: Indices, free: Flags, copies: Sequence[str]) -> list[int]:
    """Return up to `MOST` free samples: the least odd of each group, large groups first, then the
    second of each.
    """
    size = np.bincount(group)
    turn: Counter[int] = Counter()
    ranked = []
    for row in _first_of_copies(np.argsort(odd, kind="stable").tolist(), copies):
        if free[row]:
            number = int(group[row])
            ranked.append((turn[number], -int(size[number]), number, row))
            turn[number] += 1
    return [row for *_, row in sorted(ranked)[:MOST]]


def _first_of_copies(rows: Iterable[int], copies: Sequence[str]) -> list[int]:
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(copies[row], row)
    return list(first.values())


def oddness(vectors: Rows, kind: npt.NDArray[np.int64]) -> Floats:
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
