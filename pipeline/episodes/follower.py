"""The few frames of a shot that show each face best, chosen during decoding and stored.

Faces come from `FaceFinder` in the order of the frames. Memory holds the frames being searched and
the candidates of each track. `FaceFollower` implements `FrameFollower` of harvest with a detector
of facecrop; neither imports the other.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import msgspec
import numpy as np

from facecrop.detectors import DetectorSpec
from facecrop.detectors.drawnface import DrawnFace
from facecrop.following import DetectedFace, FrameSearch
from gleanset import Dataset
from gleanset.arrays import Float32Array
from gleanset.images.cropping import FaceCropper
from gleanset.images.decode import decode
from gleanset.records import Face, FollowedFace, Measured, Origin
from gleanset.work.pool import Processes
from gleanset.work.progress import Progress
from harvest.frames import FrameHarvest
from harvest.results import FramesResult
from harvest.video.frame_selector import FrameCandidate, FrameChooser
from harvest.video.sampling import Sampling
from pipeline.episodes.finder import (
    SEARCH_SIDE,
    FaceFinder,
    OpenTrack,
    SceneTracker,
    SearchFrame,
)

MIN_DISTANCE = 0.07
"""One minus the correlation of two patches; closer ones show the same."""
# How far above the detector's threshold the best score of a track must be, and of one with a
# single frame, as shares of what is left up to 1 (docs/experiments.md).
TRACK_MARGIN = 0.05
SINGLE_FRAME_MARGIN = 0.2
BORDER_WEIGHT = 0.5
"""Weight of a face at the border of the frame."""
MIN_FACE_SIDE = 16
"""Pixels; no frame is kept for smaller faces."""


class CandidateFace(NamedTuple):
    """Face in a candidate frame with its track, patch and quality."""

    face: Face
    track: OpenTrack
    patch: Float32Array
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

    `search` starts the search of a frame, reduced to `side` pixels; `cutter` crops the faces of
    kept frames. `per_track` is the maximum of frames kept for a track, `limit` that of a video
    (None: no limit), `threshold` the detector's minimum score.
    """

    def __init__(
        self,
        search: SearchFrame,
        cutter: FaceCropper,
        per_track: int,
        threshold: float,
        side: int,
        limit: int | None,
    ):
        super().__init__(limit)
        self._search = search
        self._cutter = cutter
        self._per_track = per_track
        self._threshold = threshold
        self._side = side
        self._begin_scene()

    def _begin_scene(self) -> None:
        self._tracker = SceneTracker()
        # By the number of their track.
        self._portraits: dict[int, list[TrackPortrait]] = defaultdict(list)
        self._finder = FaceFinder(self._search, self._side)
        # The selected frames by time.
        self._selection: dict[float, CandidateFrame] = {}

    def offer(self, candidate: FrameCandidate, interval: tuple[int, int]) -> None:
        """Start searching a frame, and process frames whose search is done."""
        self._interval = interval
        self._tracker.scene_start = candidate.scene_start
        if candidate.fades:  # a mixture of two shots
            return
        for frame, faces in self._finder.add(candidate):
            self._track_frame(frame, faces)

    def _track_frame(
        self, candidate: FrameCandidate, faces: list[DetectedFace]
    ) -> None:
        tracks = self._tracker.add_frame(candidate.time, faces)
        frame = CandidateFrame(candidate, faces=[])
        for detection, track in zip(faces, tracks, strict=True):
            face = CandidateFace(
                detection.face,
                track,
                detection.patch,
                _measure_quality(candidate, detection.face),
            )
            frame.faces.append(face)
            box = detection.face.box
            # Smaller ones are tracked, and stored with a frame that is kept for a larger one.
            if min(box.width, box.height) >= MIN_FACE_SIDE:
                self._add_portrait(
                    self._portraits[track.number], TrackPortrait(frame, face)
                )

    def _add_portrait(
        self, portraits: list[TrackPortrait], portrait: TrackPortrait
    ) -> None:
        """Add a portrait if it is better than a similar one, or shows something new."""
        similar = [other for other in portraits if other.face.is_similar(portrait.face)]
        if similar:
            weakest = min(similar, key=lambda other: other.face.quality)
            if portrait.face.quality > weakest.face.quality:
                portraits[portraits.index(weakest)] = portrait
            return

        portraits.append(portrait)
        # Remove the one that adds least to the others.
        if len(portraits) > self._per_track:
            values = [_measure_value(other, portraits) for other in portraits]
            del portraits[values.index(min(values))]

    def close(self, cut: float | None = None) -> Iterator[FrameCandidate]:
        """Yield the selected frames of the shot, which ends at `cut`."""
        for candidate, faces in self._finder.finish():
            self._track_frame(candidate, faces)

        if cut is not None:
            self._tracker.end_at(cut)
        self._selection = self._select_frames()
        for frame in self._selection.values():
            if not self.is_full:
                self._kept_count += 1
                yield frame.candidate

        # Without an interval, no frame of the shot was offered.
        if not self._selection and self._interval is not None:
            self.left_out["shots without a face"] += 1
        self._begin_scene()
        self._interval = None

    def _select_frames(self) -> dict[float, CandidateFrame]:
        """Return few frames that show all portraits, by time.

        A greedy set cover: every best frame of each track would be 354 frames of 241 s instead of
        252 (docs/experiments.md).
        """
        remaining: list[TrackPortrait] = []
        for track in self._tracker.tracks:
            if self._is_reliable(track):
                remaining += self._portraits[track.number]

        frames_by_time = {}
        while remaining:
            frames = dict.fromkeys(portrait.frame for portrait in remaining)
            frame = max(frames, key=partial(_sum_qualities, remaining))
            frames_by_time[frame.candidate.time] = frame
            remaining = [
                portrait
                for portrait in remaining
                if not _measure_quality_in(frame, portrait)
            ]
        return dict(sorted(frames_by_time.items()))

    def _is_reliable(self, track: OpenTrack) -> bool:
        # A false track costs a person one key press, a missed one is lost (docs/experiments.md).
        margin = TRACK_MARGIN if len(track.boxes) > 1 else SINGLE_FRAME_MARGIN
        return track.best >= self._threshold + margin * (1 - self._threshold)

    def faces(
        self, candidate: FrameCandidate, data: bytes, measures: Measured
    ) -> tuple[FollowedFace, ...]:
        """Crop a frame's faces from its stored bytes, like `facecrop run`."""
        pixels = np.asarray(decode(data).pixels)
        faces = []
        for candidate_face in self._selection[candidate.time].faces:
            face = candidate_face.face
            track = candidate_face.track
            if self._is_reliable(track):
                crop = None
                if not self._cutter.is_too_small(face):
                    crop = self._cutter.crop(measures.sha256, pixels, face)
                faces.append(FollowedFace(face, track.to_record(candidate.scene), crop))
        return tuple(faces)


