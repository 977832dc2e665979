"""Composing pages and clusters; the commands that decide clusters."""

import json
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalogue_rows import locked
from drawn_faces import FaceSet, copied, drawn_once
from labeler_makers import add_faces, add_image
from labelled_images import picture, put
from many_samples import copy_of_many
from tools_for_tests import Ran, encode, run_here

from gleanset import Dataset, Origin
from gleanset.arrays import Float32Array
from gleanset.db.journal import Choice
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.regions import QualityMeasures
from gleanset.db.sorting import SortingQueue
from gleanset.errors import DatasetBusy
from labeler.quality.due_samples import VERSION
from labeler.sorting import page_layout, predictions
from labeler.sorting.descriptor_queue import POOL_SIZE, measure_in_batches
from labeler.sorting.page_layout import (
    FIRST_PAGE_TILES,
    HEADING_TILES,
    MAX_PAGE_TILES,
    ClassPage,
    PageKind,
    Stack,
    StackCluster,
    cluster_stacks,
    compose_clusters_page,
    compose_page,
    part_tiles,
)
from labeler.sorting.pages import Pages
from labeler.sorting.predictions import NO_PREDICTION, ClassPrediction
from labeler.sorting.session import NO_STEP, SortingSession


def samples(dataset: Dataset, number: int, *hints: str) -> list[str]:
    """Return the keys of new samples with these weak labels in turn."""
    turns = [
        (hints[n % len(hints)] if hints else None, f"{hints}{n}") for n in range(number)
    ]
    return [
        add_faces(dataset, add_image(dataset, name, Origin("folder", name, hint=hint)))[
            0
        ]
        for hint, name in turns
    ]


@pytest.fixture
def sure_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make weak labels more confident than any learnt prediction."""
    monkeypatch.setattr(predictions, "WEAK_LABEL_CONFIDENCE", 0.98)


@pytest.fixture
def large_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make first pages as large as later ones."""
    monkeypatch.setattr(page_layout, "FIRST_PAGE_TILES", MAX_PAGE_TILES)


def only(page: ClassPage | None) -> ClassPage:
    assert page is not None
    return page


def compose(
    predictions: Sequence[tuple[str, float]],
    tested: Collection[str] = ("Miku",),
    decided: Counter[str] | None = None,
) -> ClassPage:
    """Compose a page of samples with these classes and confidences."""
    stacks = [
        Stack(n, (n,), ClassPrediction((top,))) for n, top in enumerate(predictions)
    ]
    vectors = np.zeros((len(stacks), 2), np.float32)
    return only(
        compose_page(stacks, vectors, MAX_PAGE_TILES, tested, decided or Counter())
    )


@pytest.mark.usefixtures("sure_hints")
def test_page_size_is_limited_by_expected_errors(empty: Dataset) -> None:
    page = compose([("Miku", 0.9)] * 90)
    assert (page.kind, page.label, len(page.tiles), page.total) == (
        "class",
        "Miku",
        60,
        90,
    )
    assert page.expected_wrong == pytest.approx(6)
    # Confident ones fill the page once the class is tested.
    samples(empty, 90, "Mio")
    pages = Pages(session := SortingSession(empty))
    pages.label_page(first := only(pages.next()))
    assert only(Pages(session).next()).tested, "decisions of another session count"
    assert (len(first.tiles), first.total, first.tested) == (
        FIRST_PAGE_TILES,
        90,
        False,
    )
    pages.room = 40
    assert len(only(pages.next()).tiles) == 40
    pages.room = MAX_PAGE_TILES
    assert len((page := only(pages.next())).tiles) == 90 - FIRST_PAGE_TILES
    samples(empty, 1, "new")
    assert (page.tested, only(pages.next()).tested) == (True, False)


@pytest.mark.parametrize(
    ("labels", "decided", "tiles"),
    [
        (("A", "A"), Counter(A=50), 50),
        (("A", "A"), Counter(A=5), FIRST_PAGE_TILES),
        (("A", "A"), Counter(B=50), FIRST_PAGE_TILES),
        (("A", "B"), Counter(A=40, B=20), 60 - 2 * HEADING_TILES),
    ],
)
def test_first_page_size_follows_decided_count(
    labels: tuple[str, str], decided: Counter[str], tiles: int
) -> None:
    page = compose([(labels[n % 2], 0.99) for n in range(90)], (), decided)
    assert (len(page.tiles), page.total, page.tested) == (tiles, 90, False)


