"""Tests of the first clusters page of a new dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, drawn_once
from many_samples import copy_of_many

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.regions import QualityMeasures
from gleanset.db.sorting import SortingQueue
from labeler.quality.flags import VERSION
from labeler.sorting.descriptor_queue import POOL_SIZE, measure_in_batches
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.pages import Pages
from labeler.sorting.session import NO_STEP, SortingSession


@pytest.fixture
def drawn(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> FaceSet:
    """Copy drawn and measured faces."""
    return copied(drawn_once(tmp_path_factory, 60, classes=4), tmp_path / "d", named=False)


@pytest.fixture
def unmeasured(drawn: FaceSet) -> FaceSet:
    """Delete the measurements, as `facecrop run` leaves the faces."""
    with Dataset.open(drawn.root) as dataset:
        dataset.db.execute("DELETE FROM quality")
    return drawn


def only(page: ClassPage | None) -> ClassPage:
    assert page is not None
    return page


def people(dataset: Dataset, page: ClassPage, faces: FaceSet) -> list[set[str]]:
    """Return the characters in each cluster of a page."""
    tiles = SortingSession(dataset).tiles.get_many(page.rows)
    characters = [faces.truth[tiles[tile.rows[0]].key] for tile in page.tiles]
    ends = [sum(page.cluster_sizes[: n + 1]) for n in range(len(page.cluster_sizes))]
    return [
        set(characters[end - size : end])
        for end, size in zip(ends, page.cluster_sizes, strict=True)
    ]


def test_clusters_wait_for_measurements(unmeasured: FaceSet) -> None:
    with Dataset.open(unmeasured.root) as dataset:
        pages = Pages(SortingSession(dataset))
        parts = measure_in_batches(dataset)
        page = only(pages.next())
        for measured in (16, 32, 48):
            assert next(parts) == 16
            assert (page.kind, len(page.tiles), page.cluster_sizes) == (PageKind.PLAIN, 60, ()), (
                measured
            )
            assert pages.recompose(page) is None
            page = only(pages.next())
        assert pages.label_page(page) == NO_STEP
        sum(parts)
        clustered = only(pages.recompose(page))
        assert clustered.kind is PageKind.CLUSTERS
        clusters = people(dataset, clustered, unmeasured)
        assert sum(len(cluster) == 1 for cluster in clusters) >= 0.8 * len(clusters)


def test_single_class_is_not_predicted_for_all(drawn: FaceSet) -> None:
    with Dataset.open(drawn.root) as dataset:
        pages = Pages(session := SortingSession(dataset))
        page = only(pages.next())
        half = page.rows[: page.cluster_sizes[0] // 2]
        named = {tile.key for tile in session.tiles.get_many(half).values()}
        dataset.journal.apply("Label", [Choice(key, "label", "A") for key in named])
        (character,) = {drawn.truth[key] for key in named}
        rest = [PrelabelledSample(key, 1, (Proposal("A", 0.95),)) for key in drawn.truth]
        Proposals(dataset.db).replace(rest, {})
        clusters_page = only(pages.next())
        assert clusters_page.kind is PageKind.CLUSTERS
        assert {character} not in people(dataset, clusters_page, drawn)
        session.label(clusters_page.rows, "B")
        page = only(pages.next())
        assert (page.kind, page.labels) == (PageKind.MIXED, {"A", "B"})


def test_unreadable_images_do_not_block_clusters(drawn: FaceSet) -> None:
    with Dataset.open(drawn.root) as dataset:
        pages = Pages(SortingSession(dataset))
        unreadable = sorted((dataset.root / "images").rglob("*.png"))[:20]
        for path in unreadable:
            path.rename(path.with_suffix(".away"))
            dataset.db.execute(
                "DELETE FROM quality WHERE sample IN (SELECT s.id FROM sample s JOIN image i "
                "ON i.id=s.image WHERE i.sha256=?)",
                (path.stem,),
            )
        shutil.rmtree(dataset.root / "crops")
        sum(measure_in_batches(dataset))
        assert only(pages.next()).kind is PageKind.PLAIN
        pages.note_unreadable()
        assert only(pages.next()).kind is PageKind.CLUSTERS
        # Once all others are named, these are still pending, without clusters.
        session = SortingSession(dataset)
        queue = SortingQueue(dataset.db)
        pending = queue.get_features(queue.list_waiting(POOL_SIZE))
        session.label([sample.id for sample in pending if sample.descriptor], "Miku")
        last = only(pages.next())
        assert (last.kind, len(last.tiles)) == (PageKind.PLAIN, 20)
        for path in unreadable:
            path.with_suffix(".away").rename(path)


def test_random_sample_of_large_set_is_measured_first(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    copy_of_many(tmp_path_factory, 5_000, tmp_path / "d")
    with Dataset.open(tmp_path / "d") as dataset:
        pages = list(QualityMeasures(dataset.db).iter_missing(VERSION, 1000))
        assert sorted(row for page in pages for row in page) == list(range(1, 5001))
        for part in (pages[0], pages[0][:300], SortingQueue(dataset.db).list_waiting(1000)):
            assert len(part) in (300, 1000)
            fifths = [sum((row - 1) // 1000 == n for row in part) for n in range(5)]
            assert min(fifths) > 0.6 * len(part) / 5, fifths
            together = sum(row + 1 in set(part) for row in part)
            assert together > 0.9 * len(part)


def test_samples_newer_than_prelabel_are_predicted(drawn: FaceSet) -> None:
    """As the faces of a film imported since."""
    with Dataset.open(drawn.root) as dataset:
        keys = sorted(drawn.truth)
        dataset.journal.apply(
            "Label", [Choice(key, "label", drawn.truth[key]) for key in keys[:40]]
        )
        confident = {key: (Proposal(drawn.truth[key], 0.99),) for key in keys[:40]}
        prelabelled = [
            PrelabelledSample(key, n, top) for n, (key, top) in enumerate(confident.items())
        ]
        facts = {"known": sorted(set(drawn.names)), "labelled": 40}
        Proposals(dataset.db).replace(prelabelled, facts)
        session = SortingSession(dataset)
        page = only(Pages(session).next())
        shown = session.tiles.get_many(page.rows)
        predictions = [(shown[tile.rows[0]].key, tile.prediction.label) for tile in page.tiles]
        assert page.kind in (PageKind.CLASS, PageKind.MIXED)
        assert sum(drawn.truth[key] == label for key, label in predictions) > 0.8 * len(predictions)
