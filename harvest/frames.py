"""Frames of videos: sampled while ffmpeg decodes, kept with their place and scene."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import DiskFull, InputUnusable, MissingComponent, Unreadable
from gleanset.files.store import sha256_of_file
from gleanset.platform import cores
from gleanset.records import Rejection
from gleanset.work.cluster import Cluster
from gleanset.work.pool import Processes, Threads, run_over
from gleanset.work.progress import Progress
from harvest.importer import Importer
from harvest.video.decoder_worker import (
    DecoderWorker,
    FrameLimit,
    VideoTask,
    WholeSample,
    advance_video,
    sample_video,
)
from harvest.video.disk_estimate import VideoLength, check_space
from harvest.video.frame_writer import STAGE, FrameWriter
from harvest.video.inputs import SampledBefore, UnusableInput, VideoAtHand, VideoFile, VideoInput
from harvest.video.remote import remove_downloads
from harvest.video.run_ffmpeg import end_all, find_ffmpeg
from harvest.video.sampler import SamplingStep, read_facts
from harvest.video.sampling import Sampling

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
    that was stopped goes on where it was. Each bad one becomes a rejection; where none could be
    used, `InputUnusable`, `MissingComponent`, or what its site raised. `workers` videos are
    sampled at once, on a cluster each of them whole on one node. `left_out` counts the stretches
    without a frame of their own, by reason.
    """
    wanted = sampling or Sampling()
    inputs = list(videos)
    find_ffmpeg()
    with dataset.stage(STAGE) as scratch:
        lengths = dict(_lengths(inputs))
        _check_space(dataset, wanted, lengths)
        total = sum(video.seconds for video in lengths.values()) or None
        limit = FrameLimit(wanted.limit)
        store = dataset.originals(scratch)
        intake = Importer(dataset, STAGE, store, None if wanted.limit is None else limit.images)
        writer = FrameWriter(dataset, intake, wanted, label, limit)
        with (progress or Progress()).video_time("frames", total) as advance:
            run = _Run(dataset, wanted, writer, intake, scratch, advance)
            files = tuple(video.path for video in inputs if isinstance(video, VideoFile))
            run.over(inputs, _place(dataset.workers(workers, files=files)))
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
    """Lanes at work. Their steps run in threads; all else happens here."""

    def __init__(
        self,
        dataset: Dataset,
        sampling: Sampling,
        writer: FrameWriter,
        intake: Importer,
        scratch: Path,
        advance: Callable[[float], None],
    ) -> None:
        self._dataset, self._sampling, self._writer = dataset, sampling, writer
        self._intake, self._scratch, self._advance = intake, scratch, advance
        self._ready: deque[DecoderWorker] = deque()
        self._bad: list[UnusableInput] = []
        self._workers: dict[int, DecoderWorker] = {}
        self._good = 0
        self._met: Counter[str] = Counter()
        self._cut: list[tuple[int, VideoInput]] = []

    def over(self, inputs: list[VideoInput], place: Threads | Cluster) -> None:
        """Sample all of them, some at once; with a limit in turn, and those with more again."""
        todo = list(enumerate(inputs))
        while todo:
            self._cut = []
            self._met.clear()
            at_work: list[DecoderWorker] = []
            try:
                self._round(deque(todo), at_work, place)
            finally:
                for worker in at_work:
                    worker.close()
            todo = [] if self._writer.limit.left == 0 else self._cut

    def _round(
        self,
        waiting: deque[tuple[int, VideoInput]],
        at_work: list[DecoderWorker],
        place: Threads | Cluster,
    ) -> None:
        if not isinstance(place, Threads):
            self._round_on_nodes(waiting, at_work, place)
            return
        threads = place if self._writer.limit.left is None else replace(place, number=1)
        for _ in range(threads.number):
            self._start_next(waiting, at_work)
        steps = run_over(advance_video, self._items(), threads, lambda _: bool(self._ready))
        for outcome in steps:
            worker, step = outcome.item, outcome.result
            if step is not None:
                self._store(worker, step)
                self._ready.append(worker)
                continue
            error = Unreadable(outcome.reason, outcome.detail) if outcome.reason else None
            if not self._goes_on(worker, error):
                worker.close()
                self._start_next(waiting, at_work)

    def _round_on_nodes(
        self,
        waiting: deque[tuple[int, VideoInput]],
        at_work: list[DecoderWorker],
        cluster: Cluster,
    ) -> None:
        """Have each video sampled whole; the next ones are looked for as nodes ask for them."""
        may_start = partial(self._has_ready, waiting, at_work)
        for outcome in run_over(sample_video, self._tasks(), cluster, may_start):
            worker, found = self._workers.pop(id(outcome.item)), outcome.result
            if found is not None:
                self._store_all(worker, found)
            error = Unreadable(outcome.reason, outcome.detail) if outcome.reason else None
            if not self._goes_on(worker, error or (found.error if found else None)):
                worker.close()

    def _has_ready(
        self, waiting: deque[tuple[int, VideoInput]], at_work: list[DecoderWorker], in_flight: int
    ) -> bool:
        if in_flight and self._writer.limit.left is not None:
            return False  # in turn
        while waiting and not self._ready and self._writer.limit.left != 0:
            self._start_next(waiting, at_work)
        return bool(self._ready)

    def _tasks(self) -> Iterator[VideoTask]:
        for worker in self._items():
            assert worker.task is not None
            self._workers[id(worker.task)] = worker
            yield worker.task

    def _store_all(self, worker: DecoderWorker, sampled: WholeSample) -> None:
        assert worker.task is not None
        worker.task.seconds, worker.task.ending = sampled.seconds, sampled.ending
        for step in sampled.steps:
            self._store(worker, step)

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

    def _items(self) -> Iterator[DecoderWorker]:
        while True:
            yield self._ready.popleft()

    def _start_next(
        self, waiting: deque[tuple[int, VideoInput]], at_work: list[DecoderWorker]
    ) -> None:
        """Set the next input that has something to sample to work."""
        while waiting and self._writer.limit.left != 0:
            share = self._writer.limit.share(len(waiting))
            place, given = waiting.popleft()
            worker = DecoderWorker(given, place, self._scratch / f"input-{place}", share)
            at_work.append(worker)
            if self._start_next_video(worker):
                return

    def _start_next_video(self, worker: DecoderWorker) -> bool:
        """Set the next video of a worker to work; False where it has none left."""
        while (next_video := worker.find()) is not None:
            if isinstance(next_video, UnusableInput):
                self._reject(next_video)
            elif isinstance(next_video, SampledBefore) or self._is_known(next_video, worker):
                if isinstance(next_video, SampledBefore):
                    self._writer.known(next_video.sha256, worker.place)
                self._good += 1
            else:
                store = self._writer.store(next_video.sha256, self._scratch)
                worker.task = VideoTask(next_video, self._sampling, store)
                self._writer.resume(worker.task)
                worker.task.most = worker.share.rest
                if worker.task.most == 0:
                    return self._stop_at_share(worker)
                self._ready.append(worker)
                return True
        return False

    def _stop_at_share(self, worker: DecoderWorker) -> bool:
        """Its share is used up, and there is more: it comes again when others leave some."""
        assert worker.task is not None
        self._writer.cut(worker.task)
        self._cut.append((worker.place, worker.source))
        return False

    def _is_known(self, video: VideoAtHand, worker: DecoderWorker) -> bool:
        if self._writer.known(video.sha256, worker.place):
            return True
        # The same video twice in one run: what the first gives will be there.
        self._met[video.sha256] += 1
        return self._met[video.sha256] > 1

    def _store(self, worker: DecoderWorker, step: SamplingStep) -> None:
        """Write what a step gave."""
        assert worker.task is not None
        self._writer.step(worker.task, step)
        self._advance(max(step.gone - worker.task.gone, 0.0))
        worker.task.gone = max(step.gone, worker.task.gone)

    def _goes_on(self, worker: DecoderWorker, error: Unreadable | None) -> bool:
        """A video has ended, or cannot be sampled; whether the worker has another one."""
        assert worker.task is not None
        if error is not None:
            self._reject(UnusableInput(worker.task.video.shown, error.reason, error.detail))
        else:
            self._good += 1
            if worker.task.is_cut:
                return self._stop_at_share(worker)
            self._writer.end(worker.task, worker.place)
        worker.task.close()
        return self._start_next_video(worker)

    def _reject(self, bad: UnusableInput) -> None:
        self._bad.append(bad)
        self._dataset.rejections.add(Rejection(STAGE, bad.shown, bad.reason, bad.detail))
        self._intake.tally["rejected"] += 1
        self._intake.reasons[bad.reason] += 1


def _lengths(inputs: list[VideoInput]) -> Iterator[tuple[VideoFile, VideoLength]]:
    """Yield how long the files at hand are; what is wrong with one is reported in its turn."""
    for one in inputs:
        if isinstance(one, VideoFile):
            with suppress(Unreadable, OSError):
                facts = read_facts(one.path)
                yield one, VideoLength(facts.seconds or 0.0, *facts.upright)


def _check_space(
    dataset: Dataset, sampling: Sampling, lengths: Mapping[VideoFile, VideoLength]
) -> None:
    """`DiskFull` where the frames of the videos that are still to be sampled do not fit."""
    try:
        check_space(dataset.root, sampling, lengths.values())
    except DiskFull:
        # Only now: to tell a video that was sampled before, all of it has to be read.
        fresh = [length for one, length in lengths.items() if not _is_done(dataset, sampling, one)]
        check_space(dataset.root, sampling, fresh)


def _is_done(dataset: Dataset, sampling: Sampling, video: VideoFile) -> bool:
    try:
        sha256 = sha256_of_file(video.path)
    except OSError:
        return False
    return dataset.videos.done(sha256, sampling.settings) is not None
