"""The descriptor of drawn faces: told apart by colour, not by shifts, tints or brightness."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from curation.likeness.colour_layout import SIDE, USUAL, WIDTH, FacePlace, colour_layout
from gleanset.records import Box, Landmark, Region
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


def far(first: Picture, second: Picture) -> float:
    return float(np.linalg.norm(colour_layout(first) - colour_layout(second)))


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
        told = colour_layout(np.ascontiguousarray(picture))
        assert told.shape == (WIDTH,)
        assert told.dtype == np.float32
        assert np.isfinite(told).all()
        assert 0 <= told.min() <= told.max() <= 1
    assert far(own, np.ascontiguousarray(own[::2, ::2])) < 0.5


def test_landmarks_lay_the_grid_over_the_face() -> None:
    height, width = 2 * SIDE, 2 * SIDE
    small = np.full((height, width, 3), 128, np.uint8)
    # A red and a blue half, the edge between them at the eyes.
    wide, moved = small.copy(), small.copy()
    wide[: round(0.42 * height)], wide[round(0.42 * height) :] = (200, 40, 40), (40, 40, 200)
    moved[: round(0.62 * height)], moved[round(0.62 * height) :] = (200, 40, 40), (40, 40, 200)
    lower = FacePlace(USUAL.x, USUAL.y + 0.2, USUAL.scale)
    laid = float(np.linalg.norm(colour_layout(moved, lower) - colour_layout(wide)))
    assert laid < 0.5 * far(moved, wide)


def test_the_place_of_a_face_comes_from_eyes_and_mouth() -> None:
    box = Box(100, 50, 200, 100)
    marks = (
        Landmark("left_eye", 240, 90),
        Landmark("right_eye", 160, 94),
        Landmark("mouth", 200, 117),
    )
    assert FacePlace.of(marks, Region(box)) == pytest.approx((0.5, 0.42, 0.25), abs=1e-3)
    assert FacePlace.of(marks[:2], Region(box)) is None
    # Upside down, in another crop, or no numbers at all: not what this crop shows.
    for odd in (Landmark("mouth", 200, 80), Landmark("mouth", 200, float("nan"))):
        assert FacePlace.of((*marks[:2], odd), Region(box)) is None
    assert FacePlace.of(marks, Region(Box(300, 50, 200, 100))) is None


def test_the_place_of_a_turned_face_is_that_in_its_upright_crop() -> None:
    box, middle = Box(100, 50, 200, 200), np.array((200, 150))
    upright = {"left_eye": (250, 130), "right_eye": (150, 130), "mouth": (200, 190)}
    turn = np.radians(30)
    clockwise = np.array(((np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))))
    marks = [
        Landmark(name, *(clockwise @ (np.array(at) - middle) + middle))
        for name, at in upright.items()
    ]
    plain = FacePlace.of([Landmark(name, *at) for name, at in upright.items()], Region(box))
    assert plain is not None
    assert FacePlace.of(marks, Region(box, 30.0)) == pytest.approx(plain)
    assert FacePlace.of(marks, Region(box)) != pytest.approx(plain)
