"""Descriptors of faces, vectors of the newest prelabeling, and clusters of them."""

import hashlib
import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from baseline.prelabel.prelabeling import save_vectors
from curation.similarity import color_layout as colours
from curation.similarity import vectors as store
from curation.similarity.clustering import cluster_rows
from curation.similarity.color_layout import average_areas, compute_color_layout
from curation.similarity.descriptor import (
    DIRECTIONS,
    IDENTITY,
    WEIGHTS,
    WIDTH,
    DescriptorSpace,
    compute_descriptor,
    compute_edge_layout,
    compute_identity_vector,
    get_uncentered_space,
)
from curation.similarity.vectors import (
    VECTORS_FACT,
    EmbeddingSpace,
    VectorStore,
    make_vector_name,
)
from gleanset import Dataset
from gleanset.arrays import Float32Array, Pixels
from gleanset.db.proposals import Proposals
from tools.sample.character import CAST
from tools.sample.scene import face_box, paint_scene, plan_scene

Picture = Pixels


@cache
def face(character: int, seed: int) -> Picture:
    """Draw a face with padding."""
    scene = plan_scene([CAST[character]], seed, (320, 240))
    box = face_box(scene.figures[0])
    padding = round(0.3 * box.width)
    left, top = max(0, box.x - padding), max(0, box.y - padding)
    cut = (left, top, box.x + box.width + padding, box.y + box.height + padding)
    return np.asarray(paint_scene(scene).convert("RGB").crop(cut))


def color_layout_of(picture: Picture) -> Float32Array:
    return compute_color_layout(average_areas(np.ascontiguousarray(picture)))


def distance(first: Picture, second: Picture) -> float:
    return float(np.linalg.norm(color_layout_of(first) - color_layout_of(second)))


def test_color_layout_separates_characters() -> None:
    faces = [
        [face(character, seed) for seed in range(4)] for character in range(len(CAST))
    ]
    same = [distance(own[0], other) for own in faces for other in own[1:]]
    others = [distance(faces[0][0], other) for group in faces[1:] for other in group]
    assert np.median(same) < 0.8 * np.median(others)


