"""The tracks of faces in one scene, as values: no video, no detector."""

from __future__ import annotations

import numpy as np
import pytest

from gleanset.records import Box
from pipeline.episodes.tracker import SceneFace, SceneTracker

STEP = 1 / 3


def face(x: float, colours: int, y: float = 100, side: float = 60) -> SceneFace:
    """A face with the colours of somebody: 1, 2, ... are 1.4 apart from each other."""
    layout = np.zeros(12, np.float32)
    layout[colours] = 1.0
    return SceneFace(Box(round(x), round(y), round(side), round(side)), 0.6, layout)


def followed(*frames: list[SceneFace]) -> list[list[int]]:
    """The number of the track of each face, frame by frame."""
    tracker = SceneTracker()
    return [
        [track.number for track in tracker.add_frame(number * STEP, faces)]
        for number, faces in enumerate(frames)
    ]


def test_a_face_that_moves_and_grows_stays_one_track() -> None:
    frames = [[face(100 + 30 * n, 1, side=60 + 4 * n)] for n in range(8)]
    assert followed(*frames) == [[1]] * 8


def test_two_who_pass_each_other_keep_their_tracks() -> None:
    frames = [[face(100 + 40 * n, 1), face(420 - 40 * n, 2)] for n in range(9)]
    assert followed(*frames) == [[1, 2]] * 9


def test_twins_who_pass_each_other_are_told_by_how_they_move() -> None:
    frames = [[face(100 + 40 * n, 1), face(420 - 40 * n, 1, y=130)] for n in range(9)]
    assert followed(*frames) == [[1, 2]] * 9


def test_who_is_hidden_for_a_moment_is_the_same_after_it() -> None:
    here = [face(100, 1)]
    assert followed(here, [], [], here) == [[1], [], [], [1]]
    away = [[] for _ in range(6)]
    assert followed(here, *away, here)[-1] == [2]


@pytest.mark.parametrize(("x", "side", "track"), [(103, 61, 1), (150, 60, 2), (100, 80, 2)])
def test_who_looks_different_is_the_same_only_in_the_same_place(
    x: float, side: float, track: int
) -> None:
    """Eyes that close change the colours; but who comes up beside is somebody else."""
    assert followed([face(100, 1)], [face(x, 2, side=side)]) == [[1], [track]]


def test_somebody_far_away_is_somebody_else() -> None:
    assert followed([face(100, 1)], [face(300, 1)]) == [[1], [2]]
