"""Candidate pairs of duplicates, found by perceptual hashes.

Two images are candidates when their whole-image hashes are near, plain or mirrored, or when three
of their points, or two with nearly the same hash, agree in hash, angle and scale. The number of
candidates per sample is bounded, so thousands of equal images do not produce a quadratic number of
pairs.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, product
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gleanset.arrays import BoolArray, IntArray, Pixels
from gleanset.db.duplicates import HashColumns, Pair, SampleHashes
from gleanset.db.rows import to_signed
from gleanset.hamming import (
    HashIndex,
    NearPairs,
    find_distinct,
    find_near_pairs,
    rank_among_equals,
)

MAX_WHOLE_DISTANCE = 8
"""Bits that may differ between near whole-image hashes; `MAX_POINT_DISTANCE` is for points."""

MAX_POINT_DISTANCE = 4
MAX_CLOSE_DISTANCE = 2
MIN_VOTES = 3
"""A pair of agreeing points is one vote, or two votes up to `MAX_CLOSE_DISTANCE`."""

MAX_CANDIDATES_BY_HASH = 8
MAX_MATCHES_PER_POINT = 5
"""Points agree if each is one of the other's nearest: drawings in one style share many by chance,
the more drawings there are (docs/experiments.md)."""

MAX_IMAGES_PER_POINT = 100
"""A point shared by more images is not informative (a logo, a corner of a frame)."""

# A sample that has MAX_CANDIDATES_BY_HASH earlier neighbours this near is reached through them.
_NEARLY_EQUAL_DISTANCE = 4
# Motions are compared in cells of an eighth of a turn and 0.6 of a doubling.
_ANGLE_CELL = 32
_SCALE_CELL = 10
# Numbers of grids, of cells with and without mirroring, of angles and of scales: a difference of
# scales is below 512 with 256 added, which makes 52 cells.
_MOTION_SHAPE = (4, 2, 8, 128)
_MOTION_CELLS = prod(_MOTION_SHAPE)
_MAX_PAIRS_IN_MEMORY = 4_000_000
_NO_PAIRS = NearPairs(*[np.zeros(0, np.int64)] * 3)


class Batch(NamedTuple):
    """Hashes of n samples (catalogue rows) and of their m points as arrays.

    `owner` (m) is the position (0..n-1) of the sample that each point belongs to, `shapes` (m x 3)
    are scale, angle and whether the point was mirrored, see `compute_hashes`.
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
    """Convert stored hashes to arrays: SQLite has only signed numbers, hashes are unsigned."""
    # A point has eight bytes.
    point_counts = np.fromiter(map(len, hashes.points), np.int64) // 8
    return Batch(
        np.array(hashes.samples, np.int64),
        np.array(hashes.plain, np.int64).astype(np.uint64),
        np.array(hashes.flipped, np.int64).astype(np.uint64),
        np.frombuffer(b"".join(hashes.points), "<u8").astype(np.uint64),
        np.repeat(np.arange(len(point_counts)), point_counts),
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
    plain = find_near_pairs(new.plain, MAX_WHOLE_DISTANCE)
    nearest = _keep_nearest(_concatenate(chain(plain, _find_mirrored(new))))

    # Samples in a dense neighbourhood are reached through their neighbours, without points.
    nearly_equal = nearest.b[nearest.distance <= _NEARLY_EQUAL_DISTANCE]
    neighbours = np.bincount(nearly_equal, minlength=len(new.samples))
    rare = _drop_common_points(new, neighbours < MAX_CANDIDATES_BY_HASH)

    point_pairs = HashIndex(rare.points, MAX_POINT_DISTANCE).find_pairs_within()
    by_points = _find_pairs_by_points(rare, rare, point_pairs)
    return _to_row_pairs(new, new, nearest, by_points)


def _find_mirrored(new: Batch) -> Iterator[NearPairs]:
    """Yield pairs (positions, the smaller first) in which one is near the other's mirror image.

    Of samples with equal hashes only the first one is paired.
    """
    unique = find_distinct(new.plain)
    flipped = new.flipped[unique.first]
    for near in HashIndex(flipped, MAX_WHOLE_DISTANCE).find_pairs_with(unique.hashes):
        # A symmetric image is near its own mirror image.
        different = near.a != near.b
        a = unique.first[near.a[different]]
        b = unique.first[near.b[different]]
        yield NearPairs(
            np.minimum(a, b),
            np.maximum(a, b),
            near.distance[different],
        )


class CandidateSearch:
    """Finds candidate copies of the samples of one batch in other batches."""

    def __init__(self, new: Batch):
        self._new = new
        self._rare = _drop_common_points(new)
        self._points = HashIndex(self._rare.points, MAX_POINT_DISTANCE)
        self._image_hashes = [
            HashIndex(hashes, MAX_WHOLE_DISTANCE) for hashes in (new.plain, new.flipped)
        ]

    def find_candidates(self, old: Batch) -> set[Pair]:
        """Return candidate pairs of a sample of this batch and one of `old`."""
        new = self._new
        # Plain and mirrored hashes of new samples are looked up among plain hashes of old ones.
        matches = [index.find_pairs_with(old.plain) for index in self._image_hashes]
        # The nearest old samples of each new one, which is the second one.
        nearest = _keep_nearest(
            _concatenate(
                NearPairs(near.b, near.a, near.distance)
                for near in chain.from_iterable(matches)
            )
        )

        point_pairs = self._points.find_pairs_with(old.points, MAX_IMAGES_PER_POINT)
        new_positions, old_positions = _find_pairs_by_points(
            self._rare, old, point_pairs
        )
        return _to_row_pairs(old, new, nearest, (old_positions, new_positions))


def _to_row_pairs(
    left: Batch, right: Batch, nearest: NearPairs, by_points: tuple[IntArray, IntArray]
) -> set[Pair]:
    """Return pairs of catalogue rows, the smaller first, from positions in two batches."""
    rows_a = left.samples[np.append(nearest.a, by_points[0])].tolist()
    rows_b = right.samples[np.append(nearest.b, by_points[1])].tolist()
    pairs = zip(rows_a, rows_b, strict=True)
    return {(min(a, b), max(a, b)) for a, b in pairs}


def _concatenate(parts: Iterable[NearPairs]) -> NearPairs:
    """Join pairs; of too many for the memory only the nearest of each sample are kept."""
    joined = _NO_PAIRS
    for part in parts:
        joined = NearPairs(*map(np.append, joined, part))
        if len(joined.a) > _MAX_PAIRS_IN_MEMORY:
            joined = _keep_nearest(joined)
    return joined


def _keep_nearest(near: NearPairs) -> NearPairs:
    """Keep the nearest few for each sample, the second one of a pair."""
    # For each sample b: by distance, then by the position of a.
    ranks = rank_among_equals(near.b, near.distance, near.a)
    is_nearest = ranks < MAX_CANDIDATES_BY_HASH
    return NearPairs(*(values[is_nearest] for values in near))


def _drop_common_points(batch: Batch, selected: BoolArray | None = None) -> Batch:
    """Return a batch without points of too many images, and only those of `selected` samples."""
    # Ranks count points with the same hash: the first of them stay.
    keep = rank_among_equals(batch.points) < MAX_IMAGES_PER_POINT
    if selected is not None:
        keep &= selected[batch.owner]
    return batch._replace(
        points=batch.points[keep], owner=batch.owner[keep], shapes=batch.shapes[keep]
    )


def _find_pairs_by_points(
    left: Batch, right: Batch, points: Iterable[NearPairs]
) -> tuple[IntArray, IntArray]:
    """Return positions in `left` and `right` of pairs of samples whose points agree on a motion.

    `points` are near pairs of their points. Each votes for the motions (cells) that would map one
    point to the other; the cell with the most votes decides about the pair of samples.
    """
    near = NearPairs(*map(np.concatenate, zip(_NO_PAIRS, *points, strict=True)))
    near = _keep_mutual(left, right, near)
    a = left.owner[near.a]
    b = right.owner[near.b]
    motions = _find_motion_cells(
        left.shapes[near.a],
        right.shapes[near.b],
    )
    # One number for each pair of samples, a * width + b, and from it one for each pair of samples
    # and cell of their motion (n x 4). Without right samples the width must not be 0: it divides.
    width = max(1, len(right.samples))
    voted_cells = (a * width + b)[:, None] * _MOTION_CELLS + motions
    # Close points vote twice.
    close_cells = voted_cells[near.distance <= MAX_CLOSE_DISTANCE]
    numbers, counts = np.unique(np.append(voted_cells, close_cells), return_counts=True)
    is_enough = counts >= MIN_VOTES
    pairs = numbers[is_enough] // _MOTION_CELLS
    votes = counts[is_enough]
    # A pair may have several cells with enough votes: it is returned once.
    is_best = rank_among_equals(pairs, -votes) == 0
    pairs = pairs[is_best]
    return pairs // width, pairs % width


def _keep_mutual(left: Batch, right: Batch, near: NearPairs) -> NearPairs:
    """Keep pairs of points of two samples in which each is one of the five nearest of the other.

    Points at the same distance are ranked by their position.
    """
    rows_a = left.samples[left.owner[near.a]]
    is_other = rows_a != right.samples[right.owner[near.b]]
    a, b, distance = (values[is_other] for values in near)

    # Give each point one number: those of another right batch follow those of the left one.
    b_number = b if left is right else b + len(left.points)
    # List each pair twice, from a to b and from b to a, and rank the partners of each point: by
    # distance, then by number.
    ranks = rank_among_equals(
        np.append(a, b_number),
        np.append(distance, distance),
        np.append(b_number, a),
    )
    # Row 0 has the ranks of b for a, row 1 those of a for b.
    is_mutual = (ranks < MAX_MATCHES_PER_POINT).reshape(2, -1).all(axis=0)
    return NearPairs(a[is_mutual], b[is_mutual], distance[is_mutual])


def _find_motion_cells(a: Pixels, b: Pixels) -> IntArray:
    """Return the numbers of the cells (n x 4) of the motions between n pairs of points.

    `a` and `b` are shapes, n x 3. Points agree if their motions are in the same cell of one of four
    grids, which are shifted by half a cell in angle, in scale and in both: motions near the border
    of a cell are in the middle of another.
    """
    scale_a, angle_a, mirrored_a = a.astype(np.int64).T
    scale_b, angle_b, mirrored_b = b.astype(np.int64).T
    mirrored = mirrored_a ^ mirrored_b
    # Angles are 256ths of a turn. Mirroring turns one into half a turn (128) minus the angle.
    rotation = np.where(mirrored == 1, 128 - angle_a, angle_a) - angle_b
    scale = scale_a - scale_b + 256  # not negative

    cells = []
    shifts = product((0, _ANGLE_CELL // 2), (0, _SCALE_CELL // 2))
    for grid, (angle_shift, scale_shift) in enumerate(shifts):
        angle_cell = (rotation + angle_shift) % 256 // _ANGLE_CELL
        scale_cell = (scale + scale_shift) // _SCALE_CELL
        cell = (grid, mirrored, angle_cell, scale_cell)
        cells.append(np.ravel_multi_index(cell, _MOTION_SHAPE))
    return np.column_stack(cells)
