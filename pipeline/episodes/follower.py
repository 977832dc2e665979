"""Detection and tracking of faces during decoding, stored with their frames.

Implements `FrameFollower` of harvest with a detector of facecrop; neither imports the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np

from facecrop.detectors import DetectorSpec, Pixels
from facecrop.following import DetectedFace, FrameSearch
from gleanset import Dataset
from gleanset.db.faces import Tracks
from gleanset.images.cropping import CropGeometry, FaceCropper
from gleanset.records import FollowedFace, Origin
from gleanset.work.pool import Processes
from gleanset.work.progress import Progress
from harvest.frames import FrameHarvest
from harvest.video.inputs import VideoInput
from harvest.video.sampling import Sampling
from pipeline.episodes.chooser import FaceChooser
from pipeline.episodes.finder import SearchFrame

_TRACK_PREFIX_LENGTH = 8


@dataclass(frozen=True)
class FaceFollower:
    """Factory of face choosers; `search` runs the detector in workers (None: in this process)."""

    detector: DetectorSpec
    cutter: FaceCropper
    per_track: int
    sampling: Sampling
    search: SearchFrame | None = field(default=None, compare=False)

    def chooser(self, limit: int | None) -> FaceChooser:
        """Return the frame selection for one video."""
        search = self.search or _search_directly(FrameSearch(self.detector))
        threshold = getattr(self.detector.build(), "threshold", 0.0)  # those of plugins may differ
        return FaceChooser(search, self.cutter, self.per_track, threshold, limit)

    def record(
        self, dataset: Dataset, sha256: str, frame: Origin, faces: Sequence[FollowedFace]
    ) -> None:
        """Store the faces of a frame and their tracks. Call inside a write transaction."""
        crops = [face.crop for face in faces if face.crop is not None]
        small = [face.face for face in faces if face.crop is None]
        if not dataset.images.get_id(sha256):  # forgotten: it stays removed
            for crop in crops:
                dataset.crop_path(crop.key).unlink(missing_ok=True)
            return
        cut, name, settings = str(self.cutter.settings), self.detector.name, self.detector.recorded
        dataset.faces.replace(sha256, name, settings, crops, cut=cut, small=small)
        # Numbers of tracks are only unique within one sampling of a video.
        prefix = hashlib.sha256(f"{frame.video} {self.sampling.settings}".encode()).hexdigest()
        for face in faces:
            if face.crop is not None:
                track = replace(
                    face.track, name=f"{prefix[:_TRACK_PREFIX_LENGTH]}-{face.track.name}"
                )
                Tracks(dataset.db).add(track, frame, face.crop.key)


def _search_directly(search: FrameSearch) -> SearchFrame:
    def submit(pixels: Pixels) -> Future[list[DetectedFace]]:
        future: Future[list[DetectedFace]] = Future()
        future.set_result(search(pixels))
        return future

    return submit


@dataclass(frozen=True)
class EpisodeRun:
    """Run of `gleanset episodes`: sampling, detector and crop settings."""

    dataset: Dataset
    sampling: Sampling
    detector: DetectorSpec
    cutting: CropGeometry
    per_track: int
    workers: int = 0

    def over(self, videos: list[VideoInput], progress: Progress) -> dict[str, object]:
        """Sample videos and track faces; return the counts. Raises what `harvest_frames` raises."""
        crops = self.dataset.crops(self.dataset.cache)
        cutter = FaceCropper(self.cutting, crops)
        follower = FaceFollower(self.detector, cutter, self.per_track, self.sampling)
        before = self._counts()
        workers = self.dataset.workers(self.workers)
        if isinstance(workers, Processes):
            with workers.pool(FrameSearch(self.detector)) as pool:
                # Starts the workers now, in the main thread, which alone can be interrupted.
                pool.submit(np.zeros((32, 32, 3), np.uint8)).result()
                harvested = self._harvest(replace(follower, search=pool.submit), videos, progress)
        else:
            harvested = self._harvest(follower, videos, progress)
        after = self._counts()
        new = {name: after[name] - number for name, number in before.items()}
        return harvested | new

    def _harvest(
        self, follower: FaceFollower, videos: list[VideoInput], progress: Progress
    ) -> dict[str, object]:
        run = FrameHarvest(self.dataset, self.sampling, progress=progress, follower=follower)
        return run.run(videos)

    def _counts(self) -> dict[str, int]:
        return {"faces": self.dataset.faces.count(), "tracks": Tracks(self.dataset.db).count()}