def _sum_qualities(portraits: list[TrackPortrait], frame: CandidateFrame) -> float:
    return sum(_measure_quality_in(frame, portrait) for portrait in portraits)


def _measure_quality_in(frame: CandidateFrame, portrait: TrackPortrait) -> float:
    """Return the quality of a portrait in a frame; 0 without it."""
    qualities = [face.quality for face in frame.faces if face.is_similar(portrait.face)]
    return max(qualities, default=0.0)


def _measure_quality(candidate: FrameCandidate, face: Face) -> float:
    """Return the score of a face, weighted by sharpness and size."""
    box = face.box
    part = candidate.frame.crop_grey(box)
    sharpness = float(cv2.Laplacian(part, cv2.CV_32F).var()) if part.size else 0.0

    width, height = candidate.frame.size
    right = width - box.x - box.width
    below = height - box.y - box.height
    # At the border of the frame a face may be cut off.
    is_at_border = min(box.x, box.y, right, below) <= 1
    weight = BORDER_WEIGHT if is_at_border else 1.0
    side = min(box.width, box.height)
    return float(face.score * np.log1p(sharpness) * np.log1p(side) * weight)


def _measure_value(portrait: TrackPortrait, portraits: list[TrackPortrait]) -> float:
    """Return the quality of a portrait times its distance to the most similar other one."""
    face = portrait.face
    distances = [
        face.distance(other.face) for other in portraits if other is not portrait
    ]
    return min(distances) * face.quality


