"""Where scenes begin: hard cuts and gradual ones, found in tiny frames while they come.

A hard cut is a frame that differs much more from the one before than its neighbours do, and after
which nothing is as it was before: so a flash of a frame or a few is none. A gradual one is a
stretch in whose middle the picture is the mean of both its ends, which motion is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Thumbs = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass
class FrameBuffer:
    """The frames around the ones to be judged."""

    times: Floats
    thumbs: Thumbs
    steps: Floats
    small: NDArray[np.float32]
    spread: Floats


def extended(window: FrameBuffer | None, times: Floats, thumbs: Thumbs) -> FrameBuffer:
    """With some more frames."""
    before = window.thumbs[-1:] if window is not None else thumbs[:1]
    steps = frame_distance(np.concatenate([before, thumbs[:-1]]), thumbs)
    # Every other pixel of the brightness is enough to tell a mean.
    small = thumbs[:, 0, ::2, ::2].reshape(len(thumbs), -1).astype(np.float32)
    spread = small.std(axis=1).astype(np.float64)
    if window is None:
        return FrameBuffer(times, thumbs, steps, small, spread)
    return FrameBuffer(
        np.concatenate([window.times, times]),
        np.concatenate([window.thumbs, thumbs]),
        np.concatenate([window.steps, steps]),
        np.concatenate([window.small, small]),
        np.concatenate([window.spread, spread]),
    )


def drop_before(window: FrameBuffer, before: float) -> None:
    """Leave out frames before that time."""
    # The last one is what the next is compared with.
    keep = min(int(np.searchsorted(window.times, before)), len(window.times) - 1)
    window.times, window.thumbs = window.times[keep:], window.thumbs[keep:]
    window.steps, window.small = window.steps[keep:], window.small[keep:]
    window.spread = window.spread[keep:]


def frame_distance(first: Thumbs, other: Thumbs) -> Floats:
    """Return how far frames are from each other: (..., 3, height, width) gives (...)."""
    high = np.maximum(first, other)
    low = np.minimum(first, other)
    means = (high - low).mean(axis=(-1, -2), dtype=np.float32)
    weights = np.array([1.0, 0.5, 0.5], dtype=np.float32)
    levels: Floats = (means * weights).sum(axis=-1).astype(np.float64)
    return levels


# Grey levels (of 255, brightness and half of each colour) between frames of a hard cut, and how
# many times that of usual steps around it. Motion peaks as well, but not within a frame.
HARD, TIMES, _SPIKE = 14.0, 1.7, 1.2
# Key frames lie seconds apart: what moves in between is no cut yet.
_KEY_FRAMES = 2.0 * HARD
# After a cut nothing may be nearer to what was before than this part of it.
_BACK = 0.4
# Seconds of a flash at most, of a scene at least.
_FLASH, SHORTEST = 0.26, 0.3
# Seconds of the gradual cuts that are looked for; grey levels from end to end; how far the
# middle may be from the mean of both, as a part of that.
_SPANS, _SOFT, _OFF = (0.4, 0.8, 1.6), 10.0, 0.22
# Great changes may have motion in them, as small ones may be nothing but motion.
_GREAT, _FAR_OFF = 32.0, 0.32
# The part of it that may come in a single frame.
_STEP = 0.55
# A picture of one colour: spread in grey levels.
BLANK = 4.0
# What was only seen with less than this part of a scene's spread was the fade into it.
_FAINT = 0.25
# Seconds after a change within which it is seen to have led into darkness.
_SOON = 0.5
# Seconds between gradual cuts at least; of two nearer ones the greater change counts.
_APART = 0.8
# Seconds that have to be seen around a frame before it is judged.
LAG = _APART + _SPANS[-1] / 2 + 0.1


class SceneCut(NamedTuple):
    """A scene begins at `time`; from `begin` to `end` the picture changes (equal when hard)."""

    time: float
    begin: float
    end: float
    counts: bool = True


class CutFinder:
    """Takes blocks of frames, gives the cuts among frames that lie far enough back.

    A cut is told when `LAG` seconds after it were seen, so that what comes out does not depend
    on how many frames come at a time. Cuts up to the time `since` are not told.
    """

    def __init__(self, since: float = -math.inf) -> None:
        self._last_cut = -math.inf
        self._judged = since
        # The greatest spread in the scene that is on.
        self._spread = 0.0 if math.isinf(since) else math.inf
        self._window: FrameBuffer | None = None

    def feed(self, times: Floats, thumbs: Thumbs) -> Iterator[SceneCut]:
        """Take some frames; the cuts that are sure now, in order."""
        self._window = extended(self._window, times, thumbs)
        yield from self._judge(float(times[-1]) - LAG)

    def finish(self) -> Iterator[SceneCut]:
        """Yield the cuts among the last frames."""
        if self._window is not None:
            yield from self._judge(float(self._window.times[-1]))

    @property
    def settled(self) -> float:
        """Up to here all cuts are told."""
        return self._judged

    def motion(self, time: float) -> float:
        """Grey levels by which a frame differs from the nearer of its neighbours."""
        if self._window is None:
            return 0.0
        at = int(np.searchsorted(self._window.times, time))
        beside = self._window.steps[at : at + 2]
        return float(beside.min()) if len(beside) else 0.0

    def _judge(self, until: float) -> Iterator[SceneCut]:
        window = self._window
        assert window is not None
        judged = (window.times > self._judged) & (window.times <= until)
        soft = _gradual_cuts(window)
        dark = [cut for cut in soft if _is_dark(window, cut)]
        hard = (
            cut
            for cut in self._hard_cuts(window, judged)
            if not any(one.begin < cut.time < one.end for one in dark)
        )
        found = sorted([*hard, *(cut for cut in soft if self._judged < cut.time <= until)])
        for cut in found:
            if cut.time - self._last_cut >= SHORTEST or not cut.counts:
                yield from self._counted(window, cut)
        self._judged = max(self._judged, until)
        of_scene = judged & (window.times > self._last_cut)
        self._spread = max(self._spread, float(window.spread[of_scene].max(initial=0.0)))
        drop_before(window, self._judged - LAG - _SPANS[-1])

    def _counted(self, window: FrameBuffer, cut: SceneCut) -> Iterator[SceneCut]:
        before = (window.times > self._last_cut) & (window.times <= cut.begin)
        spread = max(self._spread, float(window.spread[before].max(initial=0.0)))
        if cut.counts and _follows_a_scene(window, cut, spread):
            self._last_cut = cut.time
            self._spread = 0.0
            yield cut
        elif cut.end > cut.begin:
            # Out of or into darkness: no new scene, but nothing to keep either.
            yield cut._replace(counts=False)

    def _hard_cuts(self, window: FrameBuffer, judged: NDArray[np.bool_]) -> Iterator[SceneCut]:
        for at in np.flatnonzero(judged & (window.steps >= HARD)):
            if self._is_cut(window, int(at)):
                time = float(window.times[at])
                yield SceneCut(time, time, time)

    def _is_cut(self, window: FrameBuffer, at: int) -> bool:
        if at == 0:
            return False
        time, step = window.times[at], window.steps[at]
        if at > 1 and step < TIMES * _usual(window.steps, at):
            return False
        before = np.flatnonzero((window.times >= time - _FLASH) & (window.times < time))
        after = np.flatnonzero((window.times >= time) & (window.times <= time + _FLASH))
        before = before if len(before) else np.array([at - 1])
        pairs = frame_distance(window.thumbs[before][:, None], window.thumbs[after][None, :])
        return float(pairs.min()) >= _BACK * float(step)


class KeyFrameCuts:
    """A `CutFinder` for key frames alone: each that looks unlike the one before begins a scene."""

    def __init__(self, since: float = -math.inf) -> None:
        self.settled = since
        self._before: Thumbs | None = None

    def feed(self, times: Floats, thumbs: Thumbs) -> Iterator[SceneCut]:
        """Take some frames; the cuts among them."""
        for time, thumb in zip(times.tolist(), thumbs, strict=True):
            before, self._before = self._before, thumb
            if before is None or time <= self.settled:
                continue
            if float(frame_distance(before, thumb)) >= _KEY_FRAMES:
                yield SceneCut(time, time, time)
        self.settled = max(self.settled, float(times[-1]))

    def motion(self, time: float) -> float:
        """Unknown between key frames."""
        return 0.0

    def finish(self) -> Iterator[SceneCut]:
        """Nothing is left."""
        yield from ()


def _usual(steps: Floats, at: int) -> float:
    """Return how much frames around that one differ by motion; a single flash does not count."""
    before, after = steps[max(at - 3, 1) : at], steps[at + 1 : at + 4]
    if not len(after):
        return float(np.median(before))
    beside = min(float(before[-1]), float(after[0]))
    return max(float(np.median(before)), float(np.median(after)), beside * _SPIKE)


def _gradual_cuts(window: FrameBuffer) -> list[SceneCut]:
    best: list[tuple[float, SceneCut]] = []
    for span in _SPANS:
        for change, at, first, last in _even_changes(window, span):
            best.append((change, _soft_cut(window, at, first, last)))
    best.sort(key=lambda one: (-one[0], one[1].time))
    return [
        cut
        for place, (_, cut) in enumerate(best)
        if not any(_nearby(cut, other) for _, other in best[:place])
    ]


def _follows_a_scene(window: FrameBuffer, cut: SceneCut, spread: float) -> bool:
    """Return whether something was shown before a cut, with that spread, and not only the fade into
    it.
    """
    last = len(window.times) - 1
    begin, end = (min(int(np.searchsorted(window.times, t)), last) for t in (cut.begin, cut.end))
    gone = float(window.spread[begin]) <= spread / 2
    return spread >= BLANK and (gone or spread >= _FAINT * float(window.spread[end]))


def _is_dark(window: FrameBuffer, cut: SceneCut) -> bool:
    at = min(int(np.searchsorted(window.times, cut.begin)), len(window.times) - 1)
    return not cut.counts or float(window.spread[at]) <= BLANK


def _nearby(cut: SceneCut, greater: SceneCut) -> bool:
    """Return whether a cut is a part of a greater one; the way into darkness is none of the way
    out.
    """
    if cut.counts and not greater.counts:
        return greater.begin - _APART <= cut.time < greater.end
    return cut.counts == greater.counts and abs(cut.time - greater.time) <= _APART


def _even_changes(window: FrameBuffer, span: float) -> Iterator[tuple[float, int, int, int]]:
    """(change, middle, first, last) of the frames around which it is even over `span`."""
    times, small = window.times, window.small
    places = np.arange(len(times))
    first = np.searchsorted(times, times[places] - span / 2)
    last = np.searchsorted(times, times[places] + span / 2, side="right") - 1
    change = np.abs(small[last] - small[first]).mean(axis=1)
    whole = times[last] - times[first] >= 0.7 * span
    for at in np.flatnonzero(
        whole & (change >= _SOFT) & (last - places >= 2) & (places - first >= 2)
    ):
        a, b, middle = int(first[at]), int(last[at]), int(places[at])
        if float(window.steps[a + 1 : b + 1].max()) > _STEP * float(change[at]):
            continue
        if all(_is_mean(small, times, a, b, one) for one in (middle, (a + middle) // 2)):
            yield float(change[at]), middle, a, b


def _is_mean(small: NDArray[np.float32], times: Floats, a: int, b: int, at: int) -> bool:
    """Return whether a frame is the mean of two others, weighed by their times."""
    part = (times[at] - times[a]) / (times[b] - times[a])
    mean = small[a] + (small[b] - small[a]) * np.float32(part)
    change = float(np.abs(small[b] - small[a]).mean())
    most = _FAR_OFF if change >= _GREAT else _OFF
    return float(np.abs(small[at] - mean).mean()) <= most * change


def _soft_cut(window: FrameBuffer, at: int, first: int, last: int) -> SceneCut:
    times = window.times
    # A part of a fade counts as the whole: what comes right after is black.
    soon = (times > times[at]) & (times <= times[last] + _SOON)
    dark = bool((window.spread[soon] <= BLANK).any())
    return SceneCut(float(times[at]), float(times[first]), float(times[last]), counts=not dark)
