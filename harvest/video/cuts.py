"""Streaming detection of hard and gradual scene cuts on thumbnails.

At a hard cut, the step to the next frame is much larger than the steps around it, and no later
frame resembles the frames before; a flash of a few frames therefore does not count. In a gradual
cut, the middle frame is the mean of the first and the last one, unlike in motion.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gleanset.arrays import BoolArray, Float32Array, Float64Array, Pixels

Indices = NDArray[np.intp]


@dataclass
class FrameBuffer:
    """Buffer of recent frames: the ones to check and their neighbours."""

    times: Float64Array  # seconds
    thumbs: Pixels  # YCbCr, (n, 3, height, width)
    steps: Float64Array  # distance to the previous frame, grey levels
    small: Float32Array  # reduced brightness, (n, pixels)
    spread: Float64Array  # standard deviation of each frame in `small`


def append_frames(
    window: FrameBuffer | None, times: Float64Array, thumbs: Pixels
) -> FrameBuffer:
    """Return the buffer with new frames appended."""
    # The very first frame is compared with itself: its step is 0.
    before = window.thumbs[-1:] if window else thumbs[:1]
    steps = measure_distance(
        np.concatenate([before, thumbs[:-1]]),
        thumbs,
    )
    # Gradual cuts compare means over all pixels of a frame: every second row and column of the
    # brightness is enough for that.
    small = thumbs[:, 0, ::2, ::2].reshape(len(thumbs), -1).astype(np.float32)
    new = FrameBuffer(times, thumbs, steps, small, small.std(axis=1).astype(np.float64))
    if not window:
        return new

    columns = {}
    for field in fields(FrameBuffer):
        old_and_new = [getattr(window, field.name), getattr(new, field.name)]
        columns[field.name] = np.concatenate(old_and_new)
    return FrameBuffer(**columns)


def drop_before(window: FrameBuffer, before: float) -> None:
    """Drop frames before a time (seconds), in place."""
    # Keep the last frame: the next one is compared with it.
    first = min(int(np.searchsorted(window.times, before)), len(window.times) - 1)
    for field in fields(FrameBuffer):
        setattr(window, field.name, getattr(window, field.name)[first:])


def measure_distance(first: Pixels, other: Pixels) -> Float64Array:
    """Return distances in grey levels, from (..., 3, height, width) to (...)."""
    # Not the absolute difference: unsigned bytes would wrap around.
    differences = np.maximum(first, other) - np.minimum(first, other)
    channel_means = differences.mean(axis=(-1, -2), dtype=np.float32)
    weights = np.array([1.0, 0.5, 0.5], dtype=np.float32)  # brightness, two colors
    levels: Float64Array = (channel_means * weights).sum(axis=-1).astype(np.float64)
    return levels


# Minimum step at a hard cut, in grey levels (of 255: brightness plus half of each color channel),
# and its minimum ratio to the steps around it. Motion has peaks too, but spread over frames.
MIN_HARD_STEP = 14.0
MIN_STEP_RATIO = 1.7
_SPIKE_RATIO = 1.2
# Frames after a hard cut must differ from those before by at least this share of the step.
_MIN_CHANGE_SHARE = 0.4
# Maximum length of a flash and minimum length of a scene, in seconds.
_MAX_FLASH_SECONDS = 0.26
MIN_SCENE_SECONDS = 0.3
# Gradual cuts: lengths searched (seconds), minimum change from end to end (grey levels), and how
# far the middle may be from the mean of both ends (share of the change).
_GRADUAL_SECONDS = (0.4, 0.8, 1.6)
_MIN_GRADUAL_CHANGE = 10.0
_MAX_DEVIATION = 0.22
# Larger changes may contain motion, so they get a looser limit.
_LARGE_CHANGE = 32.0
_MAX_LARGE_DEVIATION = 0.32
# Maximum share of a gradual change that a single frame may contribute.
_MAX_STEP_SHARE = 0.55
# Spread (grey levels) up to which an image counts as a single color.
MAX_BLANK_SPREAD = 4.0
# Frames below this share of a scene's spread are the fade into it, not a scene of their own.
_MIN_SPREAD_SHARE = 0.25
# A change followed by black within this time is a fade to black.
_FADE_TO_BLACK_SECONDS = 0.5
# Minimum seconds between gradual cuts; of two closer ones, the larger change counts.
_GRADUAL_GAP_SECONDS = 0.8
# Seconds of video needed after a frame before it can be classified.
LAG_SECONDS = _GRADUAL_GAP_SECONDS + _GRADUAL_SECONDS[-1] / 2 + 0.1


class SceneCut(NamedTuple):
    """Cut at `time` (seconds); the image changes from `begin` to `end` (equal at a hard cut).

    A fade to black, and one from black at the beginning of a video, does not start a scene.
    """

    time: float
    begin: float
    end: float
    starts_scene: bool = True


class CutFinder:
    """Streaming detector of scene cuts.

    A cut is reported once `LAG_SECONDS` after it are available, so that results do not depend on
    the block size. Cuts at or before `since` (seconds; -inf for a whole video) are not reported.
    `settled_until` is the time up to which all cuts have been reported.
    """

    def __init__(self, since: float):
        self._last_cut = -math.inf
        self.settled_until = since
        # Largest spread (grey levels) since the last cut: while it is small, there was no scene yet
        # but black, or a fade in. A whole video begins with 0. A segment inside a video begins
        # within a scene, for which an infinite spread stands.
        self._spread = 0.0 if math.isinf(since) else math.inf
        self._window: FrameBuffer | None = None

    def feed(self, times: Float64Array, thumbs: Pixels) -> Iterator[SceneCut]:
        """Add frames and yield the cuts that are now certain, in order."""
        self._window = append_frames(self._window, times, thumbs)
        yield from self._classify(float(times[-1]) - LAG_SECONDS)

    def finish(self) -> Iterator[SceneCut]:
        """Yield the cuts among the last frames."""
        if self._window:
            yield from self._classify(float(self._window.times[-1]))

    def measure_motion(self, time: float) -> float:
        """Return a frame's distance to its nearer neighbour in grey levels."""
        if not self._window:
            return 0.0
        index = int(np.searchsorted(self._window.times, time))
        neighbours = self._window.steps[index : index + 2]
        return float(neighbours.min()) if len(neighbours) else 0.0

    def _classify(self, until: float) -> Iterator[SceneCut]:
        """Yield the cuts after `settled_until`, up to `until` (both in seconds)."""
        window = self._window
        assert window
        is_pending = (window.times > self.settled_until) & (window.times <= until)
        gradual_cuts = _find_gradual_cuts(window)
        cuts = [cut for cut in gradual_cuts if self.settled_until < cut.time <= until]

        # Gradual cuts that end in a single color (they start no scene) or begin with one.
        fades = [
            cut
            for cut in gradual_cuts
            if not cut.starts_scene
            or _get_spread(window, cut.begin) <= MAX_BLANK_SPREAD
        ]
        large_steps = np.flatnonzero(is_pending & (window.steps >= MIN_HARD_STEP))
        for index in large_steps.tolist():
            time = float(window.times[index])
            # A fade through black has large steps, too.
            in_fade = any(fade.begin < time < fade.end for fade in fades)
            if self._is_hard_cut(window, index) and not in_fade:
                cuts.append(SceneCut(time, time, time))

        # A cut soon after another one starts no scene. A fade out is reported even then, because
        # its frames are not kept.
        for cut in sorted(cuts):
            if cut.time - self._last_cut >= MIN_SCENE_SECONDS or not cut.starts_scene:
                yield from self._resolve_cut(window, cut)

        self.settled_until = max(self.settled_until, until)
        # The last frames may turn out to be in a gradual cut whose middle is after `until`: they do
        # not count yet. So the spread does not depend on how many frames came at once.
        self._spread = self._measure_spread(
            window,
            until - _GRADUAL_SECONDS[-1] / 2,
        )
        # Later cuts are found from the frames of the longest gradual cut before them, and compared
        # with other cuts up to `LAG_SECONDS` away. Older frames are not needed.
        drop_before(
            window,
            self.settled_until - LAG_SECONDS - _GRADUAL_SECONDS[-1],
        )

    def _measure_spread(self, window: FrameBuffer, until: float) -> float:
        """Return the largest spread (grey levels) since the last cut, up to `until` (seconds).

        Where it is small there was a single color, not a scene.
        """
        in_scene = (window.times > self._last_cut) & (window.times <= until)
        return max(self._spread, float(window.spread[in_scene].max(initial=0.0)))

    def _resolve_cut(self, window: FrameBuffer, cut: SceneCut) -> Iterator[SceneCut]:
        """Yield a cut after a scene, and any other gradual cut as one that starts no scene.

        A hard cut after less than a scene is left out.
        """
        spread = self._measure_spread(window, cut.begin)
        if cut.starts_scene and _follows_scene(window, cut, spread):
            self._last_cut = cut.time
            self._spread = 0.0
            yield cut
        elif cut.end > cut.begin:
            # Fade from or to black: not a new scene, but its frames must not be kept either.
            yield cut._replace(starts_scene=False)

    def _is_hard_cut(self, window: FrameBuffer, index: int) -> bool:
        """Return whether a large step is a hard cut, and neither motion nor a flash."""
        # Nothing in the window precedes its first frame.
        if index == 0:
            return False
        step = float(window.steps[index])
        # The step of the first frame does not count, so the second frame has none to compare with.
        if index > 1:
            typical_step = _find_typical_step(window.steps, index)
            if step < MIN_STEP_RATIO * typical_step:
                return False

        times = window.times
        time = times[index]
        is_before = (times >= time - _MAX_FLASH_SECONDS) & (times < time)
        is_after = (times >= time) & (times <= time + _MAX_FLASH_SECONDS)
        # With few frames a second the frame before may be further away.
        if not is_before.any():
            is_before[index - 1] = True
        # Each frame before with each one after: in a flash, two of them are alike.
        before = window.thumbs[is_before][:, None]
        after = window.thumbs[is_after][None, :]
        nearest = float(measure_distance(before, after).min())
        return nearest >= _MIN_CHANGE_SHARE * step


