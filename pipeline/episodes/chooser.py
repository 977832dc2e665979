"""Frame selection for tracks: the few frames of a shot that show each face best.

Worker processes search reduced frames while ffmpeg decodes further; results are processed in the
order of the frames. Memory holds the frames being searched and the candidates of each track.
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

from curation.similarity.color_layout import Floats, average_areas, compute_color_layout
from facecrop.detectors import DetectorSpec, Pixels
from facecrop.detectors.tiling import drop_overlapping_faces
from gleanset.images.cropping import Array, FaceCropper, crop_region, expand_box
from gleanset.images.decode import decode
from gleanset.records import Box, Face, FollowedFace, Measured
from harvest.video.frame_selector import FrameCandidate
from pipeline.episodes.tracker import OpenTrack, SceneFace, SceneTracker

SEARCH_SIDE = 960
"""Pixels of the longer side of reduced frames."""
MAX_PENDING_SEARCHES = 6
"""More would not save time, only use memory."""
COLOR_PADDING = 0.15
"""Padding around a face for its color layout, because hair distinguishes more than skin."""
PATCH_SIDE = 24
"""Pixels of a side of the patches that compare two frames of a face."""
MIN_DISTANCE = 0.07
"""One minus the correlation of two patches; closer ones show the same."""
MIN_TRACK_SCORE, MIN_SINGLE_FRAME_SCORE = 0.45, 0.55
"""Minimum best score of a track, and of one with a single frame. False detections mostly score
lower (docs/experiments.md)."""
BORDER_WEIGHT = 0.5
"""Weight of a face at the border of the frame."""
MIN_FACE_SIDE = 16
"""Pixels; no frame is kept for smaller faces."""

Patch = npt.NDArray[np.float32]


class DetectedFace(NamedTuple):
    """Face in a reduced frame with its color layout and patch."""

    face: Face
    colours: Floats
    patch: Patch


SearchFrame = Callable[[Pixels], Future[list[DetectedFace]]]


@dataclass(frozen=True, slots=True)
class FrameSearch:
    """Callable that searches a reduced frame for faces; picklable."""

    detector: DetectorSpec

    def __call__(self, pixels: Pixels) -> list[DetectedFace]:
        """Return the faces of a reduced frame."""
        return [
            DetectedFace(
                face,
                compute_color_layout(
                    average_areas(
                        np.asarray(crop_region(pixels, expand_box(face.box, COLOR_PADDING)))
                    )
                ),
                _patch(pixels, face.box),
            )
            for face in drop_overlapping_faces(self.detector.build().detect(pixels))
        ]


def _patch(pixels: Array, box: Box) -> Patch:
    grey = cv2.cvtColor(np.asarray(crop_region(pixels, box)), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (PATCH_SIDE, PATCH_SIDE), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    small -= small.mean()
    patch: Patch = (small / max(float(np.linalg.norm(small)), 1e-6)).ravel()
    return patch


class _SearchedFrame(NamedTuple):
    candidate: FrameCandidate
    small: Pixels
    future: Future[list[DetectedFace]]

    def result(self, search: SearchFrame) -> list[DetectedFace]:
        """Return faces in full-frame pixels; retry once if the worker died."""
        try:
            faces = self.future.result()
        except ProcessExpired:
            faces = search(self.small).result()
        scale = self.candidate.frame.size[0] / self.small.shape[1]
        return [detected._replace(face=_scaled(detected.face, scale)) for detected in faces]


class CandidateFace(NamedTuple):
    """Face in a candidate frame with its track, patch and quality."""

    face: Face
    track: OpenTrack
    patch: Patch
    quality: float

    def is_similar(self, other: CandidateFace) -> bool:
        """Return whether both faces are of one track and look alike."""
        return self.track is other.track and self.distance(other) < MIN_DISTANCE

    def distance(self, other: CandidateFace) -> float:
        """Return one minus the correlation of both patches."""
        return 1 - float(self.patch @ other.patch)


@dataclass(eq=False)
class CandidateFrame:
    """Candidate frame with its faces."""

    candidate: FrameCandidate
    faces: list[CandidateFace]


class TrackPortrait(NamedTuple):
    """One of the best frames of a track, with its face there."""

    frame: CandidateFrame
    face: CandidateFace


class FaceChooser:
    """Frame chooser by tracks of faces; `search` starts the search of a reduced frame."""

    def __init__(
        self,
        search: SearchFrame,
        cutter: FaceCropper,
        per_track: int,
        limit: int | None = None,
    ) -> None:
        self._search, self._cutter, self._per_track = search, cutter, per_track
        self.left_out: Counter[str] = Counter()
        self._count, self._limit = 0, limit
        self._interval: tuple[int, int] | None = None
        self._begin_scene()

    def _begin_scene(self) -> None:
        self._tracker = SceneTracker()
        self._portraits: dict[int, list[TrackPortrait]] = {}
        self._searching: deque[_SearchedFrame] = deque()
        self._kept: dict[float, CandidateFrame] = {}

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self._limit is not None and self._count >= self._limit

    def begins(self, interval: tuple[int, int]) -> bool:
        """Return whether the next candidate is the first of that segment."""
        return interval != self._interval

    def offer(self, candidate: FrameCandidate, interval: tuple[int, int]) -> None:
        """Start searching a frame, and process frames whose search is done."""
        self._interval = interval
        self._tracker.scene_start = candidate.scene_start
        if candidate.fades:  # a mixture of two shots
            return
        small = candidate.frame.reduce(SEARCH_SIDE)
        self._searching.append(_SearchedFrame(candidate, small, self._search(small)))
        while len(self._searching) > MAX_PENDING_SEARCHES or (
            self._searching and self._searching[0].future.done()
        ):
            self._track_faces(self._searching.popleft())

    def _track_faces(self, searched: _SearchedFrame) -> None:
        candidate = searched.candidate
        faces = searched.result(self._search)
        tracks = self._tracker.add_frame(
            candidate.time, [SceneFace(f.face.box, f.face.score, f.colours) for f in faces]
        )
        frame = CandidateFrame(
            candidate,
            [
                CandidateFace(
                    detected.face, track, detected.patch, _quality(candidate, detected.face)
                )
                for detected, track in zip(faces, tracks, strict=True)
            ],
        )
        for face in frame.faces:
            portraits = self._portraits.setdefault(face.track.number, [])
            if min(face.face.box[2:]) >= MIN_FACE_SIDE:
                self._add_portrait(portraits, TrackPortrait(frame, face))

    def _add_portrait(self, portraits: list[TrackPortrait], portrait: TrackPortrait) -> None:
        near = [other for other in portraits if other.face.is_similar(portrait.face)]
        if near:
            weakest = min(near, key=lambda other: other.face.quality)
            if portrait.face.quality > weakest.face.quality:
                portraits[portraits.index(weakest)] = portrait
        else:
            portraits.append(portrait)
            if len(portraits) > self._per_track:
                portraits.remove(min(portraits, key=lambda other: _worth(other, portraits)))

    def close(self, cut: float | None = None) -> Iterator[FrameCandidate]:
        """Yield the selected frames of the shot, which ends at `cut`."""
        while self._searching:
            self._track_faces(self._searching.popleft())
        if cut is not None:
            self._tracker.end_at(cut)
        self._kept = self._select()
        for frame in self._kept.values():
            if not self.full:
                self._count += 1
                yield frame.candidate
        if not self._kept and self._interval is not None:
            self.left_out["no face"] += 1
        self._begin_scene()
        self._interval = None

    def _select(self) -> dict[float, CandidateFrame]:
        remaining = [
            portrait
            for track in self._tracker.tracks
            if _is_reliable(track)
            for portrait in self._portraits[track.number]
        ]
        selected: dict[float, CandidateFrame] = {}
        while remaining:
            frame = max(
                dict.fromkeys(portrait.frame for portrait in remaining),
                key=lambda frame: sum(_gain(frame, portrait) for portrait in remaining),
            )
            selected[frame.candidate.time] = frame
            remaining = [portrait for portrait in remaining if not _gain(frame, portrait)]
        return dict(sorted(selected.items()))

    def faces(
        self, candidate: FrameCandidate, data: bytes, measured: Measured
    ) -> tuple[FollowedFace, ...]:
        """Crop a frame's faces from its stored bytes, like `facecrop run`."""
        pixels = np.asarray(decode(data).pixels)
        followed = []
        for face, track, *_ in self._kept[candidate.time].faces:
            if _is_reliable(track):
                is_small = self._cutter.is_too_small(face)
                crop = None if is_small else self._cutter.crop(measured.sha256, pixels, face)
                followed.append(FollowedFace(face, track.to_record(candidate.scene), crop))
        return tuple(followed)


