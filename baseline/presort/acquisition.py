"""Which samples a person should label next: uncertain ones that differ from each other.

With a model, BADGE (Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
Bounds", 2020): samples far apart in the gradient that their labels would cause, (p - 1[best]) x v,
which is long where the model is unsure. Without one, typical samples of different clusters
(TypiClust: Hacohen, Dekel and Weinshall, "Active Learning on a Budget", 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from baseline.judge.outputs import Floats
from baseline.presort.classify import FeatureRows, Indices

MOST = 100
"""Samples that are asked for: some pages of a window."""
NEAR = 20
"""Neighbours that tell how typical a sample is."""


def diverse_uncertain(
    probabilities: Floats, vectors: FeatureRows, free: npt.NDArray[np.bool_], groups: Sequence[str]
) -> list[int]:
    """Return up to `MOST` of the samples that are `free`, the most telling first.

    The first has the longest gradient, each next one that farthest from those chosen: taking the
    farthest did better than drawing it with a chance, as the paper does (see docs/presort.md). Of
    a group only one is taken.
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
        if groups[pick] in taken:
            continue
        taken.add(groups[pick])
        chosen.append(pick)
        shared = (rest @ rest[pick]) * (vectors @ vectors[pick])
        gap = np.minimum(gap, np.maximum(length + length[pick] - 2 * shared, 0))
    return chosen


def typical_of_clusters(
    vectors: FeatureRows,
    cluster: Indices,
    free: npt.NDArray[np.bool_],
    seen: npt.NDArray[np.bool_],
    groups: Sequence[str],
) -> list[int]:
    """Return up to `MOST` free samples, the most typical of each cluster, large clusters first.

    Clusters in which something is `seen` (labelled) already come last.
    """
    typical = density(vectors)
    best: dict[int, list[int]] = {}
    for row in np.argsort(-typical, kind="stable"):
        if free[row]:
            best.setdefault(int(cluster[row]), []).append(int(row))
    size = np.bincount(cluster)
    known = np.bincount(cluster[seen], minlength=len(size))
    chosen: list[int] = []
    taken: set[str] = set()
    while best and len(chosen) < MOST:
        number = min(best, key=lambda c: (known[c], -size[c], c))
        row = best[number].pop(0)
        if not best[number]:
            del best[number]
        if groups[row] not in taken:
            taken.add(groups[row])
            chosen.append(row)
            known[number] += 1
    return chosen


def density(vectors: FeatureRows, sample: int = 4000) -> npt.NDArray[np.float64]:
    """Return how close each sample's nearest others are: less the mean distance to `NEAR` of them.

    Among every so manieth sample where there are many, or else it would be quadratic.
    """
    others = vectors[:: max(1, -(-len(vectors) // sample))]
    near = min(NEAR, len(others) - 1)
    found = np.zeros(len(vectors))
    norms = (others**2).sum(1)
    for start in range(0, len(vectors), 1000):
        part = vectors[start : start + 1000]
        square = (part**2).sum(1)[:, None] + norms - 2 * part @ others.T
        close = np.partition(np.maximum(square, 0), near, axis=1)[:, : near + 1]
        found[start : start + 1000] = -np.sqrt(close).mean(1)
    return found