@pytest.mark.usefixtures("sure_hints")
def test_small_class_shares_mixed_page(empty: Dataset) -> None:
    samples(empty, 90, "A")
    samples(empty, 10, "B")
    pages = Pages(SortingSession(empty))
    first = only(pages.next())
    assert (first.kind, first.label, first.tested) == ("class", "A", False)
    pages.label_page(first)
    # Neither class fills a page any more, and B is untested.
    both = only(pages.next())
    assert (both.kind, both.labels, both.tested) == ("left", {"A", "B"}, False)
    assert len(both.tiles) == 100 - FIRST_PAGE_TILES
    pages.label_page(both, lifted=range(3))
    rest = only(pages.next())
    assert (len(rest.tiles), rest.tested) == (3, True)


def test_uncertain_tiles_come_first() -> None:
    uncertain = [("Miku", 0.8)] * 10
    wrong = [("Miku", 0.4)] * 10
    page = compose([("Miku", 0.98)] * 40 + uncertain + wrong)
    assert page.doubtful == 10
    assert {tile.rows[0] for tile in page.tiles[:10]} == {*range(40, 50)}
    assert {*page.rows} == {*range(50)}
    assert page.expected_wrong / len(page.tiles) <= 0.15
    rest = compose(wrong)
    assert (rest.kind, len(rest.rows)) == ("left", 10)


@pytest.mark.usefixtures("large_at_once", "sure_hints")
def test_file_page_skips_lifted_and_sent_tiles(empty: Dataset) -> None:
    samples(empty, 40, "Miku")
    session = SortingSession(empty)
    session.add_class("Mio")
    pages = Pages(session)
    page = only(pages.next())
    session.decide([page.tiles[2].rows[0]], "Mio")
    done = pages.label_page(page, lifted=[0, 1], sent=[2])
    assert done.operation.text() == f"Label {len(page.tiles) - 3} samples as Miku"
    tiles = session.tiles.get_many(page.rows)
    assert [tiles[t.rows[0]].label for t in page.tiles[:4]] == [
        None,
        None,
        "Mio",
        "Miku",
    ]
    # Lifted ones are proposed again, as something else.
    lifted = {page.tiles[0].rows[0], page.tiles[1].rows[0]}
    shown_again = [tile for tile in only(pages.next()).tiles if tile.rows[0] in lifted]
    assert len(shown_again) == 2
    assert all(tile.prediction.label != "Miku" for tile in shown_again)
    assert pages.label_page(page, lifted=[], sent=range(len(page.tiles))) == NO_STEP
    # After undo, refused classes may be predicted again.
    session.undo()
    session.undo()
    assert session.tiles.get_counts().pending == 40


@pytest.mark.usefixtures("large_at_once", "sure_hints")
def test_page_without_correct_suggestions_is_an_exclusion(empty: Dataset) -> None:
    samples(empty, 40, "Miku")
    pages = Pages(SortingSession(empty))
    page = only(pages.next())
    done = pages.label_page(page, lifted=range(len(page.tiles)))
    assert done.operation.text("face") == "Exclude 40 faces from suggestions"


@pytest.mark.usefixtures("large_at_once")
def test_weak_labels_are_predictions_at_first(empty: Dataset) -> None:
    samples(empty, 30, "hana")
    samples(empty, 12, "rei/../x")
    session = SortingSession(empty)
    page = only(Pages(session).next())
    assert (page.kind, page.label) == ("class", "hana")
    assert 0 < page.expected_wrong <= 6.01
    assert len(page.tiles) == 30
    Pages(session).label_page(page)
    assert [c.name for c in session.tiles.get_counts().classes] == ["hana"]


@pytest.mark.usefixtures("large_at_once", "sure_hints")
def test_skipped_pages_return_last(empty: Dataset) -> None:
    samples(empty, 80, "Miku", "Mio")
    pages = Pages(SortingSession(empty))
    pages.room = 40
    first = only(pages.next())
    pages.skip(first)
    second = only(pages.next())
    assert second.label != first.label
    pages.label_page(second)
    assert only(pages.next()).label == first.label
    assert set(only(pages.next()).rows) == set(first.rows)


