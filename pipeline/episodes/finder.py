"""Faces of all frames of a shot, and their tracking, with a detector on few of the frames.

The detector searches the first frame of a shot, every `WINDOW`th, the last, and those in which
something new may have appeared. In the others the faces of both sides are followed: each is located
by template matching near the straight line between its two detections. What stays as it was is not
searched again. Worker processes search while ffmpeg decodes further.

In tracking, position, size and color layout of a face are compared with the last detection of each
track and its predicted position. Assignments minimize the total cost (Kuhn, "The Hungarian method
for the assignment problem", 1955).
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from pebble import ProcessExpired
from scipy.optimize import linear_sum_assignment

from facecrop.detectors.tiling import FloatBox
from facecrop.following import DetectedFace, follow_face
from gleanset.arrays import Float32Array, Pixels
from gleanset.images.cropping import expand_box
from gleanset.records import Box, Face, FaceTrack, TrackBox
from harvest.video.frame_selector import FrameCandidate

MAX_GAP_SECONDS = 1.5
"""How long a face may be hidden."""
MAX_MOVE = 1.1
"""Maximum distance between frames in face sizes, plus 0.5 for each second."""
MAX_SCALE = 1.6
"""Maximum change of size between frames, as a factor."""
MAX_COLOR_DISTANCE = 1.0
MAX_COLOR_DISTANCE_IN_PLACE = 2.2
"""Maximum distance of color layouts between frames; two people differ by 1.05 or more. A face that
stays in place may change more, because only a missed cut would put another one there
(docs/experiments.md)."""
MAX_MOVE_IN_PLACE = 0.3
MAX_SCALE_IN_PLACE = 1.15
"""Limits of distance (face sizes) and change of size for a face that stays in place."""
IMPOSSIBLE = 1e6


@dataclass
class OpenTrack:
    """Track with its last detection; `speed` is in face sizes per second."""

    number: int
    started: float
    ended: float
    box: Box
    colours: Float32Array
    speed: tuple[float, float] = (0.0, 0.0)
    best: float = 0.0
    boxes: list[TrackBox] = field(default_factory=list)

    def cost(self, detection: DetectedFace, time: float) -> float:
        """Return the cost of adding a face, or `IMPOSSIBLE`."""
        seconds = time - self.ended
        box = detection.face.box
        # A face may go on as before, or stop.
        move = min(
            _measure_distance(self._predict_box(seconds), box),
            _measure_distance(self.box, box),
        )
        # The longer a face was not seen, the further it may have gone: half its size a second.
        max_move = MAX_MOVE + seconds / 2
        # The logarithm of the factor by which the size changes.
        scale = abs(math.log(_get_side(box) / _get_side(self.box)))
        color_distance = float(np.linalg.norm(detection.colours - self.colours))

        max_color_distance = MAX_COLOR_DISTANCE
        if move <= MAX_MOVE_IN_PLACE and scale <= math.log(MAX_SCALE_IN_PLACE):
            max_color_distance = MAX_COLOR_DISTANCE_IN_PLACE
        if move > max_move or scale > math.log(MAX_SCALE):
            return IMPOSSIBLE
        if color_distance > max_color_distance:
            return IMPOSSIBLE
        return move / max_move + scale + 2 * color_distance / MAX_COLOR_DISTANCE

    def _predict_box(self, seconds: float) -> Box:
        """Return the box after some seconds at the present speed."""
        side = _get_side(self.box)
        speed_x, speed_y = self.speed
        return self.box._replace(
            x=self.box.x + round(speed_x * seconds * side),
            y=self.box.y + round(speed_y * seconds * side),
        )

    def add(self, detection: DetectedFace, time: float) -> None:
        """Append a face to the track."""
        face = detection.face
        x, y = _get_center(self.box)
        next_x, next_y = _get_center(face.box)
        side = _get_side(self.box)
        # At least a millisecond, so that the speed is finite.
        seconds = max(time - self.ended, 1e-3)
        self.speed = ((next_x - x) / side / seconds, (next_y - y) / side / seconds)

        self.box = face.box
        self.boxes.append(TrackBox(time, *face.box))
        self.ended = time
        # Later frames count more.
        self.colours = np.asarray((self.colours + detection.colours) / 2, np.float32)
        self.best = max(self.best, face.score)

    def to_record(self, scene: int) -> FaceTrack:
        """Return the record of the track."""
        return FaceTrack(
            f"{scene}-{self.number}",
            round(self.started, 6),
            round(self.ended, 6),
            len(self.boxes),
            tuple(self.boxes),
        )


@dataclass
class SceneTracker:
    """Tracker of the current shot, which begins at the cut `scene_start` (None: unknown)."""

    tracks: list[OpenTrack] = field(default_factory=list)
    scene_start: float | None = None
    _first: float | None = None
    _last: float = 0.0

    def add_frame(self, time: float, faces: list[DetectedFace]) -> list[OpenTrack]:
        """Assign the next frame's faces to tracks; return each face's track."""
        if self._first is None:
            self._first = time
        self._last = time
        active = [
            track for track in self.tracks if time - track.ended <= MAX_GAP_SECONDS
        ]
        costs = np.zeros((len(active), len(faces)))  # tracks x faces
        for row, track in enumerate(active):
            costs[row] = [track.cost(face, time) for face in faces]

        tracks = {}  # by the position of their face
        rows, columns = linear_sum_assignment(costs)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            # The assignment with the least cost may still have impossible pairs.
            if costs[row, column] < IMPOSSIBLE:
                active[row].add(faces[column], time)
                tracks[column] = active[row]

        for column, face in enumerate(faces):
            if column not in tracks:
                tracks[column] = self._begin_track(face, time)
        return [tracks[column] for column in range(len(faces))]

    def end_at(self, cut: float) -> None:
        """Extend tracks of the last frame to the shot's final cut."""
        for track in self.tracks:
            if track.ended == self._last and cut - track.ended <= MAX_GAP_SECONDS:
                track.ended = cut

    def _begin_track(self, detection: DetectedFace, time: float) -> OpenTrack:
        # A face in the first frame was there since the cut.
        start = self.scene_start if time == self._first else None
        if start is None or time - start > MAX_GAP_SECONDS:
            start = time

        track = OpenTrack(
            number=len(self.tracks) + 1,
            started=start,
            ended=time,
            box=detection.face.box,
            colours=detection.colours,
            best=detection.face.score,
            boxes=[TrackBox(time, *detection.face.box)],
        )
        self.tracks.append(track)
        return track


