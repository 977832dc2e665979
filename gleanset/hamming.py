"""Exact search for all pairs of 64-bit hashes within a Hamming distance, fast for millions.

If two hashes differ in `d` bits, at least two of `d + 2` bands are equal (pigeonhole principle).
For d = 4, two of the six bands have 21 bits together, so few of a million hashes share them by
chance, and the time grows about linearly with their number. There are 15 ways to choose two of six
bands. `find_near_pairs` collapses equal hashes first: thousands of them cost linear time.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int32]

MAX_KEY_BITS = 22
_MIN_KEY_BITS = 6
MAX_BATCH_PAIRS = 1 << 19
"""Pairs compared at a time, about 20 MB."""


class NearPairs(NamedTuple):
    """Pairs of positions with the Hamming distance of their hashes; arrays of equal length."""

    a: Numbers
    b: Numbers
    distance: Numbers


class DistinctHashes(NamedTuple):
    """Distinct hashes with first positions; `equal` pairs link repeats to their first one."""

    hashes: Hashes
    first: Numbers
    equal: NearPairs


def find_distinct(hashes: Hashes) -> DistinctHashes:
    """Return distinct hashes, and pairs for those that are equal."""
    values, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    positions = np.arange(len(hashes), dtype=np.int64)
    others = positions[first[inverse] != positions]
    star = NearPairs(
        first[inverse[others]], others, np.zeros(len(others), dtype=np.int64)
    )
    return DistinctHashes(values, first, star)


def find_near_pairs(hashes: Hashes, distance: int) -> Iterator[NearPairs]:
    """Yield pairs of distinct hashes within `distance`, and of equal hashes.

    Equal hashes are paired with their first position only. Distinct hashes are paired once, by the
    first position of each, the smaller first. Batches of these have a bounded size.
    """
    unique = find_distinct(np.ascontiguousarray(hashes, dtype=np.uint64))
    yield unique.equal
    for near in HashIndex(unique.hashes, distance).within():
        a, b = unique.first[near.a], unique.first[near.b]
        yield NearPairs(np.minimum(a, b), np.maximum(a, b), near.distance)


class _Band(NamedTuple):
    """A band of a hash: `bits` bits starting at bit `low`."""

    low: int
    bits: int

    def extract(self, hashes: Hashes) -> Hashes:
        """Return these bits of each hash."""
        return (hashes >> np.uint64(self.low)) & np.uint64((1 << self.bits) - 1)


class _Index(NamedTuple):
    """Hashes sorted by key: those of key `k` are at `starts[k]:starts[k + 1]`.

    `bands` are the indices of the two bands that form a key; `order` maps sorted to original
    positions.
    """

    bands: tuple[int, int]
    hashes: Hashes
    order: Numbers
    starts: Positions


class HashIndex:
    """Index of hashes to find those within `distance` (at most 22) bits of each other or others."""

    def __init__(self, hashes: Hashes, distance: int):
        self._hashes = np.ascontiguousarray(hashes, dtype=np.uint64)
        self._distance = distance
        number = distance + 2
        ends = [64 * band // number for band in range(number + 1)]
        self._bands = [_Band(low, high - low) for low, high in pairwise(ends)]
        # About 32 possible keys for each hash, so that most lookups find nothing.
        widest = 2 * -(-64 // number)
        wanted_bits = min(MAX_KEY_BITS, widest, len(hashes).bit_length() + 5)
        self._bits = max(_MIN_KEY_BITS, wanted_bits)

    def within(self) -> Iterator[NearPairs]:
        """Yield all pairs (positions a < b), including equal hashes."""
        place = np.arange(len(self._hashes))
        if len(place) ** 2 <= MAX_BATCH_PAIRS:
            for a, b in _each_with_each(
                place, place + 1, np.full(len(place), len(place))
            ):
                near, distance = self._near(None, self._hashes[a], self._hashes[b])
                yield NearPairs(a[near], b[near], distance)
            return
        for bands in combinations(range(len(self._bands)), 2):
            index = self._index(bands)
            ends = np.repeat(index.starts[1:], np.diff(index.starts))
            for x, y in _each_with_each(place, place + 1, ends):
                near, distance = self._near(bands, index.hashes[x], index.hashes[y])
                yield NearPairs(index.order[x[near]], index.order[y[near]], distance)

    def find_pairs_with(
        self, others: Hashes, max_pairs: int = 2**62
    ) -> Iterator[NearPairs]:
        """Yield pairs (position here, in `others`), up to `max_pairs` per hash."""
        right = np.ascontiguousarray(others, dtype=np.uint64)
        match_counts = np.zeros(len(self._hashes), np.int64)
        # Look up all hashes in one index before the next, for CPU cache locality.
        for index in self._indexes:
            keys = self._keys(right, index.bands)
            begins = index.starts[keys]
            ends = index.starts[keys + np.uint64(1)]
            filled = np.flatnonzero(begins < ends)
            for y, x in _each_with_each(filled, begins[filled], ends[filled]):
                near, distance = self._near(index.bands, index.hashes[x], right[y])
                a = index.order[x[near]]
                b = y[near]
                is_kept = match_counts[a] + _times_before(a) < max_pairs
                match_counts += np.bincount(a[is_kept], minlength=len(match_counts))
                yield NearPairs(a[is_kept], b[is_kept], distance[is_kept])

    @cached_property
    def _indexes(self) -> list[_Index]:
        return [
            self._index(bands) for bands in combinations(range(len(self._bands)), 2)
        ]

    def _index(self, bands: tuple[int, int]) -> _Index:
        keys = self._keys(self._hashes, bands)
        order = np.argsort(keys, kind="stable")
        counts = np.bincount(keys.view(np.int64), minlength=2**self._bits)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return _Index(bands, self._hashes[order], order, starts)

    def _keys(self, hashes: Hashes, bands: tuple[int, int]) -> Hashes:
        lower, higher = (self._bands[band] for band in bands)
        joined = lower.extract(hashes) | (
            higher.extract(hashes) << np.uint64(lower.bits)
        )
        return joined & np.uint64(2**self._bits - 1)

    def _near(
        self, bands: tuple[int, int] | None, a: Hashes, b: Hashes
    ) -> tuple[Numbers, Numbers]:
        """Return the indices of the near pairs, and their distances.

        With `bands`, keep only pairs whose first two equal bands are these: each pair comes once.
        """
        apart = a ^ b
        near = np.flatnonzero(np.bitwise_count(apart) <= self._distance)
        apart = apart[near]
        if bands is not None:
            first = np.ones(len(near), np.bool_)
            for number, band in enumerate(self._bands[: bands[1] + 1]):
                first &= (band.extract(apart) == 0) == (number in bands)
            near, apart = near[first], apart[first]
        return near, np.bitwise_count(apart).astype(np.int64)


def _each_with_each(
    rows: Numbers, begins: npt.NDArray[np.integer], ends: npt.NDArray[np.integer]
) -> Iterator[tuple[Numbers, Numbers]]:
    done = np.concatenate([[0], np.cumsum(np.asarray(ends, np.int64) - begins)])
    first = 0
    while first < len(rows):
        last = max(
            first + 1,
            int(np.searchsorted(done, done[first] + MAX_BATCH_PAIRS, "right")) - 1,
        )
        if number := int(done[last] - done[first]):
            counts = np.diff(done[first : last + 1])
            shift = np.repeat(begins[first:last] - done[first:last], counts)
            places = np.arange(done[first], done[first] + number) + shift
            yield np.repeat(rows[first:last], counts), places
        first = last


def _times_before(values: npt.NDArray[np.integer]) -> Numbers:
    order = np.argsort(values, kind="stable")
    times = np.empty(len(values), np.int64)
    times[order] = compute_run_ranks(values[order])
    return times


def compute_run_ranks(values: npt.NDArray[Any]) -> Numbers:
    """Return each value's position in its run of equal values."""
    begins = np.flatnonzero(np.r_[True, values[1:] != values[:-1]][: len(values)])
    return np.arange(len(values)) - np.repeat(
        begins, np.diff(np.r_[begins, len(values)])
    )
