"""The directions of identity: what they are worth, and what their card says of them."""

from __future__ import annotations

import hashlib
import json

import numpy as np
from test_descriptor import SEEDS, right, stored

from curation.likeness.descriptor import WIDTH, DescriptorSpace
from curation.likeness.identity import WEIGHTS, Identity
from tools.sample.character import CAST


def alike(space: DescriptorSpace) -> tuple[float, float]:
    """How much alike pictures of one character are on average, and those of two."""
    vectors, _ = space.vectors(stored())
    cosines, who = vectors @ vectors.T, np.arange(len(vectors)) // SEEDS
    same = who[:, None] == who[None]
    return float(cosines[same].mean()), float(cosines[~same].mean())


def test_people_are_further_apart_by_them_than_by_descriptors_as_they_are() -> None:
    plain, known = (DescriptorSpace(stored(), photos) for photos in (True, False))
    assert right(known) >= right(plain)
    (same, others), (as_they_are, between) = alike(known), alike(plain)
    assert same - others > as_they_are - between


def test_photographs_are_compared_as_they_are() -> None:
    space = DescriptorSpace(stored(), photos=True)
    vectors, there = space.vectors(stored())
    assert there.all()
    assert vectors.shape == (len(CAST) * SEEDS, space.width)
    assert not vectors[:, : space.width - WIDTH].any()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_card_is_of_what_comes_along() -> None:
    card = json.loads(WEIGHTS.with_suffix(".json").read_text(encoding="utf-8"))
    data = WEIGHTS.read_bytes()
    assert card["sha256"] == hashlib.sha256(data).hexdigest()
    assert card["bytes"] == len(data) < 300_000
    assert Identity.learnt().axes.shape == (WIDTH, card["axes"])
