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

from gleanset.arrays import IntArray

Hashes = npt.NDArray[np.uint64]

Positions = npt.NDArray[np.int32]

MAX_KEY_BITS = 22
"""Bits of a key; the 4 million entries of an index by key take 16 MB."""
MAX_BATCH_PAIRS = 1 << 19
"""Pairs compared at a time, about 20 MB."""


class NearPairs(NamedTuple):
    """Pairs of positions with the Hamming distance of their hashes; arrays of equal length."""

    a: IntArray
    b: IntArray
    distance: IntArray


class DistinctHashes(NamedTuple):
    """Distinct hashes with first positions; `equal` pairs link repeats to their first one."""

    hashes: Hashes
    first: IntArray
    equal: NearPairs


def find_distinct(hashes: Hashes) -> DistinctHashes:
    """Return distinct hashes, and pairs for those that are equal."""
    values, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    first_of_each = first[inverse]
    repeats = np.flatnonzero(first_of_each != np.arange(len(hashes)))
    equal = NearPairs(
        first_of_each[repeats],
        repeats,
        np.zeros_like(repeats),
    )
    return DistinctHashes(values, first, equal)


def find_near_pairs(hashes: Hashes, distance: int) -> Iterator[NearPairs]:
    """Yield pairs of distinct hashes within `distance`, and of equal hashes.

    Equal hashes are paired with their first position only. Distinct hashes are paired once, by the
    first position of each, the smaller first. Batches of these have a bounded size.
    """
    unique = find_distinct(hashes)
    yield unique.equal
    for near in HashIndex(unique.hashes, distance).find_pairs_within():
        a = unique.first[near.a]
        b = unique.first[near.b]
        yield NearPairs(
            np.minimum(a, b),
            np.maximum(a, b),
            near.distance,
        )


class _Band(NamedTuple):
    """A band of a hash: `bits` bits starting at bit `low`."""

    low: int
    bits: int

    def extract(self, hashes: Hashes) -> Hashes:
        """Return these bits of each hash."""
        mask = np.uint64((1 << self.bits) - 1)
        return (hashes >> np.uint64(self.low)) & mask


_Bands = tuple[int, int]
"""Indices of the two bands that form a key."""


class _Index(NamedTuple):
    """Hashes sorted by key: those of key `k` are at `starts[k]:starts[k + 1]`.

    `order` maps sorted to original positions.
    """

    bands: _Bands
    hashes: Hashes
    order: IntArray
    starts: Positions


