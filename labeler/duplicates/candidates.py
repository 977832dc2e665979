"""Which samples may be duplicates: pairs that are worth a second look.

Two pictures are candidates when their whole hashes are near, plain or mirrored, or when at
least two of their points agree in hash, turn and scale. Everything is bounded: a sample brings
its nearest few candidates, so thousands of equal pictures form a chain of stars and no square.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gleanset.db.duplicates import HashColumns, SampleHashes
from gleanset.db.rows import signed
from gleanset.hamming import Near, NearHashes, distinct, near_pairs, rank_in_run

WHOLE_DISTANCE = 8
POINT_DISTANCE = 4
AGREEING = 2
NEAREST = 8
MOST_BY_POINTS = 30
# So many pictures that share one point say nothing by it (a logo, a corner of a frame).
_COMMON = 100
# A sample with this many all but equal ones before it is found through them.
_ALL_BUT_EQUAL = 4
# Turns and scales are compared in cells of an eighth of a turn and 0.6 of a doubling.
_TURN_CELL = 32
_SCALE_CELL = 10

# Frequencies of a negative have the other sign, but for the mean, which is the first bit.
_ALL_BUT_THE_MEAN = np.uint64(2**63 - 1)

Rows = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """Samples (rows, n) with their hashes; `owner` says whose each of the m points is (0..n-1)."""

    samples: Rows
    plain: npt.NDArray[np.uint64]
    flipped: npt.NDArray[np.uint64]
    points: npt.NDArray[np.uint64]
    owner: Rows
    shapes: npt.NDArray[np.uint8]


def by_content(hashes: HashColumns) -> HashColumns:
    """Return the same in an order that does not depend on which sample came first."""
    rows = sorted(zip(*hashes, strict=True), key=lambda row: row[1:])
    return HashColumns(*map(list, zip(*rows, strict=True))) if rows else hashes


def batch_of(hashes: HashColumns) -> Batch:
    """Stored hashes as arrays."""
    counts = np.fromiter(map(len, hashes.points), np.int64, len(hashes.points)) // 8
    return Batch(
        np.array(hashes.samples, dtype=np.int64),
        np.array(hashes.plain, dtype=np.int64).view(np.uint64),
        np.array(hashes.flipped, dtype=np.int64).view(np.uint64),
        np.frombuffer(b"".join(hashes.points), dtype="<u8").astype(np.uint64),
        np.repeat(np.arange(len(counts), dtype=np.int64), counts),
        np.frombuffer(b"".join(hashes.shapes), np.uint8).reshape(-1, 3),
    )


def negatives_of(batch: Batch) -> Batch:
    """Return whole hashes as the negatives of these pictures have them; points are left out."""
    return Batch(
        batch.samples,
        batch.plain ^ _ALL_BUT_THE_MEAN,
        batch.flipped ^ _ALL_BUT_THE_MEAN,
        batch.points[:0],
        batch.owner[:0],
        batch.shapes[:0],
    )


def columns_of(hashes: Sequence[SampleHashes]) -> HashColumns:
    """Hashes that were made just now, as they are stored."""
    return HashColumns(
        [one.sample for one in hashes],
        [signed(one.plain) for one in hashes],
        [signed(one.flipped) for one in hashes],
        [one.points for one in hashes],
        [one.shapes for one in hashes],
    )


def whole_near(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Return whether two whole hashes, (plain, flipped), are near, or one and a mirrored one."""
    return min((a[0] ^ b[0]).bit_count(), (a[0] ^ b[1]).bit_count()) <= WHOLE_DISTANCE


def candidates_within(new: Batch) -> set[tuple[int, int]]:
    """Pairs of samples of one batch."""
    once = distinct(new.plain)
    straight = _joined(near_pairs(new.plain, WHOLE_DISTANCE))
    turned = _joined(NearHashes(new.flipped[once.first], WHOLE_DISTANCE).among(once.hashes))
    a, b = once.first[turned.a], once.first[turned.b]
    turned = Near(np.minimum(a, b), np.maximum(a, b), turned.distance)
    apart = turned.a != turned.b
    whole = _nearest(_joined([straight, Near(*(part[apart] for part in turned))]), by_later=True)
    dense = np.bincount(whole.b[whole.distance <= _ALL_BUT_EQUAL], minlength=len(new.samples))
    few = _telling(new, dense < NEAREST)
    pairs = _agreeing(few, few, NearHashes(few.points, POINT_DISTANCE).within())
    return _keys(new, new, whole.a, whole.b) | _keys(new, new, *pairs)


