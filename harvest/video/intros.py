"""Detection of segments that recur across episodes: intros, outros, previews, recaps.

Pure functions over fingerprints: (time in seconds, 64-bit perceptual hash), in order of time,
about one per second or more. A segment recurs if a run of fingerprints matches another run at a
constant distance in time. That is a diagonal in the table of all pairs, which tolerates single
mismatches (a title over the image, fast motion sampled at another phase) and bends slightly if
the speeds differ (25 frames per second instead of 23.976).

Black, a still image or two alternating shots match at many distances; therefore a segment must
contain several different fingerprints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Fingerprint: TypeAlias = tuple[float, int]
_Times: TypeAlias = NDArray[np.float64]
_Hashes: TypeAlias = NDArray[np.uint64]

# Minimum length of a segment in seconds.
SHORTEST = 15.0
# Maximum hash distance (of 64 bits) between matching fingerprints.
ALIKE = 10
# Minimum share of matching fingerprints in a segment.
SHARE = 0.5
# Minimum number of different fingerprints in a segment.
VARIETY = 4
# Longest gap in seconds without a match within a segment.
LONGEST_GAP = 5.0
# Tolerance in seconds between the distance of two fingerprints and that of their segments: they
# are sampled a second apart at any phase, and speeds differ by at most 4 %.
SLACK = 1.5


class RepeatedStretch(NamedTuple):
    """Segment `start` < time < `end` (seconds) that repeats an earlier one."""

    start: float
    end: float


def find_repeats(
    videos: Sequence[Sequence[Fingerprint]], known: int = 0
) -> list[list[RepeatedStretch]]:
    """Return for each video the segments that repeat earlier ones.

    The earlier segment may be in the same video or one before it; the first occurrence is never
    returned, so that it is sampled. The first `known` videos are only compared with, and get empty
    lists. Segments of a video are in order and do not overlap.
    """
    looks = [_arrays(video) for video in videos]
    by_video: list[list[RepeatedStretch]] = []
    for number, (times, hashes) in enumerate(looks):
        fresh = np.ones(len(times), dtype=bool)
        repeats: list[RepeatedStretch] = []
        for earlier in range(number + 1 if number >= known else 0):
            new = _Pair(looks[number], looks[earlier], same=earlier == number).repeats()
            repeats += new
            for one in new:
                fresh &= ~((times > one.start) & (times < one.end))
            # A repeat needs no further search, nor comparison with later videos.
            looks[number] = (times[fresh], hashes[fresh])
        by_video.append(_joined(repeats))
    return by_video


def _arrays(video: Sequence[Fingerprint]) -> tuple[_Times, _Hashes]:
    times = np.array([time for time, _ in video], dtype=np.float64)
    return times, np.array([value for _, value in video], dtype=np.uint64)


class _Pair:
    """Comparison of a video with an earlier one, or with itself."""

    def __init__(
        self, video: tuple[_Times, _Hashes], earlier: tuple[_Times, _Hashes], *, same: bool
    ) -> None:
        self._times, self._hashes = video
        self._shown, self._shown_hashes = earlier
        # Within one video, a segment must not match one that it overlaps.
        self._nearest = SHORTEST if same else -np.inf
        self._left = np.ones(len(self._times), dtype=bool)

    def repeats(self) -> list[RepeatedStretch]:
        """Return all repeats without overlap, those with the most matches first."""
        if min(len(self._times), len(self._shown)) < VARIETY:
            return []
        stretches_met: list[RepeatedStretch] = []
        for distance in self._distances():
            hit = self._met(distance)
            for first, last in _runs(self._times, hit, self._left):
                if self._counts(first, last, hit):
                    stretches_met.append(self._repeat(first, last))
                    self._left[first : last + 1] = False
        return stretches_met

    def _distances(self) -> list[float]:
        """Return candidate distances to repeats in seconds, most matches first."""
        width = SLACK / 2
        low = float(self._times[0] - self._shown[-1])
        votes = np.zeros(int((self._times[-1] - self._shown[0] - low) / width) + 4, dtype=np.int64)
        for i, j in self._pairs():
            bins = ((self._times[i] - self._shown[j] - low) / width).astype(np.int64) + 1
            votes += np.bincount(bins, minlength=len(votes))
        near = np.convolve(votes, np.ones(3, dtype=np.int64), mode="same")
        order = np.argsort(near, kind="stable")[::-1][:_MOST_DISTANCES]
        return [low + (int(n) - 0.5) * width for n in order if near[n] >= VARIETY]

    def _pairs(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield indices of matching fingerprints (video, earlier video) in batches.

        Those with very many matches are left out: they do not indicate a distance.
        """
        usual = max(_STILL / max(_step(self._shown), 0.01), VARIETY)
        for begin in range(0, len(self._times), _ROWS):
            rows = self._hashes[begin : begin + _ROWS, None]
            alike = np.bitwise_count(rows ^ self._shown_hashes[None, :]) <= ALIKE
            apart = self._times[begin : begin + _ROWS, None] - self._shown[None, :]
            alike &= apart >= self._nearest
            alike &= alike.sum(axis=1, keepdims=True) <= usual
            i, j = np.nonzero(alike)
            yield i + begin, j

    def _met(self, distance: float) -> NDArray[np.bool_]:
        wanted = self._times - distance
        low = np.searchsorted(self._shown, wanted - SLACK)
        high = np.searchsorted(self._shown, wanted + SLACK, side="right")
        hit = np.zeros(len(self._times), dtype=bool)
        for step in range(int((high - low).max(initial=0))):
            j = np.clip(low + step, 0, len(self._shown) - 1)
            alike = np.bitwise_count(self._hashes ^ self._shown_hashes[j]) <= ALIKE
            alike &= (low + step < high) & (self._times - self._shown[j] >= self._nearest)
            hit |= alike
        return hit

    def _counts(self, first: int, last: int, hit: NDArray[np.bool_]) -> bool:
        # A segment that begins and ends between two fingerprints appears up to two steps shorter.
        least = SHORTEST - 2 * _step(self._times)
        if self._times[last] - self._times[first] < least:
            return False
        inside = self._hashes[first : last + 1][hit[first : last + 1]]
        return _variety(inside) >= VARIETY

    def _repeat(self, first: int, last: int) -> RepeatedStretch:
        step = _step(self._times)
        before = self._times[first - 1] if first else -np.inf
        after = self._times[last + 1] if last + 1 < len(self._times) else np.inf
        return RepeatedStretch(
            max(float(before), float(self._times[first] - step)),
            min(float(after), float(self._times[last] + step)),
        )


