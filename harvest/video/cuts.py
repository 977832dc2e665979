"""Streaming detection of hard and gradual scene cuts on thumbnails.

At a hard cut, the step to the next frame is much larger than the steps around it, and no later
frame resembles the frames before; a flash of a few frames therefore does not count. In a gradual
cut, the middle frame is the mean of the first and the last one, unlike in motion.
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
    """Buffer of recent frames: the ones to check and their neighbours."""

    times: Floats  # seconds
    thumbs: Thumbs  # YCbCr, (n, 3, height, width)
    steps: Floats  # distance to the previous frame, grey levels
    small: NDArray[np.float32]  # reduced brightness, (n, pixels)
    spread: Floats  # standard deviation of each frame in `small`


def extended(window: FrameBuffer | None, times: Floats, thumbs: Thumbs) -> FrameBuffer:
    """Return the buffer with new frames appended."""
    before = window.thumbs[-1:] if window is not None else thumbs[:1]
    steps = frame_distance(np.concatenate([before, thumbs[:-1]]), thumbs)
    # Every other pixel of the brightness is enough to compare means.
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
    """Drop frames before a time (seconds), in place."""
    # Keep the last frame: the next one is compared with it.
    keep = min(int(np.searchsorted(window.times, before)), len(window.times) - 1)
    window.times, window.thumbs = window.times[keep:], window.thumbs[keep:]
    window.steps, window.small = window.steps[keep:], window.small[keep:]
    window.spread = window.spread[keep:]


def frame_distance(first: Thumbs, other: Thumbs) -> Floats:
    """Return distances in grey levels, from (..., 3, height, width) to (...)."""
    high = np.maximum(first, other)
    low = np.minimum(first, other)
    means = (high - low).mean(axis=(-1, -2), dtype=np.float32)
    weights = np.array([1.0, 0.5, 0.5], dtype=np.float32)
    levels: Floats = (means * weights).sum(axis=-1).astype(np.float64)
    return levels


# Minimum step at a hard cut, in grey levels (of 255: brightness plus half of each color channel),
# and its minimum ratio to the steps around it. Motion has peaks too, but spread over frames.
HARD, TIMES, _SPIKE = 14.0, 1.7, 1.2
# Key frames are seconds apart, so motion between them must not count as a cut.
_KEY_FRAMES = 2.0 * HARD
# Frames after a hard cut must differ from those before by at least this share of the step.
_BACK = 0.4
# Maximum length of a flash and minimum length of a scene, in seconds.
_FLASH, SHORTEST = 0.26, 0.3
# Gradual cuts: lengths searched (seconds), minimum change from end to end (grey levels), and how
# far the middle may be from the mean of both ends (share of the change).
_SPANS, _SOFT, _OFF = (0.4, 0.8, 1.6), 10.0, 0.22
# Larger changes may contain motion, so they get a looser limit.
_GREAT, _FAR_OFF = 32.0, 0.32
# Maximum share of a gradual change that a single frame may contribute.
_STEP = 0.55
# Spread (grey levels) up to which an image counts as a single color.
BLANK = 4.0
# Frames below this share of a scene's spread are the fade into it, not a scene of their own.
_FAINT = 0.25
# A change followed by black within so many seconds is a fade to black.
_SOON = 0.5
# Minimum seconds between gradual cuts; of two closer ones, the larger change counts.
_APART = 0.8
# Seconds of video needed after a frame before it can be classified.
LAG = _APART + _SPANS[-1] / 2 + 0.1


class SceneCut(NamedTuple):
    """Cut at `time` (seconds); the image changes from `begin` to `end` (equal at a hard cut)."""

    time: float
    begin: float
    end: float
    counts: bool = True


class CutFinder:
    """Streaming detector of scene cuts.

    A cut is reported once `LAG` seconds after it are available, so that results do not depend on
    the block size. Cuts at or before `since` (seconds) are not reported.
    """

    def __init__(self, since: float = -math.inf) -> None:
        self._last_cut = -math.inf
        self._judged = since
        # Largest spread within the current scene.
        self._spread = 0.0 if math.isinf(since) else math.inf
        self._window: FrameBuffer | None = None

    def feed(self, times: Floats, thumbs: Thumbs) -> Iterator[SceneCut]:
        """Add frames and yield the cuts that are now certain, in order."""
        self._window = extended(self._window, times, thumbs)
        yield from self._judge(float(times[-1]) - LAG)

    def finish(self) -> Iterator[SceneCut]:
        """Yield the cuts among the last frames."""
        if self._window is not None:
            yield from self._judge(float(self._window.times[-1]))

    @property
    def settled(self) -> float:
        """Time (seconds) up to which all cuts have been reported."""
        return self._judged

    def motion(self, time: float) -> float:
        """Return a frame's distance to its nearer neighbour in grey levels."""
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
            # Fade from or to black: not a new scene, but its frames must not be kept either.
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
    """Cut detector for key frames: a scene begins where one differs from the previous one."""

    def __init__(self, since: float = -math.inf) -> None:
        self.settled = since
        self._before: Thumbs | None = None

    def feed(self, times: Floats, thumbs: Thumbs) -> Iterator[SceneCut]:
        """Add key frames and yield the cuts among them."""
        for time, thumb in zip(times.tolist(), thumbs, strict=True):
            before, self._before = self._before, thumb
            if before is None or time <= self.settled:
                continue
            if float(frame_distance(before, thumb)) >= _KEY_FRAMES:
                yield SceneCut(time, time, time)
        self.settled = max(self.settled, float(times[-1]))

    def motion(self, time: float) -> float:
        """Return 0: motion is unknown between key frames."""
        return 0.0

    def finish(self) -> Iterator[SceneCut]:
        """Yield nothing: `feed` has reported all cuts."""
        yield from ()


