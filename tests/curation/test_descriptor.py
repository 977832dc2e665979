"""The descriptor of faces: colours, edges and the identity vector tell people apart."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from curation.similarity import color_layout as colours
from curation.similarity.color_layout import average_areas, compute_color_layout
from curation.similarity.descriptor import (
    DIRECTIONS,
    WIDTH,
    DescriptorSpace,
    compute_descriptor,
    compute_edge_layout,
    get_uncentered_space,
)
from curation.similarity.identity import WEIGHTS, compute_identity_vector
from curation.similarity.identity import WIDTH as IDENTITY
from tools.sample.character import CAST
from tools.sample.scene import face_box, paint_scene, plan_scene

Picture = npt.NDArray[np.uint8]


@cache
def face(who: int, seed: int) -> Picture:
    """A drawn face with a margin around it."""
    scene = plan_scene([CAST[who]], seed, (320, 240))
    box = face_box(scene.figures[0])
    more = round(0.3 * box.width)
    left, top = max(0, box.x - more), max(0, box.y - more)
    cut = (left, top, box.x + box.width + more, box.y + box.height + more)
    return np.asarray(paint_scene(scene).convert("RGB").crop(cut))


def described(picture: Picture) -> npt.NDArray[np.float32]:
    return compute_color_layout(average_areas(np.ascontiguousarray(picture)))


def far(first: Picture, second: Picture) -> float:
    return float(np.linalg.norm(described(first) - described(second)))


def test_faces_of_one_character_are_nearer_than_those_of_others() -> None:
    seen = [[face(who, seed) for seed in range(4)] for who in range(len(CAST))]
    same = [far(own[0], other) for own in seen for other in own[1:]]
    others = [far(seen[0][0], other) for group in seen[1:] for other in group]
    assert np.median(same) < 0.8 * np.median(others)


@pytest.mark.parametrize("light", [(1.0, 0.92, 0.84), (0.85, 0.85, 0.85), (0.9, 0.95, 1.0)])
def test_tint_shadow_and_a_small_shift_change_little(light: tuple[float, float, float]) -> None:
    own = face(0, 0)
    lit = np.rint(own * np.array(light)).astype(np.uint8)
    shifted = np.roll(own, len(own) // 40, axis=0)
    other = min(far(own, face(who, 0)) for who in range(1, len(CAST)))
    assert far(own, lit) < 0.6 * other
    assert far(own, shifted) < 0.3 * other


def test_any_size_and_shape_gives_numbers_of_nearly_the_same_face() -> None:
    own = face(1, 1)
    for picture in (own, own[::2, ::2], own[:, :17], own[:1, :1], np.zeros((3000, 5, 3), np.uint8)):
        result = described(picture)
        assert result.shape == (colours.WIDTH,)
        assert result.dtype == np.float32
        assert np.isfinite(result).all()
        assert 0 <= result.min() <= result.max() <= 1
    assert far(own, own[::2, ::2]) < 0.5


SEEDS = 4


@cache
def stored() -> list[bytes]:
    """Drawn faces, `SEEDS` of each character after the other."""
    return [
        compute_descriptor(face(who, seed)) for who in range(len(CAST)) for seed in range(SEEDS)
    ]


def right(space: DescriptorSpace) -> float:
    """How often the nearest other picture is of the same character."""
    vectors, there = space.get_vectors(stored())
    assert there.all()
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -2)
    return float((alike.argmax(axis=1) // SEEDS == np.arange(len(vectors)) // SEEDS).mean())


def test_the_nearest_is_of_the_same_character_the_more_so_less_what_all_have_in_common() -> None:
    assert right(get_uncentered_space()) > 2 / len(CAST)
    assert right(DescriptorSpace(stored())) >= max(0.7, right(get_uncentered_space()))


def test_vectors_have_unit_length_and_what_is_no_descriptor_has_none() -> None:
    odd = [stored()[0], None, b"", b"x" * 320, stored()[1]]
    for space in (get_uncentered_space(), DescriptorSpace(stored()), DescriptorSpace(stored()[:1])):
        vectors, there = space.get_vectors(odd)
        assert there.tolist() == [True, False, False, False, True]
        assert np.allclose(np.linalg.norm(vectors[there], axis=1), 1, atol=1e-5)
        assert not vectors[~there].any()
    assert get_uncentered_space().get_vectors([])[0].shape == (0, WIDTH)
    # What cannot be a descriptor has no part in what all have in common.
    leave_group_out, beside = (DescriptorSpace(some) for some in ([], [b"x" * 320]))
    assert np.array_equal(*(space.get_vectors(stored())[0] for space in (leave_group_out, beside)))


def test_the_mean_of_a_few_is_not_taken_for_what_all_have_in_common() -> None:
    leave_group_out = DescriptorSpace(stored()[:1])
    (own,), _ = leave_group_out.get_vectors(stored()[:1])
    (plain,), _ = get_uncentered_space().get_vectors(stored()[:1])
    assert own @ plain > 0.99


def test_edges_tell_which_way_they_run_and_where() -> None:
    level = np.zeros((112, 112, 3), np.uint8)
    level[14:28] = 255
    upright = np.ascontiguousarray(level.transpose(1, 0, 2))
    result = [
        compute_edge_layout(average_areas(one)).reshape(4, 4, DIRECTIONS)
        for one in (level, upright)
    ]
    # The slope is down across a level edge: half a turn over pi.
    assert result[0].max(axis=(0, 1)).argmax() == DIRECTIONS // 2
    assert result[1].max(axis=(0, 1)).argmax() == 0
    assert result[0][0].sum() > 5 * result[0][3].sum()
    assert result[1][:, 0].sum() > 5 * result[1][:, 3].sum()
    assert compute_edge_layout(average_areas(np.full((50, 50, 3), 99, np.uint8))).max() * 255 < 0.5


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (57, 56), (300, 200)])
def test_any_size_has_one(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert len(compute_descriptor(noise)) == WIDTH


def alike(space: DescriptorSpace) -> tuple[float, float]:
    """How much alike pictures of one character are on average, and those of two."""
    vectors, _ = space.get_vectors(stored())
    cosines, who = vectors @ vectors.T, np.arange(len(vectors)) // SEEDS
    same = who[:, None] == who[None]
    return float(cosines[same].mean()), float(cosines[~same].mean())


def test_people_are_further_apart_by_it_than_by_colours_and_edges_alone() -> None:
    plain, known = (DescriptorSpace(stored(), photos) for photos in (True, False))
    assert right(known) >= right(plain)
    (same, others), (as_they_are, between) = alike(known), alike(plain)
    assert same - others > as_they_are - between


def test_photographs_are_compared_without_it() -> None:
    space = DescriptorSpace(stored(), photos=True)
    vectors, there = space.get_vectors(stored())
    assert there.all()
    assert vectors.shape == (len(CAST) * SEEDS, WIDTH)
    assert not vectors[:, -IDENTITY:].any()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_face_and_its_mirror_image_have_the_same_vector_in_any_thread() -> None:
    small = average_areas(face(0, 0))
    expected = compute_identity_vector(small)
    assert np.isclose(np.linalg.norm(expected), 1, atol=1e-5)
    assert np.allclose(compute_identity_vector(small[:, ::-1]), expected, atol=1e-4)
    others = [average_areas(face(who, 1)) for who in range(len(CAST))] * 5
    leave_group_out = [compute_identity_vector(other) for other in others]
    with ThreadPoolExecutor(4) as threads:
        assert np.array_equal(list(threads.map(compute_identity_vector, others)), leave_group_out)


def test_the_card_is_of_what_comes_along() -> None:
    card = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    data = WEIGHTS.read_bytes()
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["bytes"] == len(data) < 4_000_000
