"""Candidate pairs of duplicates, found by perceptual hashes.

Two images are candidates when their whole-image hashes are near, plain or mirrored, or when three
of their points, or two with nearly the same hash, agree in hash, angle and scale. The number of
candidates per sample is bounded, so thousands of equal images do not produce a quadratic number of
pairs.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gleanset.arrays import BoolArray, IntArray, Pixels
from gleanset.db.duplicates import HashColumns, Pair, SampleHashes
from gleanset.db.rows import to_signed
from gleanset.hamming import (
    HashIndex,
    NearPairs,
    compute_run_ranks,
    find_distinct,
    find_near_pairs,
)

MAX_WHOLE_DISTANCE = 8
"""Bits that may differ between near whole-image hashes; `MAX_POINT_DISTANCE` is for points."""

MAX_POINT_DISTANCE = 4
MAX_CLOSE_DISTANCE = 2
MIN_VOTES = 3
"""A pair of agreeing points is one vote, or two votes up to `MAX_CLOSE_DISTANCE`."""

MAX_CANDIDATES_BY_HASH = 8
MAX_CANDIDATES_BY_POINTS = 30
MAX_IMAGES_PER_POINT = 100
"""A point shared by more images is not informative (a logo, a corner of a frame)."""

# A sample that has MAX_CANDIDATES_BY_HASH earlier neighbours this near is reached through them.
_NEARLY_EQUAL_DISTANCE = 4
# Motions are compared in cells of an eighth of a turn and 0.6 of a doubling.
_ANGLE_CELL = 32
_SCALE_CELL = 10
# Numbers of cells of all grids.
_MOTION_CELLS = 4 * 2 * 8 * 128
_MAX_PAIRS_IN_MEMORY = 4_000_000


class Batch(NamedTuple):
    """Hashes of n samples (catalogue rows) as arrays.

    `owner` is the position (0..n-1) of the sample that each of the m points belongs to.
    """

    samples: IntArray
    plain: npt.NDArray[np.uint64]
    flipped: npt.NDArray[np.uint64]
    points: npt.NDArray[np.uint64]
    owner: IntArray
    shapes: Pixels


def sort_by_content(hashes: HashColumns) -> HashColumns:
    """Sort by hashes, so that the order does not depend on which sample came first."""
    rows = sorted(zip(*hashes, strict=True), key=lambda row: row[1:])
    return HashColumns(*zip(*rows, strict=True))


def make_batch(hashes: HashColumns) -> Batch:
    """Convert hashes to arrays; those of 64 bits are signed, as stored."""
    counts = np.fromiter(map(len, hashes.points), np.int64, len(hashes.points)) // 8
    return Batch(
        np.array(hashes.samples, dtype=np.int64),
        np.array(hashes.plain, dtype=np.int64).astype(np.uint64),
        np.array(hashes.flipped, dtype=np.int64).astype(np.uint64),
        np.frombuffer(b"".join(hashes.points), dtype="<u8").astype(np.uint64),
        np.repeat(np.arange(len(counts), dtype=np.int64), counts),
        np.frombuffer(b"".join(hashes.shapes), np.uint8).reshape(-1, 3),
    )


def to_columns(hashes: Sequence[SampleHashes]) -> HashColumns:
    """Convert new hashes of some samples to columns, signed as stored."""
    samples, plain, flipped, _, points, shapes = zip(*hashes, strict=True)
    return HashColumns(
        samples,
        list(map(to_signed, plain)),
        list(map(to_signed, flipped)),
        points,
        shapes,
    )


def find_candidates_within(new: Batch) -> set[Pair]:
    """Return candidate pairs of samples of one batch."""
    nearest = _keep_nearest(
        _concatenate(
            chain(find_near_pairs(new.plain, MAX_WHOLE_DISTANCE), _find_mirrored(new))
        ),
        by_later=True,
    )

    # Samples in a dense neighbourhood are reached through their neighbours.
    neighbours = np.bincount(
        nearest.b[nearest.distance <= _NEARLY_EQUAL_DISTANCE],
        minlength=len(new.samples),
    )
    informative = _drop_common_points(new, neighbours < MAX_CANDIDATES_BY_HASH)
    point_pairs = HashIndex(informative.points, MAX_POINT_DISTANCE).find_pairs_within()
    a, b = _pairs_by_points(informative, informative, point_pairs)
    return _to_row_pairs(new, new, np.append(nearest.a, a), np.append(nearest.b, b))


def _find_mirrored(new: Batch) -> Iterator[NearPairs]:
    """Yield pairs of which one is near the mirror image of the other."""
    unique = find_distinct(new.plain)
    flipped = new.flipped[unique.first]
    for near in HashIndex(flipped, MAX_WHOLE_DISTANCE).find_pairs_with(unique.hashes):
        # A symmetric image is near its own mirror image.
        different = near.a != near.b
        a = unique.first[near.a[different]]
        b = unique.first[near.b[different]]
        yield NearPairs(np.minimum(a, b), np.maximum(a, b), near.distance[different])


class CandidateSearch:
    """Finds candidate copies of the samples of one batch in other batches."""

    def __init__(self, new: Batch):
        self._new = new
        self._informative = _drop_common_points(new)
        self._points = HashIndex(self._informative.points, MAX_POINT_DISTANCE)
        self._image_hashes = [
            HashIndex(hashes, MAX_WHOLE_DISTANCE) for hashes in (new.plain, new.flipped)
        ]

    def find_candidates(self, old: Batch) -> set[Pair]:
        """Return candidate pairs of a sample of this batch and one of `old`."""
        new = self._new
        matches = [index.find_pairs_with(old.plain) for index in self._image_hashes]
        nearest = _keep_nearest(
            _concatenate(chain.from_iterable(matches)), by_later=False
        )

        point_pairs = self._points.find_pairs_with(old.points, MAX_IMAGES_PER_POINT)
        a, b = _pairs_by_points(self._informative, old, point_pairs)
        return _to_row_pairs(new, old, np.append(nearest.a, a), np.append(nearest.b, b))


def _to_row_pairs(left: Batch, right: Batch, a: IntArray, b: IntArray) -> set[Pair]:
    """Return pairs of catalogue rows from positions in two batches, without order."""
    rows_a = left.samples[a].tolist()
    rows_b = right.samples[b].tolist()
    pairs = zip(rows_a, rows_b, strict=True)
    return {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}


def _concatenate(parts: Iterable[NearPairs]) -> NearPairs:
    joined = NearPairs(*[np.zeros(0, dtype=np.int64)] * 3)
    for part in parts:
        joined = NearPairs(*map(np.append, joined, part))
        if len(joined.a) > _MAX_PAIRS_IN_MEMORY:
            joined = _keep_nearest(joined, by_later=True)
    return joined


def _keep_nearest(near: NearPairs, *, by_later: bool) -> NearPairs:
    """Keep the nearest few for each sample (the later one of a pair, or the new one)."""
    own = near.b if by_later else near.a
    other = near.a if by_later else near.b
    order = np.lexsort((other, near.distance, own))
    nearest = order[compute_run_ranks(own[order]) < MAX_CANDIDATES_BY_HASH]
    return NearPairs(near.a[nearest], near.b[nearest], near.distance[nearest])


def _drop_common_points(batch: Batch, selected: BoolArray | None = None) -> Batch:
    # The first images with a common point keep it.
    order = np.argsort(batch.points, kind="stable")
    keep = np.empty(len(order), dtype=np.bool_)
    keep[order] = compute_run_ranks(batch.points[order]) < MAX_IMAGES_PER_POINT
    if selected is not None:
        keep &= selected[batch.owner]
    return batch._replace(
        points=batch.points[keep], owner=batch.owner[keep], shapes=batch.shapes[keep]
    )


def _pairs_by_points(
    left: Batch, right: Batch, points: Iterable[NearPairs]
) -> tuple[IntArray, IntArray]:
    """Return positions in `left` and `right` of pairs whose points agree on a motion.

    A vote is one number: the pair times the number of motions, plus the motion.
    """
    width = max(1, len(right.samples))
    votes = [np.zeros((0, 4), dtype=np.int64)]
    for near in points:
        a = left.owner[near.a]
        b = right.owner[near.b]
        motions = _motion_cells(left.shapes[near.a], right.shapes[near.b])
        pair_votes = (a * width + b)[:, None] * _MOTION_CELLS + motions
        is_other = a != b if left is right else np.ones(len(a), np.bool_)
        votes += [
            pair_votes[is_other],
            # Close points vote twice.
            pair_votes[is_other & (near.distance <= MAX_CLOSE_DISTANCE)],
        ]

    keys, counts = np.unique(np.concatenate(votes), return_counts=True)
    enough = counts >= MIN_VOTES
    pairs, first = np.unique(keys[enough] // _MOTION_CELLS, return_index=True)
    if not len(pairs):
        return pairs, pairs

    max_votes = np.maximum.reduceat(counts[enough], first)
    pairs = pairs[np.lexsort((pairs, -max_votes, pairs // width))]
    pairs = pairs[compute_run_ranks(pairs // width) < MAX_CANDIDATES_BY_POINTS]
    return pairs // width, pairs % width


def _motion_cells(a: Pixels, b: Pixels) -> IntArray:
    """Return n x 4 cells (two overlapping grids in each dimension) of the motions of n point pairs.

    Shapes are (scale, angle, mirrored); points agree when their motions are in the same cell.
    """
    scale_a, angle_a, mirrored_a = a.astype(np.int64).T
    scale_b, angle_b, mirrored_b = b.astype(np.int64).T
    mirrored = mirrored_a ^ mirrored_b
    # Mirroring turns an angle into half a turn minus the angle.
    rotation = np.where(mirrored == 1, 128 - angle_a, angle_a) - angle_b
    scale = scale_a - scale_b + 256

    cells = []
    grids = product((0, _ANGLE_CELL // 2), (0, _SCALE_CELL // 2))
    for number, (angle_shift, scale_shift) in enumerate(grids):
        angle_cell = (rotation + angle_shift) % 256 // _ANGLE_CELL
        scale_cell = (scale + scale_shift) // _SCALE_CELL
        cells.append(((number * 2 + mirrored) * 8 + angle_cell) * 128 + scale_cell)
    return np.column_stack(cells)
