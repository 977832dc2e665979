"""Look-alikes side by side: a tree of likeness, cut into clusters and read from leaf to leaf.

Average linkage over all samples, or over up to `LEAVES` centres of k-means where there are more:
what is quadratic stays small, so 100,000 samples take seconds. (Ward's, complete linkage, k-means
and HDBSCAN gave worse clusters, see docs/presort.md.)
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from sklearn.cluster import MiniBatchKMeans

from baseline.judge.outputs import Floats
from baseline.presort.classify import FeatureRows, Indices

LEAVES = 600
MEAN_SIZE = 8
"""Samples a cluster has on average: of 5, 8 and 16 the best on real faces (docs/presort.md)."""
MOST_CLUSTERS = 300
"""More than a person wants to go through."""


@dataclass(frozen=True, slots=True)
class SimilarityOrder:
    """`place` counts N samples along the order of likeness; `cluster` is the kind of each."""

    place: Indices
    cluster: Indices


def similarity_order(vectors: FeatureRows, seed: int, clusters: int = 0) -> SimilarityOrder:
    """Order N samples (vectors N x D) and cut them into `clusters` kinds (0: choose)."""
    if len(vectors) < 3:
        return SimilarityOrder(np.arange(len(vectors)), np.zeros(len(vectors), np.int64))
    leaf, centres = _leaves(vectors, seed)
    tree = linkage(centres.astype(np.float64), "average", optimal_ordering=True)
    wanted = clusters or min(MOST_CLUSTERS, max(2, len(vectors) // MEAN_SIZE))
    kind = fcluster(tree, min(wanted, len(centres)), "maxclust").astype(np.int64) - 1
    return SimilarityOrder(_places(vectors, leaf, centres, leaves_list(tree)), kind[leaf])


def _leaves(vectors: FeatureRows, seed: int) -> tuple[Indices, FeatureRows]:
    """Return the leaf of each sample, and the leaves' centres."""
    if len(vectors) <= LEAVES:
        return np.arange(len(vectors)), vectors
    means = MiniBatchKMeans(
        LEAVES, batch_size=4096, n_init=1, max_iter=20, random_state=seed, init_size=3 * LEAVES
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty clusters, where many samples are equal
        leaf = means.fit_predict(vectors)
    used, leaf = np.unique(leaf, return_inverse=True)
    return leaf.astype(np.int64), means.cluster_centers_[used].astype(np.float32)


def _places(
    vectors: FeatureRows, leaf: Indices, centres: FeatureRows, leaf_order: npt.NDArray[np.int32]
) -> Indices:
    """Leaf after leaf; within one, from the side of the leaf before to that of the next."""
    rank = np.empty(len(leaf_order), np.int64)
    rank[leaf_order] = np.arange(len(leaf_order))
    before = centres[leaf_order[np.maximum(rank - 1, 0)]]
    after = centres[leaf_order[np.minimum(rank + 1, len(leaf_order) - 1)]]
    direction = after - before
    progress = np.einsum("nd,nd->n", vectors, direction[leaf])
    place = np.empty(len(vectors), np.int64)
    place[np.lexsort((progress, rank[leaf]))] = np.arange(len(vectors))
    return place


def outlier_score(vectors: FeatureRows, kind: Indices) -> Floats:
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


def _spread(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))
