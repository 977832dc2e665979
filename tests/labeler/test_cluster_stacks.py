"""Groups of look-alikes: which there are, and how a person divides and joins them."""

from __future__ import annotations

import itertools

import numpy as np
from labeler_makers import add_faces, add_image

from curation.similarity.clustering import cluster_rows
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
from labeler.sorting.page_layout import PageKind, Stack
from labeler.sorting.pages import Pages
from labeler.sorting.predictions import NO_PREDICTION, ClassPrediction
from labeler.sorting.session import SortingSession


def people(sizes: tuple[int, ...], spread: float = 0.3, seed: int = 0) -> Vectors:
    """So many rows of each person, near a middle of their own, of unit length."""
    dice = np.random.default_rng(seed)
    middles = np.eye(len(sizes), 12)
    rows = np.repeat(middles, sizes, axis=0) + spread * dice.normal(size=(sum(sizes), 12)) / 3
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def stacks_for(count: int, proposal: ClassPrediction = NO_PREDICTION) -> list[Stack]:
    return [Stack(n, (n + 1,), proposal) for n in range(count)]


def test_cluster_rows_separates_people() -> None:
    sizes = (9, 7, 5, 7)
    rows = people(sizes)
    result = cluster_rows(rows, 4)
    starts = np.cumsum((0, *sizes))
    wanted = [list(range(a, b)) for a, b in itertools.pairwise(starts)]
    assert sorted(sorted(cluster) for cluster in result) == wanted
    same = np.ones((6, 2), np.float32) / 2**0.5
    assert [len(cluster) for cluster in cluster_rows(same, 1)] == [6]
    assert cluster_rows(rows[:1], 1) == [[0]]


def test_clusters_page_has_largest_undecided_clusters() -> None:
    rows = people((14, 8, 7, 6))
    stacks = stacks_for(28)
    groups = cluster_stacks(stacks, rows[:28], rows[28:])
    page = compose_clusters_page(groups, rows, 96)
    assert page is not None
    assert page.kind is PageKind.CLUSTERS
    assert sum(page.cluster_sizes) == len(page.tiles) == page.total
    assert page.cluster_sizes[0] == max(page.cluster_sizes)
    shown = [row - 1 for tile in page.tiles for row in tile.rows]
    first = 0
    for size in page.cluster_sizes:  # nobody is in a group with somebody else
        mine = shown[first : first + size]
        assert len({int(np.digitize(n, (14, 22))) for n in mine}) == 1
        first += size
    small = compose_clusters_page(groups, rows, max_tiles=10)
    assert small is not None
    assert len(small.cluster_sizes) == 1
    decided = cluster_stacks(stacks[22:], rows[:28], rows[22:28])
    assert all(group.decided_count for group in decided)
    assert compose_clusters_page(decided, rows, 96) is None


def test_mostly_undecided_cluster_is_unknown() -> None:
    """Thirty of somebody with five decided faces are taken for a look-alike with thirty of them."""
    rows, stacks = people((24,)), stacks_for(24)
    hardly = [StackCluster(tuple(stacks[:20]), 2), StackCluster(tuple(stacks[20:]), 30)]
    page = compose_clusters_page(hardly, rows, 96)
    assert page is not None
    assert page.cluster_sizes == (20,)
    known = [hardly[0]._replace(decided_count=3), hardly[1]]
    assert compose_clusters_page(known, rows, 96) is None


def test_split_cluster_by_similarity() -> None:
    stacks = stacks_for(12)
    page = compose_clusters_page([StackCluster(tuple(stacks), 0)], people((7, 5)), 96)
    assert page is not None
    rows = people((7, 5))[[tile.rows[0] - 1 for tile in page.tiles]]
    parted = split_cluster(page, 0, rows)
    assert parted.cluster_sizes == (7, 5)
    assert {row - 1 for tile in parted.tiles[:7] for row in tile.rows} == set(range(7))
    assert sorted(parted.rows) == sorted(page.rows)


def test_decided_samples_are_subsampled_by_class() -> None:
    rows = people((10 + 500, 500))  # class by class, as they come
    groups = cluster_stacks(stacks_for(10), rows[:10], rows[10:])
    assert sum(len(group.stacks) for group in groups) == 10
    assert not any(group.is_unknown for group in groups)


def test_links_of_earlier_versions_can_be_undone(empty: Dataset) -> None:
    keys = [key for n in range(4) for key in add_faces(empty, add_image(empty, f"image-{n}"))]
    session = SortingSession(empty)
    rows = list(session.tiles.get_ids(keys).values())
    with empty.db.transaction():
        step = empty.journal.apply(make_operation("same-person", count=2), [])
        apart = Change("apart", rows[2], ",".join(map(str, rows[:2])))
        Changes(empty.db).apply(step, [*(Change("bond", row, rows[0]) for row in rows[:2]), apart])
    again = SortingSession(empty)
    assert again.progress().undo is not None
    page = Pages(again).next()
    assert page is not None
    assert sorted(page.rows) == sorted(rows)
    assert again.undo().name == "2 faces of one person"
    assert empty.db.fetch_int("SELECT count(*) FROM sorting_note WHERE bond IS NOT NULL") == 0


def test_move_tiles_between_clusters() -> None:
    page = compose_clusters_page([StackCluster(tuple(stacks_for(12)), 0)], people((12,)), 96)
    assert page is not None
    parted = split_cluster(page, 0, people((7, 5)))
    back = move_tiles(parted, list(range(7, 12)), 0)
    assert back.cluster_sizes == (12,)
    one = move_tiles(parted, [0], 8)
    assert one.cluster_sizes == (6, 6)
    assert sorted(one.rows) == sorted(page.rows)
    assert one.tiles[-1] == parted.tiles[0]
