"""Verification of candidates: are two pictures the same picture, by their pixels?

The pictures are laid on each other by their common points, so crops, borders, scale, turns and
mirroring drop out. Then the edges are compared in small windows. A copy keeps its edges: they may
be fainter (recoloured, re-encoded), some may be added (a watermark, a border), but nowhere are
edges replaced by others. Another expression of the same face, or the next frame of a film, has
windows in which each picture lacks edges that the other one has. Where only a mouth or a pupil
differs these windows are few: what passes is compared line by line.

A copy whose hue was turned has other grey values: grey edges between colours come and go with the
hue. The largest of red, green and blue, the value of HSV, stays. It shows less than grey does, so
it is compared only where the hues of two pictures are not the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from curation.disjoint_sets import DisjointSets
from gleanset.db.duplicates import Relation
from gleanset.errors import Unreadable
from labeler.duplicates.alignment import (
    EVEN,
    SIDE,
    SQUEEZED,
    SURE,
    Common,
    Fit,
    crop_common_part,
    estimate_alignment,
    fit_frames,
    is_framed,
    refine_alignment,
)
from labeler.duplicates.contradictions import MIN_SHARED_PART
from labeler.duplicates.differences import (
    Edges,
    StrongestChange,
    compute_edge_pair,
    find_strongest_change,
    is_overlaid,
    measure_replaced_windows,
)
from labeler.duplicates.duplicate_sets import Pair
from labeler.duplicates.hashes import GREY_SIZE, PreparedImage, prepare
from labeler.sample_pixels import SampleFile, read_pixels

# At most so much of the common part (per mille of windows) may have replaced edges.
CHANGED = 8.0
# Where the close look finds nothing, up to so much is left to a person.
MORE_CHANGED = 12.0
# Frames of one film are never watermarked or re-encoded copies of each other.
CHANGED_IN_FILM = 0.5
# The strongest change at one place, at 256 pixels a side; on a smaller grid there are fewer
# pixels to a line and less noise.
SPOT = 1.4
SPOT_POWER = 1.9
# Up to so many times that it may still be a copy: a person has to say.
DOUBT = 3.0
# Below this part of it nothing is gained by laying them more finely.
_PLAIN = 0.2
# One picture is all but contained in the other, and is no mere detail of it.
CONTAINED = 0.85
# One that has less than this of it in common shows more than the other.
_WHOLE = 0.95
# Of the limits for a copy: one that differs by more is not as good as equal.
_EQUAL = 0.5
# So much of the colour (0..1) may lie at other hues, in cells of 15 degrees, before they count as
# turned.
_OTHER = 0.4
# Less colour than this (mean of saturation times value, 0..1) is none.
_PALE = 0.04
# So much alike (cosine of 16 x 16 pixels) they may show one frame.
_LIKELY = 0.8
# From so much on also when one is squeezed.
_SURELY = 0.95
# Prepared pictures that a worker keeps, some 0.35 MB each. Pairs come star by star; where all are
# near each other (drawn faces) a picture is in sixteen stars, and 64 were too few to keep it.
_REMEMBERED = 256


class FilePair(NamedTuple):
    """Two files to compare, for a worker process; `rows` are the samples' numbers.

    `one_film`: both are frames of one video; `inverted`: the second is taken for a negative.
    """

    rows: tuple[int, int]
    a: SampleFile
    b: SampleFile
    one_film: bool = False
    inverted: bool = False


class Verdict(NamedTuple):
    """The result of a comparison, `why` as a short text.

    `changed` is the per mille of windows with replaced edges, `overlap` the part of the larger
    picture that both show (0..1), `points` how many points agreed. `doubtful` is one that is not
    called the same for a small place only, and not clearly so, or for a sticker or a mark over
    the whole that one of them has: a person has to say. `relation` is
    known where they are the same.
    """

    same: bool
    changed: float
    overlap: float
    mirrored: bool
    points: int
    why: str
    doubtful: bool = False
    relation: Relation = Relation(0)


def compare(a: PreparedImage, b: PreparedImage, *, one_film: bool = False) -> Verdict:
    """Compare two images. `one_film` is for two frames of one video: nothing may have moved.

    Flat images are never copies: blank pages, drawings that the background hides.
    """
    if a.flat or b.flat:
        return _NOTHING
    verdict = _both_ways(a, b, one_film)
    if verdict.why != _DETAIL or not have_different_hues(a.hues, b.hues):
        return verdict
    by_value = _both_ways(a.by_value, b.by_value, one_film)
    return by_value if by_value.same else verdict


def compare_files(pair: FilePair) -> Verdict:
    """Compare two samples, in a worker process. Raises `Unreadable`.

    Which is laid over the other says the content, and not which came first.
    """
    if pair.inverted:
        return compare(_prepared(pair.a), _prepared(pair.b).inverted, one_film=pair.one_film)
    first, second = sorted((pair.a, pair.b), key=lambda file: (str(file.path), file.region or ()))
    verdict = compare(_prepared(first), _prepared(second), one_film=pair.one_film)
    return verdict if first is pair.a else verdict._replace(relation=verdict.relation.swapped)


@lru_cache(maxsize=_REMEMBERED)
def _prepared(file: SampleFile) -> PreparedImage:
    grey = read_pixels(file, GREY_SIZE, "L")
    return prepare(grey, lambda: read_pixels(file, GREY_SIZE, "RGB"))


def _both_ways(a: PreparedImage, b: PreparedImage, one_film: bool) -> Verdict:
    """Compare a with b, and with b mirrored unless it is laid rightly as it is.

    Most copies show the whole picture: laid frame on frame they are the same, and need no points.
    """
    framed = _framed(a, b, one_film)
    if framed is not None and framed.same:
        return framed
    straight = _NOTHING
    if framed is None or not (framed.mirrored and _laid(framed)):
        straight = _compared(a, b, framed, mirrored=False, one_film=one_film)
        if _laid(straight) or one_film:
            return straight
    other = _compared(a, b.mirrored, framed, mirrored=True, one_film=False)
    if other.same or (other.doubtful, other.points) > (straight.doubtful, straight.points):
        return other
    return straight


def _laid(verdict: Verdict) -> bool:
    """Return whether two pictures are laid rightly, so that none is mirrored: most agrees."""
    return verdict.same or verdict.doubtful or verdict.why == _DETAIL


def _framed(a: PreparedImage, b: PreparedImage, one_film: bool) -> Verdict | None:
    """Compare frame on frame, mirrored where that is likelier; None where neither is likely."""
    straight, turned = float((a.tiny * b.tiny).sum()), float((a.tiny * b.tiny[:, ::-1]).sum())
    mirrored = turned > straight and not one_film
    likeness = turned if mirrored else straight
    if likeness < _LIKELY:
        return None
    other = b.mirrored if mirrored else b
    fit = fit_frames(a.grey, other.grey, SQUEEZED if likeness > _SURELY else EVEN)
    return _judge(a, other, fit, mirrored, one_film) if fit else None


def _compared(
    a: PreparedImage, b: PreparedImage, framed: Verdict | None, *, mirrored: bool, one_film: bool
) -> Verdict:
    """Compare by points and, where few agree, frame on frame: `framed` may have done that."""
    fit = estimate_alignment(a.points, b.points)
    verdicts = [_judge(a, b, fit, mirrored, one_film)] if fit else []
    if framed is not None and framed.mirrored == mirrored:
        verdicts.append(framed)
    elif (fit is None or fit.points < SURE) and (frame := fit_frames(a.grey, b.grey)):
        verdicts.append(_judge(a, b, frame, mirrored, one_film))
    return min(
        verdicts,
        key=lambda verdict: (not verdict.same, not verdict.doubtful, verdict.changed),
        default=_NOTHING,
    )


_NOTHING = Verdict(False, 1000.0, 0.0, False, 0, "nothing in common")
_OVERLAP = "they only overlap"
_DETAIL = "a detail of it is different"
_ELSEWHERE = "something else is shown in places"


def _judge(a: PreparedImage, b: PreparedImage, fit: Fit, mirrored: bool, one_film: bool) -> Verdict:
    common = crop_common_part(a.grey, b.grey, fit.matrix)
    if common is None:
        return _NOTHING
    overlap = float(min(common.part_a, common.part_b))
    if max(common.part_a, common.part_b) < CONTAINED:
        return _NOTHING._replace(overlap=round(overlap, 3), points=fit.points, why=_OVERLAP)
    edges = compute_edge_pair(common)
    replaced = measure_replaced_windows(common, edges)

    def verdict(same: bool, why: str, doubtful: bool = False) -> Verdict:
        return Verdict(
            same, round(replaced, 2), round(overlap, 3), mirrored, fit.points, why, doubtful
        )

    # A page of text loses more with its empty border than was cut off by a crop.
    if min(common.part_a / b.filled, common.part_b / a.filled) < MIN_SHARED_PART:
        return verdict(False, "one is a detail of the other")
    if replaced > (CHANGED_IN_FILM if one_film else MORE_CHANGED):
        return verdict(False, _ELSEWHERE, not one_film and is_overlaid(common))
    change = _different(common, edges)
    if replaced > CHANGED:
        return verdict(False, _ELSEWHERE, change.strength <= 1 or is_overlaid(common))
    if change.strength > 1:
        doubtful = not one_film and (change.strength <= DOUBT or is_overlaid(common))
        return verdict(False, _DETAIL, doubtful)
    relation = _extent(a, b, fit, common) | _details(change, replaced)
    same = verdict(True, "the same picture, mirrored" if mirrored else "the same picture")
    return same._replace(relation=relation | (Relation.MIRRORED if mirrored else Relation(0)))


def _extent(a: PreparedImage, b: PreparedImage, fit: Fit, common: Common) -> Relation:
    relation = Relation(0)
    if common.part_a < _WHOLE:
        framed = is_framed(a.grey, b.grey, fit.matrix)
        relation |= Relation.MORE_A | (Relation.FRAMED_A if framed else Relation(0))
    if common.part_b < _WHOLE:
        inverse = cv2.invertAffineTransform(fit.matrix).astype(np.float64, copy=False)
        framed = is_framed(b.grey, a.grey, inverse)
        relation |= Relation.MORE_B | (Relation.FRAMED_B if framed else Relation(0))
    return relation


def _details(change: StrongestChange, replaced: float) -> Relation:
    relation = Relation(0)
    if change.strength > _EQUAL or replaced > _EQUAL * CHANGED:
        relation |= Relation.CHANGED
    if change.marked_a:
        relation |= Relation.MARKED_A
    if change.marked_b:
        relation |= Relation.MARKED_B
    return relation


def _different(common: Common, edges: tuple[Edges, Edges]) -> StrongestChange:
    """Return how much of something else a small place shows, 1 being the most that a copy may.

    The alignment is refined where there seems to be something.
    """
    most = float(SPOT * (max(common.a.shape) / SIDE) ** SPOT_POWER)
    change = find_strongest_change(common, edges)
    if change.strength > _PLAIN * most:
        fine = refine_alignment(common)
        change = find_strongest_change(fine, compute_edge_pair(fine))
    return change._replace(strength=change.strength / most)


def have_different_hues(
    mine: npt.NDArray[np.float64] | None, theirs: npt.NDArray[np.float64] | None
) -> bool:
    """Tell whether two pictures have their colours at different hues, from `hue_histogram`."""
    if mine is None or theirs is None or mine.sum() < _PALE or theirs.sum() < _PALE:
        return False
    shared = np.minimum(mine / mine.sum(), theirs / theirs.sum()).sum()
    return bool(shared < 1 - _OTHER)


# Pictures of one star: they are decoded once, by one worker.
MOST = 32

Places = npt.NDArray[np.int64]


class ComparisonBatch(NamedTuple):
    """Comparisons among some pictures, in the order in which they are made; for one worker.

    `tied` has for each pair the sets that its two pictures are in when nothing is compared yet.
    """

    pairs: tuple[FilePair, ...]
    tied: tuple[Pair, ...]


class BatchVerdicts(NamedTuple):
    """The verdicts of the comparisons of a star; of a `failed` pair one picture cannot be read.

    The pairs that are in neither have their ends tied by others.
    """

    verdicts: list[tuple[FilePair, Verdict]]
    failed: list[FilePair]


def compare_batch(star: ComparisonBatch) -> BatchVerdicts:
    """Compare pairs whose ends no earlier one has tied, in a worker process."""
    verdicts, failed, sets = [], [], DisjointSets()
    number = {tie: sets.add() for ties in star.tied for tie in ties}
    for pair, (a, b) in zip(star.pairs, star.tied, strict=True):
        if sets.find(number[a]) == sets.find(number[b]):
            continue
        try:
            verdict = compare_files(pair)
        except Unreadable:
            failed.append(pair)
            continue
        verdicts.append((pair, verdict))
        if verdict.same:
            sets.merge(number[a], number[b])
    return BatchVerdicts(verdicts, failed)


class ComparisonQueue:
    """The pairs that are still to be compared, given what is known to be the same.

    `order` are the samples (rows) of `open_` pairs, the best middles first; `same` are pairs, too.
    """

    def __init__(
        self, order: Sequence[int], open_: Collection[Pair], same: Collection[Pair]
    ) -> None:
        self._order = order
        self._sets = DisjointSets()
        self._place = place = {row: self._sets.add() for row in order}
        for pair in same:
            for row in pair:
                if row not in place:
                    place[row] = self._sets.add()
            self.tie(*pair)
        ends = np.array([(place[a], place[b]) for a, b in open_], np.int64).reshape(-1, 2)
        self._ends = np.unique(np.sort(ends, axis=1), axis=0)

    def tie(self, a: int, b: int) -> None:
        """Note that two samples (rows) are the same."""
        self._sets.merge(self._place[a], self._place[b])

    def group(self, row: int) -> int:
        """Return the number of the set that a sample (row) is in."""
        return self._sets.find(self._place[row])

    def next_round(self) -> list[list[Pair]]:
        """Return pairs (rows, a < b), star by star, those of the middle first; [] at the end.

        No picture is in two stars. What is noted by `tie` meanwhile counts from the next one on.
        """
        due = self._untied()
        begun = np.zeros(len(due), np.bool_)
        stars = []
        for numbers in _stars(due):
            begun[numbers] = True
            rows = [(self._order[a], self._order[b]) for a, b in due[numbers].tolist()]
            stars.append([(min(pair), max(pair)) for pair in rows])
        self._ends = due[~begun]
        return stars

    def _untied(self) -> Places:
        ends = self._ends
        if not len(ends):
            return ends
        used, where = np.unique(ends, return_inverse=True)
        roots = np.array([self._sets.find(one) for one in used.tolist()], np.int64)
        sides = roots[where].reshape(ends.shape)
        apart: Places = ends[sides[:, 0] != sides[:, 1]]
        return apart


def _stars(ends: Places) -> Iterator[list[int]]:
    """Yield positions in `ends` of the pairs of each star; smaller numbers are better middles."""
    beside: dict[int, list[tuple[int, int]]] = {}
    for number, (a, b) in enumerate(ends.tolist()):
        beside.setdefault(a, []).append((b, number))
        beside.setdefault(b, []).append((a, number))
    taken: set[int] = set()
    for middle in sorted(beside):
        if middle in taken:
            continue
        free = [place for place, _ in sorted(beside[middle]) if place not in taken]
        members = {middle, *free[: MOST - 1]}
        taken |= members
        numbers = {
            (middle not in (place, other), min(place, other), max(place, other)): number
            for place in members
            for other, number in beside[place]
            if other in members
        }
        if numbers:
            yield [numbers[key] for key in sorted(numbers)]