def _find_typical_step(steps: Float64Array, index: int) -> float:
    """Return the typical step around a frame, ignoring a single flash."""
    # The first step of a video is that of its first frame to itself.
    before = steps[max(index - 3, 1) : index]
    after = steps[index + 1 : index + 4]
    median_before = float(np.median(before))
    if not len(after):
        return median_before

    # Motion has similar steps one after the other; a cut is larger than the step before or after
    # it. The smaller of the two is compared, because the other may be a flash or a second cut.
    neighbour = min(float(before[-1]), float(after[0]))
    return max(median_before, float(np.median(after)), neighbour * _SPIKE_RATIO)


class _EvenChange(NamedTuple):
    """Change in grey levels, and the indices of its middle, first and last frame."""

    amount: float
    middle: int
    first: int
    last: int


def _find_gradual_cuts(window: FrameBuffer) -> list[SceneCut]:
    changes: list[_EvenChange] = []
    for span in _GRADUAL_SECONDS:
        changes += _find_even_changes(window, span)
    # The largest first: a smaller one may be a part of it.
    changes.sort(key=lambda change: (-change.amount, window.times[change.middle]))

    larger_cuts: list[SceneCut] = []
    cuts = []
    for change in changes:
        cut = _make_gradual_cut(window, change)
        if not any(_is_part_of(cut, larger) for larger in larger_cuts):
            cuts.append(cut)
        # Also those that are parts: a long dissolve is found in several spans, each near the next.
        larger_cuts.append(cut)
    return cuts