class CandidateSearch:
    """Finds which pictures of other batches may be copies of those of one batch."""

    def __init__(self, new: Batch) -> None:
        self._new, self._telling = new, _telling(new)
        self._points = NearHashes(self._telling.points, POINT_DISTANCE)
        self._whole = [NearHashes(hashes, WHOLE_DISTANCE) for hashes in (new.plain, new.flipped)]

    def among(self, old: Batch) -> set[tuple[int, int]]:
        """Return pairs of a sample of this batch and one of `old`."""
        new = self._new
        found = [search.among(old.plain) for search in self._whole]
        whole = _nearest(_joined(near for some in found for near in some), by_later=False)
        pairs = _agreeing(self._telling, old, self._points.among(old.points, _COMMON))
        return _keys(new, old, whole.a, whole.b) | _keys(new, old, *pairs)


def _keys(left: Batch, right: Batch, a: Rows, b: Rows) -> set[tuple[int, int]]:
    pairs = zip(left.samples[a].tolist(), right.samples[b].tolist(), strict=True)
    return {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}


def _joined(parts: Iterable[Near]) -> Near:
    """Several answers as one; trimmed on the way, so that memory stays bounded."""
    kept = [np.zeros(0, dtype=np.int64)] * 3
    for part in parts:
        kept = [np.concatenate(pair) for pair in zip(kept, part, strict=True)]
        if len(kept[0]) > 4_000_000:
            kept = list(_nearest(Near(*kept), by_later=True))
    return Near(*kept)


def _nearest(near: Near, *, by_later: bool) -> Near:
    """For each sample (the later of a pair, or the new one) its nearest few."""
    mine, other = (near.b, near.a) if by_later else (near.a, near.b)
    order = np.lexsort((other, near.distance, mine))
    chosen = order[rank_in_run(mine[order]) < NEAREST]
    return Near(near.a[chosen], near.b[chosen], near.distance[chosen])


def _telling(batch: Batch, which: npt.NDArray[np.bool_] | None = None) -> Batch:
    """Return the points of some samples; of a hash that too many share only the first ones."""
    keep = np.ones(len(batch.points), dtype=np.bool_)
    # Hardly any is that common, and a plain sort takes half the time of an order.
    values = np.sort(batch.points)
    ahead = values[_COMMON:]
    common = np.flatnonzero(np.isin(batch.points, ahead[ahead == values[: len(ahead)]]))
    order = common[np.argsort(batch.points[common], kind="stable")]
    keep[order] = rank_in_run(batch.points[order]) < _COMMON
    if which is not None:
        keep &= which[batch.owner]
    return batch._replace(
        points=batch.points[keep], owner=batch.owner[keep], shapes=batch.shapes[keep]
    )


def _agreeing(left: Batch, right: Batch, points: Iterable[Near]) -> tuple[Rows, Rows]:
    """Positions of pairs of samples of which enough points agree, from the near points of both."""
    parts: list[Rows] = []
    for near in points:
        a, b = left.owner[near.a], right.owner[near.b]
        real = a != b if left is right else np.ones(len(a), dtype=np.bool_)
        cells = _cells(left.shapes[near.a[real]], right.shapes[near.b[real]])
        parts.append(np.column_stack([a[real] * len(right.samples) + b[real], cells]))
    rows = np.concatenate(parts) if parts else np.zeros((0, 5), dtype=np.int64)
    votes: dict[int, int] = {}
    for cell in range(1, 5):
        keys, counts = np.unique(rows[:, 0] * 32768 + rows[:, cell], return_counts=True)
        enough = counts >= AGREEING
        pairs, most = (keys[enough] // 32768).tolist(), counts[enough].tolist()
        for pair, number in zip(pairs, most, strict=True):
            votes[pair] = max(number, votes.get(pair, 0))
    return _most_voted(votes, len(right.samples))


def _most_voted(votes: dict[int, int], columns: int) -> tuple[Rows, Rows]:
    pairs = np.array(list(votes), dtype=np.int64)
    number = np.array(list(votes.values()), dtype=np.int64)
    order = np.lexsort((pairs, -number, pairs // max(1, columns)))
    pairs = pairs[order]
    pairs = pairs[rank_in_run(pairs // max(1, columns)) < MOST_BY_POINTS]
    return pairs // max(1, columns), pairs % max(1, columns)


def _cells(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> Rows:
    """For n pairs of points the n x 4 cells (two overlapping grids each way) of their motion.

    Shapes are (scale, angle, mirrored); points agree when they fall into one cell.
    """
    left, right = a.astype(np.int64), b.astype(np.int64)
    mirrored = left[:, 2] ^ right[:, 2]
    # In a mirror an angle becomes half a turn less itself.
    turn = np.where(mirrored == 1, 128 - left[:, 1], left[:, 1]) - right[:, 1]
    scale = left[:, 0] - right[:, 0] + 256
    cells = [
        (mirrored * 8 + (turn + shift) % 256 // _TURN_CELL) * 128 + (scale + grow) // _SCALE_CELL
        for shift in (0, _TURN_CELL // 2)
        for grow in (0, _SCALE_CELL // 2)
    ]
    return np.column_stack(cells) if len(a) else np.zeros((0, 4), dtype=np.int64)
