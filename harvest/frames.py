"""Frames of videos: sampled while ffmpeg decodes, kept with their place and scene."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import InputUnusable, MissingComponent, Unreadable
from gleanset.platform import cores
from gleanset.records import Rejection
from gleanset.work.cluster import Cluster
from gleanset.work.pool import Outcome, Processes, Threads, run_over
from gleanset.work.progress import Progress
from harvest.importer import Importer
from harvest.video.frame_selector import FrameFollower
from harvest.video.frame_writer import STAGE, FrameWriter
from harvest.video.inputs import SampledBefore, UnusableInput, VideoAtHand, VideoFile, VideoInput
from harvest.video.remote import remove_downloads
from harvest.video.run_ffmpeg import end_all, find_ffmpeg
from harvest.video.sampler import SamplingStep, read_facts
from harvest.video.sampling import Sampling
from harvest.video.video_task import (
    FrameLimit,
    InputSampler,
    SampledPart,
    VideoTask,
    sample_step,
    sample_whole,
)

# ffmpeg decodes one video on several cores.
_CORES_EACH = 4


def harvest_frames(
    dataset: Dataset,
    videos: Iterable[VideoInput],
    sampling: Sampling | None = None,
    *,
    label: str | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Add the frames that a sampling takes of each video; the counts of what happened.

    A video is known by its content and is not sampled twice with the same settings; one
    that was stopped is sampled again. Each bad one becomes a rejection; where none could be
    used, `InputUnusable`, `MissingComponent`, or what its site raised. `workers` videos are
    sampled at once, on a cluster each of them whole on one node. `left_out` counts the stretches
    without a frame of their own, by reason.
    """
    return FrameHarvest(dataset, sampling or Sampling(), label, workers, progress).over(videos)


@dataclass(frozen=True)
class FrameHarvest:
    """One run as `harvest_frames` makes it; with a `follower` frames are chosen by what is seen."""

    dataset: Dataset
    sampling: Sampling
    label: str | None = None
    workers: int = 0
    progress: Progress | None = None
    follower: FrameFollower | None = None

    def over(self, videos: Iterable[VideoInput]) -> dict[str, object]:
        """Add the frames of these videos; the counts of what happened."""
        inputs = list(videos)
        find_ffmpeg()
        dataset, wanted = self.dataset, self.sampling
        with dataset.stage(STAGE) as scratch:
            total = sum(_lengths(inputs)) or None
            limit = FrameLimit(wanted.limit)
            store = dataset.originals(scratch)
            intake = Importer(dataset, STAGE, store, None if wanted.limit is None else limit.images)
            writer = FrameWriter(dataset, intake, wanted, self.label, limit, self.follower)
            with (self.progress or Progress()).video_time("frames", total) as advance:
                run = _Run(self, writer, intake, scratch, advance)
                files = tuple(video.path for video in inputs if isinstance(video, VideoFile))
                run.over(inputs, _place(dataset.workers(self.workers, files=files)))
            writer.settle()
            remove_downloads(dataset)
            intake.finish()
        run.raise_if_nothing()
        result = intake.result()
        if writer.left_out:
            result["left_out"] = dict(writer.left_out.most_common())
        return result