def _gain(frame: CandidateFrame, portrait: TrackPortrait) -> float:
    """Return the quality of a portrait in a frame; 0 without it."""
    similar = (face for face in frame.faces if face.is_similar(portrait.face))
    return max((face.quality for face in similar), default=0.0)


def _is_reliable(track: OpenTrack) -> bool:
    return track.best >= (MIN_TRACK_SCORE if track.frames > 1 else MIN_SINGLE_FRAME_SCORE)


def _scaled(face: Face, scale: float) -> Face:
    box = Box(*(round(edge * scale) for edge in face.box))
    return Face(face.detector, box, face.score)


def _quality(candidate: FrameCandidate, face: Face) -> float:
    width, height = candidate.frame.size
    box = face.box
    part = candidate.frame.crop_grey(box)
    sharpness = float(cv2.Laplacian(part, cv2.CV_32F).var()) if part.size else 0.0
    right, below = width - box.x - box.width, height - box.y - box.height
    is_at_border = min(box.x, box.y, right, below) <= 1
    side = min(box.width, box.height)
    weight = BORDER_WEIGHT if is_at_border else 1.0
    return float(face.score * np.log1p(sharpness) * np.log1p(side) * weight)


def _worth(portrait: TrackPortrait, portraits: list[TrackPortrait]) -> float:
    others = (other.face for other in portraits if other is not portrait)
    return min(map(portrait.face.distance, others)) * portrait.face.quality
