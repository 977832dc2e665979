"""All pairs of 64-bit hashes within a Hamming distance: exact, and quick at a million.

Two hashes within `d` bits of each other differ by few bits in at least one of their four
16-bit bands (the pigeonhole principle). With limits `t` for the bands that add up to
`d - 3`, some band differs by at most its limit (Qin et al., "GPH: similarity search in
Hamming space", 2018): for d = 8 these are 1, 1, 1 and 2 bits, 188 keys to look up for each
hash. Equal hashes are collapsed first, so a blob of thousands costs no more than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np

from gleanset.hamming.kernel import Hashes, Numbers, compare, probe
from gleanset.hamming.two_bands import MOST_BANDS, MOST_BITS, ROWS, Near, TwoBands

BANDS = 4
WIDTH = 16


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

    Positions refer to `hashes`; a pair of distinct hashes is given once, by the first
    position of each, smaller position first. What comes at a time is bounded, however many
    pairs there are.
    """
    once = distinct(np.ascontiguousarray(hashes, dtype=np.uint64))
    yield once.equal
    for found in _pairs(once.hashes, distance):
        a, b = once.first[found.a], once.first[found.b]
        yield Near(np.minimum(a, b), np.maximum(a, b), found.distance)


def near_between(new: Hashes, old: Hashes, distance: int) -> Iterator[Near]:
    """Yield all pairs (position in `new`, position in `old`) within `distance` bits."""
    yield from NearSearch(new, distance).among(old)


class NearSearch:
    """Finds all pairs of some hashes and others within `distance` bits.

    The index is made over the first, once, and others stream past it: a thousand against a million
    take a fifth of a second, and nothing has to be kept between runs.
    """

    def __init__(self, hashes: Hashes, distance: int) -> None:
        self._left = np.ascontiguousarray(hashes, dtype=np.uint64)
        self._distance = distance
        self._limits = _limits(distance)

    def among(self, others: Hashes) -> Iterator[Near]:
        """Yield all pairs (position among the hashes, position in `others`)."""
        left, right = self._left, np.ascontiguousarray(others, dtype=np.uint64)
        if not len(left) or not len(right) or self._distance < 0:
            return
        if _flat_is_cheaper(len(left), len(right), self._limits):
            whole = np.array([WIDTH])
            yield from _band(left, right, 0, 0, whole, self._distance, same=False)
        elif _two_are_cheaper(len(left), self._distance, self._limits):
            yield from self._by_two.between(right)
        else:
            yield from self._by_four(right)

    @cached_property
    def _by_two(self) -> TwoBands:
        return TwoBands(self._left, self._distance)

    @cached_property
    def _four(self) -> tuple[Numbers, Numbers]:
        index = [_sorted(self._left, band, WIDTH) for band in range(BANDS)]
        return np.stack([one.order for one in index]), np.stack([one.starts for one in index])

    def _by_four(self, right: Hashes) -> Iterator[Near]:
        masks = [_masks(limit) for limit in self._limits]
        flat = np.array([mask for some in masks for mask in some], dtype=np.int64)
        ends = np.concatenate([[0], np.cumsum([len(some) for some in masks])]).astype(np.int64)
        limits = np.array(self._limits, dtype=np.int64)
        out = np.empty((ROWS + len(self._left), 3), dtype=np.int64)
        place = np.zeros(1, dtype=np.int64)
        while place[0] < len(right):
            rows = probe(
                self._left,
                *self._four,
                right,
                flat,
                ends,
                self._distance,
                limits,
                place,
                out,
            )
            if rows:
                yield Near(*out[:rows].T.copy())


def _two_are_cheaper(left: int, distance: int, limits: list[int]) -> bool:
    """Return whether two equal bands of `distance + 2` are found sooner than one of four."""
    if distance + 2 > MOST_BANDS:
        return False
    width = min(2 * (64 // (distance + 2)), MOST_BITS)
    pairs = comb(distance + 2, 2)
    return bool(pairs * (1 + left / 2**width) < _probes(limits) * (1 + left / 2**WIDTH))


def _pairs(hashes: Hashes, distance: int) -> Iterator[Near]:
    if not len(hashes) or distance < 0:
        return
    limits = _limits(distance)
    if _flat_is_cheaper(len(hashes), len(hashes), limits):
        yield from _band(hashes, hashes, 0, 0, np.array([WIDTH]), distance, same=True)
        return
    for band in range(BANDS):
        yield from _band(hashes, hashes, band, WIDTH, np.array(limits), distance, same=True)


def _flat_is_cheaper(left: int, right: int, limits: list[int]) -> bool:
    """Return whether comparing each with each is less work than looking keys up."""
    probes = _probes(limits)
    return bool(probes * (left * right / 2**WIDTH + min(right, 2**WIDTH)) >= left * right)


def _probes(limits: list[int]) -> int:
    """Return how many keys are looked up for each hash."""
    return sum(comb(WIDTH, k) for limit in limits for k in range(min(limit, WIDTH) + 1))


def _limits(distance: int) -> list[int]:
    """Return how many bits each band may differ by; they add up to `distance - 3`, -1 is never."""
    spare, more = divmod(distance - BANDS + 1, BANDS)
    return [spare + (band >= BANDS - more) for band in range(BANDS)]


def _masks(limit: int) -> list[int]:
    """Return all keys of 16 bits with at most `limit` bits set."""
    return [
        sum(1 << bit for bit in chosen)
        for number in range(min(limit, WIDTH) + 1)
        for chosen in combinations(range(WIDTH), number)
    ]


def _band(
    left: Hashes,
    right: Hashes,
    band: int,
    width: int,
    limits: Numbers,
    distance: int,
    *,
    same: bool,
) -> Iterator[Near]:
    """Yield the pairs that one band shows first; a width of 0 compares each with each."""
    masks = np.array(_masks(int(limits[band])) if width else [0], dtype=np.int64)
    if not len(masks):
        return
    mine = _sorted(left, band, width)
    theirs = mine if same else _sorted(right, band, width)
    keys = len(mine.starts) - 1
    out = np.empty((max(ROWS, int(np.diff(theirs.starts).max())), 3), dtype=np.int64)
    place = np.zeros(3, dtype=np.int64)
    while place[0] < keys:
        rows = compare(
            mine.hashes,
            mine.starts,
            theirs.hashes,
            theirs.starts,
            masks,
            same,
            distance,
            band,
            limits.astype(np.int64),
            place,
            out,
        )
        if rows:
            yield Near(mine.order[out[:rows, 0]], theirs.order[out[:rows, 1]], out[:rows, 2].copy())


class _Sorted(NamedTuple):
    hashes: Hashes
    order: Numbers
    starts: Numbers


def _sorted(hashes: Hashes, band: int, width: int) -> _Sorted:
    """Return the hashes in the order of their keys, and where the bucket of each key begins."""
    mask = np.uint64((1 << width) - 1)
    keys = ((hashes >> np.uint64((width or WIDTH) * band)) & mask).astype(np.uint16)
    order = np.argsort(keys, kind="stable")
    counts = np.bincount(keys, minlength=1 << width)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return _Sorted(hashes[order], order, starts)