@pytest.mark.usefixtures("large_at_once", "sure_hints")
def test_merged_classes_are_not_predicted(empty: Dataset) -> None:
    samples(empty, 40, "A", "B")
    session = SortingSession(empty)
    session.add_class("A")
    session.add_class("B")
    session.rename_class("B", "A")
    page = only(Pages(session).next())
    assert (page.label, len(page.tiles)) == ("A", 40)


def test_page_stays_untested_when_filing_fails(empty: Dataset) -> None:
    samples(empty, 60, "Miku")
    pages = Pages(SortingSession(empty))
    page = only(pages.next())
    empty.db.fetch_all("PRAGMA busy_timeout=10")
    with locked(empty.root), pytest.raises(DatasetBusy):
        pages.label_page(page, lifted=[0])
    assert not only(pages.next()).tested
    assert (
        pages.label_page(page, lifted=[0]).operation.arguments["count"]
        == FIRST_PAGE_TILES - 1
    )
    assert only(pages.next()).tested


@pytest.mark.parametrize("hints", [(), ("Mio",)])
def test_page_grows_with_new_samples(empty: Dataset, hints: tuple[str, ...]) -> None:
    samples(empty, 3, *hints)
    pages = Pages(SortingSession(empty))
    page = only(pages.next())
    assert pages.recompose(page) is None
    samples(empty, 5, *hints)
    assert len(only(pages.recompose(page)).tiles) == 5
    samples(empty, 6, *hints)
    pages.room = 3
    assert pages.recompose(page) is None, "it is full"


@pytest.fixture
def keys(empty: Dataset) -> list[str]:
    """Add six pending samples in two clusters: the first four, the last two."""
    keys = [
        put(empty, encode(picture(n)), str(n), label="x", split="train")[0]
        for n in range(6)
    ]
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
    done = run_here(
        "pipeline.cli", "list", "clusters", *words, "-d", dataset.root
    ).checked()
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_label_cluster(empty: Dataset, keys: list[str]) -> None:
    large, small = listed(empty)
    result = {"cluster": large["cluster"], "size": 4, "decided": 0, "samples": keys[:4]}
    assert large.items() >= result.items()
    assert [Path(str(file)).is_file() for file in large["files"]] == [True] * 4
    assert listed(empty, "--where", "size=2") == [small]
    refused = run_here(
        "pipeline.cli", "list", "clusters", "--where", "size<3", "-d", empty.root
    )
    assert f"gleanset list clusters -d {empty.root} | jq" in refused.stderr
    assert (
        run(empty, "label", "hana", "--cluster", large["cluster"]).json["decided"] == 4
    )
    assert [
        sample.label for sample in empty.samples.iter_by_key() if sample.key in keys[:4]
    ] == ["hana"] * 4
    assert listed(empty) == [small]
    run(empty, "label", "rei", "--cluster", large["cluster"]).refused(
        2, "all 4 are decided"
    )


def test_sample_named_twice_counts_once(empty: Dataset, keys: list[str]) -> None:
    done = run(empty, "label", "hana", keys[0][:12], keys[0])
    assert (done.code, done.json["decided"]) == (0, 1), done.stderr


def test_reject_cluster(empty: Dataset, keys: list[str]) -> None:
    done = run(empty, "label", "--reject", "--cluster", listed(empty)[0]["cluster"])
    assert (done.code, done.json["decided"]) == (0, 4), done.stderr
    rejected = [
        sample.key
        for sample in empty.samples.iter_by_key()
        if sample.status == "rejected"
    ]
    assert (sorted(rejected), run(empty, "label", "--reject").code) == (
        sorted(keys[:4]),
        2,
    )
    assert run(empty, "label").code == 2


def test_cluster_id_is_stable_after_decisions(empty: Dataset, keys: list[str]) -> None:
    (large, _) = listed(empty)
    decided_key = keys[0]
    assert run(empty, "label", "rei", decided_key).code == 0
    remaining = {
        "cluster": large["cluster"],
        "size": 3,
        "decided": 1,
        "samples": keys[1:4],
    }
    assert listed(empty)[0].items() >= remaining.items()
    assert (
        run(empty, "label", "hana", "--cluster", large["cluster"]).json["decided"] == 3
    )
    assert {
        sample.label
        for sample in empty.samples.iter_by_key()
        if sample.key == decided_key
    } == {"rei"}


