"""Clusters: stacks on the page, and their commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeler_makers import add_faces, add_image
from labelled_images import encoded, picture, put
from tools_for_tests import Ran, run_here

from gleanset import Dataset
from gleanset.db.classes import Change, Changes
from gleanset.db.journal import Choice
from gleanset.db.proposals import PrelabelledSample, Proposals
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


@pytest.fixture
def keys(empty: Dataset) -> list[str]:
    """Add six pending samples in two clusters: the first four, the last two."""
    keys = [put(empty, encoded(picture(n)), str(n), label="x", split="train")[0] for n in range(6)]
    empty.journal.apply("Clear", [Choice(key, "clear") for key in keys])
    set_clusters(empty, keys[:4], keys[4:])
    return keys


def set_clusters(dataset: Dataset, *clusters: list[str]) -> None:
    samples = [
        PrelabelledSample(key, place, (), number, 0.1 * place)
        for number, cluster in enumerate(clusters)
        for place, key in enumerate(cluster)
    ]
    Proposals(dataset.db).replace(samples, {})


def run(dataset: Dataset, *words: object) -> Ran:
    return run_here("labeler.cli", *words, "-d", dataset.root, "--json")


def listed(dataset: Dataset, *words: str) -> list[dict[str, Any]]:
    done = run_here("pipeline.cli", "list", "clusters", *words, "-d", dataset.root)
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_label_cluster(empty: Dataset, keys: list[str], tmp_path: Path) -> None:
    large, small = listed(empty)
    result = {"cluster": large["cluster"], "size": 4, "decided": 0, "samples": keys[:4]}
    assert large.items() >= result.items()
    assert [Path(str(file)).is_file() for file in large["files"]] == [True] * 4
    assert listed(empty, "--where", "size=2") == [small]
    refused = run_here("pipeline.cli", "list", "clusters", "--where", "size<3", "-d", empty.root)
    assert f"gleanset list clusters -d {empty.root} | jq" in refused.stderr
    shown = run(empty, "gallery", tmp_path / "clusters.html", "--clusters")
    assert (shown.json["clusters"], shown.json["shown"]) == (2, 6), shown.stderr
    page = (tmp_path / "clusters.html").read_text()
    assert str(large["cluster"]) in page
    assert all(key in page for key in keys)
    assert run(empty, "label", "hana", "--cluster", large["cluster"]).json["decided"] == 4
    assert [sample.label for sample in empty.samples.iter_by_key() if sample.key in keys[:4]] == [
        "hana"
    ] * 4
    assert listed(empty) == [small]
    refused_again = run(empty, "label", "rei", "--cluster", large["cluster"])
    assert refused_again.code == 2
    assert "all 4 are decided" in refused_again.stderr


def test_reject_cluster(empty: Dataset, keys: list[str]) -> None:
    done = run(empty, "label", "--reject", "--cluster", listed(empty)[0]["cluster"])
    assert (done.code, done.json["decided"]) == (0, 4), done.stderr
    rejected = [sample.key for sample in empty.samples.iter_by_key() if sample.status == "rejected"]
    assert sorted(rejected) == sorted(keys[:4])
    assert run(empty, "label", "--reject").code == 2
    assert run(empty, "label").code == 2


def test_cluster_id_is_stable_after_decisions(empty: Dataset, keys: list[str]) -> None:
    (large, _), decided_key = listed(empty), keys[0]
    assert run(empty, "label", "rei", decided_key).code == 0
    remaining = {"cluster": large["cluster"], "size": 3, "decided": 1, "samples": keys[1:4]}
    assert listed(empty)[0].items() >= remaining.items()
    assert run(empty, "label", "hana", "--cluster", large["cluster"]).json["decided"] == 3
    assert {
        sample.label for sample in empty.samples.iter_by_key() if sample.key == decided_key
    } == {"rei"}


def test_stale_cluster_id_raises_error(empty: Dataset, keys: list[str]) -> None:
    large, small = listed(empty)
    set_clusters(empty, keys[4:], keys[:3], [keys[3]])
    assert listed(empty)[1]["cluster"] == small["cluster"]
    done = run(empty, "label", "hana", "--cluster", small["cluster"], "--cluster", large["cluster"])
    assert done.code == 2
    assert "gleanset list clusters" in done.stderr
    assert all(sample.status == "queue" for sample in empty.samples.iter_by_key())


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
    row_indices = [row - 1 for tile in page.tiles for row in tile.rows]
    first = 0
    for size in page.cluster_sizes:  # one person in each
        members = row_indices[first : first + size]
        assert len({int(np.digitize(n, (14, 22))) for n in members}) == 1
        first += size
    assert len(compose(clusters, rows, max_tiles=10).cluster_sizes) == 1
    decided_clusters = cluster_stacks(stacks[22:], rows[:28], rows[22:28])
    assert all(cluster.decided_count for cluster in decided_clusters)
    assert compose_clusters_page(decided_clusters, rows, 96) is None


def test_mostly_undecided_cluster_is_unknown() -> None:
    """Otherwise a person with few decided faces would be predicted as a similar one."""
    rows, stacks = people((24,)), stacks_for(24)
    clusters = [StackCluster(tuple(stacks[:20]), 2), StackCluster(tuple(stacks[20:]), 30)]
    page = compose(clusters, rows)
    assert page.cluster_sizes == (20,)
    decided_clusters = [clusters[0]._replace(decided_count=3), clusters[1]]
    assert compose_clusters_page(decided_clusters, rows, 96) is None


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