_TRACK_PREFIX_LENGTH = 8


@dataclass(frozen=True)
class FaceFollower:
    """Factory of face choosers; `search` runs the detector in workers."""

    detector: DetectorSpec
    cutter: FaceCropper
    per_track: int
    sampling: Sampling
    search: SearchFrame | None = field(default=None, compare=False)

    def chooser(self, limit: int | None) -> FaceChooser:
        """Return the frame selection for one video."""
        assert self.search is not None
        detector = self.detector.build()
        threshold = getattr(detector, "threshold", 0.0)  # those of plugins may differ
        side = SEARCH_SIDE

        if isinstance(detector, DrawnFace):
            # It reduces images to `size` itself, and finds as much in frames a quarter larger.
            side = min(round(detector.size * 1.25), SEARCH_SIDE)

        return FaceChooser(
            self.search, self.cutter, self.per_track, threshold, side, limit
        )

    def record(
        self,
        dataset: Dataset,
        sha256: str,
        frame: Origin,
        faces: Sequence[FollowedFace],
    ) -> None:
        """Store the faces of a frame and their tracks. Call inside a write transaction."""
        crops = [face.crop for face in faces if face.crop is not None]
        small = [face.face for face in faces if face.crop is None]
        if not dataset.images.get_id(sha256):  # forgotten: it stays removed
            for crop in crops:
                dataset.crop_path(crop.key).unlink(missing_ok=True)
            return

        dataset.faces.replace(
            sha256,
            self.detector.name,
            self.detector.settings_text,
            crops,
            cut=str(self.cutter.settings),
            small=small,
        )
        # Numbers of tracks are only unique within one sampling of a video.
        source = f"{frame.video} {self.sampling.settings}"
        prefix = hashlib.sha256(source.encode()).hexdigest()[:_TRACK_PREFIX_LENGTH]
        for face in faces:
            if face.crop is not None:
                track = face.track._replace(name=f"{prefix}-{face.track.name}")
                dataset.tracks.add(track, frame, face.crop.key)


class EpisodesResult(FramesResult, kw_only=True):
    """Frames of faces that were added, and the new faces and tracks."""

    faces: int
    tracks: int

    def summary(self) -> dict[str, Any]:
        """Return the counts of faces, then those of frames and videos."""
        return {
            "new faces": self.faces,
            "new tracks": self.tracks,
            **super().summary(),
        }


def harvest_episodes(
    dataset: Dataset,
    follower: FaceFollower,
    videos: list[Path],
    workers: int,
    progress: Progress,
) -> EpisodesResult:
    """Sample videos and track faces; return the counts. Raises what `FrameHarvest.run` raises.

    `workers` is the number of processes that search faces, 0 for one per core.
    """
    faces = dataset.faces.count()
    tracks = dataset.tracks.count()
    with Processes(workers).pool(FrameSearch(follower.detector)) as pool:
        # Starts the workers now, in the main thread, which alone can be interrupted.
        pool.submit(np.zeros((32, 32, 3), np.uint8)).result()
        frames = FrameHarvest(
            dataset,
            follower.sampling,
            progress=progress,
            follower=replace(follower, search=pool.submit),
        ).run(videos)

    result = EpisodesResult(
        **msgspec.structs.asdict(frames),
        faces=dataset.faces.count() - faces,
        tracks=dataset.tracks.count() - tracks,
    )
    if not (result.faces or result.known):
        result.note = (
            "the default detector finds drawn faces: list others with facecrop detectors, or "
            "use whole images with harvest frames"
        )

    return result
