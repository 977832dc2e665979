"""A stretch of a video that is decoded in one go, and the looks that are taken in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import imagehash
import numpy as np
from PIL import Image

from harvest.video.choice import Look
from harvest.video.cuts import Cut, Resumed
from harvest.video.damage_ffmpeg import Damage, lies_in
from harvest.video.decoding import Block
from harvest.video.graph import Plan
from harvest.video.numbering import Numbering
from harvest.video.picture import RawPicture
from harvest.video.place import Place
from harvest.video.sampling import Sampling
from harvest.video.scenes import finder

# Half of the longest gradual cut: whether a frame lies in one is known only so much later.
_FADE = 0.81


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A picture of which it is not yet sure in which scene it lies."""

    time: float
    number: int
    picture: RawPicture


def stretches(sampling: Sampling, start: float) -> list[tuple[float | None, float]]:
    """(from, to) in the file's own time of what is to be decoded, in order, apart."""
    end = math.inf if sampling.end is None else sampling.end + start
    begin = None if sampling.start is None else sampling.start + start
    if sampling.mode != "around":
        return [(begin, end)]
    found: list[tuple[float | None, float]] = []
    for time in sorted(sampling.around):
        first = max(time - sampling.reach + start, begin or start)
        last = min(time + sampling.reach + start, end)
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        elif first < last:
            found.append((first, last))
    return found


class Part:
    """Turns decoded blocks into looks whose scene is sure. `place` goes along with them."""

    def __init__(self, plan: Plan, sampling: Sampling, place: Place) -> None:
        self._begun = not math.isinf(place.done)
        self.plan = replace(plan, since=place.done) if self._begun else plan
        self.place = place
        self.over = False
        self.damage: list[Damage] = []
        self._sampling = sampling
        self._until = math.inf if plan.until is None else plan.until
        resumed = Resumed(place.scene_start, place.done) if self._begun else None
        self._finder = finder(sampling, plan.facts.fps, resumed)
        self.numbering = Numbering(
            by_packets=plan.counted_by_packets and plan.facts.container != "picture",
            since=place.done,
            first=place.number,
        )
        self._waiting: deque[_Waiting] = deque()
        self._cuts: deque[Cut] = deque()
        self._changes: list[Cut] = []
        self._scene, self._scene_start = place.scene, place.scene_start
        self._new_prints = list(place.prints)

    def take(self, block: Block) -> Iterator[Look]:
        """The looks that are sure with this block."""
        for piece in block.pieces():
            if not self.over:
                yield from self._taken(piece)

    def _taken(self, block: Block) -> Iterator[Look]:
        inside = int(np.searchsorted(block.times, self._until, side="right"))
        self.over = inside < len(block.times)
        if inside:
            self._print(block, inside)
            self._met(self._finder.feed(block.times[:inside], block.thumbs[:inside]))
            self._wait(block, inside)
        yield from self._sure(self._finder.settled - _FADE)

    def finish(self) -> Iterator[Look]:
        """The looks at the end."""
        self._met(self._finder.finish())
        yield from self._sure(math.inf)

    def stretch(self, look: Look) -> tuple[int, int]:
        """What a look competes in: of the looks in one stretch, one or few are kept."""
        mode, every = self._sampling.mode, self._sampling.every
        if mode == "scenes":
            return look.scene, 0
        if mode == "keyframes":
            return round(look.time * 1e6), 0
        if mode == "useful":
            start = self._scene_start
            since = look.time - (self.plan.facts.start if math.isinf(start) else start)
            return look.scene, int(since // every)
        return int(self.plan.schedule.bins(np.array([look.time]), every)[0]), 0

    def settle(self, look: Look) -> None:
        """All before that look is decided."""
        place = self.place
        place.done, place.number = look.time, look.number or 0
        place.scene, place.scene_start = self._scene, self._scene_start
        place.prints = [one for one in self._new_prints if one[0] < look.time]

    def _met(self, cuts: Iterator[Cut]) -> None:
        for cut in cuts:
            if cut.end > cut.begin:
                self._changes.append(cut)
            if cut.counts:
                self._cuts.append(cut)

    def _wait(self, block: Block, inside: int) -> None:
        plan = self.plan
        for at, data in block.pictures.items():
            time = float(block.times[at])
            if at < inside and time >= self.place.done:
                raw = RawPicture(data, plan.size, plan.rgb, plan.facts.bt709)
                self._waiting.append(_Waiting(time, int(block.numbers[at]), raw))

    def _sure(self, until: float) -> Iterator[Look]:
        while self._waiting and self._waiting[0].time <= until:
            one = self._waiting.popleft()
            # Not before: of what lies a moment further on, ffmpeg has complained by now.
            if lies_in(self.damage, one.time):
                continue
            while self._cuts and self._cuts[0].time <= one.time:
                self._scene += 1
                self._scene_start = self._cuts.popleft().time
            fades = any(cut.begin < one.time < cut.end for cut in self._changes)
            motion = self._finder.motion(one.time)
            yield Look(one.time, self._scene, one.number, one.picture, fades, motion)
        self._changes = [cut for cut in self._changes if cut.end > until - 2 * _FADE]

    def _print(self, block: Block, inside: int) -> None:
        """A fingerprint of the first frame of every second."""
        if not self._sampling.skip_openings:
            return
        for time, thumb in zip(block.times[:inside].tolist(), block.thumbs[:inside], strict=True):
            latest = self._new_prints[-1][0] if self._new_prints else -math.inf
            if time >= self.place.done and math.floor(time) > latest:
                tiny = thumb.mean(axis=2) if self.plan.coloured else thumb[0]
                code = int(str(imagehash.phash(Image.fromarray(tiny.astype(np.uint8)))), 16)
                self._new_prints.append((time, code))