def _usual(steps: Floats, at: int) -> float:
    """Return the typical step around a frame, ignoring a single flash."""
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
    """Return whether a scene, not just a fade in, precedes a cut."""
    last = len(window.times) - 1
    begin, end = (min(int(np.searchsorted(window.times, t)), last) for t in (cut.begin, cut.end))
    gone = float(window.spread[begin]) <= spread / 2
    return spread >= BLANK and (gone or spread >= _FAINT * float(window.spread[end]))


def _is_dark(window: FrameBuffer, cut: SceneCut) -> bool:
    at = min(int(np.searchsorted(window.times, cut.begin)), len(window.times) - 1)
    return not cut.counts or float(window.spread[at]) <= BLANK


def _nearby(cut: SceneCut, greater: SceneCut) -> bool:
    """Return whether a larger cut includes this one.

    A fade out is never part of the fade in after it.
    """
    if cut.counts and not greater.counts:
        return greater.begin - _APART <= cut.time < greater.end
    return cut.counts == greater.counts and abs(cut.time - greater.time) <= _APART


def _even_changes(window: FrameBuffer, span: float) -> Iterator[tuple[float, int, int, int]]:
    """Yield (change, middle, first, last) of even changes that last `span` seconds."""
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
    """Return whether frame `at` interpolates frames `a` and `b` linearly in time."""
    part = (times[at] - times[a]) / (times[b] - times[a])
    mean = small[a] + (small[b] - small[a]) * np.float32(part)
    change = float(np.abs(small[b] - small[a]).mean())
    most = _FAR_OFF if change >= _GREAT else _OFF
    return float(np.abs(small[at] - mean).mean()) <= most * change


def _soft_cut(window: FrameBuffer, at: int, first: int, last: int) -> SceneCut:
    times = window.times
    # The span may cover only part of a fade, so look for black shortly after it as well.
    soon = (times > times[at]) & (times <= times[last] + _SOON)
    dark = bool((window.spread[soon] <= BLANK).any())
    return SceneCut(float(times[at]), float(times[first]), float(times[last]), counts=not dark)
