"""Candidate pairs of duplicates, found by perceptual hashes.

Two images are candidates when their whole-image hashes are near, plain or mirrored, or when three
of their points, or two with nearly the same hash, agree in hash, angle and scale. The number of
candidates per sample is bounded, so thousands of equal images do not produce a quadratic number of
pairs.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gleanset.db.duplicates import HashColumns, SampleHashes
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

Rows = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """Hashes of n samples (catalogue rows) as arrays.

    `owner` is the position (0..n-1) of the sample that each of the m points belongs to.
    """

    samples: Rows
    plain: npt.NDArray[np.uint64]
    flipped: npt.NDArray[np.uint64]
    points: npt.NDArray[np.uint64]
    owner: Rows
    shapes: npt.NDArray[np.uint8]


def sort_by_content(hashes: HashColumns) -> HashColumns:
    """Sort by hashes, so that the order does not depend on which sample came first."""
    rows = sorted(zip(*hashes, strict=True), key=lambda row: row[1:])
    return HashColumns(*zip(*rows, strict=True))


def make_batch(hashes: HashColumns) -> Batch:
    """Convert stored hashes to arrays."""
    counts = np.fromiter(map(len, hashes.points), np.int64, len(hashes.points)) // 8
    return Batch(
        np.array(hashes.samples, dtype=np.int64),
        np.array(hashes.plain, dtype=np.int64).view(np.uint64),
        np.array(hashes.flipped, dtype=np.int64).view(np.uint64),
        np.frombuffer(b"".join(hashes.points), dtype="<u8").astype(np.uint64),
        np.repeat(np.arange(len(counts), dtype=np.int64), counts),
        np.frombuffer(b"".join(hashes.shapes), np.uint8).reshape(-1, 3),
    )


def to_columns(hashes: Sequence[SampleHashes]) -> HashColumns:
    """Convert new hashes to the form in which they are stored."""
    columns = zip(
        *(
            (h.sample, to_signed(h.plain), to_signed(h.flipped), h.points, h.shapes)
            for h in hashes
        ),
        strict=True,
    )
    return HashColumns(*columns)


def find_candidates_within(new: Batch) -> set[tuple[int, int]]:
    """Return candidate pairs of samples of one batch."""
    unique = find_distinct(new.plain)
    straight = _concatenate(find_near_pairs(new.plain, MAX_WHOLE_DISTANCE))
    mirrored = _concatenate(
        HashIndex(new.flipped[unique.first], MAX_WHOLE_DISTANCE).find_pairs_with(
            unique.hashes
        )
    )
    a, b = unique.first[mirrored.a], unique.first[mirrored.b]
    mirrored = NearPairs(np.minimum(a, b), np.maximum(a, b), mirrored.distance)
    different = mirrored.a != mirrored.b
    nearest = _keep_nearest(
        _concatenate([straight, NearPairs(*(part[different] for part in mirrored))]),
        by_later=True,
    )
    dense = np.bincount(
        nearest.b[nearest.distance <= _NEARLY_EQUAL_DISTANCE],
        minlength=len(new.samples),
    )
    informative = _drop_common_points(new, dense < MAX_CANDIDATES_BY_HASH)
    pairs = _pairs_by_points(
        informative,
        informative,
        HashIndex(informative.points, MAX_POINT_DISTANCE).within(),
    )
    return _to_row_pairs(new, new, nearest.a, nearest.b) | _to_row_pairs(
        new, new, *pairs
    )


class CandidateSearch:
    """Finds candidate copies of the samples of one batch in other batches."""

    def __init__(self, new: Batch):
        self._new = new
        self._informative = _drop_common_points(new)
        self._points = HashIndex(self._informative.points, MAX_POINT_DISTANCE)
        self._image_hashes = [
            HashIndex(hashes, MAX_WHOLE_DISTANCE) for hashes in (new.plain, new.flipped)
        ]

    def find_candidates(self, old: Batch) -> set[tuple[int, int]]:
        """Return candidate pairs of a sample of this batch and one of `old`."""
        new = self._new
        matches = [search.find_pairs_with(old.plain) for search in self._image_hashes]
        nearest = _keep_nearest(
            _concatenate(near for part in matches for near in part), by_later=False
        )
        pairs = _pairs_by_points(
            self._informative,
            old,
            self._points.find_pairs_with(old.points, MAX_IMAGES_PER_POINT),
        )
        return _to_row_pairs(new, old, nearest.a, nearest.b) | _to_row_pairs(
            new, old, *pairs
        )


def _to_row_pairs(left: Batch, right: Batch, a: Rows, b: Rows) -> set[tuple[int, int]]:
    pairs = zip(left.samples[a].tolist(), right.samples[b].tolist(), strict=True)
    return {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}


def _concatenate(parts: Iterable[NearPairs]) -> NearPairs:
    columns = [np.zeros(0, dtype=np.int64)] * 3
    for part in parts:
        columns = [np.concatenate(pair) for pair in zip(columns, part, strict=True)]
        if len(columns[0]) > 4_000_000:  # bounds memory
            columns = list(_keep_nearest(NearPairs(*columns), by_later=True))
    return NearPairs(*columns)


def _keep_nearest(near: NearPairs, *, by_later: bool) -> NearPairs:
    """Keep the nearest few for each sample (the later one of a pair, or the new one)."""
    own, other = (near.b, near.a) if by_later else (near.a, near.b)
    order = np.lexsort((other, near.distance, own))
    kept_pairs = order[compute_run_ranks(own[order]) < MAX_CANDIDATES_BY_HASH]
    return NearPairs(near.a[kept_pairs], near.b[kept_pairs], near.distance[kept_pairs])


def _drop_common_points(
    batch: Batch, selected: npt.NDArray[np.bool_] | None = None
) -> Batch:
    keep = np.ones(len(batch.points), dtype=np.bool_)
    values, counts = np.unique(batch.points, return_counts=True)
    common = np.flatnonzero(
        np.isin(batch.points, values[counts > MAX_IMAGES_PER_POINT])
    )
    order = common[np.argsort(batch.points[common], kind="stable")]
    keep[order] = compute_run_ranks(batch.points[order]) < MAX_IMAGES_PER_POINT
    if selected is not None:
        keep &= selected[batch.owner]
    return batch._replace(
        points=batch.points[keep], owner=batch.owner[keep], shapes=batch.shapes[keep]
    )


def _pairs_by_points(
    left: Batch, right: Batch, points: Iterable[NearPairs]
) -> tuple[Rows, Rows]:
    width = max(1, len(right.samples))
    parts = [np.zeros((0, 4), dtype=np.int64)]
    for near in points:
        a, b = left.owner[near.a], right.owner[near.b]
        motions = _motion_cells(left.shapes[near.a], right.shapes[near.b])
        is_other = (a != b) | (left is not right)
        keys = ((a * width + b)[:, None] * _MOTION_CELLS + motions)[is_other]
        parts += [keys, keys[near.distance[is_other] <= MAX_CLOSE_DISTANCE]]
    keys, counts = np.unique(np.concatenate(parts), return_counts=True)
    enough = counts >= MIN_VOTES
    pairs, first = np.unique(keys[enough] // _MOTION_CELLS, return_index=True)
    votes = np.maximum.reduceat(counts[enough], first) if len(first) else first
    pairs = pairs[np.lexsort((pairs, -votes, pairs // width))]
    pairs = pairs[compute_run_ranks(pairs // width) < MAX_CANDIDATES_BY_POINTS]
    return pairs // width, pairs % width


def _motion_cells(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> Rows:
    """Return n x 4 cells (two overlapping grids in each dimension) of the motions of n point pairs.

    Shapes are (scale, angle, mirrored); points agree when their motions are in the same cell.
    """
    left, right = a.astype(np.int64), b.astype(np.int64)
    mirrored = left[:, 2] ^ right[:, 2]
    # Mirroring turns an angle into half a turn minus the angle.
    rotation = np.where(mirrored == 1, 128 - left[:, 1], left[:, 1]) - right[:, 1]
    scale = left[:, 0] - right[:, 0] + 256
    grids = product((0, _ANGLE_CELL // 2), (0, _SCALE_CELL // 2))
    cells = [
        ((number * 2 + mirrored) * 8 + (rotation + shift) % 256 // _ANGLE_CELL) * 128
        + (scale + offset) // _SCALE_CELL
        for number, (shift, offset) in enumerate(grids)
    ]
    return np.column_stack(cells)
