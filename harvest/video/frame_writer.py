"""Writes what workers give into the catalogue: frames with their origin, and finished videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import zip_longest

import msgspec

from gleanset import Dataset
from gleanset.db.images import VideoName
from gleanset.records import Origin, Rejection
from gleanset.work.pool import Outcome
from harvest.importer import Importer
from harvest.video.frame_selector import FrameFollower
from harvest.video.inputs import VideoAtHand
from harvest.video.openings import Fingerprint, RepeatedStretch, find_repeats
from harvest.video.sampler import SamplingStep, StoredFrame
from harvest.video.sampling import Sampling
from harvest.video.video_task import FrameLimit, VideoTask


class FrameWriter:
    """The parent's side of a run: the only one that writes rows."""

    def __init__(
        self,
        dataset: Dataset,
        intake: Importer,
        sampling: Sampling,
        label: str | None,
        limit: FrameLimit,
        follower: FrameFollower | None = None,
    ) -> None:
        self._dataset, self._intake = dataset, intake
        self._sampling, self._label, self._follower = sampling, label, follower
        # Where openings are skipped, all is sampled, and the limit is for what is left then.
        self._all = limit
        self.limit = FrameLimit(None) if sampling.skip_openings else limit
        self.left_out: Counter[str] = Counter()
        self._finished: list[tuple[int, VideoTask, list[Fingerprint]]] = []

    def known(self, sha256: str) -> bool:
        """Return whether a video was sampled like this to its end; counts its frames."""
        frames = self._dataset.videos.done(sha256, self._sampling.settings)
        if frames is None:
            return False
        self._intake.tally["known"] += frames
        self._all.before[sha256] = frames
        return True

    def step(self, task: VideoTask, step: SamplingStep) -> None:
        """Store one step in one transaction."""
        if self._sampling.skip_openings:
            task.waiting += step.picked
        else:
            with self._dataset.db.write():
                self._store(task, step.picked)

    def end(self, task: VideoTask, place: int) -> None:
        """A video was sampled to its end."""
        assert task.ending is not None
        self.left_out.update(task.ending.left_out)
        seconds = task.ending.seconds
        if seconds is not None and self._sampling.earliest >= seconds:
            self.left_out["after the end of the video"] += 1
        if task.ending.trouble:
            reason = "damaged video"
            rejection = Rejection(STAGE, task.video.shown, reason, task.ending.trouble)
            self._dataset.rejections.add(rejection)
            self._intake.reasons[reason] += 1
        if self._sampling.skip_openings:
            self._finished.append((place, task, task.ending.prints))
        else:
            self._record(task)

    def settle(self) -> None:
        """Store, at the end of a run, what no earlier video or part of one has shown."""
        ordered = sorted(self._finished, key=lambda finished: finished[0])
        # What is in the dataset already was shown first.
        before = self._prints_before() if ordered else []
        of_all = find_repeats([*before, *(prints for *_, prints in ordered)], len(before))
        repeats = of_all[len(before) :]
        fresh = [
            [frame for frame in task.waiting if self._is_fresh(frame, parts)]
            for (_, task, _), parts in zip(ordered, repeats, strict=True)
        ]
        chosen = self._within_limit(fresh)
        for (_, task, prints), picked, parts in zip(ordered, chosen, repeats, strict=True):
            # Where it came first is its place; that of a repeat is not looked for later.
            first = [(time, code) for time, code in prints if not _inside(time, parts)]
            spans = [(part.start, part.end) for part in parts]
            with self._dataset.db.write():
                self._store(task, picked)
                self._record(task, {"prints": first, "left_out": spans})
        for _, task, _ in ordered:
            self._remove_crops(task.waiting)

    def _prints_before(self) -> list[list[Fingerprint]]:
        """Return the fingerprints of the videos that were sampled like this in earlier runs."""
        fresh = {task.video.sha256 for _, task, _ in self._finished}
        return [
            msgspec.convert(state.get("prints", []), list[Fingerprint])
            for sha256, state in self._dataset.videos.states(self._sampling.mode)
            if sha256 not in fresh
        ]

    def _is_fresh(self, frame: StoredFrame, repeats: list[RepeatedStretch]) -> bool:
        if not _inside(frame.time, repeats):
            return True
        known = self._dataset.images.get(frame.measured.sha256)
        if known is not None and known.state == "missing":
            return True
        self.left_out["opening"] += 1
        return False

    def _remove_crops(self, frames: Iterable[StoredFrame]) -> None:
        """Remove the crops of faces of frames that were left out."""
        for face in (face for frame in frames for face in frame.faces):
            if face.crop is not None and self._dataset.samples.get(face.crop.key) is None:
                self._dataset.crop_path(face.crop.key).unlink(missing_ok=True)

    def _within_limit(self, fresh: list[list[StoredFrame]]) -> list[list[StoredFrame]]:
        left = self._all.left
        if left is None:
            return fresh
        chosen: list[list[StoredFrame]] = [[] for _ in fresh]
        images: set[str] = set()
        # The first frame of each video, then the second of each, and so on.
        for frames in zip_longest(*fresh):
            for own, frame in zip(chosen, frames, strict=True):
                if frame and (frame.measured.sha256 in images or len(images) < left):
                    images.add(frame.measured.sha256)
                    own.append(frame)
        return chosen

    def _record(self, task: VideoTask, state: dict[str, object] | None = None) -> None:
        assert task.ending is not None
        video, seconds = task.video, task.ending.seconds
        name = VideoName(video.sha256, video.origin.title or video.path.name, video.origin.url)
        self._dataset.videos.record(name, self._sampling.settings, seconds, task.frames, state)

    def _store(self, task: VideoTask, picked: tuple[StoredFrame, ...] | list[StoredFrame]) -> None:
        for frame in picked:
            task.frames += 1
            origin = self._origin(task.video, frame)
            stamp = f"{frame.measured.sha256[:16]}"
            if not self._intake.knows(origin, stamp):
                outcome = Outcome(origin.key, frame.measured)
                self._intake.take(origin, outcome, stamp, store=task.store)
            if self._follower is not None and frame.faces:
                self._follower.record(self._dataset, frame.measured.sha256, origin, frame.faces)

    def _origin(self, video: VideoAtHand, frame: StoredFrame) -> Origin:
        return replace(
            video.origin,
            source="video",
            key=f"{video.sha256[:16]}@{frame.time:.3f}",
            video=video.sha256,
            time=round(frame.time, 6),
            scene=frame.scene,
            frame=frame.number,
            hint=self._label,
        )


STAGE = "harvest-frames"


def _inside(time: float, repeats: list[RepeatedStretch]) -> bool:
    return any(part.start < time < part.end for part in repeats)
