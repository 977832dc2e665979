"""The vectors in force: read from disk as they are asked for, and read on where files are added."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np

from curation.likeness.vectors import FACT, LikenessSpace, forget_spaces, vector_name, write_space
from gleanset import Dataset
from gleanset.db.proposals import Proposals

MADE = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
NAMES = [vector_name(("sample", number)) for number in range(3000)]


def test_vectors_of_several_files_are_found_in_any_order(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        name = write_space(dataset, NAMES[:1500], MADE[:1500])
        Proposals(dataset.db).replace([], {FACT: name})
        space = LikenessSpace.of(dataset)
        assert space is not None
        asked = [NAMES[2000], NAMES[1400], b"nobody" * 2, NAMES[3], NAMES[1400]]
        assert space.share(asked) == 0.6
        vectors, there = space.vectors(asked)
        assert there.tolist() == [False, True, False, True, True]
        assert np.array_equal(vectors[there], MADE[[1400, 3, 1400]])
        assert not vectors[~there].any()

        write_space(dataset, NAMES[1500:], MADE[1500:], name)
        assert LikenessSpace.of(dataset, space) is space
        assert np.array_equal(space.vectors(NAMES)[0], MADE)


def test_vectors_that_were_put_away_meanwhile_are_none(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        Proposals(dataset.db).replace([], {FACT: write_space(dataset, NAMES, MADE)})
        space = LikenessSpace.of(dataset)
        assert space is not None
        forget_spaces(dataset, "another")
        vectors, there = space.vectors(NAMES[:9])
        assert not there.any()
        assert not vectors.any()


def test_what_is_not_asked_for_takes_no_memory(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        Proposals(dataset.db).replace([], {FACT: write_space(dataset, NAMES, MADE)})
        tracemalloc.start()
        try:
            space = LikenessSpace.of(dataset)
            assert space is not None
            space.vectors(NAMES[:50])
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < MADE.nbytes
