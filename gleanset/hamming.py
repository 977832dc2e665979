"""All pairs of 64-bit hashes within a Hamming distance: exact, and quick with millions of them.

Of `d + 2` bands at least two are equal where two hashes differ in `d` bits (the pigeonhole
principle). Two of the six bands for d = 4 have 21 bits together, so of a million hashes hardly any
share them by chance, and the time grows with their number and not with its square. There are 15
ways to choose two of six. Equal hashes are collapsed first where there may be many, so a blob of
thousands costs no more than its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gleanset.compiled import compiled

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int32]

MOST_BANDS = 24
MOST_BITS = 22
_LEAST_BITS = 6
ROWS = 1 << 20
"""Rows that one step of the search may give: 24 MB."""
AT_ONCE = 64
"""Hashes that are compared before it is looked which of them are near."""


class Near(NamedTuple):
    """Pairs of positions, and how many bits lie between their hashes. Three equal lengths."""

    a: Numbers
    b: Numbers
    distance: Numbers


class Distinct(NamedTuple):
    """Each hash once: its value, the first position that has it, and `equal` pairs.

    `equal` ties every other position with the same hash to the first one: a star, whose
    number of edges grows with the blob and not with its square.
    """

    hashes: Hashes
    first: Numbers
    equal: Near


def distinct(hashes: Hashes) -> Distinct:
    """Collapse equal hashes."""
    values, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    positions = np.arange(len(hashes), dtype=np.int64)
    others = positions[first[which] != positions]
    star = Near(first[which[others]], others, np.zeros(len(others), dtype=np.int64))
    return Distinct(values, first, star)


def near_pairs(hashes: Hashes, distance: int) -> Iterator[Near]:
    """Yield all pairs of distinct hashes within `distance` bits, and a star for each equal hash.

    A pair of distinct hashes is given once, by the first position of each, smaller position
    first. What comes at a time is bounded, however many pairs there are.
    """
    once = distinct(np.ascontiguousarray(hashes, dtype=np.uint64))
    yield once.equal
    for near in NearHashes(once.hashes, distance).within():
        a, b = once.first[near.a], once.first[near.b]
        yield Near(np.minimum(a, b), np.maximum(a, b), near.distance)


class _ByKey(NamedTuple):
    """Hashes in the order of their keys: those of key `k` are at `starts[k]:starts[k + 1]`.

    `there` has a bit for each key that occurs.
    """

    hashes: Hashes
    order: Positions
    starts: Positions
    there: Hashes


class _Way(NamedTuple):
    """One way to choose two of the bands.

    `bands` are rows of (shift, mask), `pair` says which two. `cut` makes a key of a hash: (shift,
    mask) of the lower band, then of the higher one where it comes to lie. One hash of the index
    meets at most `most` others.
    """

    bands: Numbers
    pair: tuple[int, int]
    cut: Numbers
    distance: int
    most: int


class NearHashes:
    """Finds which hashes lie within `distance` (at most 22) bits of each other, or of others.

    What is made for the first list of others serves the next ones.
    """

    def __init__(self, hashes: Hashes, distance: int) -> None:
        self._hashes = np.ascontiguousarray(hashes, dtype=np.uint64)
        self._distance = distance
        number = distance + 2
        ends = [64 * band // number for band in range(number + 1)]
        self._bands = np.array(
            [(low, (1 << (high - low)) - 1) for low, high in pairwise(ends)], np.int64
        )
        # Some thirty-two keys for each hash: then most look-ups find nothing.
        widest = 2 * -(-64 // number)
        most = min(MOST_BITS, widest, len(hashes).bit_length() + 5)
        self._bits = max(_LEAST_BITS, most)
        self._indexes: list[_ByKey] | None = None

    def within(self) -> Iterator[Near]:
        """Yield all pairs (a < b) among the hashes, equal ones too."""
        for way in self._ways():
            index = self._index(way)
            most = max(ROWS, int(np.diff(index.starts).max()))
            out, place = np.empty((most, 3), np.int64), np.zeros(2, np.int64)
            while place[0] < len(index.starts) - 1:
                rows = _meet(index, way, place, out)
                if rows:
                    yield Near(*out[:rows].T.copy())

    def among(self, others: Hashes, most: int = 2**62) -> Iterator[Near]:
        """Yield all pairs (position among the hashes, position in `others`).

        What one of the hashes meets in `others` beyond `most` times is left out.
        """
        right = np.ascontiguousarray(others, dtype=np.uint64)
        if self._indexes is None:
            self._indexes = [self._index(way) for way in self._ways()]
        hits = np.zeros(len(self._hashes), np.int64)
        # All are looked up by one pair of bands before the next: its tables are near then.
        for way, index in zip(self._ways(most), self._indexes, strict=True):
            longest = max(ROWS, int(np.diff(index.starts).max()))
            out, place = np.empty((longest, 3), np.int64), np.zeros(1, np.int64)
            while place[0] < len(right):
                rows = _look_up(index, way, right, hits, place, out)
                if rows:
                    yield Near(*out[:rows].T.copy())

    def _ways(self, most: int = 2**62) -> list[_Way]:
        return [
            _Way(self._bands, pair, self._cut(pair), self._distance, most)
            for pair in combinations(range(len(self._bands)), 2)
        ]

    def _index(self, way: _Way) -> _ByKey:
        starts = np.empty(2**self._bits + 1, np.int32)
        order = np.empty(len(self._hashes), np.int32)
        _put_in_order(self._hashes, way.cut, starts, order)
        there = np.packbits(np.diff(starts) > 0, bitorder="little").view("<u8")
        return _ByKey(self._hashes[order], order, starts, there)

    def _cut(self, pair: tuple[int, int]) -> Numbers:
        (low, low_mask), (high, high_mask) = self._bands[list(pair)].tolist()
        # The higher band comes to lie beside the lower one, and both within the bits of a key.
        up, whole = low_mask.bit_length(), (1 << self._bits) - 1
        return np.array([low, low_mask & whole, high - up, (high_mask << up) & whole], np.int64)


@compiled
def _bits(value: np.uint64) -> np.int64:
    """Return the number of set bits (Hacker's Delight, 2nd edition, figure 5-2)."""
    value = value - ((value >> np.uint64(1)) & np.uint64(0x5555555555555555))
    low = np.uint64(0x3333333333333333)
    value = (value & low) + ((value >> np.uint64(2)) & low)
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((value * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _first_two(apart: np.uint64, way: _Way) -> bool:
    """Return whether its two bands are the first ones that are equal, of a pair that differs
    in the bits `apart`; so each pair comes once."""
    for band in range(way.pair[1]):
        part = (apart >> np.uint64(way.bands[band, 0])) & np.uint64(way.bands[band, 1])
        if (part == np.uint64(0)) != (band == way.pair[0]):
            return False
    last = way.pair[1]
    part = (apart >> np.uint64(way.bands[last, 0])) & np.uint64(way.bands[last, 1])
    return bool(part == np.uint64(0))


@compiled
def _key_of(value: np.uint64, cut: Numbers) -> np.int64:
    """Return two bands of a hash side by side, as `_Way.cut` says."""
    low = (value >> np.uint64(cut[0])) & np.uint64(cut[1])
    return np.int64(low | ((value >> np.uint64(cut[2])) & np.uint64(cut[3])))


@compiled
def _put_in_order(hashes: Hashes, cut: Numbers, starts: Positions, order: Positions) -> None:
    """Sort positions by key, by counting: key `k` is at `order[starts[k]:starts[k + 1]]`."""
    starts[:] = 0
    for x in range(len(hashes)):
        starts[_key_of(hashes[x], cut) + 1] += 1
    for key in range(1, len(starts)):
        starts[key] += starts[key - 1]
    # Each start moves on to its end as it is filled, which is where the next one began.
    for x in range(len(hashes)):
        mine = _key_of(hashes[x], cut)
        order[starts[mine]] = x
        starts[mine] += 1
    for key in range(len(starts) - 1, 0, -1):
        starts[key] = starts[key - 1]
    starts[0] = 0


@compiled
def _meet(index: _ByKey, way: _Way, place: Numbers, out: Numbers) -> int:
    """Compare all hashes of one list that have the two bands in common.

    `place` = (key, x) says where to begin and, when a row of comparisons might not fit into
    `out`, where to go on.
    """
    rows = 0
    hashes, order, starts = index.hashes, index.order, index.starts
    for key in range(place[0], len(starts) - 1):
        last = starts[key + 1]
        for x in range(max(starts[key], place[1]), last):
            if rows + last - x > len(out):
                place[0], place[1] = key, x
                return rows
            for begin in range(x + 1, last, AT_ONCE):
                # Most parts have none that is near, and to count them takes no branch.
                part = hashes[begin : min(begin + AT_ONCE, last)]
                near = 0
                for y in range(len(part)):
                    near += int(_bits(hashes[x] ^ part[y]) <= way.distance)
                for y in range(len(part) if near else 0):
                    apart = hashes[x] ^ part[y]
                    count = _bits(apart)
                    if count <= way.distance and _first_two(apart, way):
                        out[rows, 0], out[rows, 1], out[rows, 2] = order[x], order[begin + y], count
                        rows += 1
    place[0] = len(starts) - 1
    return rows


@compiled
def _look_up(
    index: _ByKey, way: _Way, right: Hashes, hits: Numbers, place: Numbers, out: Numbers
) -> int:
    """Compare each of `right` with the hashes that have the two bands in common with it.

    `hits` counts how often each hash met another. Begins at `place[0]` and, when a row of
    comparisons might not fit into `out`, says where to go on.
    """
    rows = 0
    starts, there = index.starts, index.there
    # Plain numbers: an array might change under what is written, and is read each time.
    low_shift, low_mask = np.uint64(way.cut[0]), np.uint64(way.cut[1])
    high_shift, high_mask = np.uint64(way.cut[2]), np.uint64(way.cut[3])
    for y in range(place[0], len(right)):
        key = ((right[y] >> low_shift) & low_mask) | ((right[y] >> high_shift) & high_mask)
        # Few keys occur, and their bits stay in the processor's cache where the starts do not.
        if not (there[key >> np.uint64(6)] >> (key & np.uint64(63))) & np.uint64(1):
            continue
        begin, end = starts[key], starts[key + np.uint64(1)]
        if rows + end - begin > len(out):
            place[0] = y
            return rows
        part = index.hashes[begin:end]
        for at in range(len(part)):
            apart = part[at] ^ right[y]
            count = _bits(apart)
            if count > way.distance or not _first_two(apart, way):
                continue
            x = index.order[begin + at]
            if hits[x] < way.most:
                hits[x] += 1
                out[rows, 0], out[rows, 1], out[rows, 2] = x, y, count
                rows += 1
    place[0] = len(right)
    return rows