def test_stale_cluster_id_raises_error(empty: Dataset, keys: list[str]) -> None:
    large, small = listed(empty)
    set_clusters(empty, keys[4:], keys[:3], [keys[3]])
    assert listed(empty)[1]["cluster"] == small["cluster"]
    run(
        empty,
        "label",
        "hana",
        "--cluster",
        small["cluster"],
        "--cluster",
        large["cluster"],
    ).refused(2, "gleanset list clusters")
    assert all(sample.status == "queue" for sample in empty.samples.iter_by_key())


def people(sizes: tuple[int, ...], spread: float = 0.3, seed: int = 0) -> Float32Array:
    """Return unit vectors of several people, each near a center of their own."""
    dice = np.random.default_rng(seed)
    centers = np.eye(len(sizes), 12)
    rows = (
        np.repeat(centers, sizes, axis=0)
        + spread * dice.normal(size=(sum(sizes), 12)) / 3
    )
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_page_is_restricted_to_samples() -> None:
    stacks = [Stack(n, (2 * n, 2 * n + 1), NO_PREDICTION) for n in range(4)]
    page = ClassPage(PageKind.CLASS, "Miku", tuple(stacks), 2, 20)
    assert page.restrict(page.rows) == page
    fewer = page.restrict({1, 4, 5})
    assert [tile.rows for tile in fewer.tiles] == [(1,), (4, 5)]
    assert (fewer.doubtful, fewer.total) == (1, 15)
    # No heading for a part without the other.
    assert page.restrict({0, 2}).doubtful == 0
    clusters = page._replace(kind=PageKind.CLUSTERS, doubtful=0, card_sizes=(1, 3))
    assert clusters.restrict({2, 7}).card_sizes == (2,)


def stacks_for(count: int) -> list[Stack]:
    return [Stack(n, (n + 1,), NO_PREDICTION) for n in range(count)]


def compose_clusters(
    clusters: list[StackCluster], rows: Float32Array, max_tiles: int = 96
) -> ClassPage:
    return only(compose_clusters_page(clusters, rows, max_tiles))


def test_clusters_page_has_largest_undecided_clusters() -> None:
    rows = people((14, 8, 7, 6))
    stacks = stacks_for(28)
    clusters = cluster_stacks(stacks, rows[:28], rows[28:])
    page = compose_clusters(clusters, rows)
    assert page.kind is PageKind.CLUSTERS
    assert sum(page.card_sizes) == len(page.tiles) == page.total
    assert page.card_sizes[0] == max(page.card_sizes)
    for members in page.cards:  # one person in each
        indices = [page.tiles[number].rows[0] - 1 for number in members]
        assert len({int(np.digitize(n, (14, 22))) for n in indices}) == 1
    assert len(compose_clusters(clusters, rows, max_tiles=10).card_sizes) == 1
    decided_clusters = cluster_stacks(stacks[22:], rows[:28], rows[22:28])
    assert all(cluster.decided_count for cluster in decided_clusters)
    assert compose_clusters_page(decided_clusters, rows, 96) is None
    # Not two of seven.
    few = cluster_stacks(stacks_for(14), people((4, 4, 3, 3)), rows[:0])
    assert [len(cluster.stacks) for cluster in few] == [4, 4, 3, 3]


def test_mostly_undecided_cluster_is_unknown() -> None:
    """Otherwise a person with few decided faces would be predicted as a similar one."""
    rows = people((24,))
    stacks = stacks_for(24)
    clusters = [
        StackCluster(tuple(stacks[:20]), 2),
        StackCluster(tuple(stacks[20:]), 30),
    ]
    page = compose_clusters(clusters, rows)
    assert page.card_sizes == (20,)
    decided_clusters = [clusters[0]._replace(decided_count=3), clusters[1]]
    assert compose_clusters_page(decided_clusters, rows, 96) is None


def test_smaller_half_by_similarity() -> None:
    assert part_tiles(people((7, 5))) == [*range(7, 12)]
    assert len(part_tiles(np.ones((12, 2), np.float32) / np.float32(2**0.5))) < 12


