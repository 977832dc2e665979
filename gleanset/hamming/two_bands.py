"""Near hashes by two equal bands: an index that stays quick with millions of hashes.

Of `d + 2` bands at least two are equal where two hashes differ by `d` bits. Two of the six bands
for d = 4 have 21 bits together, so of a million hashes hardly any share them by chance, and the
time grows with their number and not with its square. There are 15 ways to choose two of six.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gleanset.hamming.kernel import (
    Hashes,
    buckets,
    compare_buckets,
    meet,
    occurring,
    put_in_order,
)

MOST_BANDS = 24
MOST_BITS = 22
_LEAST_BITS = 8
# Rows that one step of the search may give: 24 MB.
ROWS = 1 << 20


class Near(NamedTuple):
    """Pairs of positions, and how many bits lie between their hashes. Three equal lengths."""

    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    distance: npt.NDArray[np.int64]


class _Index(NamedTuple):
    """Arrays with one row for each way to choose two bands, see `buckets`."""

    hashes: Hashes
    orders: npt.NDArray[np.int32]
    there: Hashes
    ranks: npt.NDArray[np.int32]
    begins: npt.NDArray[np.int32]
    longest: int


class TwoBands:
    """Finds which hashes lie within `distance` (at most 22) bits of each other, or of others."""

    def __init__(self, hashes: Hashes, distance: int) -> None:
        self._hashes = np.ascontiguousarray(hashes, dtype=np.uint64)
        self._distance = distance
        number = distance + 2
        ends = [64 * band // number for band in range(number + 1)]
        self._bands = np.array(
            [(low, (1 << (high - low)) - 1) for low, high in pairwise(ends)],
            np.int64,
        )
        self._chosen = np.array(list(combinations(range(number), 2)), np.int64)
        # Some thirty-two keys for each hash: then most look-ups find nothing.
        self._bits = min(MOST_BITS, max(_LEAST_BITS, len(hashes).bit_length() + 5))
        self._cuts = np.array([self._cut(*two) for two in self._chosen], np.int64)
        self._index: _Index | None = None

    def within(self) -> Iterator[Near]:
        """Yield all pairs (a < b) among the hashes, equal ones too."""
        starts = np.empty(2**self._bits + 1, np.int32)
        order = np.empty(len(self._hashes), np.int32)
        for cut, (one, other) in zip(self._cuts, self._chosen, strict=True):
            put_in_order(self._hashes, cut, starts, order)
            most = max(ROWS, int(np.diff(starts).max()))
            out, place = np.empty((most, 3), np.int64), np.zeros(2, np.int64)
            sorted_ = self._hashes[order]
            while place[0] < len(starts) - 1:
                rows = meet(
                    sorted_, order, starts, self._bands, one, other, self._distance, place, out
                )
                if rows:
                    yield Near(*out[:rows].T.copy())

    def between(self, others: Hashes, most: int = 2**62) -> Iterator[Near]:
        """Yield all pairs (position among the hashes, position in `others`).

        What one of the hashes meets in `others` beyond `most` times is left out.
        """
        right = np.ascontiguousarray(others, dtype=np.uint64)
        index = self._index = self._index or self._made()
        out, place = np.empty((max(ROWS, index.longest), 3), np.int64), np.zeros(1, np.int64)
        # One more than there are: a place is written before it is known whether it counts.
        positions = np.empty(len(right) + 1, np.int32)
        hits = np.zeros(len(self._hashes), np.int64)
        # All are looked up by one pair of bands before the next: its tables are near then.
        for way, (one, other) in enumerate(self._chosen):
            tables = index.there[way], index.ranks[way], index.begins[way], self._cuts[way]
            waiting = positions[: occurring(right, tables[0], tables[-1], positions)]
            found = buckets(right, waiting, *tables)
            place[0] = 0
            while place[0] < len(waiting):
                rows = compare_buckets(
                    index.hashes[way],
                    index.orders[way],
                    right,
                    waiting,
                    found,
                    self._bands,
                    one,
                    other,
                    self._distance,
                    most,
                    hits,
                    place,
                    out,
                )
                if rows:
                    yield Near(*out[:rows].T.copy())

    def _cut(self, one: int, other: int) -> tuple[int, ...]:
        (low, low_mask), (high, high_mask) = self._bands[[one, other]].tolist()
        # The higher band comes to lie beside the lower one, and both within the bits of a key.
        up, whole = low_mask.bit_length(), (1 << self._bits) - 1
        return low, low_mask & whole, high - up, (high_mask << up) & whole

    def _made(self) -> _Index:
        keys, ways, number = 2**self._bits, len(self._cuts), len(self._hashes)
        starts = np.empty(keys + 1, np.int32)
        orders = np.empty((ways, number), np.int32)
        there = np.empty((ways, keys // 64), np.uint64)
        ranks = np.zeros((ways, keys // 64), np.int32)
        begins = np.full((ways, number + 1), number, np.int32)
        longest = 0
        for way, cut in enumerate(self._cuts):
            put_in_order(self._hashes, cut, starts, orders[way])
            lengths = np.diff(starts)
            occurring = np.flatnonzero(lengths)
            longest = max(longest, int(lengths.max()))
            there[way] = np.packbits(lengths > 0, bitorder="little").view("<u8")
            ranks[way, 1:] = np.cumsum(np.bitwise_count(there[way]))[:-1]
            begins[way, : len(occurring)] = starts[occurring]
        return _Index(self._hashes[orders], orders, there, ranks, begins, longest)
