"""Tests of clusters: composing, splitting and moving tiles between them."""

from __future__ import annotations

import numpy as np
from labeler_makers import add_faces, add_image

from gleanset import Dataset
from gleanset.db.classes import Change, Changes
from gleanset.operations import make_operation
from labeler.similarity import Vectors
from labeler.sorting.clusters import (
    StackCluster,
    cluster_stacks,
    compose_clusters_page,
    move_tiles,
    split_cluster,
)
from labeler.sorting.page_layout import ClassPage, PageKind, Stack
from labeler.sorting.pages import Pages
from labeler.sorting.predictions import NO_PREDICTION
from labeler.sorting.session import SortingSession


def people(sizes: tuple[int, ...], spread: float = 0.3, seed: int = 0) -> Vectors:
    """Return unit vectors of several people, each near a center of their own."""
    dice = np.random.default_rng(seed)
    centers = np.eye(len(sizes), 12)
    rows = np.repeat(centers, sizes, axis=0) + spread * dice.normal(size=(sum(sizes), 12)) / 3
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def stacks_for(count: int) -> list[Stack]:
    return [Stack(n, (n + 1,), NO_PREDICTION) for n in range(count)]


def compose(clusters: list[StackCluster], rows: Vectors, max_tiles: int = 96) -> ClassPage:
    page = compose_clusters_page(clusters, rows, max_tiles)
    assert page is not None
    return page


def test_clusters_page_has_largest_undecided_clusters() -> None:
    rows = people((14, 8, 7, 6))
    stacks = stacks_for(28)
    clusters = cluster_stacks(stacks, rows[:28], rows[28:])
    page = compose(clusters, rows)
    assert page.kind is PageKind.CLUSTERS
    assert sum(page.cluster_sizes) == len(page.tiles) == page.total
    assert page.cluster_sizes[0] == max(page.cluster_sizes)
    shown = [row - 1 for tile in page.tiles for row in tile.rows]
    first = 0
    for size in page.cluster_sizes:  # one person in each
        members = shown[first : first + size]
        assert len({int(np.digitize(n, (14, 22))) for n in members}) == 1
        first += size
    assert len(compose(clusters, rows, max_tiles=10).cluster_sizes) == 1
    decided = cluster_stacks(stacks[22:], rows[:28], rows[22:28])
    assert all(cluster.decided_count for cluster in decided)
    assert compose_clusters_page(decided, rows, 96) is None


def test_mostly_undecided_cluster_is_unknown() -> None:
    """Otherwise a person with few decided faces would be predicted as a similar one."""
    rows, stacks = people((24,)), stacks_for(24)
    clusters = [StackCluster(tuple(stacks[:20]), 2), StackCluster(tuple(stacks[20:]), 30)]
    page = compose(clusters, rows)
    assert page.cluster_sizes == (20,)
    decided = [clusters[0]._replace(decided_count=3), clusters[1]]
    assert compose_clusters_page(decided, rows, 96) is None


def test_split_cluster_by_similarity() -> None:
    page = compose([StackCluster(tuple(stacks_for(12)), 0)], people((7, 5)))
    rows = people((7, 5))[[tile.rows[0] - 1 for tile in page.tiles]]
    split = split_cluster(page, 0, rows)
    assert split.cluster_sizes == (7, 5)
    assert {row - 1 for tile in split.tiles[:7] for row in tile.rows} == set(range(7))
    assert sorted(split.rows) == sorted(page.rows)
    equal_rows = np.ones((12, 2), np.float32) / np.float32(2**0.5)
    assert sum(split_cluster(page, 0, equal_rows).cluster_sizes) == 12


def test_decided_samples_are_subsampled_by_class() -> None:
    rows = people((10 + 500, 500))  # sorted by class
    clusters = cluster_stacks(stacks_for(10), rows[:10], rows[10:])
    assert sum(len(cluster.stacks) for cluster in clusters) == 10
    assert not any(cluster.is_unknown for cluster in clusters)


def test_links_of_earlier_versions_can_be_undone(empty: Dataset) -> None:
    keys = [key for n in range(4) for key in add_faces(empty, add_image(empty, f"image-{n}"))]
    session = SortingSession(empty)
    rows = list(session.tiles.get_ids(keys).values())
    with empty.db.transaction():
        step = empty.journal.apply(make_operation("same-person", count=2), [])
        apart = Change("apart", rows[2], ",".join(map(str, rows[:2])))
        Changes(empty.db).apply(step, [*(Change("bond", row, rows[0]) for row in rows[:2]), apart])
    reopened = SortingSession(empty)
    assert reopened.progress().undo is not None
    page = Pages(reopened).next()
    assert page is not None
    assert sorted(page.rows) == sorted(rows)
    assert reopened.undo().name == "2 faces of one person"
    assert empty.db.fetch_int("SELECT count(*) FROM sorting_note WHERE bond IS NOT NULL") == 0


def test_move_tiles_between_clusters() -> None:
    page = compose([StackCluster(tuple(stacks_for(12)), 0)], people((12,)))
    split = split_cluster(page, 0, people((7, 5)))
    back = move_tiles(split, list(range(7, 12)), 0)
    assert back.cluster_sizes == (12,)
    moved = move_tiles(split, [0], 8)
    assert moved.cluster_sizes == (6, 6)
    assert sorted(moved.rows) == sorted(page.rows)
    assert moved.tiles[-1] == split.tiles[0]
