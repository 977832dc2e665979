"""The clusters page: similar unlabelled samples of people who have no class yet.

Clusters come from similarity alone. Decided samples are clustered too: a cluster without any of
them probably shows somebody new.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from curation.similarity.clustering import cluster_rows
from labeler.similarity import Vectors
from labeler.sorting.page_layout import (
    HEADING_TILES,
    ClassPage,
    PageKind,
    Stack,
    chain_by_similarity,
    order_by_similarity,
)
from labeler.sorting.predictions import NO_PREDICTION

MEAN_CLUSTER_SIZE = 7
"""Mean stacks per cluster: small pure clusters cost fewer corrections than one for each person. No
value of 5 to 12 is much better (docs/experiments.md)."""

MIN_CLUSTER_SIZE = 3
"""Naming a smaller cluster costs as much as correcting predictions."""

MIN_LATER_CLUSTER_SIZE = 7
"""The same once a class has samples, so that smaller clusters are covered by predictions."""

MAX_CLUSTERED_CONFIDENCE, MAX_KNOWN_SIMILARITY = 0.9, 0.3
"""Predictions above this confidence are not shown in clusters, unless the cluster is less similar
to every class: with two or three classes every prediction is confident (docs/experiments.md)."""

MAX_CLUSTER_SIZE = 40
MAX_CLUSTERED_STACKS, MAX_CLUSTERED_DECIDED = 800, 400
"""Of more, evenly chosen ones are clustered: the time grows with the square."""

MAX_DECIDED_RATIO = 0.1
"""Decided samples per stack up to which a cluster counts as unknown."""


class StackCluster(NamedTuple):
    """Similar stacks, the most typical first, and the number of decided samples among them."""

    stacks: tuple[Stack, ...]
    decided_count: int

    @property
    def is_unknown(self) -> bool:
        """Whether hardly any samples of the cluster are decided."""
        return self.decided_count <= MAX_DECIDED_RATIO * len(self.stacks)


def cluster_stacks(
    stacks: Sequence[Stack],
    vectors: Vectors,
    decided_vectors: Vectors,
    in_one_image: Collection[tuple[int, int]] = (),
) -> list[StackCluster]:
    """Cluster the stacks that have vectors, the largest cluster first.

    `vectors` belong to the pool, `decided_vectors` (M x D) to samples that have a class. Pairs of
    stacks (by number) `in_one_image` mostly show two people and are kept apart.
    """
    usable = [stack for stack in stacks if vectors[stack.number].any()]
    if not usable:
        return []
    usable = usable[:: -(-len(usable) // MAX_CLUSTERED_STACKS)]
    stack_vectors = vectors[[stack.number for stack in usable]]
    decided_rows = decided_vectors[decided_vectors.any(axis=1)]
    rows = np.concatenate(
        [stack_vectors, decided_rows[:: max(1, -(-len(decided_rows) // MAX_CLUSTERED_DECIDED))]]
    )
    cluster_count = max(1, len(rows) // MEAN_CLUSTER_SIZE)
    positions = {stack.number: n for n, stack in enumerate(usable)}
    cannot_link = [
        (positions[a], positions[b]) for a, b in in_one_image if a in positions and b in positions
    ]
    clusters = cluster_rows(rows, cluster_count, cannot_link)
    sample_clusters = []
    for cluster in clusters:
        members = [n for n in cluster if n < len(usable)]
        typicality = stack_vectors[members] @ stack_vectors[members].sum(axis=0)
        typical_first = [members[int(n)] for n in np.argsort(-typicality, kind="stable")]
        ordered = tuple(usable[n] for n in typical_first)
        sample_clusters.append(StackCluster(ordered, len(cluster) - len(members)))
    return sorted(
        (g for g in sample_clusters if g.stacks), key=lambda g: (-len(g.stacks), g.stacks[0].number)
    )


def find_novel_stacks(
    clusters: Sequence[StackCluster],
    vectors: Vectors,
    decided_vectors: Vectors,
    labels: Sequence[int],
) -> set[int]:
    """Return the stacks (by number) in clusters that are not similar to any decided class."""
    label_array = np.array(labels)
    classes = [decided_vectors[label_array == label] for label in {*labels}]
    class_vectors = [present for rows in classes if len(present := rows[rows.any(axis=1)])]
    cluster_vectors = [vectors[[stack.number for stack in cluster.stacks]] for cluster in clusters]
    similarities = _mean_similarities([*cluster_vectors, *class_vectors])[
        : len(cluster_vectors), len(cluster_vectors) :
    ]
    nearest = similarities.max(axis=1, initial=-1.0)
    return {
        stack.number
        for cluster, similarity in zip(clusters, nearest, strict=True)
        if similarity < MAX_KNOWN_SIMILARITY
        for stack in cluster.stacks
    }


def _mean_similarities(sets: Sequence[Vectors]) -> Vectors:
    """Return the mean similarities of several sets (N x N), relative to those within each."""
    if not sets:
        return np.zeros((0, 0), np.float32)
    sizes = np.array([len(rows) for rows in sets])
    means = np.array([rows.mean(axis=0) for rows in sets])
    between = means @ means.T
    # Exclude the similarity of each row to itself from the mean over all pairs.
    within = np.maximum((np.diag(between) * sizes - 1) / np.maximum(sizes - 1, 1), 0.05)
    several = sizes > 1
    within = np.where(several, within, within[several].mean() if several.any() else 1)
    similarities: Vectors = (between / np.sqrt(np.outer(within, within))).astype(np.float32)
    np.fill_diagonal(similarities, 1)
    return similarities


def compose_clusters_page(
    clusters: Sequence[StackCluster],
    vectors: Vectors,
    max_tiles: int,
    min_size: int = MIN_CLUSTER_SIZE,
) -> ClassPage | None:
    """Compose a page of the largest unknown clusters; None if there are none."""
    unknown = [
        g.stacks[:MAX_CLUSTER_SIZE] for g in clusters if g.is_unknown and len(g.stacks) >= min_size
    ]
    page_clusters: list[Sequence[Stack]] = []
    free = max_tiles
    for cluster in unknown:
        if not page_clusters or len(cluster) + HEADING_TILES <= free:
            free -= len(cluster) + HEADING_TILES
            page_clusters.append(cluster)
    total = sum(len(cluster) for cluster in unknown)
    if not page_clusters:
        return None
    means = [vectors[[stack.number for stack in cluster]].mean(axis=0) for cluster in page_clusters]
    neighbours = [page_clusters[n] for n in chain_by_similarity(np.array(means))]
    ordered = (stack for cluster in neighbours for stack in order_by_similarity(cluster, vectors))
    tiles = tuple(stack._replace(prediction=NO_PREDICTION) for stack in ordered)
    return ClassPage(PageKind.CLUSTERS, None, tiles, 0, total, tuple(map(len, neighbours)))


def move_tiles(page: ClassPage, numbers: Collection[int], onto: int) -> ClassPage:
    """Return a clusters page with some tiles moved to the cluster of the tile `onto`."""
    clusters: list[list[Stack]] = []
    first = 0
    for size in page.cluster_sizes:
        members = range(first, first + size)
        first += size
        moved_tiles = [page.tiles[n] for n in members if n not in numbers or onto in members]
        moved_tiles += (
            [page.tiles[n] for n in numbers if n not in members] if onto in members else []
        )
        clusters.append(moved_tiles)
    return page._replace(
        tiles=tuple(tile for tiles in clusters for tile in tiles),
        cluster_sizes=tuple(len(tiles) for tiles in clusters if tiles),
    )


def split_cluster(page: ClassPage, number: int, vectors: Vectors) -> ClassPage:
    """Return a clusters page with one cluster split in two; `vectors` are those of its tiles."""
    first, size = sum(page.cluster_sizes[:number]), page.cluster_sizes[number]
    parts = sorted(cluster_rows(vectors, 2), key=len, reverse=True)
    tiles = [page.tiles[first + n] for part in parts for n in sorted(part)]
    return page._replace(
        tiles=(*page.tiles[:first], *tiles, *page.tiles[first + size :]),
        cluster_sizes=(
            *page.cluster_sizes[:number],
            *map(len, parts),
            *page.cluster_sizes[number + 1 :],
        ),
    )