# Distances tried for two videos: intro, outro, preview, and accidental ones.
_MOST_DISTANCES = 64
# Fingerprints compared at a time; bounds the memory.
_ROWS = 256
# Fingerprints of an image shown for longer than this many seconds are ignored for distances.
_STILL = 20.0


def _step(times: _Times) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0


def _runs(
    times: _Times, hit: NDArray[np.bool_], left: NDArray[np.bool_]
) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of runs with at least `SHARE` of matches."""
    met = np.flatnonzero(hit & left)
    if not len(met):
        return
    gap = max(LONGEST_GAP, 3 * _step(times))
    for run in np.split(met, np.flatnonzero(np.diff(times[met]) > gap) + 1):
        yield _densest(int(run[0]), hit[run[0] : run[-1] + 1] & left[run[0] : run[-1] + 1])


def _densest(begin: int, hit: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the run with the best balance of hits and misses (Kadane)."""
    sums = np.concatenate([[0.0], np.cumsum(np.where(hit, 1 - SHARE, -SHARE))])
    lowest = np.minimum.accumulate(sums)
    end = int(np.argmax(sums - lowest))
    start = int(np.argmin(sums[: end + 1]))
    return begin + start, begin + end - 1


def _variety(hashes: _Hashes) -> int:
    """Return the number of different fingerprints, counting up to `VARIETY`."""
    seen: list[np.uint64] = []
    for one in hashes:
        if len(seen) < VARIETY and all(np.bitwise_count(one ^ other) > ALIKE for other in seen):
            seen.append(one)
    return len(seen)


def _joined(repeats: list[RepeatedStretch]) -> list[RepeatedStretch]:
    found: list[RepeatedStretch] = []
    for one in sorted(repeats, key=lambda one: (one.start, -one.end)):
        begin = max(one.start, found[-1].end) if found else one.start
        if begin < one.end:
            found.append(RepeatedStretch(begin, one.end))
    return found
