"""The store of vectors, and those in force: read as they are asked for; damaged files are none."""

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
    remove_old_vectors,
    save_vectors,
)
from gleanset import Dataset
from gleanset.db.proposals import Proposals


def test_a_file_that_is_damaged_is_none(tmp_path: Path) -> None:
    vectors = VectorStore(tmp_path)
    vectors.add(b"a" * 16, np.ones(3, np.float32))
    vectors.flush()
    vectors.flush()
    (whole,) = tmp_path.iterdir()
    (tmp_path / "odd.vectors").write_bytes(b"no vectors")
    cut = tmp_path / f"{'0' * 32}.vectors"
    cut.write_bytes(whole.read_bytes()[:-5])
    assert list(vectors.read([b"a" * 16, b"b" * 16])) == [b"a" * 16]
    assert list(tmp_path.iterdir()) == [whole]


def test_many_vectors_come_back_equal_and_by_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_FILE_ROWS", 7)
    names = [make_vector_name(("sample", number)) for number in range(20)]
    made = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    vectors = VectorStore(tmp_path)
    for name, vector in zip(names, made, strict=True):
        vectors.add(name, vector)
    # What was written before a kill is there: two files of seven, the rest was not flushed.
    assert len(VectorStore(tmp_path).read(names)) == 14
    vectors.flush()
    result = VectorStore(tmp_path).read(names[5:])
    assert list(result) != []
    assert all(np.array_equal(result[name], made[5 + n]) for n, name in enumerate(names[5:]))
    assert set(result) == set(names[5:])


MADE = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
NAMES = [make_vector_name(("sample", number)) for number in range(3000)]


def test_vectors_of_several_files_are_found_in_any_order(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        name = save_vectors(dataset, NAMES[:2500], MADE[:2500])
        Proposals(dataset.db).replace([], {VECTORS_FACT: name})
        space = EmbeddingSpace.from_dataset(dataset)
        assert space is not None
        asked = [NAMES[2700], NAMES[1400], b"nobody" * 2, NAMES[3], NAMES[1400]]
        assert space.get_coverage(asked) == 0.6
        vectors, there = space.get_vectors(asked)
        assert there.tolist() == [False, True, False, True, True]
        assert np.array_equal(vectors[there], MADE[[1400, 3, 1400]])
        assert not vectors[~there].any()
        assert EmbeddingSpace.from_dataset(dataset, space) is space
        assert np.array_equal(space.get_vectors(NAMES[:2500])[0], MADE[:2500])


def test_vectors_that_were_put_away_meanwhile_are_none(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        Proposals(dataset.db).replace([], {VECTORS_FACT: save_vectors(dataset, NAMES, MADE)})
        space = EmbeddingSpace.from_dataset(dataset)
        assert space is not None
        remove_old_vectors(dataset, "another")
        vectors, there = space.get_vectors(NAMES[:9])
        assert not there.any()
        assert not vectors.any()


def test_what_is_not_asked_for_takes_no_memory(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        Proposals(dataset.db).replace([], {VECTORS_FACT: save_vectors(dataset, NAMES, MADE)})
        tracemalloc.start()
        try:
            space = EmbeddingSpace.from_dataset(dataset)
            assert space is not None
            space.get_vectors(NAMES[:50])
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < MADE.nbytes