class HashIndex:
    """Index of hashes to find those within `distance` bits of each other or others.

    Tested up to a distance of 22. The larger it is, the shorter are the bands, and the more hashes
    share two of them by chance.
    """

    def __init__(self, hashes: Hashes, distance: int):
        self._hashes = hashes
        self._distance = distance
        # Hashes within the distance differ in at most `distance` bands, so they agree in two bands,
        # which are the key that they are found by.
        band_count = distance + 2
        ends = [64 * band // band_count for band in range(band_count + 1)]
        self._bands = [_Band(low, high - low) for low, high in pairwise(ends)]

        # About 32 possible keys for each hash, so that most lookups find nothing.
        sparse_bits = len(hashes).bit_length() + 5
        bits_of_two_bands = 2 * max(band.bits for band in self._bands)
        self._key_bits = min(MAX_KEY_BITS, bits_of_two_bands, sparse_bits)

    def find_pairs_within(self) -> Iterator[NearPairs]:
        """Yield all pairs (positions a < b), including equal hashes."""
        positions = np.arange(len(self._hashes))
        for bands in self._band_pairs():
            index = self._make_index(bands)
            # Each hash is compared with the later ones of the same key, up to the end of these.
            ends = np.repeat(index.starts[1:], np.diff(index.starts))
            for x, y in _pair_with_ranges(positions, positions + 1, ends):
                near, distance = self._select_near(
                    index.hashes[x], index.hashes[y], bands
                )
                yield NearPairs(
                    index.order[x[near]],
                    index.order[y[near]],
                    distance,
                )

    def find_pairs_with(
        self, others: Hashes, max_pairs: int = 2**62
    ) -> Iterator[NearPairs]:
        """Yield pairs (position here, in `others`), up to `max_pairs` per hash."""
        match_counts = np.zeros(len(self._hashes), np.int64)
        # Look up all hashes in one index before the next, for CPU cache locality.
        for index in self._indexes:
            keys = self._make_keys(others, index.bands)
            begins = index.starts[keys]
            ends = index.starts[keys + np.uint64(1)]
            rows = np.flatnonzero(begins < ends)
            # x: positions in the index, y: positions in `others`.
            for y, x in _pair_with_ranges(rows, begins[rows], ends[rows]):
                near, distance = self._select_near(
                    index.hashes[x], others[y], index.bands
                )
                a = index.order[x[near]]
                b = y[near]

                # Matches in earlier batches, and those before in this one.
                earlier_matches = match_counts[a] + rank_among_equals(a)
                is_allowed = earlier_matches < max_pairs
                a = a[is_allowed]
                match_counts += np.bincount(a, minlength=len(match_counts))
                yield NearPairs(
                    a,
                    b[is_allowed],
                    distance[is_allowed],
                )

    @cached_property
    def _indexes(self) -> list[_Index]:
        return [self._make_index(bands) for bands in self._band_pairs()]

    def _band_pairs(self) -> Iterator[_Bands]:
        return combinations(range(len(self._bands)), 2)

    def _make_index(self, bands: _Bands) -> _Index:
        keys = self._make_keys(self._hashes, bands)
        order = np.argsort(keys, kind="stable")
        # `bincount` refuses unsigned numbers; keys are far too small to look negative.
        counts = np.bincount(keys.view(np.int64), minlength=2**self._key_bits)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return _Index(bands, self._hashes[order], order, starts)

    def _make_keys(self, hashes: Hashes, bands: _Bands) -> Hashes:
        """Return the bits of two bands of each hash, cut to the bits of a key."""
        lower, higher = (self._bands[number] for number in bands)
        high_bits = higher.extract(hashes) << np.uint64(lower.bits)
        mask = np.uint64(2**self._key_bits - 1)
        return (lower.extract(hashes) | high_bits) & mask

    def _select_near(
        self, a: Hashes, b: Hashes, bands: _Bands
    ) -> tuple[IntArray, IntArray]:
        """Return the indices of near pairs, and their distances.

        Only pairs whose first two equal bands are these are kept: each pair comes once.
        """
        different_bits = a ^ b
        near = np.flatnonzero(np.bitwise_count(different_bits) <= self._distance)
        different_bits = different_bits[near]
        is_first = np.ones(len(near), np.bool_)
        for number, band in enumerate(self._bands[: bands[1] + 1]):
            is_equal = band.extract(different_bits) == 0
            # Equal in these two bands, different in the bands before and between them.
            is_first &= is_equal == (number in bands)
        distances = np.bitwise_count(different_bits[is_first]).astype(np.int64)
        return near[is_first], distances


def _pair_with_ranges(
    rows: IntArray, begins: npt.NDArray[np.integer], ends: npt.NDArray[np.integer]
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield each row with every position of its range `begins` to `ends`, in batches.

    A batch has at most `MAX_BATCH_PAIRS` pairs, or those of one row if that has more.
    """
    # pairs_before[i] pairs are of the rows before row i.
    pairs_before = np.concatenate([[0], np.cumsum(ends.astype(np.int64) - begins)])
    first = 0
    while first < len(rows):
        limit = pairs_before[first] + MAX_BATCH_PAIRS
        # The last row before which there are at most `limit` pairs.
        last = int(np.searchsorted(pairs_before, limit, "right")) - 1
        last = max(first + 1, last)

        counts = np.diff(pairs_before[first : last + 1])
        numbers = np.arange(pairs_before[first], pairs_before[last])
        if len(numbers):
            # Pairs are numbered in one sequence: shift each row's to the begin of its range.
            shifts = begins[first:last] - pairs_before[first:last]
            yield (
                np.repeat(rows[first:last], counts),
                numbers + np.repeat(shifts, counts),
            )
        first = last


def rank_among_equals(
    values: npt.NDArray[Any], *keys: npt.NDArray[np.integer]
) -> IntArray:
    """Return the rank (from 0) of each element among those with equal `values`.

    `values` alone decide which elements are equal. Each of `keys` has a number for each element:
    the smallest is ranked first, by the first key, then the second one, then by position. So
    `rank_among_equals(owner, distance, other)` ranks the pairs of each owner by distance, and those
    at the same distance by `other`.
    """
    # `lexsort` sorts by its last argument first: by `values`, then by the first key.
    order = np.lexsort((*reversed(keys), values))
    ordered = values[order]
    ranks = np.empty(len(values), np.int64)
    # `searchsorted` gives the position of the first of the equal values.
    ranks[order] = np.arange(len(values)) - np.searchsorted(ordered, ordered)
    return ranks