@pytest.mark.parametrize(
    "light", [(1.0, 0.92, 0.84), (0.85, 0.85, 0.85), (0.9, 0.95, 1.0)]
)
def test_color_layout_tolerates_tint_and_shift(
    light: tuple[float, float, float],
) -> None:
    own = face(0, 0)
    lit = np.rint(own * np.array(light)).astype(np.uint8)
    shifted = np.roll(own, len(own) // 40, axis=0)
    other = min(distance(own, face(character, 0)) for character in range(1, len(CAST)))
    assert distance(own, lit) < 0.6 * other
    assert distance(own, shifted) < 0.3 * other


def test_color_layout_is_finite_for_any_size() -> None:
    own = face(1, 1)
    for picture in (
        own,
        own[::2, ::2],
        own[:, :17],
        own[:1, :1],
        np.zeros((3000, 5, 3), np.uint8),
    ):
        result = color_layout_of(picture)
        assert (result.shape, result.dtype) == ((colours.WIDTH,), np.float32)
        assert np.isfinite(result).all()
        assert 0 <= result.min() <= result.max() <= 1
    assert distance(own, own[::2, ::2]) < 0.5


SEEDS = 4


@cache
def descriptors() -> list[bytes]:
    """Return descriptors of `SEEDS` drawn faces per character, in order."""
    return [
        compute_descriptor(face(n // SEEDS, n % SEEDS))
        for n in range(len(CAST) * SEEDS)
    ]


def nearest_accuracy(space: DescriptorSpace) -> float:
    """Return the share of faces whose nearest neighbour is the same character."""
    vectors, available = space.get_vectors(descriptors())
    assert available.all()
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    return float(
        (cosines.argmax(axis=1) // SEEDS == np.arange(len(vectors)) // SEEDS).mean()
    )


def test_centering_improves_nearest_neighbour_accuracy() -> None:
    uncentered = nearest_accuracy(get_uncentered_space())
    assert uncentered > 2 / len(CAST)
    assert nearest_accuracy(DescriptorSpace(descriptors())) >= max(0.7, uncentered)


def test_vectors_have_unit_length_or_are_missing() -> None:
    odd = [descriptors()[0], None, b"", b"x" * 320, descriptors()[1]]
    stored = descriptors()
    for space in (
        get_uncentered_space(),
        DescriptorSpace(stored),
        DescriptorSpace(stored[:1]),
    ):
        vectors, available = space.get_vectors(odd)
        assert available.tolist() == [True, False, False, False, True]
        assert np.allclose(np.linalg.norm(vectors[available], axis=1), 1, atol=1e-5)
        assert not vectors[~available].any()
    assert get_uncentered_space().get_vectors([])[0].shape == (0, WIDTH)
    # Invalid descriptors do not affect the mean.
    empty, invalid = (DescriptorSpace(data) for data in ([], [b"x" * 320]))
    assert np.array_equal(
        *(space.get_vectors(descriptors())[0] for space in (empty, invalid))
    )


def test_edge_layout_has_direction_and_position() -> None:
    horizontal = np.zeros((112, 112, 3), np.uint8)
    horizontal[14:28] = 255
    vertical = np.ascontiguousarray(horizontal.transpose(1, 0, 2))
    result = [
        compute_edge_layout(average_areas(pixels)).reshape(4, 4, DIRECTIONS)
        for pixels in (horizontal, vertical)
    ]
    # The gradient across a horizontal edge is vertical: half of the directions.
    assert result[0].max(axis=(0, 1)).argmax() == DIRECTIONS // 2
    assert result[1].max(axis=(0, 1)).argmax() == 0
    assert result[0][0].sum() > 5 * result[0][3].sum()
    assert result[1][:, 0].sum() > 5 * result[1][:, 3].sum()
    assert (
        compute_edge_layout(average_areas(np.full((50, 50, 3), 99, np.uint8))).max()
        * 255
        < 0.5
    )


def mean_cosines(space: DescriptorSpace) -> tuple[float, float]:
    """Return the mean cosine of faces of one character and of two."""
    vectors, _ = space.get_vectors(descriptors())
    cosines = vectors @ vectors.T
    character = np.arange(len(vectors)) // SEEDS
    same = character[:, None] == character[None]
    return float(cosines[same].mean()), float(cosines[~same].mean())


def test_identity_vector_separates_characters_further() -> None:
    plain, identity = (
        DescriptorSpace(descriptors(), photos) for photos in (True, False)
    )
    assert nearest_accuracy(identity) >= nearest_accuracy(plain)
    (same, others) = mean_cosines(identity)
    (as_they_are, between) = mean_cosines(plain)
    assert same - others > as_they_are - between


def test_photos_are_compared_without_identity_vector() -> None:
    space = DescriptorSpace(descriptors(), photos=True)
    vectors, available = space.get_vectors(descriptors())
    assert available.all()
    assert vectors.shape == (len(CAST) * SEEDS, WIDTH)
    assert not vectors[:, -IDENTITY:].any()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_identity_vector_ignores_mirroring_and_threads() -> None:
    small = average_areas(face(0, 0))
    expected = compute_identity_vector(small)
    assert np.isclose(np.linalg.norm(expected), 1, atol=1e-5)
    assert np.allclose(compute_identity_vector(small[:, ::-1]), expected, atol=1e-4)
    others = [average_areas(face(character, 1)) for character in range(len(CAST))] * 5
    sequential = [compute_identity_vector(other) for other in others]
    with ThreadPoolExecutor(4) as threads:
        assert np.array_equal(
            list(threads.map(compute_identity_vector, others)), sequential
        )


def test_model_card_matches_weights() -> None:
    card = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    data = WEIGHTS.read_bytes()
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["bytes"] == len(data) < 4_000_000


def draw(classes: int, rows: int) -> tuple[Float32Array, list[int]]:
    """Draw unit vectors around class means; return them with their class numbers."""
    random = np.random.default_rng(0)
    y = np.sort(random.integers(0, classes, rows))
    vectors = random.normal(0, 1, (classes, 40))[y] + random.normal(0, 0.9, (rows, 40))
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), y.tolist()


@pytest.mark.parametrize(("classes", "rows"), [(3, 60), (8, 100), (15, 300), (3, 600)])
def test_cluster_count_is_that_of_the_classes(classes: int, rows: int) -> None:
    vectors, y = draw(classes, rows)
    clusters = cluster_rows(vectors)
    assert len(clusters) == classes
    assert all(len({y[row] for row in cluster}) == 1 for cluster in clusters)


def test_equal_vectors_are_one_cluster() -> None:
    same = np.tile(np.eye(2, 8, dtype=np.float32)[:1], (6, 1))
    assert len(cluster_rows(same)) == 1


def test_damaged_vector_files_are_removed(tmp_path: Path) -> None:
    vectors = VectorStore(tmp_path)
    vectors.add(b"a" * 16, np.ones(3, np.float32))
    vectors.flush()
    vectors.flush()
    (intact,) = tmp_path.iterdir()
    (tmp_path / "odd.vectors").write_bytes(b"no vectors")
    cut = tmp_path / f"{'0' * 32}.vectors"
    cut.write_bytes(intact.read_bytes()[:-5])
    assert list(vectors.read([b"a" * 16, b"b" * 16])) == [b"a" * 16]
    assert list(tmp_path.iterdir()) == [intact]


def test_vectors_round_trip_across_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_FILE_ROWS", 7)
    names = [make_vector_name(("sample", number)) for number in range(20)]
    expected = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    vectors = VectorStore(tmp_path)
    for name, vector in zip(names, expected, strict=True):
        vectors.add(name, vector)
    # Two full files of seven rows were written; the rest is not flushed yet.
    assert len(VectorStore(tmp_path).read(names)) == 14
    vectors.flush()
    result = VectorStore(tmp_path).read(names[5:])
    assert set(result) == set(names[5:])
    assert all(
        np.array_equal(result[name], expected[5 + n])
        for n, name in enumerate(names[5:])
    )


MADE = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
NAMES = [make_vector_name(("sample", number)) for number in range(3000)]


def test_reading_subset_takes_little_memory(dataset: Dataset) -> None:
    Proposals(dataset.db).replace(
        [], {VECTORS_FACT: save_vectors(dataset, NAMES, MADE)}
    )
    tracemalloc.start()
    try:
        EmbeddingSpace.from_dataset(dataset).get_vectors(NAMES[:50])
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert traced < MADE.nbytes
