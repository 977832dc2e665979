"""Detection of segments that recur across episodes: intros, outros, previews, recaps.

Pure functions over fingerprints: (time in seconds, 64-bit perceptual hash), in order of time,
about one per second or more. A segment recurs if a run of fingerprints matches another run at a
constant distance in time. That is a diagonal in the table of all pairs, which tolerates single
mismatches (a title over the image, fast motion sampled at another phase) and bends slightly if
the speeds differ (25 frames per second instead of 23.976).

Black, a still image or two alternating shots match at many distances; therefore a segment must
contain several different fingerprints.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gleanset.arrays import BoolArray, Float64Array, IntArray

Fingerprint = tuple[float, int]

_Hashes = NDArray[np.uint64]

# Minimum length of a segment in seconds.
MIN_SEGMENT_SECONDS = 15.0
# Maximum hash distance (of 64 bits) between matching fingerprints.
MAX_HASH_DISTANCE = 10
# Minimum share of matching fingerprints in a segment.
MIN_MATCH_SHARE = 0.5
# Minimum number of different fingerprints in a segment.
MIN_DISTINCT = 4
# Longest gap in seconds without a match within a segment.
MAX_GAP_SECONDS = 5.0
# Tolerance in seconds between the distance of two fingerprints and that of their segments: they
# are sampled a second apart at any phase, and speeds differ by at most 4 %.
SLACK_SECONDS = 1.5


class RepeatedSegment(NamedTuple):
    """Segment `start` < time < `end` (seconds) that repeats an earlier one."""

    start: float
    end: float


def find_repeats(
    videos: Sequence[Sequence[Fingerprint]], known_count: int = 0
) -> list[list[RepeatedSegment]]:
    """Return for each video the segments that repeat earlier ones.

    The earlier segment may be in the same video or one before it; the first occurrence is never
    returned, so that it is sampled. The first `known_count` videos are only compared with, and get
    empty lists. Segments of a video are in order and do not overlap.
    """
    earlier_videos: list[_Fingerprints] = []
    repeats_by_video = []
    for number, video in enumerate(videos):
        times = np.array([time for time, _ in video])
        hashes = np.array([code for _, code in video], dtype=np.uint64)
        fresh = _Fingerprints(times, hashes)
        is_fresh = np.ones(len(times), dtype=bool)
        repeats = []
        # The earlier videos, and at last the video itself (None). Known videos are not searched.
        others = [*earlier_videos, None] if number >= known_count else []
        for earlier in others:
            for repeat in _Comparison(fresh, earlier).find():
                repeats.append(repeat)
                is_fresh &= ~((times > repeat.start) & (times < repeat.end))
            # A repeat needs no further search, nor comparison with later videos.
            fresh = _Fingerprints(times[is_fresh], hashes[is_fresh])
        earlier_videos.append(fresh)
        repeats_by_video.append(_merge(repeats))
    return repeats_by_video


class _Fingerprints(NamedTuple):
    times: Float64Array
    hashes: _Hashes


class _Comparison:
    """Comparison of a video with an earlier one, or with itself (None)."""

    def __init__(self, video: _Fingerprints, earlier: _Fingerprints | None):
        self._times, self._hashes = video
        self._earlier_times, self._earlier_hashes = earlier or video
        # Within one video, a segment must not match one that it overlaps. Times in two videos are
        # unrelated: any distance will do, also a negative one.
        self._min_distance = MIN_SEGMENT_SECONDS if earlier is None else -np.inf
        self._is_free = np.ones(len(self._times), dtype=bool)
        self._step = _median_step(self._times)

    def find(self) -> list[RepeatedSegment]:
        """Return all repeats without overlap, those with the most matches first."""
        if min(len(self._times), len(self._earlier_times)) < MIN_DISTINCT:
            return []
        repeats = []
        for distance in self._rank_distances():
            is_match = self._match_at(distance)
            for first, last in self._find_runs(is_match):
                if self._is_segment(first, last, is_match):
                    repeats.append(self._make_segment(first, last))
                    self._is_free[first : last + 1] = False
        return repeats

    def _rank_distances(self) -> list[float]:
        """Return candidate distances to repeats in seconds, most matches first."""
        bin_width = SLACK_SECONDS / 2
        lowest = float(self._times[0] - self._earlier_times[-1])
        highest = self._times[-1] - self._earlier_times[0]
        # Votes of matching pairs for the distance between them, with an empty bin at each end, and
        # one to spare for rounding.
        votes = np.zeros(int((highest - lowest) / bin_width) + 4, dtype=np.int64)
        for i, j in self._iter_matches():
            distances = self._times[i] - self._earlier_times[j]
            bins = ((distances - lowest) / bin_width).astype(np.int64) + 1
            votes += np.bincount(bins, minlength=len(votes))

        # A bin with its neighbors: a repeat may be at the border of two. The first bin that counts
        # is number 1, so the middle of a bin is half a width below its number.
        sums = np.convolve(votes, np.ones(3, dtype=np.int64), mode="same")
        top_distances = np.argsort(sums, kind="stable")[::-1][:_MAX_DISTANCES]
        return [
            lowest + (int(number) - 0.5) * bin_width
            for number in top_distances
            if sums[number] >= MIN_DISTINCT
        ]

    def _iter_matches(self) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield indices of matching fingerprints (video, earlier video) in batches.

        Those with very many matches are left out: they do not indicate a distance.
        """
        # Equal times would divide by 0.
        step = max(_median_step(self._earlier_times), 0.01)
        max_matches = max(_STILL_SECONDS / step, MIN_DISTINCT)
        for begin in range(0, len(self._times), _BATCH_ROWS):
            batch = slice(begin, begin + _BATCH_ROWS)
            is_match = _are_close(
                self._hashes[batch, None],
                self._earlier_hashes,
            )
            distances = self._times[batch, None] - self._earlier_times
            is_match &= distances >= self._min_distance
            is_match &= is_match.sum(axis=1, keepdims=True) <= max_matches
            rows, earlier_rows = np.nonzero(is_match)
            yield begin + rows, earlier_rows

    def _match_at(self, distance: float) -> BoolArray:
        """Return which fingerprints match an earlier one at about this distance."""
        earlier = self._earlier_times
        matching_times = self._times - distance
        begin = np.searchsorted(earlier, matching_times - SLACK_SECONDS)
        end = np.searchsorted(earlier, matching_times + SLACK_SECONDS, side="right")
        is_match = np.zeros(len(self._times), dtype=bool)

        # Each fingerprint with the first one of its range begin..end, then with the second one, ….
        for step in range(int((end - begin).max(initial=0))):
            rows = np.clip(begin + step, 0, len(earlier) - 1)
            is_inside = begin + step < end
            is_apart = self._times - earlier[rows] >= self._min_distance
            is_close = _are_close(self._hashes, self._earlier_hashes[rows])
            is_match |= is_close & is_inside & is_apart
        return is_match

    def _is_segment(self, first: int, last: int, is_match: BoolArray) -> bool:
        # A segment that begins and ends between two fingerprints appears up to two steps shorter.
        min_seconds = MIN_SEGMENT_SECONDS - 2 * self._step
        if self._times[last] - self._times[first] < min_seconds:
            return False
        inside = slice(first, last + 1)
        return _has_variety(self._hashes[inside][is_match[inside]])

    def _make_segment(self, first: int, last: int) -> RepeatedSegment:
        # The segment may begin up to a step before its first matching fingerprint, and end up to a
        # step after the last one, but not beyond the neighbors, which do not match.
        start = self._times[first] - self._step
        if first > 0:
            start = max(self._times[first - 1], start)
        end = self._times[last] + self._step
        if last + 1 < len(self._times):
            end = min(self._times[last + 1], end)
        return RepeatedSegment(float(start), float(end))

    def _find_runs(self, is_match: BoolArray) -> Iterator[tuple[int, int]]:
        """Yield (first, last) of runs with at least `MIN_MATCH_SHARE` of matches."""
        is_match = is_match & self._is_free
        matches = np.flatnonzero(is_match)
        if not len(matches):
            return
        # Where fingerprints are far apart, two in a row may fail to match.
        max_gap = max(MAX_GAP_SECONDS, 3 * self._step)
        gaps = np.flatnonzero(np.diff(self._times[matches]) > max_gap)
        for run in np.split(matches, gaps + 1):
            first, last = run[[0, -1]].tolist()
            yield _find_best_run(first, is_match[first : last + 1])


