"""Joins the faces of one scene, frame by frame, into tracks: one person each, as far as is known.

Where a face is, how large it is and what colours it has are compared with where each track was last
seen, or would be by now if it moved on. The pairs are those that cost least together (the
Hungarian method; Kuhn, "The Hungarian method for the assignment problem", 1955).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from curation.similarity.color_layout import Floats
from gleanset.records import Box, FaceTrack

LONGEST_GAP = 1.5
"""Seconds that a face may be out of sight, behind something or turned away."""
FAR = 1.1
"""A face moves by so many times its size from look to look at most, and half of that more for each
second; what moves on as before may be farther."""
LARGER = 1.6
"""It becomes at most so many times larger or smaller."""
UNLIKE, UNLIKE_HERE = 1.0, 2.2
"""Colour layouts of one face are nearer than that from look to look, of which eyes that close are
one: two people are at 1.05 and more. Where a face stays in its place and as large, it may change
more: only a cut that was missed would put somebody else there (docs/experiments.md)."""
HERE, AS_LARGE = 0.3, 1.15
"""So many sides away is the same place; so many times larger or smaller is as large."""
NEVER = 1e6


class SceneFace(NamedTuple):
    """A face as it was found in a frame: its box, how sure that is, and its colour layout."""

    box: Box
    score: float
    colours: Floats


@dataclass
class OpenTrack:
    """A face that is being followed: where and when it was last seen, and how it moved (sides a
    second).
    """

    number: int
    begun: float
    ended: float
    box: Box
    colours: Floats
    frames: int = 1
    speed: tuple[float, float] = (0.0, 0.0)
    best: float = 0.0

    def costs(self, face: SceneFace, time: float) -> float:
        """Return how unlikely it is that this face is the next of the track; `NEVER` for none."""
        passed = time - self.ended
        apart = min(_distance(self._expected(passed), face.box), _distance(self.box, face.box))
        larger = abs(math.log(_side(face.box) / _side(self.box)))
        unlike = float(np.linalg.norm(face.colours - self.colours))
        far = FAR + passed / 2
        stays = apart <= HERE and larger <= math.log(AS_LARGE)
        most = UNLIKE_HERE if stays else UNLIKE
        if apart > far or larger > math.log(LARGER) or unlike > most:
            return NEVER
        return apart / far + larger + 2 * unlike / UNLIKE

    def _expected(self, passed: float) -> Box:
        side = _side(self.box)
        x, y = (round(speed * passed * side) for speed in self.speed)
        return Box(self.box.x + x, self.box.y + y, self.box.width, self.box.height)

    def add(self, face: SceneFace, time: float) -> None:
        """Take the face as the next of the track."""
        passed, side = max(time - self.ended, 1e-3), _side(self.box)
        (x, y), (across, down) = _middle(self.box), _middle(face.box)
        self.speed = (across - x) / side / passed, (down - y) / side / passed
        self.box, self.ended, self.frames = face.box, time, self.frames + 1
        self.colours = np.asarray((self.colours + face.colours) / 2, np.float32)
        self.best = max(self.best, face.score)

    def record(self, scene: int) -> FaceTrack:
        """Return what is known of it."""
        begun, ended = round(self.begun, 6), round(self.ended, 6)
        return FaceTrack(f"{scene}-{self.number}", begun, ended, self.frames)


@dataclass
class SceneTracker:
    """The tracks of the scene that is on.

    `scene_start` is the time of the cut where it begins, None where none is known.
    """

    tracks: list[OpenTrack] = field(default_factory=list)
    scene_start: float | None = None
    _first: float | None = None
    _last: float = 0.0

    def feed(self, time: float, faces: list[SceneFace]) -> list[OpenTrack]:
        """Take the faces of the next frame; the track of each."""
        self._first, self._last = time if self._first is None else self._first, time
        near = [track for track in self.tracks if time - track.ended <= LONGEST_GAP]
        costs = np.array(
            [[track.costs(face, time) for face in faces] for track in near], np.float64
        ).reshape(len(near), len(faces))
        followed: dict[int, OpenTrack] = {}
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < NEVER:
                near[row].add(faces[column], time)
                followed[int(column)] = near[row]
        for column, face in enumerate(faces):
            if column not in followed:
                followed[column] = self._begin(face, time)
        return [followed[column] for column in range(len(faces))]

    def end_at(self, cut: float) -> None:
        """Let the faces that the last frame shows be seen until the cut where the scene ends."""
        for track in self.tracks:
            if track.ended == self._last and cut - track.ended <= LONGEST_GAP:
                track.ended = cut

    def _begin(self, face: SceneFace, time: float) -> OpenTrack:
        number, begun = len(self.tracks) + 1, time
        if time == self._first and self.scene_start is not None:
            begun = self.scene_start if time - self.scene_start <= LONGEST_GAP else time
        track = OpenTrack(number, begun, time, face.box, face.colours, best=face.score)
        self.tracks.append(track)
        return track


def _middle(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


def _side(box: Box) -> float:
    return max(math.sqrt(box.width * box.height), 1.0)


def _distance(box: Box, other: Box) -> float:
    a, b = _middle(box), _middle(other)
    return math.hypot(b[0] - a[0], b[1] - a[1]) / _side(box)