def _place(workers: Processes | Cluster) -> Threads | Cluster:
    """Return where videos are sampled: a video takes the time that it takes."""
    if isinstance(workers, Processes):
        return Threads(workers.number or max(cores() // _CORES_EACH, 1), stop=end_all)
    return replace(workers, seconds_per_item=math.inf)


class _Run:
    """Videos are sampled in threads or on nodes; all else happens here."""

    def __init__(
        self,
        harvest: FrameHarvest,
        writer: FrameWriter,
        intake: Importer,
        scratch: Path,
        advance: Callable[[float], None],
    ) -> None:
        self._dataset, self._sampling, self._writer = harvest.dataset, harvest.sampling, writer
        self._follower = harvest.follower
        self._intake, self._scratch, self._advance = intake, scratch, advance
        self._waiting: deque[tuple[int, VideoInput]] = deque()
        self._at_work: list[InputSampler] = []
        self._ready: deque[InputSampler] = deque()
        self._asked: dict[int, InputSampler] = {}
        self._bad: list[UnusableInput] = []
        self._good = 0
        self._met: Counter[str] = Counter()

    def over(self, inputs: list[VideoInput], workers: Threads | Cluster) -> None:
        """Sample all of them, some at once; with a limit one after another."""
        # A node has a whole video, so that it goes to the next one without us.
        sample, at_once = sample_whole, math.inf
        if isinstance(workers, Threads):
            sample, at_once = sample_step, workers.number
        if self._writer.limit.left is not None:
            at_once = 1
        self._waiting = deque(enumerate(inputs))
        may_start = partial(self._may_start, at_once)
        try:
            for outcome in run_over(sample, self._tasks(), workers, may_start):
                self._take(outcome)
        finally:
            while self._at_work:
                self._at_work.pop().close()

    def _may_start(self, at_once: float, _: int) -> bool:
        """Set inputs to work until a video is ready, or enough of them are."""
        while not self._ready and self._waiting and len(self._at_work) < at_once:
            if self._writer.limit.left == 0:
                break
            self._start_next()
        return bool(self._ready)

    def _tasks(self) -> Iterator[VideoTask]:
        while True:
            sampler = self._ready.popleft()
            assert sampler.task is not None
            self._asked[id(sampler.task)] = sampler
            yield sampler.task

    def _take(self, outcome: Outcome[VideoTask, SampledPart]) -> None:
        """Store what a task gave, and set it or the next video of its input to work."""
        sampler, task, part = self._asked.pop(id(outcome.item)), outcome.item, outcome.result
        error = Unreadable(outcome.reason, outcome.detail) if outcome.reason else None
        if part is not None:
            task.ending, error = part.ending, part.error
            for step in part.steps:
                self._store(task, step)
            if part.ending is None and error is None:
                self._ready.append(sampler)
                return
        if not self._goes_on(sampler, error):
            self._at_work.remove(sampler)
            sampler.close()

    def raise_if_nothing(self) -> None:
        """Raise where not one video could be used."""
        if self._good or not self._bad:
            return
        errors = [one.error for one in self._bad if one.error is not None]
        if len(errors) == len(self._bad):
            raise errors[0]
        lines = "\n  ".join(f"{one.shown}: {one.reason}: {one.detail}" for one in self._bad)
        if all(one.reason == "missing codec" for one in self._bad):
            raise MissingComponent(lines, "install an ffmpeg with that decoder, first in PATH")
        raise InputUnusable(lines, "name video files that ffmpeg can play")

    def _start_next(self) -> None:
        """Set the next input to work, unless it has nothing to sample."""
        place, source = self._waiting.popleft()
        sampler = InputSampler(source, place, self._scratch / f"input-{place}")
        self._at_work.append(sampler)
        if not self._start_next_video(sampler):
            self._at_work.remove(sampler)
            sampler.close()

    def _start_next_video(self, sampler: InputSampler) -> bool:
        """Set the next video of an input to work; False where it has none left."""
        while (next_video := sampler.next_video()) is not None:
            if isinstance(next_video, UnusableInput):
                self._reject(next_video)
            elif isinstance(next_video, SampledBefore) or self._is_known(next_video):
                if isinstance(next_video, SampledBefore):
                    self._writer.known(next_video.sha256)
                self._good += 1
            else:
                if self._writer.limit.left == 0:
                    return False
                sampler.task = VideoTask(
                    next_video,
                    self._sampling,
                    self._dataset.originals(self._scratch),
                    most=self._writer.limit.left,
                    follower=self._follower,
                )
                self._ready.append(sampler)
                return True
        return False

    def _is_known(self, video: VideoAtHand) -> bool:
        if self._writer.known(video.sha256):
            return True
        # The same video twice in one run: what the first gives will be there.
        self._met[video.sha256] += 1
        return self._met[video.sha256] > 1

    def _store(self, task: VideoTask, step: SamplingStep) -> None:
        """Write what a step gave."""
        self._writer.step(task, step)
        self._advance(max(step.gone - task.gone, 0.0))
        task.gone = max(step.gone, task.gone)

    def _goes_on(self, sampler: InputSampler, error: Unreadable | None) -> bool:
        """A video has ended, or cannot be sampled; whether its input has another one."""
        assert sampler.task is not None
        if error is not None:
            self._reject(UnusableInput(sampler.task.video.shown, error.reason, error.detail))
        else:
            self._good += 1
            self._writer.end(sampler.task, sampler.place)
        sampler.task.close()
        return self._start_next_video(sampler)

    def _reject(self, bad: UnusableInput) -> None:
        self._bad.append(bad)
        self._dataset.rejections.add(Rejection(STAGE, bad.shown, bad.reason, bad.detail))
        self._intake.tally["rejected"] += 1
        self._intake.reasons[bad.reason] += 1


def _lengths(inputs: list[VideoInput]) -> Iterator[float]:
    """Yield the seconds of each local file; what is wrong with one is reported in its turn."""
    for one in inputs:
        if isinstance(one, VideoFile):
            with suppress(Unreadable, OSError):
                yield read_facts(one.path).seconds or 0.0