# Distances tried for two videos: intro, outro, preview, and accidental ones.
_MAX_DISTANCES = 64
# Fingerprints compared at a time; bounds the memory.
_BATCH_ROWS = 256
# Fingerprints of an image shown for longer than this many seconds are ignored for distances.
_STILL_SECONDS = 20.0


def _median_step(times: Float64Array) -> float:
    """Return the median step between fingerprints in seconds."""
    if len(times) < 2:
        return 1.0
    return float(np.median(np.diff(times)))


def _are_close(hashes: _Hashes, others: _Hashes) -> BoolArray:
    return np.asarray(np.bitwise_count(hashes ^ others) <= MAX_HASH_DISTANCE)


def _find_best_run(begin: int, is_match: BoolArray) -> tuple[int, int]:
    """Return (first, last) of the run with the best balance of matches and others.

    It is the slice with the largest sum, where a match counts 1 - `MIN_MATCH_SHARE`, and any other
    fingerprint -`MIN_MATCH_SHARE` (Kadane's algorithm). `begin` is the index of the first element
    of `is_match` in the video.
    """
    gains = np.where(is_match, 1 - MIN_MATCH_SHARE, -MIN_MATCH_SHARE)
    sums = np.concatenate([[0.0], np.cumsum(gains)])
    # The sum of a slice is that up to its end, less that up to its start.
    lowest_before = np.minimum.accumulate(sums)
    end = int(np.argmax(sums - lowest_before))
    start = int(np.argmin(sums[: end + 1]))
    return begin + start, begin + end - 1


def _has_variety(hashes: _Hashes) -> bool:
    """Return whether `MIN_DISTINCT` fingerprints are different."""
    distinct: list[np.uint64] = []
    for code in hashes:
        distances = np.bitwise_count(code ^ np.array(distinct, np.uint64))
        if (distances > MAX_HASH_DISTANCE).all():
            distinct.append(code)
    return len(distinct) >= MIN_DISTINCT


def _merge(repeats: list[RepeatedSegment]) -> list[RepeatedSegment]:
    """Return the segments in order, each from the end of the one before at the earliest."""
    segments = []
    end = -np.inf
    # Of segments with the same start the longest comes first.
    for repeat in sorted(repeats, key=lambda repeat: (repeat.start, -repeat.end)):
        if repeat.end > end:
            segments.append(RepeatedSegment(max(repeat.start, end), repeat.end))
            end = repeat.end
    return segments
