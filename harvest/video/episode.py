"""One video from its bytes to stored frames, step by step: each step may be the last before a kill.

A step tells what was kept and from where a new run can go on. What it says depends on the
video and the sampling alone, not on how often it was stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from gleanset.errors import Unreadable
from gleanset.records import Measured
from harvest.video.bars_ffmpeg import find_bars
from harvest.video.choice import Chooser, Look, State
from harvest.video.damage_ffmpeg import Damage
from harvest.video.decoding import Decoding
from harvest.video.graph import Plan, make_plan
from harvest.video.part import Part, stretches
from harvest.video.picture import encoded
from harvest.video.place import Place, Print
from harvest.video.probe_ffmpeg import Facts, probe
from harvest.video.sampling import Sampling
from harvest.video.stickers import Sticker, is_sticker, probe_sticker

# Seconds of video from one place where a run can go on to the next, at least.
_CHECKPOINT = 10.0

Keep = Callable[[bytes, Measured], None]


@dataclass(frozen=True, slots=True)
class Picked:
    """A frame that was kept and lies in the store. `time` in seconds, the file's own."""

    measured: Measured
    time: float
    scene: int
    number: int | None


@dataclass(frozen=True, slots=True)
class Step:
    """What came since the last step. `gone` is how many seconds of the video are done.

    `state` (JSON values) is set where a new run could go on from here.
    """

    picked: tuple[Picked, ...]
    gone: float
    state: dict[str, Any] | None = None


def facts_of(video: Path) -> Facts:
    """What a file says of itself. Raises `Unreadable`, also where it cannot be read."""
    try:
        told = video.stat()
        return _facts(video, told.st_size, told.st_mtime_ns)
    except OSError as error:
        raise Unreadable("cannot be read", str(error.strerror)) from error


@lru_cache(maxsize=4096)
def _facts(video: Path, _size: int, _changed: int) -> Facts:
    """Asked for the prediction of space, and again in its turn: starting ffmpeg takes a while."""
    return probe_sticker(video) if is_sticker(video) else probe(video)


class Episode:
    """Samples one video. `keep` stores a frame; `told` is the state of a run that was stopped."""

    def __init__(
        self,
        video: Path,
        facts: Facts,
        sampling: Sampling,
        keep: Keep,
        told: dict[str, Any] | None = None,
    ) -> None:
        self._video, self._facts, self._sampling, self._keep = video, facts, sampling, keep
        self._place = Place.from_json(told) if told else Place()
        self.chosen = State.from_json(told["chosen"]) if told else State()
        self._chooser = Chooser(sampling, self.chosen)
        self._resumed = told is not None
        self._checkpoint = self._place.done if told else 0.0
        self._picked: list[Picked] = []
        self.trouble = ""
        self.damage: list[Damage] = []

    @property
    def start(self) -> float:
        """The time stamp of its beginning, in seconds."""
        return self._facts.start

    @property
    def full(self) -> bool:
        """Whether the limit ended it, and not the video."""
        return self._chooser.full

    @property
    def prints(self) -> list[Print]:
        """Fingerprints, one a second where openings are looked for."""
        return self._place.prints

    def steps(self) -> Iterator[Step]:
        """Everything, from where the last run stopped. Raises `Unreadable` and `DiskFull`."""
        crop = find_bars(self._video, self._facts) if self._sampling.crop_bars else None
        plan = make_plan(self._sampling, self._facts, crop)
        for begin, end in stretches(self._sampling, self._facts.start):
            if end > self._place.done and not self._chooser.full:
                yield from self._part(replace(plan, since=begin, until=end))
        yield Step((), self._gone(math.inf))

    def _part(self, plan: Plan) -> Iterator[Step]:
        part = Part(plan, self._sampling, self._place if self._resumed else self._fresh(plan))
        self._place, self._resumed = part.place, False
        source = Sticker if self._facts.container == "picture" else Decoding
        decoding = source(self._video, part.plan, part.numbering)
        with closing(decoding.blocks()) as blocks:
            for block in blocks:
                part.damage = decoding.damage
                yield from self._offered(part, part.take(block))
                if part.over or self._chooser.full:
                    break
        part.damage = decoding.damage
        yield from self._offered(part, part.finish())
        self._picked += self._stored(self._chooser.close())
        yield self._step(self._place.done)
        self.trouble = self.trouble or decoding.trouble
        self.damage = self.damage or decoding.damage

    def _fresh(self, plan: Plan) -> Place:
        """The place at the beginning of a part of a video: scenes are named by their time."""
        if plan.since is None:
            return Place(prints=self._place.prints)
        since = plan.since - self._facts.start
        number = math.ceil(since * (self._facts.fps or 0.0) - 1e-6)
        return Place(plan.since, round(since * 1000), number=number, prints=self._place.prints)

    def _offered(self, part: Part, looks: Iterable[Look]) -> Iterator[Step]:
        for look in looks:
            if self.full:
                return
            yield from self._offer(part, look)

    def _offer(self, part: Part, look: Look) -> Iterator[Step]:
        stretch = part.stretch(look)
        if self._chooser.begins(stretch):
            self._picked += self._stored(self._chooser.close())
            part.settle(look)
            if look.time - self._checkpoint >= _CHECKPOINT or self.full:
                self._checkpoint = look.time
                yield self._step(look.time, self._place.as_json(self.chosen))
            if self.full:
                return
        self._chooser.offer(look, stretch)

    def _step(self, time: float, state: dict[str, Any] | None = None) -> Step:
        picked, self._picked = tuple(self._picked), []
        return Step(picked, self._gone(time), state)

    def _stored(self, looks: Iterable[Look]) -> Iterator[Picked]:
        for look in looks:
            data, measured = encoded(look.picture, self._sampling)
            self._keep(data, measured)
            yield Picked(measured, look.time, look.scene, look.number)

    def _gone(self, time: float) -> float:
        length = self._facts.seconds or 0.0
        return min(max(time - self._facts.start, 0.0), length)
