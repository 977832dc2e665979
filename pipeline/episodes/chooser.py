"""Which frames of a scene are kept: of each face that is followed the few that show it best.

Small frames are searched by worker processes while ffmpeg decodes on; what they find is taken in
the order of the frames. In memory are the frames that are being searched, and of each track those
that may be kept.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from pebble import ProcessExpired

from curation.similarity.color_layout import Floats, average_areas, color_layout
from facecrop.detectors import DetectorSpec, Pixels
from facecrop.detectors.tiling import without_repeats
from gleanset.images.cut import Array, Cutter, cut, grown
from gleanset.images.decode import decode
from gleanset.records import Box, Face, FollowedFace, Measured
from harvest.video.frame_selector import FrameCandidate
from pipeline.episodes.tracker import OpenTrack, SceneFace, SceneTracker

LONGEST_SIDE = 960
"""Pixels of the frames that are searched."""
AHEAD = 6
"""Frames that are being searched; more hide no more time, and are in memory."""
ROOM = 0.15
"""Around a face, in its sizes: hair tells more than skin."""
LOOK = 24
"""Pixels of a side of what two frames of one face are compared by."""
TWICE = 0.07
"""One minus the correlation of two looks: below it one shows nothing that the other does not."""
SURE, GLIMPSE = 0.45, 0.55
"""A track counts where the detector was once so sure, and one of a single frame where it was surer.
What it mistakes for faces in films of other things is mostly below (docs/experiments.md)."""
CUT_OFF = 0.5
"""What a face at the border of the frame is worth beside one wholly inside."""
SMALLEST = 16
"""Pixels of a face; of smaller ones no frame is kept for their sake."""

Look = npt.NDArray[np.float32]


class SeenFace(NamedTuple):
    """A face of a small frame, the colours around it, and the look of it."""

    face: Face
    colours: Floats
    look: Look


SearchFrame = Callable[[Pixels], Future[list[SeenFace]]]


@dataclass(frozen=True, slots=True)
class FrameSearch:
    """What a worker does with a small frame: small itself, and picklable."""

    detector: DetectorSpec

    def __call__(self, pixels: Pixels) -> list[SeenFace]:
        """Return the faces of a frame."""
        return [
            SeenFace(
                face,
                color_layout(average_areas(np.asarray(cut(pixels, grown(face.box, ROOM))))),
                _look(pixels, face.box),
            )
            for face in without_repeats(self.detector.build().detect(pixels))
        ]


def _look(pixels: Array, box: Box) -> Look:
    grey = cv2.cvtColor(np.asarray(cut(pixels, box)), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (LOOK, LOOK), interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    look: Look = (small / max(float(np.linalg.norm(small)), 1e-6)).ravel()
    return look


class _SearchedFrame(NamedTuple):
    candidate: FrameCandidate
    small: Pixels
    future: Future[list[SeenFace]]

    def done(self) -> bool:
        """Whether its faces are known."""
        return self.future.done()

    def result(self, search: SearchFrame) -> list[SeenFace]:
        """Return its faces in pixels of the whole frame; searched once more if a worker died."""
        try:
            seen = self.future.result()
        except ProcessExpired:
            seen = search(self.small).result()
        scale = self.candidate.picture.size[0] / self.small.shape[1]
        return [one._replace(face=_scaled(one.face, scale)) for one in seen]


class FaceInHand(NamedTuple):
    """A face of a frame that may be kept: its track, what it looks like, how well that is seen."""

    face: Face
    track: OpenTrack
    look: Look
    quality: float

    def shows(self, other: FaceInHand) -> bool:
        """Return whether it shows what another one shows: the same track, looking the same."""
        return self.track is other.track and self.unlike(other) < TWICE

    def unlike(self, other: FaceInHand) -> float:
        """Return one minus the correlation of both."""
        return 1 - float(self.look @ other.look)


@dataclass(eq=False)
class FrameInHand:
    """A frame that may be kept, with its faces."""

    candidate: FrameCandidate
    faces: list[FaceInHand]


class TrackPortrait(NamedTuple):
    """One of the frames that show a track best, and its face there."""

    frame: FrameInHand
    face: FaceInHand


class FaceChooser:
    """Chooses for `harvest.video.sampler`. `search` begins the search of a small frame."""

    def __init__(
        self,
        search: SearchFrame,
        cutter: Cutter,
        per_track: int,
        limit: int | None = None,
    ) -> None:
        self._search, self._cutter, self._per_track = search, cutter, per_track
        self.left_out: Counter[str] = Counter()
        self._count, self._limit = 0, limit
        self._stretch: tuple[int, int] | None = None
        self._begin_scene()

    def _begin_scene(self) -> None:
        self._tracker = SceneTracker()
        self._portraits: dict[int, list[TrackPortrait]] = {}
        self._searching: deque[_SearchedFrame] = deque()
        self._kept: dict[float, FrameInHand] = {}

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self._limit is not None and self._count >= self._limit

    def begins(self, stretch: tuple[int, int]) -> bool:
        """Return whether a candidate in that stretch is the first one of it."""
        return stretch != self._stretch

    def offer(self, candidate: FrameCandidate, stretch: tuple[int, int]) -> None:
        """Take a frame of a scene, and those before it that were searched meanwhile."""
        self._stretch = stretch
        self._tracker.scene_start = candidate.scene_start
        if candidate.fades:  # two scenes at once
            return
        small = candidate.picture.reduced(LONGEST_SIDE)
        self._searching.append(_SearchedFrame(candidate, small, self._search(small)))
        while len(self._searching) > AHEAD or (self._searching and self._searching[0].done()):
            self._follow(self._searching.popleft())

    def _follow(self, searched: _SearchedFrame) -> None:
        candidate = searched.candidate
        seen = searched.result(self._search)
        faces = [SceneFace(each.face.box, each.face.score, each.colours) for each in seen]
        tracks = self._tracker.feed(candidate.time, faces)
        frame = FrameInHand(
            candidate,
            [
                FaceInHand(each.face, track, each.look, _quality(candidate, each.face))
                for each, track in zip(seen, tracks, strict=True)
            ],
        )
        for face in frame.faces:
            held = self._portraits.setdefault(face.track.number, [])
            if min(face.face.box[2:]) >= SMALLEST:
                self._hold(held, TrackPortrait(frame, face))

    def _hold(self, held: list[TrackPortrait], portrait: TrackPortrait) -> None:
        near = [other for other in held if other.face.shows(portrait.face)]
        if near:
            weakest = min(near, key=lambda other: other.face.quality)
            if portrait.face.quality > weakest.face.quality:
                held[held.index(weakest)] = portrait
        else:
            held.append(portrait)
            if len(held) > self._per_track:
                held.remove(min(held, key=lambda other: _worth(other, held)))

    def close(self, cut: float | None = None) -> Iterator[FrameCandidate]:
        """Yield the frames that are kept of the scene."""
        while self._searching:
            self._follow(self._searching.popleft())
        if cut is not None:
            self._tracker.end_at(cut)
        self._kept = self._chosen()
        for frame in self._kept.values():
            if not self.full:
                self._count += 1
                yield frame.candidate
        if not self._kept and self._stretch is not None:
            self.left_out["no face"] += 1
        self._begin_scene()
        self._stretch = None

    def _chosen(self) -> dict[float, FrameInHand]:
        left = [
            portrait
            for track in self._tracker.tracks
            if _counts(track)
            for portrait in self._portraits[track.number]
        ]
        chosen: dict[float, FrameInHand] = {}
        while left:
            frame = max(
                dict.fromkeys(portrait.frame for portrait in left),
                key=lambda frame: sum(_gain(frame, portrait) for portrait in left),
            )
            chosen[frame.candidate.time] = frame
            left = [portrait for portrait in left if not _gain(frame, portrait)]
        return dict(sorted(chosen.items()))

    def faces(
        self, candidate: FrameCandidate, data: bytes, measured: Measured
    ) -> tuple[FollowedFace, ...]:
        """Cut the faces of a frame that is kept, as any search does: from its stored bytes."""
        pixels = np.asarray(decode(data).pixels)
        followed = []
        for face, track, *_ in self._kept[candidate.time].faces:
            if _counts(track):
                small = self._cutter.too_small(face)
                crop = None if small else self._cutter.cut(measured.sha256, pixels, face)
                followed.append(FollowedFace(face, track.record(candidate.scene), crop))
        return tuple(followed)


def _gain(frame: FrameInHand, portrait: TrackPortrait) -> float:
    """Return how well a frame shows what a portrait shows; 0 where it does not."""
    return max((f.quality for f in frame.faces if f.shows(portrait.face)), default=0.0)


def _counts(track: OpenTrack) -> bool:
    return track.best >= (SURE if track.frames > 1 else GLIMPSE)


def _scaled(face: Face, scale: float) -> Face:
    box = Box(*(round(edge * scale) for edge in face.box))
    return Face(face.detector, box, face.score)


def _quality(candidate: FrameCandidate, face: Face) -> float:
    wide, high = candidate.picture.size
    box = face.box
    part = candidate.picture.grey_part(box)
    sharp = float(cv2.Laplacian(part, cv2.CV_32F).var()) if part.size else 0.0
    right, below = wide - box.x - box.width, high - box.y - box.height
    cut_off = min(box.x, box.y, right, below) <= 1
    side = min(box.width, box.height)
    return float(face.score * np.log1p(sharp) * np.log1p(side) * (CUT_OFF if cut_off else 1.0))


def _worth(portrait: TrackPortrait, held: list[TrackPortrait]) -> float:
    others = (other.face for other in held if other is not portrait)
    return min(map(portrait.face.unlike, others)) * portrait.face.quality
