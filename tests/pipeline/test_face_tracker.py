"""Tracks of faces in one scene, without a video or detector."""

from __future__ import annotations

import numpy as np
import pytest

from gleanset.records import Box
from pipeline.episodes.tracker import SceneFace, SceneTracker

STEP = 1 / 3


def face(x: float, colours: int, y: float = 100, side: float = 60) -> SceneFace:
    """Return a face with a color layout; different `colours` have a distance of 1.4."""
    layout = np.zeros(12, np.float32)
    layout[colours] = 1.0
    return SceneFace(Box(round(x), round(y), round(side), round(side)), 0.6, layout)


def track_numbers(*frames: list[SceneFace]) -> list[list[int]]:
    """Return the track number of each face, frame by frame."""
    tracker = SceneTracker()
    return [
        [track.number for track in tracker.add_frame(number * STEP, faces)]
        for number, faces in enumerate(frames)
    ]


def test_moving_and_growing_face_keeps_track() -> None:
    frames = [[face(100 + 30 * n, 1, side=60 + 4 * n)] for n in range(8)]
    assert track_numbers(*frames) == [[1]] * 8


def test_crossing_faces_keep_tracks() -> None:
    frames = [[face(100 + 40 * n, 1), face(420 - 40 * n, 2)] for n in range(9)]
    assert track_numbers(*frames) == [[1, 2]] * 9


def test_crossing_similar_faces_are_distinguished_by_motion() -> None:
    frames = [[face(100 + 40 * n, 1), face(420 - 40 * n, 1, y=130)] for n in range(9)]
    assert track_numbers(*frames) == [[1, 2]] * 9


def test_briefly_hidden_face_keeps_track() -> None:
    visible = [face(100, 1)]
    assert track_numbers(visible, [], [], visible) == [[1], [], [], [1]]
    hidden = [[] for _ in range(6)]
    assert track_numbers(visible, *hidden, visible)[-1] == [2]


@pytest.mark.parametrize(("x", "side", "track"), [(103, 61, 1), (150, 60, 2), (100, 80, 2)])
def test_changed_face_keeps_track_in_same_position(x: float, side: float, track: int) -> None:
    """Closed eyes change the colors; a face next to it is another person's."""
    assert track_numbers([face(100, 1)], [face(x, 2, side=side)]) == [[1], [track]]


def test_distant_face_starts_new_track() -> None:
    assert track_numbers([face(100, 1)], [face(300, 1)]) == [[1], [2]]
