"""Frames of videos: sampled while ffmpeg decodes, kept with their place and scene."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import DiskFull, InputUnusable, MissingComponent, Unreadable
from gleanset.files.store import sha256_of_file
from gleanset.records import Rejection
from gleanset.work.pool import Outcome, Threads, cores, run_over
from gleanset.work.progress import Progress
from harvest.intake import Intake
from harvest.video.downloads import tidy
from harvest.video.episode import Step, facts_of
from harvest.video.inputs import Input, Known, Unusable, Video, VideoFile
from harvest.video.keeping import STAGE, Keeping
from harvest.video.lane import Lane, Showing, advanced
from harvest.video.quota import Quota
from harvest.video.run_ffmpeg import end_all, find_ffmpeg
from harvest.video.sampling import Sampling
from harvest.video.space import Length, check_space

# ffmpeg decodes one video on several cores.
_CORES_EACH = 4


def harvest_frames(
    dataset: Dataset,
    videos: Iterable[Input | Path],
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
    sampled at once. `left_out` counts the stretches without a frame of their own, by reason.
    """
    wanted = sampling or Sampling()
    inputs = [VideoFile(checked(one)) if isinstance(one, Path) else one for one in videos]
    find_ffmpeg()
    with dataset.stage(STAGE) as scratch:
        lengths = dict(_lengths(inputs))
        _check_space(dataset, wanted, lengths)
        total = sum(one.seconds for one in lengths.values()) or None
        quota = Quota(wanted.limit)
        store = dataset.originals(scratch)
        intake = Intake(dataset, STAGE, store, None if wanted.limit is None else quota.images)
        keeping = Keeping(dataset, intake, wanted, label, quota)
        with (progress or Progress()).video_time("frames", total) as advance:
            run = _Run(dataset, wanted, keeping, intake, scratch, advance)
            run.over(inputs, workers or max(cores() // _CORES_EACH, 1))
        keeping.settle()
        tidy(dataset)
        intake.finish()
    run.raise_if_nothing()
    result = intake.result()
    if keeping.left_out:
        result["left_out"] = dict(keeping.left_out.most_common())
    return result


def checked(path: Path) -> Path:
    """A file that is there, as an absolute path. Raises `InputUnusable`."""
    if path.is_dir():
        raise InputUnusable(f"{path} is a folder", f"name its videos: {path}/*")
    if not path.is_file():
        raise InputUnusable(f"there is no file {path}", "check its name")
    return path.absolute()


class _Run:
    """Lanes at work. Their steps run in threads; all else happens here."""

    def __init__(
        self,
        dataset: Dataset,
        sampling: Sampling,
        keeping: Keeping,
        intake: Intake,
        scratch: Path,
        advance: Callable[[float], None],
    ) -> None:
        self._dataset, self._sampling, self._keeping = dataset, sampling, keeping
        self._intake, self._scratch, self._advance = intake, scratch, advance
        self._ready: deque[Lane] = deque()
        self._bad: list[Unusable] = []
        self._good = 0
        self._met: Counter[str] = Counter()
        self._cut: list[tuple[int, Input]] = []

    def over(self, inputs: list[Input], at_once: int) -> None:
        """Sample all of them, so many at once; with a limit in turn, and those with more again."""
        todo = list(enumerate(inputs))
        while todo:
            self._cut = []
            self._met.clear()
            self._round(deque(todo), at_once if self._keeping.quota.left is None else 1)
            todo = [] if self._keeping.quota.left == 0 else self._cut

    def _round(self, waiting: deque[tuple[int, Input]], at_once: int) -> None:
        lanes: list[Lane] = []
        try:
            for _ in range(at_once):
                self._next_lane(waiting, lanes)
            steps = run_over(
                advanced, self._items(), Threads(at_once, stop=end_all), lambda _: bool(self._ready)
            )
            for outcome in steps:
                if not self._after(outcome):
                    outcome.item.close()
                    self._next_lane(waiting, lanes)
        finally:
            for lane in lanes:
                lane.close()

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

    def _items(self) -> Iterator[Lane]:
        while True:
            yield self._ready.popleft()

    def _next_lane(self, waiting: deque[tuple[int, Input]], lanes: list[Lane]) -> None:
        """Set the next input that has something to sample to work."""
        while waiting and self._keeping.quota.left != 0:
            share = self._keeping.quota.share(len(waiting))
            place, given = waiting.popleft()
            lane = Lane(given, place, self._scratch / f"input-{place}", share)
            lanes.append(lane)
            if self._shows_next(lane):
                return

    def _shows_next(self, lane: Lane) -> bool:
        """Set the next video of a lane to work; False where it has none left."""
        while (found := lane.find()) is not None:
            if isinstance(found, Unusable):
                self._reject(found)
            elif isinstance(found, Known) or self._is_known(found, lane):
                if isinstance(found, Known):
                    self._keeping.known(found.sha256, lane.place)
                self._good += 1
            else:
                store = self._keeping.store(found.sha256, self._scratch)
                lane.showing = Showing(found, self._sampling, store)
                self._keeping.take_up(lane.showing)
                lane.showing.most = lane.share.rest
                if lane.showing.most == 0:
                    return self._is_cut(lane)
                self._ready.append(lane)
                return True
        return False

    def _is_cut(self, lane: Lane) -> bool:
        """Its share is used up, and there is more: it comes again when others leave some."""
        assert lane.showing is not None
        self._keeping.cut(lane.showing)
        self._cut.append((lane.place, lane.given))
        return False

    def _is_known(self, video: Video, lane: Lane) -> bool:
        if self._keeping.known(video.sha256, lane.place):
            return True
        # The same video twice in one run: what the first gives will be there.
        self._met[video.sha256] += 1
        return self._met[video.sha256] > 1

    def _after(self, outcome: Outcome[Lane, Step | None]) -> bool:
        """Write what a step gave; whether the lane goes on."""
        lane, step = outcome.item, outcome.result
        assert lane.showing is not None
        if outcome.reason is not None:
            self._reject(Unusable(lane.showing.video.shown, outcome.reason, outcome.detail))
        elif step is not None:
            self._keeping.step(lane.showing, step)
            self._advance(max(step.gone - lane.showing.gone, 0.0))
            lane.showing.gone = max(step.gone, lane.showing.gone)
            self._ready.append(lane)
            return True
        else:
            self._good += 1
            if lane.showing.is_cut:
                return self._is_cut(lane)
            self._keeping.end(lane.showing, lane.place)
        lane.showing.close()
        return self._shows_next(lane)

    def _reject(self, bad: Unusable) -> None:
        self._bad.append(bad)
        self._dataset.rejections.add(Rejection(STAGE, bad.shown, bad.reason, bad.detail))
        self._intake.tally["rejected"] += 1
        self._intake.reasons[bad.reason] += 1


def _lengths(inputs: list[Input]) -> Iterator[tuple[VideoFile, Length]]:
    """How long the files at hand are; what is wrong with one is told in its turn."""
    for one in inputs:
        if isinstance(one, VideoFile):
            with suppress(Unreadable, OSError):
                facts = facts_of(one.path)
                yield one, Length(facts.seconds or 0.0, *facts.upright)


def _check_space(dataset: Dataset, sampling: Sampling, lengths: Mapping[VideoFile, Length]) -> None:
    """`DiskFull` where the frames of the videos that are still to be sampled do not fit."""
    try:
        check_space(dataset.root, sampling, lengths.values())
    except DiskFull:
        # Only now: to tell a video that was sampled before, all of it has to be read.
        fresh = [length for one, length in lengths.items() if not _is_done(dataset, sampling, one)]
        check_space(dataset.root, sampling, fresh)


def _is_done(dataset: Dataset, sampling: Sampling, one: VideoFile) -> bool:
    try:
        sha256 = sha256_of_file(one.path)
    except OSError:
        return False
    return dataset.videos.done(sha256, sampling.settings) is not None
