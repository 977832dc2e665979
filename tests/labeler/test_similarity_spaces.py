"""Tests of the choice between the vectors of a prelabel and descriptors."""

from __future__ import annotations

import numpy as np
from labeler_makers import add_faces, add_image, label

from curation.similarity.descriptor import WIDTH
from curation.similarity.vectors import VECTORS_FACT, Vector, make_sample_vector_name, save_vectors
from gleanset import Dataset
from gleanset.db.proposals import Proposals
from gleanset.db.sorting import SampleFeatures, SortingQueue
from gleanset.records import Region
from labeler.similarity import SimilaritySpaces
from labeler.sorting.pages import Pages
from labeler.sorting.session import SortingSession


def pending_samples(dataset: Dataset) -> list[SampleFeatures]:
    queue = SortingQueue(dataset.db)
    return queue.get_features(queue.list_waiting(1000))


def faces(dataset: Dataset, number: int) -> list[SampleFeatures]:
    for name in range(number):
        add_faces(dataset, add_image(dataset, f"{name}"))
    return pending_samples(dataset)


def prelabelled(dataset: Dataset, samples: list[SampleFeatures], rows: Vector) -> None:
    """Store these vectors as a prelabel does."""
    names = [make_sample_vector_name(sample.key, sample.region) for sample in samples]
    space = save_vectors(dataset, names, rows)
    Proposals(dataset.db).replace([], {VECTORS_FACT: space, "known": []})


def unit(rows: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Vector:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def two_kinds(number: int, seed: int = 0) -> Vector:
    """Return vectors of two kinds, alternating."""
    dice = np.random.default_rng(seed)
    centres = dice.normal(size=(2, 8))
    return unit(centres[np.arange(number) % 2] + 0.05 * dice.normal(size=(number, 8)))


def test_prelabel_vectors_need_enough_coverage(empty: Dataset) -> None:
    samples = faces(empty, 20)
    spaces = SimilaritySpaces(empty)
    vectors, has_vector = spaces.choose_space(samples)(samples)
    assert vectors.shape == (20, WIDTH)
    assert not has_vector.any()  # no descriptors, no prelabel
    rows = two_kinds(20)
    prelabelled(empty, samples, rows)
    vectors, has_vector = spaces.choose_space(samples)(samples)
    assert has_vector.all()
    assert np.array_equal(vectors, rows)
    # A new sample counts as unmeasured.
    add_faces(empty, add_image(empty, "new"))
    vectors, has_vector = spaces.choose_space(pending_samples(empty))(pending_samples(empty))
    assert has_vector.tolist() == [True] * 20 + [False]
    assert not vectors[-1].any()
    # So does a re-cropped sample: the prelabel saw other pixels.
    recut = [replace_region(samples[0]), *samples[1:]]
    assert spaces.choose_space(recut)(recut)[1].tolist() == [False] + [True] * 19
    for name in range(5):
        add_faces(empty, add_image(empty, f"more {name}"))
    descriptors, _ = spaces.choose_space(pending_samples(empty))(pending_samples(empty))
    assert descriptors.shape == (26, WIDTH)


def replace_region(sample: SampleFeatures) -> SampleFeatures:
    return sample._replace(region=Region(sample.region.box, 9.0))


def test_newer_prelabel_replaces_vectors(empty: Dataset) -> None:
    samples = faces(empty, 12)
    spaces = SimilaritySpaces(empty)
    for seed in (1, 2):
        prelabelled(empty, samples, two_kinds(12, seed))
        vectors, _ = spaces.choose_space(samples)(samples)
        assert np.array_equal(vectors, two_kinds(12, seed))
    Proposals(empty.db).replace([], {VECTORS_FACT: "gone"})
    assert spaces.choose_space(samples)(samples)[0].shape == (12, WIDTH)


def test_pages_use_prelabel_vectors(empty: Dataset) -> None:
    samples = faces(empty, 30)
    prelabelled(empty, samples, two_kinds(30))
    for number in range(12):
        label(empty, samples[number].key, ("Miku", "Mio")[number % 2])
    pages = Pages(SortingSession(empty))
    page = pages.next()
    assert page is not None
    kinds = {sample.id: ("Miku", "Mio")[number % 2] for number, sample in enumerate(samples)}
    assert len(page.rows) == 18
    assert all(tile.prediction.label == kinds[tile.rows[0]] for tile in page.tiles)
    near = pages.nearest(samples[20].id)
    assert near
    assert {row % 2 for row in near} == {samples[20].id % 2}
    assert samples[4].id not in pages.nearest(samples[4].id)
