"""Frame selection for tracks: the few frames of a shot that show each face best.

Faces come from `FaceFinder` in the order of the frames. Memory holds the frames being searched and
the candidates of each track.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from facecrop.following import DetectedFace, Patch
from gleanset.images.cropping import FaceCropper
from gleanset.images.decode import decode
from gleanset.records import Face, FollowedFace, Measured
from harvest.video.frame_selector import FrameCandidate, FrameChooser
from pipeline.episodes.face_tracker import OpenTrack, SceneFace, SceneTracker
from pipeline.episodes.finder import FaceFinder, SearchFrame

MIN_DISTANCE = 0.07
"""One minus the correlation of two patches; closer ones show the same."""
TRACK_MARGIN, SINGLE_FRAME_MARGIN = 0.05, 0.2
"""How far above the detector's threshold the best score of a track must be, and of one with a
single frame, as shares of what is left up to 1 (docs/experiments.md)."""
BORDER_WEIGHT = 0.5
"""Weight of a face at the border of the frame."""
MIN_FACE_SIDE = 16
"""Pixels; no frame is kept for smaller faces."""


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


class FaceChooser(FrameChooser):
    """Frame chooser by tracks of faces.

    `search` starts the search of a reduced frame, `threshold` is the detector's minimum score.
    """

    def __init__(
        self,
        search: SearchFrame,
        cutter: FaceCropper,
        per_track: int,
        threshold: float,
        limit: int | None = None,
    ) -> None:
        super().__init__(limit)
        self._search, self._cutter, self._per_track = search, cutter, per_track
        self._threshold = threshold
        self._begin_scene()

    def _begin_scene(self) -> None:
        self._tracker = SceneTracker()
        self._portraits: dict[int, list[TrackPortrait]] = {}
        self._finder = FaceFinder(self._search)
        self._kept: dict[float, CandidateFrame] = {}

    def offer(self, candidate: FrameCandidate, interval: tuple[int, int]) -> None:
        """Start searching a frame, and process frames whose search is done."""
        self._interval = interval
        self._tracker.scene_start = candidate.scene_start
        if candidate.fades:  # a mixture of two shots
            return
        self._track_faces(self._finder.add(candidate))

    def _track_faces(self, searched: Iterable[tuple[FrameCandidate, list[DetectedFace]]]) -> None:
        for candidate, faces in searched:
            self._track_frame(candidate, faces)

    def _track_frame(self, candidate: FrameCandidate, faces: list[DetectedFace]) -> None:
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
        self._track_faces(self._finder.finish())
        if cut is not None:
            self._tracker.end_at(cut)
        self._kept = self._select()
        for frame in self._kept.values():
            if not self.full:
                self._kept_count += 1
                yield frame.candidate
        if not self._kept and self._interval is not None:
            self.left_out["shots without a face"] += 1
        self._begin_scene()
        self._interval = None

    def _select(self) -> dict[float, CandidateFrame]:
        remaining = [
            portrait
            for track in self._tracker.tracks
            if self._is_reliable(track)
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

    def _is_reliable(self, track: OpenTrack) -> bool:
        margin = TRACK_MARGIN if track.frames > 1 else SINGLE_FRAME_MARGIN
        return track.best >= self._threshold + margin * (1 - self._threshold)

    def faces(
        self, candidate: FrameCandidate, data: bytes, measured: Measured
    ) -> tuple[FollowedFace, ...]:
        """Crop a frame's faces from its stored bytes, like `facecrop run`."""
        pixels = np.asarray(decode(data).pixels)
        followed = []
        for face, track, *_ in self._kept[candidate.time].faces:
            if self._is_reliable(track):
                is_small = self._cutter.is_too_small(face)
                crop = None if is_small else self._cutter.crop(measured.sha256, pixels, face)
                followed.append(FollowedFace(face, track.to_record(candidate.scene), crop))
        return tuple(followed)


def _gain(frame: CandidateFrame, portrait: TrackPortrait) -> float:
    """Return the quality of a portrait in a frame; 0 without it."""
    similar = (face for face in frame.faces if face.is_similar(portrait.face))
    return max((face.quality for face in similar), default=0.0)


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