def _get_center(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


def _get_side(box: Box) -> float:
    """Return the side of a square with the area of a box, in pixels."""
    return max(math.sqrt(box.width * box.height), 1.0)


def _measure_distance(box: Box, other: Box) -> float:
    """Return the distance of the centers in sides of `box`."""
    return math.dist(_get_center(box), _get_center(other)) / _get_side(box)


SEARCH_SIDE = 960
"""Maximum pixels of the longer side of reduced frames."""
WINDOW = 4
"""Frames from one regular search to the next."""
MAX_UNSEEN_SECONDS = 0.7
"""Longest time between two searches without a check for changes elsewhere in the frame."""
HEAD_PADDING = 0.3
"""Padding around a face within which anything may change, such as hair."""
REDUCTION = 4
BLUR = 5
"""Frames are reduced to a fourth, and their difference is averaged over 5 x 5 pixels."""
MAX_CHANGE = 8.0
"""Grey levels that may change; compression changes less."""
SearchFrame = Callable[[Pixels], Future[list[DetectedFace]]]


class ShotFrame:
    """Frame of a shot, whose faces are searched or followed; positions are in the reduced frame."""

    def __init__(self, candidate: FrameCandidate, side: int):
        self.candidate = candidate
        self.grey = candidate.frame.reduce_grey(side)
        self.small = _reduce_for_changes(self.grey)
        self.search: Future[list[DetectedFace]] | None = None
        # Time and pixels of the searched frame that it follows.
        self.reference = (candidate.time, self.small)
        self.faces: list[DetectedFace] = []

    @property
    def full_size_faces(self) -> list[DetectedFace]:
        """Faces in pixels of the full frame."""
        # Width by width.
        scale = self.candidate.frame.size[0] / self.grey.shape[1]
        return [
            detection._replace(face=_scale_face(detection.face, scale))
            for detection in self.faces
        ]

    def follow(
        self, ends: Sequence[ShotFrame], pairs: Sequence[Sequence[DetectedFace]] | None
    ) -> bool:
        """Take the faces over from the frame before, or before and after; return if that works.

        `pairs` are the faces of `ends` by person, the result of `_pair_faces`.
        """
        # The size of the frames may change within a video.
        is_resized = any(end.grey.shape != self.grey.shape for end in ends)
        if pairs is None or is_resized:
            return False

        times = [end.candidate.time for end in ends]
        faces = []
        for pair in pairs:
            boxes = np.array([end.face.box for end in pair])  # ends x 4
            # On the line between the boxes at both ends, or that of the one end.
            edges = [np.interp(self.candidate.time, times, edge) for edge in boxes.T]
            face = follow_face(self.grey, FloatBox(*map(float, edges)), pair)
            if face is None:
                return False
            faces.append(face)

        # After too long a new face may be hidden: compare with the frames that were searched.
        last_time = ends[-1].candidate.time if len(ends) > 1 else self.candidate.time
        search_time, _ = ends[0].reference
        if last_time - search_time > MAX_UNSEEN_SECONDS:
            heads = [expand_box(face.face.box, HEAD_PADDING) for face in faces]
            # A reference is a time and a frame.
            search_frames = [end.reference[1] for end in ends]
            if _has_changed(self.small, search_frames, heads):
                return False

        self.reference = ends[0].reference
        self.faces = faces
        return True


def _pair_faces(ends: Sequence[ShotFrame]) -> list[tuple[DetectedFace, ...]] | None:
    """Return the faces of each person in all frames; None if one is not in all of them."""
    tracker = SceneTracker()
    faces_by_track = defaultdict[int, list[DetectedFace]](list)
    for end in ends:
        tracks = tracker.add_frame(end.candidate.time, end.faces)
        for track, face in zip(tracks, end.faces, strict=True):
            faces_by_track[track.number].append(face)

    if any(len(faces) < len(ends) for faces in faces_by_track.values()):
        return None
    return list(map(tuple, faces_by_track.values()))


def _scale_face(face: Face, scale: float) -> Face:
    box = Box(*(round(value * scale) for value in face.box))
    return Face(face.detector, box, face.score)


class FaceFinder:
    """Finder of the faces in a shot's frames.

    `search` starts the search of a frame, reduced to `side` pixels.
    """

    def __init__(self, search: SearchFrame, side: int):
        self._search = search
        self._side = side
        self._frames: list[ShotFrame] = []

    def add(
        self, candidate: FrameCandidate
    ) -> Iterator[tuple[FrameCandidate, list[DetectedFace]]]:
        """Add the next frame; yield frames whose faces are known, in order."""
        self._frames.append(ShotFrame(candidate, self._side))
        last = len(self._frames) - 1
        # One frame of a window is searched, the faces of the others are followed: 684 searches of
        # three films instead of 1,101, for the same tracks (docs/experiments.md).
        if last % WINDOW == 0:
            self._follow_or_search(last, last - WINDOW)
        # One window later, so that workers search while ffmpeg decodes.
        if last == 2 * WINDOW:
            self._fill_window(self._frames[: WINDOW + 1])
            yield from self._pop(WINDOW)

    def finish(self) -> Iterator[tuple[FrameCandidate, list[DetectedFace]]]:
        """Yield the remaining frames at the end of the shot."""
        count = len(self._frames)
        stops = list(range(0, count, WINDOW))
        # The last frame is a stop, too.
        if count and stops[-1] != count - 1:
            self._follow_or_search(count - 1, stops[-1])
            stops.append(count - 1)

        for first, last in pairwise(stops):
            self._fill_window(self._frames[first : last + 1])

        # `_fill_window` has waited for the other stops, but a single frame is in no window.
        if count:
            self._wait(self._frames[-1])
        yield from self._pop(count)

    def _follow_or_search(self, index: int, before: int) -> None:
        """Follow the faces of a frame from an earlier one if nothing changed, or search it."""
        frame = self._frames[index]
        # For the first frame of a shot `before` is negative: there is nothing to follow.
        if before >= 0:
            # One end of a gap: each of its faces is a person without a counterpart.
            ends = [self._wait(self._frames[before])]
            if frame.follow(ends, _pair_faces(ends)):
                return
        self._start_search(frame)

    def _fill_window(self, frames: list[ShotFrame]) -> None:
        """Follow or search the faces between two frames."""
        segments = deque([frames])  # each from one known frame to another
        while segments:
            segment = segments.popleft()
            ends = (self._wait(segment[0]), self._wait(segment[-1]))
            pairs = _pair_faces(ends)
            # `follow` sets the faces of each frame; `all` stops at the first where that fails.
            if not all(frame.follow(ends, pairs) for frame in segment[1:-1]):
                # Search the middle one, and try again with both halves.
                middle = len(segment) // 2
                self._start_search(segment[middle])
                segments += [segment[: middle + 1], segment[middle:]]

    def _start_search(self, frame: ShotFrame) -> None:
        frame.reference = (frame.candidate.time, frame.small)
        frame.search = self._search(frame.candidate.frame.reduce(frame.grey))

    def _wait(self, frame: ShotFrame) -> ShotFrame:
        """Return the frame with its faces; search again once if the worker died."""
        if frame.search is not None:
            try:
                frame.faces = frame.search.result()
            except ProcessExpired:
                self._start_search(frame)
                frame.faces = frame.search.result()
            frame.search = None
        return frame

    def _pop(self, count: int) -> Iterator[tuple[FrameCandidate, list[DetectedFace]]]:
        for frame in self._frames[:count]:
            yield frame.candidate, frame.full_size_faces
        del self._frames[:count]


def _reduce_for_changes(grey: Pixels) -> Pixels:
    """Return the brightness of a frame, reduced for `_has_changed`."""
    height, width = (max(side // REDUCTION, 1) for side in grey.shape)
    reduced_frame = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced_frame, np.uint8)


def _has_changed(
    frame: Pixels, others: Sequence[Pixels], excluded_boxes: Sequence[Box]
) -> bool:
    """Return whether a frame shows something outside the boxes that is in none of the others.

    Frames are H x W; boxes are in pixels of the frames before their reduction.
    """
    changes = []
    for other in others:
        difference = cv2.subtract(frame, other, dtype=cv2.CV_32F)
        # Averaged with sign, because noise has both.
        changes.append(np.abs(cv2.blur(difference, (BLUR, BLUR))))

    # Camera motion is not subtracted: that would save 5 of 89 searches, and cost more CPU
    # (docs/experiments.md).
    change = np.minimum.reduce(changes)
    # Boxes may reach beyond the frame: to the right, slices end there; to the left, at 0.
    for x, y, width, height in excluded_boxes:
        edges = (x, y, x + width, y + height)
        left, top, right, bottom = (max(edge, 0) // REDUCTION for edge in edges)
        change[top : bottom + 1, left : right + 1] = 0
    return float(change.max()) > MAX_CHANGE
