"""The network that tells drawn people apart: what it is worth, and what its card says of it."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from test_colour_layout import face
from test_descriptor import SEEDS, right, stored

from curation.likeness.colour_layout import averaged
from curation.likeness.descriptor import WIDTH, DescriptorSpace
from curation.likeness.identity import WEIGHTS, identity_vector
from curation.likeness.identity import WIDTH as IDENTITY
from tools.sample.character import CAST


def alike(space: DescriptorSpace) -> tuple[float, float]:
    """How much alike pictures of one character are on average, and those of two."""
    vectors, _ = space.vectors(stored())
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
    vectors, there = space.vectors(stored())
    assert there.all()
    assert vectors.shape == (len(CAST) * SEEDS, WIDTH)
    assert not vectors[:, -IDENTITY:].any()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_face_and_its_mirror_image_have_the_same_vector_in_any_thread() -> None:
    small = averaged(face(0, 0))
    expected = identity_vector(small)
    assert np.isclose(np.linalg.norm(expected), 1, atol=1e-5)
    assert np.allclose(identity_vector(small[:, ::-1]), expected, atol=1e-4)
    others = [averaged(face(who, 1)) for who in range(len(CAST))] * 5
    alone = [identity_vector(each) for each in others]
    with ThreadPoolExecutor(4) as threads:
        assert np.array_equal(list(threads.map(identity_vector, others)), alone)


def test_the_card_is_of_what_comes_along() -> None:
    card = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    data = WEIGHTS.read_bytes()
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["bytes"] == len(data) < 4_000_000
