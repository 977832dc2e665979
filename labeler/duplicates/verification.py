"""Verification of candidates: do two images show the same, by their pixels?

The images are aligned by their common points, which compensates for crops, borders, scale, rotation
and mirroring. Then edges are compared in small windows. A copy keeps its edges: they may be fainter
(recolored, re-encoded) and some may be added (a watermark, a border), but none are replaced. With
another expression of the same face, or the next frame of a video, there are windows in which each
image lacks edges of the other. If only a mouth or a pupil differs these windows are few, so what
passes is compared line by line.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from gleanset.db.duplicates import Relation
from labeler.duplicates.alignment import (
    GRID_SIDE,
    MAX_ASPECT_DIFFERENCE,
    MAX_SQUEEZED_DIFFERENCE,
    RELIABLE_POINTS,
    Alignment,
    CommonPart,
    crop_common_part,
    estimate_alignment,
    fit_frames,
    is_framed,
    refine_alignment,
)
from labeler.duplicates.differences import (
    Edges,
    StrongestChange,
    compute_edge_pair,
    find_strongest_change,
    measure_replaced_windows,
)
from labeler.duplicates.doubtful_copies import is_overlaid, is_photograph
from labeler.duplicates.duplicate_sets import MIN_SHARED_PART
from labeler.duplicates.hashes import GREY_SIDE, PreparedImage, prepare_image
from labeler.sample_pixels import SampleFile, read_pixels

# Limits of replaced windows (per mille of the common part): of a copy, of a doubtful pair, and of
# two frames of one video, which are never re-encoded or watermarked copies of each other.
MAX_REPLACED, MAX_REPLACED_DOUBTFUL, MAX_REPLACED_IN_VIDEO = 8.0, 12.0, 0.5
# The strongest local change of a copy at 256 pixels per side, and how it scales with the grid:
# a smaller one has fewer pixels per line and less noise.
MAX_CHANGE = 1.4
CHANGE_SCALE_POWER = 1.9
# Up to this multiple of it a pair is doubtful.
DOUBTFUL_FACTOR = 3.0
# Below this part of it, refining the alignment does not help.
_MIN_REFINED_CHANGE = 0.2
# The common part is at least this part of one of the two images.
MIN_CONTAINED_PART = 0.85
# An image that has less than this part in common shows more than the other.
_MIN_WHOLE_PART = 0.95
# Copies with less than this part of the limits are practically equal.
_EQUAL_FACTOR = 0.5
# Cosine of 16 x 16 pixels from which frames are compared, and squeezed ones too.
_MIN_FRAME_SIMILARITY, _MIN_SQUEEZED_SIMILARITY = 0.8, 0.95
# Standard deviation of grey values below which an image is flat, except for JPEG noise.
_MAX_FLAT_DEVIATION = 1.0
# Prepared images per worker, some 0.35 MB each.
_CACHED_IMAGES = 256


class FilePair(NamedTuple):
    """Two files to compare in a worker process; `rows` are the samples' rows.

    `one_film`: both are frames of one video.
    """

    rows: tuple[int, int]
    a: SampleFile
    b: SampleFile
    one_film: bool = False


class Verdict(NamedTuple):
    """The result of a comparison, with the reason as a short text.

    `changed` is the per mille of windows with replaced edges, `overlap` the part of the larger
    image that both show (0..1), `points` the number of agreeing points. About a `doubtful` pair a
    person has to decide. `relation` is set for copies.
    """

    same: bool
    changed: float
    overlap: float
    mirrored: bool
    points: int
    reason: str
    doubtful: bool = False
    relation: Relation = Relation(0)


def compare_images(a: PreparedImage, b: PreparedImage, *, one_film: bool = False) -> Verdict:
    """Compare two images; in frames of one film nothing may have moved.

    Uniform images are never copies: blank pages, drawings hidden by their background.
    """
    if min(a.grey.std(), b.grey.std()) < _MAX_FLAT_DEVIATION:
        return _NOT_ALIGNED
    verdict = _compare_orientations(a, b, one_film)
    if verdict.same or verdict.doubtful or one_film:
        return verdict
    photographed = is_photograph(a, b) or is_photograph(b, a)
    return verdict._replace(doubtful=True, reason=_PHOTOGRAPH) if photographed else verdict


def compare_files(pair: FilePair) -> Verdict:
    """Compare two samples; runs in a worker process. Raises `Unreadable`.

    The content, not the order, determines which one is warped onto the other.
    """
    first, second = sorted((pair.a, pair.b), key=lambda file: (str(file.path), file.region or ()))
    verdict = compare_images(_prepared(first), _prepared(second), one_film=pair.one_film)
    return verdict if first is pair.a else verdict._replace(relation=verdict.relation.swapped)


@lru_cache(maxsize=_CACHED_IMAGES)
def _prepared(file: SampleFile) -> PreparedImage:
    return prepare_image(read_pixels(file, GREY_SIDE, "L"))


def _compare_orientations(a: PreparedImage, b: PreparedImage, one_film: bool) -> Verdict:
    """Compare a with b, and with b mirrored unless the plain alignment is right.

    Most copies show the whole image: they are compared by their frames first, without points.
    """
    frame_verdict = _compare_frames(a, b, one_film)
    if frame_verdict is not None and frame_verdict.same:
        return frame_verdict
    plain = _NOT_ALIGNED
    if frame_verdict is None or not (frame_verdict.mirrored and _is_aligned(frame_verdict)):
        plain = _compare_by_points(a, b, frame_verdict, mirrored=False, one_film=one_film)
        if _is_aligned(plain) or one_film:
            return plain
    flipped = _compare_by_points(a, b.mirrored, frame_verdict, mirrored=True, one_film=False)
    if flipped.same or (flipped.doubtful, flipped.points) > (plain.doubtful, plain.points):
        return flipped
    return plain


def _is_aligned(verdict: Verdict) -> bool:
    return verdict.same or verdict.doubtful or verdict.reason == _DIFFERENT_DETAIL


def _compare_frames(a: PreparedImage, b: PreparedImage, one_film: bool) -> Verdict | None:
    """Compare by frames, mirrored if that is more similar; None if neither is similar."""
    plain, flipped = float((a.tiny * b.tiny).sum()), float((a.tiny * b.tiny[:, ::-1]).sum())
    mirrored = flipped > plain and not one_film
    similarity = flipped if mirrored else plain
    if similarity < _MIN_FRAME_SIMILARITY:
        return None
    other = b.mirrored if mirrored else b
    alignment = fit_frames(
        a.grey,
        other.grey,
        MAX_SQUEEZED_DIFFERENCE if similarity > _MIN_SQUEEZED_SIMILARITY else MAX_ASPECT_DIFFERENCE,
    )
    return _compare_aligned(a, other, alignment, mirrored, one_film) if alignment else None


def _compare_by_points(
    a: PreparedImage,
    b: PreparedImage,
    frame_verdict: Verdict | None,
    *,
    mirrored: bool,
    one_film: bool,
) -> Verdict:
    """Compare by points, and by frames (unless `frame_verdict` exists) if few points agree."""
    alignment = estimate_alignment(a.points, b.points)
    verdicts = [_compare_aligned(a, b, alignment, mirrored, one_film)] if alignment else []
    if frame_verdict is not None and frame_verdict.mirrored == mirrored:
        verdicts.append(frame_verdict)
    elif (alignment is None or alignment.points < RELIABLE_POINTS) and (
        frame := fit_frames(a.grey, b.grey)
    ):
        verdicts.append(_compare_aligned(a, b, frame, mirrored, one_film))
    return min(
        verdicts,
        key=lambda verdict: (not verdict.same, not verdict.doubtful, verdict.changed),
        default=_NOT_ALIGNED,
    )


_NOT_ALIGNED = Verdict(False, 1000.0, 0.0, False, 0, "nothing in common")
_ONLY_OVERLAP = "they only overlap"
_DIFFERENT_DETAIL = "a detail of it is different"
_DIFFERENT_CONTENT = "something else is shown in places"
_PHOTOGRAPH = "one seems to be a photograph of the other"


def _compare_aligned(
    a: PreparedImage, b: PreparedImage, alignment: Alignment, mirrored: bool, one_film: bool
) -> Verdict:
    common = crop_common_part(a.grey, b.grey, alignment.matrix)
    if common is None:
        return _NOT_ALIGNED
    overlap = float(min(common.part_a, common.part_b))
    if max(common.part_a, common.part_b) < MIN_CONTAINED_PART:
        return _NOT_ALIGNED._replace(
            overlap=round(overlap, 3), points=alignment.points, reason=_ONLY_OVERLAP
        )
    edges = compute_edge_pair(common)
    replaced = measure_replaced_windows(common, edges)

    def verdict(copy: bool, reason: str, doubtful: bool = False) -> Verdict:
        return Verdict(
            copy,
            round(replaced, 2),
            round(overlap, 3),
            mirrored,
            alignment.points,
            reason,
            doubtful,
        )

    # The empty border of a text page is a larger loss than a crop.
    if min(common.part_a / b.filled, common.part_b / a.filled) < MIN_SHARED_PART:
        framed = _extent_relation(a, b, alignment, common) & (Relation.FRAMED_A | Relation.FRAMED_B)
        in_collage = not one_film and replaced <= MAX_REPLACED_DOUBTFUL and bool(framed)
        return verdict(False, "one is a detail of the other", in_collage)
    if replaced > (MAX_REPLACED_IN_VIDEO if one_film else MAX_REPLACED_DOUBTFUL):
        return verdict(False, _DIFFERENT_CONTENT, not one_film and is_overlaid(common))
    change = _measure_change(common, edges)
    if replaced > MAX_REPLACED:
        return verdict(False, _DIFFERENT_CONTENT, change.strength <= 1 or is_overlaid(common))
    if change.strength > 1:
        doubtful = not one_film and (change.strength <= DOUBTFUL_FACTOR or is_overlaid(common))
        return verdict(False, _DIFFERENT_DETAIL, doubtful)
    relation = _extent_relation(a, b, alignment, common) | _change_relation(change, replaced)
    copy = verdict(True, "the same image, mirrored" if mirrored else "the same image")
    return copy._replace(relation=relation | (Relation.MIRRORED if mirrored else Relation(0)))


def _extent_relation(
    a: PreparedImage, b: PreparedImage, alignment: Alignment, common: CommonPart
) -> Relation:
    relation = Relation(0)
    if common.part_a < _MIN_WHOLE_PART:
        framed = is_framed(a.grey, b.grey, alignment.matrix)
        relation |= Relation.MORE_A | (Relation.FRAMED_A if framed else Relation(0))
    if common.part_b < _MIN_WHOLE_PART:
        inverse = cv2.invertAffineTransform(alignment.matrix).astype(np.float64, copy=False)
        framed = is_framed(b.grey, a.grey, inverse)
        relation |= Relation.MORE_B | (Relation.FRAMED_B if framed else Relation(0))
    return relation


def _change_relation(change: StrongestChange, replaced: float) -> Relation:
    relation = Relation(0)
    if change.strength > _EQUAL_FACTOR or replaced > _EQUAL_FACTOR * MAX_REPLACED:
        relation |= Relation.CHANGED
    if change.marked_a:
        relation |= Relation.MARKED_A
    if change.marked_b:
        relation |= Relation.MARKED_B
    return relation


def _measure_change(common: CommonPart, edges: tuple[Edges, Edges]) -> StrongestChange:
    """Return the strongest local change, 1 being the limit of a copy.

    The alignment is refined if there seems to be a change.
    """
    limit = float(MAX_CHANGE * (max(common.a.shape) / GRID_SIDE) ** CHANGE_SCALE_POWER)
    change = find_strongest_change(common, edges)
    if change.strength > _MIN_REFINED_CHANGE * limit:
        refined = refine_alignment(common)
        change = find_strongest_change(refined, compute_edge_pair(refined))
    return change._replace(strength=change.strength / limit)