@pytest.fixture
def drawn(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> FaceSet:
    """Copy drawn and measured faces."""
    return copied(
        drawn_once(tmp_path_factory, 60, classes=4), tmp_path / "d", named=False
    )


@pytest.fixture
def unmeasured(drawn: FaceSet) -> FaceSet:
    """Delete the measurements, as `facecrop run` leaves the faces."""
    with Dataset.open(drawn.root) as dataset:
        dataset.db.execute("DELETE FROM quality")
    return drawn


def characters_by_cluster(
    dataset: Dataset, page: ClassPage, faces: FaceSet
) -> list[set[str]]:
    """Return the characters in each cluster of a page."""
    tiles = SortingSession(dataset).tiles.get_many(page.rows)
    characters = [faces.truth[tiles[tile.rows[0]].key] for tile in page.tiles]
    return [{characters[number] for number in numbers} for numbers in page.cards]


def test_clusters_wait_for_measurements(unmeasured: FaceSet) -> None:
    with Dataset.open(unmeasured.root) as dataset:
        pages = Pages(SortingSession(dataset))
        parts = measure_in_batches(dataset)
        page = only(pages.next())
        for measured in (16, 32, 48):
            assert next(parts) == 16
            assert (page.kind, len(page.tiles), page.card_sizes) == (
                PageKind.PLAIN,
                60,
                (),
            ), measured
            assert pages.recompose(page) is None
            page = only(pages.next())
        assert pages.label_page(page) == NO_STEP
        sum(parts)
        clustered = only(pages.recompose(page))
        assert clustered.kind is PageKind.CLUSTERS
        clusters = characters_by_cluster(dataset, clustered, unmeasured)
        assert sum(len(cluster) == 1 for cluster in clusters) >= 0.8 * len(clusters)


def test_single_class_is_not_predicted_for_all(drawn: FaceSet) -> None:
    with Dataset.open(drawn.root) as dataset:
        pages = Pages(session := SortingSession(dataset))
        page = only(pages.next())
        half = page.rows[: page.card_sizes[0] // 2]
        named = {tile.key for tile in session.tiles.get_many(half).values()}
        dataset.journal.apply("Label", [Choice(key, "label", "A") for key in named])
        (character,) = {drawn.truth[key] for key in named}
        rest = [
            PrelabelledSample(key, 1, (Proposal("A", 0.95),)) for key in drawn.truth
        ]
        Proposals(dataset.db).replace(rest, {})
        clusters_page = only(pages.next())
        assert clusters_page.kind is PageKind.CLUSTERS
        assert {character} not in characters_by_cluster(dataset, clusters_page, drawn)
        session.decide(clusters_page.rows, "B")
        page = only(pages.next())
        assert (page.kind, page.labels) == (PageKind.MIXED, {"A", "B"})


@pytest.mark.parametrize("looks_first", [False, True])
def test_people_left_without_name_are_not_suggested(
    drawn: FaceSet, looks_first: bool
) -> None:
    with Dataset.open(drawn.root) as dataset:
        pages = Pages(session := SortingSession(dataset))
        known = set(drawn.names[:2])
        pages.room = 24
        page = only(pages.next())
        seen = set[int]()
        while looks_first and seen.isdisjoint(page.rows):
            seen |= {*page.rows}
            pages.skip(page)
            page = only(pages.next())
        for _ in range(8):
            for numbers in page.cards:
                rows = [page.tiles[number].rows[0] for number in numbers]
                characters = {drawn.truth[key] for key in session.tiles.get_keys(rows)}
                if len(characters) == 1 and characters <= known:
                    session.decide(rows, characters.pop())
            if page.kind is PageKind.CLUSTERS:
                pages.skip(page)
                page = only(pages.next())
        tiles = session.tiles.get_many(page.rows).values()
        assert {drawn.truth[tile.key] for tile in tiles} <= known >= page.labels > set()


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
        session.decide([sample.id for sample in pending if sample.descriptor], "Miku")
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
        for part in (
            pages[0],
            pages[0][:300],
            SortingQueue(dataset.db).list_waiting(1000),
        ):
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
            PrelabelledSample(key, n, top)
            for n, (key, top) in enumerate(confident.items())
        ]
        facts = {"known": sorted(set(drawn.names)), "labelled": 40}
        Proposals(dataset.db).replace(prelabelled, facts)
        session = SortingSession(dataset)
        page = only(Pages(session).next())
        shown = session.tiles.get_many(page.rows)
        predictions = [
            (shown[tile.rows[0]].key, tile.prediction.label) for tile in page.tiles
        ]
        assert page.kind in (PageKind.CLASS, PageKind.MIXED)
        assert sum(drawn.truth[key] == label for key, label in predictions) > 0.8 * len(
            predictions
        )
