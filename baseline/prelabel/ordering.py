"""Clusters of all samples of a prelabeling, and an order with similar ones next to each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from curation.similarity.clustering import Indices, Rows, cluster_rows

MAX_CLUSTERED_ROWS = 1200
"""Maximum rows to cluster, in quadratic time. Others join the nearest cluster."""
MAX_DIRECTION_ROWS, DIRECTIONS = 600, 24
"""Rows from which principal directions are computed, and directions used for an order."""
MAX_WALKED_POINTS = 32
"""Maximum points that are ordered from nearest to nearest, in quadratic time."""


def assign_clusters(vectors: Rows) -> Indices:
    """Return the cluster number of each row; also for very many rows."""
    length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    rows: Rows = vectors / length.astype(np.float32)
    subset = np.arange(len(rows))[:: max(1, -(-len(rows) // MAX_CLUSTERED_ROWS))]
    clusters = cluster_rows(rows[subset])
    if len(subset) < len(rows):
        centers = np.stack([rows[subset[cluster]].mean(axis=0) for cluster in clusters])
        centers /= np.maximum(np.linalg.norm(centers, axis=1, keepdims=True), 1e-9)
        return np.asarray((rows @ centers.T).argmax(axis=1), np.int64)
    numbers = np.zeros(len(rows), np.int64)
    for number, cluster in enumerate(clusters):
        numbers[cluster] = number
    return numbers


def find_main_directions(vectors: Rows) -> Rows:
    """Return the principal directions of N rows (D x at most `DIRECTIONS`)."""
    _, _, directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    return directions[:DIRECTIONS].T


def order_by_proximity(points: Rows) -> Indices:
    """Return an order of points (N x D) with similar ones adjacent.

    Points are halved along their first principal direction until at most `MAX_WALKED_POINTS` are
    left, which are ordered from nearest to nearest. Takes time N log N.
    """
    order: list[Indices] = []
    end = points[0] if len(points) else np.zeros(0, np.float32)
    todo = [np.arange(len(points))] if len(points) else []
    while todo:
        rows = todo.pop()
        if len(rows) > MAX_WALKED_POINTS:
            near, far = _halves(points, rows, end)
            todo += [far, near]
        else:
            order.append(np.array(list(_walk(points, rows, end)), np.int64))
            end = points[order[-1][-1]]
    return np.concatenate(order) if order else np.zeros(0, np.int64)


def _halves(points: Rows, rows: Indices, end: Rows) -> tuple[Indices, Indices]:
    apart = points[rows] - points[rows].mean(axis=0)
    _, directions = np.linalg.eigh(apart.T @ apart)
    order = rows[np.argsort(apart @ directions[:, -1], kind="stable")]
    first, second = order[: len(order) // 2], order[len(order) // 2 :]
    gaps = [float(np.sum((points[half].mean(axis=0) - end) ** 2)) for half in (first, second)]
    return (first, second) if gaps[0] <= gaps[1] else (second, first)


def _walk(points: Rows, rows: Indices, end: Rows) -> Iterator[int]:
    left = list(rows)
    while left:
        gaps = np.sum((points[left] - end) ** 2, axis=1)
        nearest = int(left.pop(int(np.argmin(gaps))))
        end = points[nearest]
        yield nearest
