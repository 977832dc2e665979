"""One input on its way through a run: its videos one after another, each step by step.

A task is only ever active in one thread. It touches no catalogue: what it needs to know is
handed to it, what it gives are values.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from gleanset.errors import Unreadable
from gleanset.files.store import Store
from gleanset.records import Measured
from harvest.video.frame_selector import FrameFollower
from harvest.video.inputs import InputResult, VideoAtHand, VideoInput
from harvest.video.sampler import SamplingEnd, SamplingStep, StoredFrame, VideoSampler, read_facts
from harvest.video.sampling import Sampling


@dataclass
class FrameLimit:
    """`images` (SHA-256) were met in this run; `before` are the frames of earlier ones by video."""

    limit: int | None
    images: set[str] = field(default_factory=set)
    before: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int | None:
        """How many may still come; None where all may."""
        if self.limit is None:
            return None
        return max(self.limit - len(self.images) - sum(self.before.values()), 0)


@dataclass
class VideoTask:
    """One video that is being sampled. `waiting` is what it has given.

    Frames are staged in `store`, and wait where it is not yet known whether they lie in an
    opening. `most` is how many more it may give, None where all are wanted; a `follower`
    chooses them where the sampling says so.
    """

    video: VideoAtHand
    sampling: Sampling
    store: Store
    most: int | None = None
    follower: FrameFollower | None = None
    waiting: list[StoredFrame] = field(default_factory=list)
    frames: int = 0
    gone: float = 0.0
    ending: SamplingEnd | None = None
    _sampler: VideoSampler | None = None
    _steps: Iterator[SamplingStep] | None = None

    def advance(self) -> SamplingStep | None:
        """Return the next step; None at the end, which is then `ending`.

        Raises `Unreadable` and `GleansetError`s.
        """
        if self._steps is None:
            self._steps = self._begin()
        step = next(self._steps, None)
        if step is None and self._sampler is not None:
            self.ending = self._sampler.ending()
        return step

    def _begin(self) -> Generator[SamplingStep, None, None]:
        facts = read_facts(self.video.path)
        wanted = replace(self.sampling, limit=self.most)
        self._sampler = VideoSampler(self.video.path, facts, wanted, self._stage, self.follower)
        yield from self._sampler.steps()

    def _stage(self, data: bytes, measured: Measured) -> None:
        self.store.stage(measured.sha256, measured.format, data)

    def close(self) -> None:
        """End ffmpeg."""
        if isinstance(self._steps, Generator):
            self._steps.close()


class InputSampler:
    """The videos of one input and the `task` of the one that is on.

    `place` is its number among the inputs.
    """

    def __init__(self, source: VideoInput, place: int, folder: Path) -> None:
        self.place = place
        self.source = source
        self.task: VideoTask | None = None
        self._videos = source.videos(folder)

    def next_video(self) -> InputResult | None:
        """Return the next video of the input; None after the last."""
        return next(self._videos, None)

    def close(self) -> None:
        """End what is at work; a download is removed."""
        if self.task is not None:
            self.task.close()
        if isinstance(self._videos, Generator):
            self._videos.close()


@dataclass(frozen=True, slots=True)
class SampledPart:
    """What a task gave since its last part; then `ending`, or the `error` that broke it off."""

    steps: tuple[SamplingStep, ...]
    ending: SamplingEnd | None = None
    error: Unreadable | None = None


def sample_step(task: VideoTask) -> SampledPart:
    """For `run_over` in threads: one step of a video."""
    step = task.advance()
    return SampledPart(() if step is None else (step,), task.ending)


def sample_whole(task: VideoTask) -> SampledPart:
    """For `run_over` on another machine: a whole video."""
    steps: list[SamplingStep] = []
    broken: Unreadable | None = None
    try:
        while (step := task.advance()) is not None:
            steps.append(step)
    except Unreadable as error:
        broken = error
    finally:
        task.close()
    return SampledPart(tuple(steps), task.ending, broken)