def _follows_scene(window: FrameBuffer, cut: SceneCut, spread: float) -> bool:
    """Return whether a scene, not just a fade in, precedes a cut."""
    if spread < MAX_BLANK_SPREAD:
        return False
    # Frames with much less spread than those after the cut are the fade into these, unless their
    # spread fell to half before the cut: then they are a scene that has faded out.
    has_faded_out = _get_spread(window, cut.begin) <= spread / 2
    return has_faded_out or spread >= _MIN_SPREAD_SHARE * _get_spread(window, cut.end)


def _get_spread(window: FrameBuffer, time: float) -> float:
    """Return the spread (grey levels) of the frame at a time, or of the next one."""
    index = min(int(np.searchsorted(window.times, time)), len(window.times) - 1)
    return float(window.spread[index])


def _is_part_of(cut: SceneCut, larger: SceneCut) -> bool:
    """Return whether a larger cut includes this one.

    A fade out is never part of the fade in after it.
    """
    # A change that starts a scene within a fade out, which starts none.
    if cut.starts_scene and not larger.starts_scene:
        return larger.begin - _GRADUAL_GAP_SECONDS <= cut.time < larger.end
    # Two of a kind at the same time. A fade out and the fade in after it are of different kinds.
    return (
        cut.starts_scene == larger.starts_scene
        and abs(cut.time - larger.time) <= _GRADUAL_GAP_SECONDS
    )


