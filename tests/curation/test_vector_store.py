"""The store of vectors: what is flushed is there, and damaged files are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curation.likeness import vectors as store
from curation.likeness.vectors import VectorStore, vector_name


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
    monkeypatch.setattr(store, "ROWS", 7)
    names = [vector_name(("sample", number)) for number in range(20)]
    made = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    vectors = VectorStore(tmp_path)
    for name, vector in zip(names, made, strict=True):
        vectors.add(name, vector)
    # What was written before a kill is there: two files of seven, the rest was not flushed.
    assert len(VectorStore(tmp_path).read(names)) == 14
    vectors.flush()
    found = VectorStore(tmp_path).read(names[5:])
    assert list(found) != []
    assert all(np.array_equal(found[name], made[5 + n]) for n, name in enumerate(names[5:]))
    assert set(found) == set(names[5:])
