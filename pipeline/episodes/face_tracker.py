"""Tracking of faces within a shot, frame by frame.

Position, size and color layout of a face are compared with the last detection of each track and its
predicted position. Assignments minimize the total cost (Kuhn, "The Hungarian method for the
assignment problem", 1955).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from gleanset.records import Box, FaceTrack

MAX_GAP_SECONDS = 1.5
"""How long a face may be hidden."""
MAX_MOVE = 1.1
"""Maximum distance between frames in face sizes, plus 0.5 for each second."""
MAX_SCALE = 1.6
"""Maximum change of size between frames, as a factor."""
MAX_COLOR_DISTANCE, MAX_COLOR_DISTANCE_IN_PLACE = 1.0, 2.2
"""Maximum distance of color layouts between frames; two people differ by 1.05 or more. A face that
stays in place may change more, because only a missed cut would put another one there
(docs/experiments.md)."""
MAX_MOVE_IN_PLACE, MAX_SCALE_IN_PLACE = 0.3, 1.15
"""Limits of distance (face sizes) and change of size for a face that stays in place."""
IMPOSSIBLE = 1e6

Floats = NDArray[np.float32]


class SceneFace(NamedTuple):
    """Detection of a face: box, score and color layout."""

    box: Box
    score: float
    colours: Floats


@dataclass
class OpenTrack:
    """Track with its last detection; `speed` is in face sizes per second."""

    number: int
    started: float
    ended: float
    box: Box
    colours: Floats
    frames: int = 1
    speed: tuple[float, float] = (0.0, 0.0)
    best: float = 0.0

    def cost(self, face: SceneFace, time: float) -> float:
        """Return the cost of adding a face, or `IMPOSSIBLE`."""
        elapsed = time - self.ended
        move = min(_distance(self._predict(elapsed), face.box), _distance(self.box, face.box))
        scale = abs(math.log(_side(face.box) / _side(self.box)))
        color_distance = float(np.linalg.norm(face.colours - self.colours))
        max_move = MAX_MOVE + elapsed / 2
        is_in_place = move <= MAX_MOVE_IN_PLACE and scale <= math.log(MAX_SCALE_IN_PLACE)
        max_color = MAX_COLOR_DISTANCE_IN_PLACE if is_in_place else MAX_COLOR_DISTANCE
        if move > max_move or scale > math.log(MAX_SCALE) or color_distance > max_color:
            return IMPOSSIBLE
        return move / max_move + scale + 2 * color_distance / MAX_COLOR_DISTANCE

    def _predict(self, elapsed: float) -> Box:
        side = _side(self.box)
        x, y = (round(speed * elapsed * side) for speed in self.speed)
        return Box(self.box.x + x, self.box.y + y, self.box.width, self.box.height)

    def add(self, face: SceneFace, time: float) -> None:
        """Append a face to the track."""
        elapsed, side = max(time - self.ended, 1e-3), _side(self.box)
        (x, y), (next_x, next_y) = _center(self.box), _center(face.box)
        self.speed = (next_x - x) / side / elapsed, (next_y - y) / side / elapsed
        self.box, self.ended, self.frames = face.box, time, self.frames + 1
        self.colours = np.asarray((self.colours + face.colours) / 2, np.float32)
        self.best = max(self.best, face.score)

    def to_record(self, scene: int) -> FaceTrack:
        """Return the record of the track."""
        start, ended = round(self.started, 6), round(self.ended, 6)
        return FaceTrack(f"{scene}-{self.number}", start, ended, self.frames)


@dataclass
class SceneTracker:
    """Tracker of the current shot, which begins at the cut `scene_start` (None: unknown)."""

    tracks: list[OpenTrack] = field(default_factory=list)
    scene_start: float | None = None
    _first: float | None = None
    _last: float = 0.0

    def add_frame(self, time: float, faces: list[SceneFace]) -> list[OpenTrack]:
        """Assign the next frame's faces to tracks; return each face's track."""
        self._first, self._last = time if self._first is None else self._first, time
        active = [track for track in self.tracks if time - track.ended <= MAX_GAP_SECONDS]
        costs = np.array(
            [[track.cost(face, time) for face in faces] for track in active], np.float64
        ).reshape(len(active), len(faces))
        assigned: dict[int, OpenTrack] = {}
        for row, column in zip(*linear_sum_assignment(costs), strict=True):
            if costs[row, column] < IMPOSSIBLE:
                active[row].add(faces[column], time)
                assigned[int(column)] = active[row]
        for column, face in enumerate(faces):
            if column not in assigned:
                assigned[column] = self._begin_track(face, time)
        return [assigned[column] for column in range(len(faces))]

    def end_at(self, cut: float) -> None:
        """Extend tracks of the last frame to the shot's final cut."""
        for track in self.tracks:
            if track.ended == self._last and cut - track.ended <= MAX_GAP_SECONDS:
                track.ended = cut

    def _begin_track(self, face: SceneFace, time: float) -> OpenTrack:
        number, start = len(self.tracks) + 1, time
        if time == self._first and self.scene_start is not None:
            start = self.scene_start if time - self.scene_start <= MAX_GAP_SECONDS else time
        track = OpenTrack(number, start, time, face.box, face.colours, best=face.score)
        self.tracks.append(track)
        return track


def _center(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


def _side(box: Box) -> float:
    return max(math.sqrt(box.width * box.height), 1.0)


def _distance(box: Box, other: Box) -> float:
    a, b = _center(box), _center(other)
    return math.hypot(b[0] - a[0], b[1] - a[1]) / _side(box)