def _find_even_changes(window: FrameBuffer, span: float) -> list[_EvenChange]:
    """Return the even changes that last `span` seconds."""
    times = window.times
    # For each frame as the middle of a change: the first and the last frame of that change.
    middles = np.arange(len(times))
    first = np.searchsorted(times, times - span / 2)
    last = np.searchsorted(times, times + span / 2, side="right") - 1
    change = np.abs(window.small[last] - window.small[first]).mean(axis=1)

    # At the ends of the window a part of the span is missing. Elsewhere first and last frame are
    # a little less than the span apart.
    is_full = times[last] - times[first] >= 0.7 * span
    # Frames between the middle and both ends show whether the change is even.
    has_neighbours = (last - middles >= 2) & (middles - first >= 2)
    is_large = change >= _MIN_GRADUAL_CHANGE
    middles = middles[is_full & has_neighbours & is_large]

    # The largest step within each change: every other interval of `reduceat` is one. The 0
    # appended is for changes that end at the last frame: `reduceat` refuses an index beyond.
    ranges = np.stack([first[middles] + 1, last[middles] + 1], axis=1)
    largest = np.maximum.reduceat(np.append(window.steps, 0), ranges.ravel())[::2]
    middles = middles[largest <= _MAX_STEP_SHARE * change[middles].astype(np.float64)]

    first = first[middles]
    last = last[middles]
    # Two frames must be means of the first and the last one: the middle, and the one halfway to it.
    is_even = _are_means(window, middles, first, last)
    is_even &= _are_means(
        window,
        (first + middles) // 2,
        first,
        last,
    )
    even = np.flatnonzero(is_even)
    columns = [change[middles], middles, first, last]
    rows = zip(*(column[even].tolist() for column in columns), strict=True)
    return [_EvenChange(*row) for row in rows]


def _are_means(
    window: FrameBuffer, inner: Indices, first: Indices, last: Indices
) -> BoolArray:
    """Return whether `inner` frames interpolate the first and last ones linearly in time."""
    times = window.times
    small = window.small
    share = (times[inner] - times[first]) / (times[last] - times[first])
    difference = small[last] - small[first]  # (n, pixels)
    mean = small[first] + difference * share.astype(np.float32)[:, None]
    deviation = np.abs(small[inner] - mean).mean(axis=1)
    change = np.abs(difference).mean(axis=1)
    tolerance = np.where(change >= _LARGE_CHANGE, _MAX_LARGE_DEVIATION, _MAX_DEVIATION)
    return np.asarray(deviation <= tolerance * change)


def _make_gradual_cut(window: FrameBuffer, change: _EvenChange) -> SceneCut:
    times = window.times
    middle = float(times[change.middle])
    end = float(times[change.last])
    # The span may cover only part of a fade, so look for black shortly after it as well.
    is_soon = (times > middle) & (times <= end + _FADE_TO_BLACK_SECONDS)
    is_dark = bool((window.spread[is_soon] <= MAX_BLANK_SPREAD).any())
    return SceneCut(middle, float(times[change.first]), end, starts_scene=not is_dark)
