"""The descriptor that needs no network: who is alike, and what is no descriptor."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from test_colour_layout import face

from curation.likeness.colour_layout import averaged
from curation.likeness.descriptor import (
    DIRECTIONS,
    WIDTH,
    DescriptorSpace,
    descriptor,
    edge_layout,
    uncentred,
)
from tools.sample.character import CAST

SEEDS = 4


@cache
def stored() -> list[bytes]:
    """Drawn faces, `SEEDS` of each character after the other."""
    return [descriptor(face(who, seed)) for who in range(len(CAST)) for seed in range(SEEDS)]


def right(space: DescriptorSpace) -> float:
    """How often the nearest other picture is of the same character."""
    vectors, there = space.vectors(stored())
    assert there.all()
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -2)
    return float((alike.argmax(axis=1) // SEEDS == np.arange(len(vectors)) // SEEDS).mean())


def test_the_nearest_is_of_the_same_character_the_more_so_less_what_all_have_in_common() -> None:
    assert right(uncentred()) > 2 / len(CAST)
    assert right(DescriptorSpace(stored())) >= max(0.7, right(uncentred()))


def test_vectors_have_unit_length_and_what_is_no_descriptor_has_none() -> None:
    odd = [stored()[0], None, b"", b"x" * 320, stored()[1]]
    for space in (uncentred(), DescriptorSpace(stored()), DescriptorSpace(stored()[:1])):
        vectors, there = space.vectors(odd)
        assert there.tolist() == [True, False, False, False, True]
        assert np.allclose(np.linalg.norm(vectors[there], axis=1), 1, atol=1e-5)
        assert not vectors[~there].any()
    assert uncentred().vectors([])[0].shape == (0, WIDTH)
    # What cannot be a descriptor has no part in what all have in common.
    alone, beside = (DescriptorSpace(some) for some in ([], [b"x" * 320]))
    assert np.array_equal(*(space.vectors(stored())[0] for space in (alone, beside)))


def test_the_mean_of_a_few_is_not_taken_for_what_all_have_in_common() -> None:
    alone = DescriptorSpace(stored()[:1])
    (own,), _ = alone.vectors(stored()[:1])
    (plain,), _ = uncentred().vectors(stored()[:1])
    assert own @ plain > 0.99


def test_edges_tell_which_way_they_run_and_where() -> None:
    level = np.zeros((112, 112, 3), np.uint8)
    level[14:28] = 255
    upright = np.ascontiguousarray(level.transpose(1, 0, 2))
    told = [edge_layout(averaged(one)).reshape(4, 4, DIRECTIONS) for one in (level, upright)]
    # The slope is down across a level edge: half a turn over pi.
    assert told[0].max(axis=(0, 1)).argmax() == DIRECTIONS // 2
    assert told[1].max(axis=(0, 1)).argmax() == 0
    assert told[0][0].sum() > 5 * told[0][3].sum()
    assert told[1][:, 0].sum() > 5 * told[1][:, 3].sum()
    assert edge_layout(averaged(np.full((50, 50, 3), 99, np.uint8))).max() * 255 < 0.5


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (57, 56), (300, 200)])
def test_any_size_has_one(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert len(descriptor(noise)) == WIDTH
