"""Stretches that recur in a stack of episodes: openings, endings, previews, recaps.

Pure functions over the looks of videos: (time in seconds, 64-bit perceptual hash), in order,
about one a second or more. A stretch recurs where one run of looks shows the same as another,
each so many seconds after it. That is a diagonal in the table of all pairs, which stays one
when single looks differ (a title over the picture, a fast motion hit at another phase) and
bends a little when the speed does (25 frames a second for 23.976).

What matches everything, such as black, a still or two shots in turn, has no diagonal of its own:
a stretch counts only with several different looks in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Fingerprint: TypeAlias = tuple[float, int]
_Times: TypeAlias = NDArray[np.float64]
_Hashes: TypeAlias = NDArray[np.uint64]

# Seconds that a stretch must last.
SHORTEST = 15.0
# Bits of 64 by which two looks of the same moment may differ.
ALIKE = 10
# Of the looks in a stretch, how many must have met their like.
SHARE = 0.5
# Different looks that a stretch must hold.
VARIETY = 4
# Seconds without a match that do not end a stretch.
LONGEST_GAP = 5.0
# Seconds by which the distance of two looks may differ from that of their stretches: looks
# that are a second apart meet at any phase, and speeds differ by 4 % at most.
SLACK = 1.5


class RepeatedStretch(NamedTuple):
    """`start` < time < `end` (seconds) shows what an earlier stretch shows."""

    start: float
    end: float


def find_repeats(
    videos: Sequence[Sequence[Fingerprint]], known: int = 0
) -> list[list[RepeatedStretch]]:
    """For each video the stretches that one before it, or itself before, has shown.

    In the first `known` videos nothing is looked for.

    The first showing is never among them, so that it is the one to be sampled. Stretches of
    a video are in order and do not overlap.
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
            # What is known to be a repeat need not be looked for, nor be looked at later.
            looks[number] = (times[fresh], hashes[fresh])
        by_video.append(_joined(repeats))
    return by_video


def _arrays(video: Sequence[Fingerprint]) -> tuple[_Times, _Hashes]:
    times = np.array([time for time, _ in video], dtype=np.float64)
    return times, np.array([value for _, value in video], dtype=np.uint64)


class _Pair:
    """A video and one before it, or the same, in which its stretches may have been shown."""

    def __init__(
        self, video: tuple[_Times, _Hashes], earlier: tuple[_Times, _Hashes], *, same: bool
    ) -> None:
        self._times, self._hashes = video
        self._shown, self._shown_hashes = earlier
        # A stretch is no repeat of one that it overlaps.
        self._nearest = SHORTEST if same else -np.inf
        self._left = np.ones(len(self._times), dtype=bool)

    def repeats(self) -> list[RepeatedStretch]:
        """Return all stretches, the surest first; each look is in one of them at most."""
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
        """Seconds from a stretch to its repeat, by how many looks meet at them."""
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
        """Yield the looks that are alike, (of the video, of the earlier one), some at a time.

        Without those that are like very many, which tell of no distance.
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
        # Of a stretch that begins and ends between two looks, up to two steps are not seen.
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


# Distances that are tried for two videos: an opening, an ending, a preview, and chance.
_MOST_DISTANCES = 64
# Looks of one video that are compared with another's at a time; bounds the memory.
_ROWS = 256
# Seconds for which a picture may stand still and yet tell of a distance.
_STILL = 20.0


def _step(times: _Times) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0


def _runs(
    times: _Times, hit: NDArray[np.bool_], left: NDArray[np.bool_]
) -> Iterator[tuple[int, int]]:
    """(first, last) of the runs of looks of which at least `SHARE` met their like."""
    met = np.flatnonzero(hit & left)
    if not len(met):
        return
    gap = max(LONGEST_GAP, 3 * _step(times))
    for run in np.split(met, np.flatnonzero(np.diff(times[met]) > gap) + 1):
        yield _densest(int(run[0]), hit[run[0] : run[-1] + 1] & left[run[0] : run[-1] + 1])


def _densest(begin: int, hit: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the part with the largest sum, where a hit counts for and a miss against it
    (Kadane).
    """
    sums = np.concatenate([[0.0], np.cumsum(np.where(hit, 1 - SHARE, -SHARE))])
    lowest = np.minimum.accumulate(sums)
    end = int(np.argmax(sums - lowest))
    start = int(np.argmin(sums[: end + 1]))
    return begin + start, begin + end - 1


def _variety(hashes: _Hashes) -> int:
    """Return how many of them are not like one before; stops where there are enough."""
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
