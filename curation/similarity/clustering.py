"""Clusters of similar samples.

Clustering is agglomerative with average linkage (UPGMA; Sokal and Michener, "A statistical method
for evaluating systematic relationships", 1958). Windows and prelabelings share it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from gleanset.arrays import (
    Float32Array,
    IntArray,
    limit_threads,
    normalize_rows,
    thin_out,
)

MIN_DISTANCE = 1e-4
"""Smaller distances are rounding errors: the vectors are equal."""

DISTANCE_APART = 10.0
"""Added distance of two faces in one image: mostly two people, but a mirror or a photograph shows
one twice. It is large because it is averaged over all pairs of two clusters."""

MAX_SCATTER_ROWS = 200
"""Differences within tracks from which their directions are computed."""
WITHIN_TRACK_SHARE = 0.3
"""The share of the largest variance within tracks at which a direction has its variance halved
(docs/experiments.md)."""


def list_tracks(tracks: Iterable[str | None]) -> list[list[int]]:
    """Return the sample indices of each track; None: untracked."""
    samples_by_track: dict[str, list[int]] = {}
    for number, track in enumerate(tracks):
        if track is not None:
            samples_by_track.setdefault(track, []).append(number)
    return list(samples_by_track.values())


@limit_threads()
def refine_with_tracks(
    vectors: Float32Array, tracks: Iterable[Sequence[int] | IntArray]
) -> Float32Array:
    """Average the unit vectors (N x D) of each track (one person).

    Directions in which vectors differ within tracks (mouth, pose, light) get less weight, because
    they do not distinguish people. After Cinbis, Verbeek and Schmid, "Unsupervised metric learning
    for face identification in TV video" (2011), with the scatter within tracks instead of pairs.
    Rows of zeros have no vector and stay zero. Other rows have unit length.
    """
    has_vector = np.asarray(vectors.any(axis=1))
    rows_of_tracks = []
    for track in tracks:
        rows = [row for row in track if has_vector[row]]
        if len(rows) > 1:  # a single vector has no differences
            rows_of_tracks.append(rows)
    if not rows_of_tracks:
        return vectors

    # Directions of the differences within tracks, by their standard deviation.
    differences = [
        vectors[rows] - vectors[rows].mean(axis=0) for rows in rows_of_tracks
    ]
    scatter = thin_out(np.concatenate(differences), MAX_SCATTER_ROWS)
    _, spread, directions = np.linalg.svd(scatter, full_matrices=False)
    relative_spread = spread / max(float(spread[0]), 1e-9)
    factors = 1 / np.sqrt(1 + relative_spread**2 / WITHIN_TRACK_SHARE)

    # Scale the component along each direction, and keep what no direction spans.
    components = vectors @ directions.T
    new_vectors = vectors + (components * (factors - 1)) @ directions
    new_vectors[has_vector] -= new_vectors[has_vector].mean(axis=0)
    for rows in rows_of_tracks:
        new_vectors[rows] = new_vectors[rows].mean(axis=0)
    return normalize_rows(new_vectors)


def cluster_rows(
    vectors: Float32Array,
    count: int | None = None,
    apart: Iterable[tuple[int, int]] = (),
) -> list[list[int]]:
    """Cluster unit vectors (N x D); pairs `apart` count as dissimilar.

    Without a `count`, it is chosen by `_choose_cluster_count`.
    """
    # Imported here: it takes longer to load than to run.
    from scipy.cluster.hierarchy import cut_tree, linkage

    size = len(vectors)
    if size < 2:
        return [[row] for row in range(size)]

    distances = np.maximum(1 - vectors @ vectors.T, 0)
    # Both halves of the symmetric matrix.
    for first, second in apart:
        distances[first, second] += DISTANCE_APART
        distances[second, first] += DISTANCE_APART
    tree = linkage(distances[np.triu_indices(size, 1)], "average")
    if count is None:
        count = _choose_cluster_count(distances, tree)

    numbers = cut_tree(tree, min(count, size))[:, 0].tolist()
    clusters: dict[int, list[int]] = {}
    for row, number in enumerate(numbers):
        clusters.setdefault(number, []).append(row)
    return list(clusters.values())


def _choose_cluster_count(
    distances: Float32Array, tree: npt.NDArray[np.floating]
) -> int:
    """Return the number of clusters with the largest modularity of all cuts of the tree.

    More edges of a graph are within its clusters than chance would give (Newman and Girvan,
    "Finding and evaluating community structure in networks", 2004). The graph joins each row with
    its nearest rows, whose number grows with log N (Maier, Hein and von Luxburg, "Optimal
    construction of k-nearest-neighbor graphs for identifying noisy clusters", 2009): with two, a
    scene of some frames is a cluster of its own in a large set.
    """
    size = len(distances)
    neighbors = max(2, round(np.log2(size) / 2))
    others = distances.copy()
    np.fill_diagonal(others, np.inf)
    nearest = np.argsort(others, axis=1, kind="stable")[:, :neighbors]
    edges = np.zeros((size, size))
    np.put_along_axis(edges, nearest, 1.0, axis=1)
    edges += edges.T
    edges /= edges.sum()
    degrees = edges.sum(axis=0)

    # Each step of the tree joins two clusters and calls the new one `size + step`. Row `a` of
    # `edges` has the sums of the clusters that were joined into it. A join adds to the modularity
    # the edges between both, less those of chance; twice, because `edges` has both directions.
    row_of_cluster = {row: row for row in range(size)}
    modularity = 0.0
    best = 0.0
    count = size
    for step, (first, second) in enumerate(tree[:, :2].astype(np.int64).tolist()):
        a = row_of_cluster.pop(first)
        b = row_of_cluster.pop(second)
        modularity += 2 * float(edges[a, b] - degrees[a] * degrees[b])
        edges[a] += edges[b]
        edges[:, a] += edges[:, b]
        degrees[a] += degrees[b]
        row_of_cluster[size + step] = a

        # Equal vectors are one cluster, whatever the modularity. Column 2 is the distance.
        if modularity >= best or tree[step, 2] < MIN_DISTANCE:
            best = modularity
            count = size - 1 - step
    return count
