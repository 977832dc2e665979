"""Finds and follows the faces of videos while they are decoded, and writes them with their frames.

harvest decodes and knows nothing of faces; facecrop finds them and knows nothing of videos. What
brings both together is a `FrameFollower` of harvest's, made of a detector of facecrop's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import numpy as np

from facecrop.detectors import DetectorSpec, Pixels
from gleanset import Dataset
from gleanset.db.faces import Tracks
from gleanset.images.cut import CutSettings, Cutter
from gleanset.records import FollowedFace, Origin
from gleanset.work.pool import Processes
from gleanset.work.progress import Progress
from harvest.frames import FrameHarvest
from harvest.video.inputs import VideoInput
from harvest.video.sampling import Sampling
from pipeline.episodes.chooser import FaceChooser, FrameSearch, SearchFrame, SeenFace

_LETTERS = 8


@dataclass(frozen=True)
class FaceFollower:
    """Follows faces found by a detector; `sampling` is that of the videos.

    Workers search the frames where they are handed `search`; a node of a cluster, which has a
    video of its own, does so itself.
    """

    detector: DetectorSpec
    cutter: Cutter
    per_track: int
    sampling: Sampling
    search: SearchFrame | None = field(default=None, compare=False)

    def chooser(self, limit: int | None) -> FaceChooser:
        """Return what chooses the frames of one video."""
        search = self.search or _at_once(FrameSearch(self.detector))
        return FaceChooser(search, self.cutter, self.per_track, limit)

    def record(
        self, dataset: Dataset, sha256: str, frame: Origin, faces: Sequence[FollowedFace]
    ) -> None:
        """Write the faces of a frame, and of which track each is. Call inside a write."""
        crops = [one.crop for one in faces if one.crop is not None]
        small = [one.face for one in faces if one.crop is None]
        if not dataset.images.get_id(sha256):  # taken down, and never comes back
            for crop in crops:
                dataset.crop_path(crop.key).unlink(missing_ok=True)
            return
        cut, name, settings = str(self.cutter.settings), self.detector.name, self.detector.recorded
        dataset.faces.replace(sha256, name, settings, crops, cut=cut, small=small)
        # Tracks are numbered anew in each sampling of a video.
        start = hashlib.sha256(f"{frame.video} {self.sampling.settings}".encode()).hexdigest()
        for face in faces:
            if face.crop is not None:
                track = replace(face.track, name=f"{start[:_LETTERS]}-{face.track.name}")
                Tracks(dataset.db).add(track, frame, face.crop.key)


def _at_once(search: FrameSearch) -> SearchFrame:
    def searched(pixels: Pixels) -> Future[list[SeenFace]]:
        future: Future[list[SeenFace]] = Future()
        future.set_result(search(pixels))
        return future

    return searched


@dataclass(frozen=True)
class EpisodeRun:
    """One run of `gleanset episodes`: what is sampled, who finds faces, and how they are cut."""

    dataset: Dataset
    sampling: Sampling
    detector: DetectorSpec
    cutting: CutSettings
    per_track: int
    workers: int = 0

    def over(self, videos: list[VideoInput], progress: Progress) -> dict[str, object]:
        """Sample and follow; the counts of what happened. Raises what `harvest_frames` raises."""
        crops = self.dataset.crops(self.dataset.cache)
        cutter = Cutter(self.cutting, crops)
        follower = FaceFollower(self.detector, cutter, self.per_track, self.sampling)
        before = self._counts()
        workers = self.dataset.workers(self.workers)
        if isinstance(workers, Processes):
            with workers.pool(FrameSearch(self.detector)) as pool:
                # The workers begin here: only the main thread can be interrupted.
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
        return run.over(videos)

    def _counts(self) -> dict[str, int]:
        return {"faces": self.dataset.faces.count(), "tracks": Tracks(self.dataset.db).count()}
