"""The vector store and the latest embedding space; damaged files are ignored."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from curation.similarity import vectors as store
from curation.similarity.vectors import (
    VECTORS_FACT,
    EmbeddingSpace,
    VectorStore,
    make_vector_name,
    save_vectors,
)
from gleanset import Dataset
from gleanset.db.proposals import Proposals


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


def test_vectors_round_trip_across_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert all(np.array_equal(result[name], expected[5 + n]) for n, name in enumerate(names[5:]))


MADE = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
NAMES = [make_vector_name(("sample", number)) for number in range(3000)]


def test_reading_subset_takes_little_memory(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        Proposals(dataset.db).replace([], {VECTORS_FACT: save_vectors(dataset, NAMES, MADE)})
        tracemalloc.start()
        try:
            space = EmbeddingSpace.from_dataset(dataset)
            assert space is not None
            space.get_vectors(NAMES[:50])
            traced, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert traced < MADE.nbytes
