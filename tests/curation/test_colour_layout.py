"""The descriptor of drawn faces: told apart by colour, not by shifts, tints or brightness."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from curation.likeness.colour_layout import WIDTH, averaged, colour_layout
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
    return colour_layout(averaged(np.ascontiguousarray(picture)))


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
        told = described(picture)
        assert told.shape == (WIDTH,)
        assert told.dtype == np.float32
        assert np.isfinite(told).all()
        assert 0 <= told.min() <= told.max() <= 1
    assert far(own, own[::2, ::2]) < 0.5
