"""Alignment of one picture with another: by their common points, or frame on frame.

The motion found by points is right to a pixel or two. Where two pictures seem to be the same it
is made finer by their brightness, so that even a thin line must lie on itself.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from labeler.duplicates.hashes import Floats, Grey, Points

# The common part is compared at this many pixels a side, or at the size of the smaller copy.
SIDE = 256
SMALLEST = 16
_ALIKE = 0.85
# So many points that agree need no other way of laying.
SURE = 12
_LEAST_POINTS = 4
# How much the proportions of two frames may differ: as good as not, or squeezed by a third.
EVEN, SQUEEZED = 0.05, 0.34
# How far (pixels) the finer motion may differ from the coarse one.
_FARTHEST = 6.0
# Lines so far (pixels) on both sides of an edge are compared with two on one side of it.
_STEP = 3
_ABRUPT, _NOISE = 2.0, 4.0
_PLAIN, _VARIED = 3.0, 5.0

Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


class Fit(NamedTuple):
    """A motion that lays b on a: a 2 x 3 matrix, and the number of points that agree."""

    matrix: Matrix
    points: int


class Common(NamedTuple):
    """The part that two pictures both show, on one grid of at most 256 pixels a side.

    `a` and `b` are grey values, height x width; `where` is the mask of pixels that both have;
    `part_a` and `part_b` say what part of each picture it is, 0..1.
    """

    a: Grey
    b: Grey
    where: Mask
    part_a: float
    part_b: float


def estimate_alignment(a: Points, b: Points) -> Fit | None:
    """Pair off points that are each other's best match, and find the motion most agree on.

    By RANSAC (Fischler and Bolles, 1981); None where too few points agree.
    """
    if len(a.places) < _LEAST_POINTS or len(b.places) < _LEAST_POINTS:
        return None
    likeness = a.descriptors @ b.descriptors.T
    to_b, to_a = likeness.argmax(axis=1), likeness.argmax(axis=0)
    rows = np.arange(len(a.places))
    mine = np.flatnonzero((to_a[to_b] == rows) & (likeness[rows, to_b] > _ALIKE))
    if len(mine) < _LEAST_POINTS:
        return None
    source, target = b.places[to_b[mine]], a.places[mine]
    cv2.setRNGSeed(0)
    matrix, agree = cv2.estimateAffinePartial2D(
        source, target, ransacReprojThreshold=4.0, maxIters=500
    )
    if matrix is None or (number := int(agree.sum())) < _LEAST_POINTS:
        return None
    if number >= 2 * _LEAST_POINTS:
        # A copy may have been squeezed: six numbers instead of four, where that explains more.
        free, agree = cv2.estimateAffine2D(source, target, ransacReprojThreshold=3.0, maxIters=500)
        if free is not None and int(agree.sum()) >= number:
            matrix, number = free, int(agree.sum())
    laid = matrix.astype(np.float64)
    return Fit(laid, number) if _plausible(laid) else None


def _plausible(matrix: Matrix) -> bool:
    """Tell a motion without mirror, shear or squeezing to less than half of the width."""
    large, small = np.linalg.svd(matrix[:, :2])[1]
    return bool(np.linalg.det(matrix[:, :2]) > 0 and small > large / 2 and small > 0.05)


def fit_frames(a: Grey, b: Grey, uneven: float = EVEN) -> Fit | None:
    """Lay frame on frame, when the shapes of two pictures differ by no more than `uneven`."""
    (ha, wa), (hb, wb) = a.shape, b.shape
    if abs(wa * hb - wb * ha) > uneven * max(wa * hb, wb * ha):
        return None
    return Fit(np.array([[wa / wb, 0, 0], [0, ha / hb, 0]], dtype=np.float64), 0)


def crop_common_part(a: Grey, b: Grey, matrix: Matrix) -> Common | None:
    """Lay b on a and cut out what both show, at the resolution of the poorer one."""
    (ha, wa), (hb, wb) = a.shape, b.shape
    corners = cv2.transform(np.array([[[0, 0], [wb, 0], [wb, hb], [0, hb]]], np.float64), matrix)[0]
    left, top = np.maximum(corners.min(axis=0), 0)
    right, bottom = np.minimum(corners.max(axis=0), [wa, ha])
    if min(right - left, bottom - top) < SMALLEST:
        return None
    zoom = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    scale = min(SIDE / max(right - left, bottom - top), 1.0, 1.0 / zoom)
    size = (max(SMALLEST, int((right - left) * scale)), max(SMALLEST, int((bottom - top) * scale)))
    lay_a = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    lay_b = scale * matrix
    lay_b[:, 2] += lay_a[:, 2]
    whole = np.full(b.shape, 1, np.uint8)
    covered = cv2.warpAffine(whole, lay_b, size, flags=cv2.INTER_NEAREST)
    area = float(covered.sum()) / scale**2
    # At the rim of the one the other goes on with its own border: not compared.
    where = (
        cv2.erode(covered, np.ones((7, 7), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        > 0
    )
    if not where.any():
        return None
    return Common(
        _warp(a, lay_a, size),
        _warp(b, lay_b, size),
        where,
        area / (wa * ha),
        area / (zoom**2 * wb * hb),
    )


def is_framed(whole: Grey, part: Grey, matrix: Matrix) -> bool:
    """Tell whether an image that shows all of another has it pasted in, as a screenshot has.

    A crop goes on beyond its border in the whole; what was pasted in ends there.
    """
    high, wide = part.shape
    corners = cv2.transform(np.array([[[0, 0], [wide, high]]], np.float64), matrix)[0]
    (left, top), (right, bottom) = np.rint(np.sort(corners, axis=0)).astype(int).tolist()
    rows = whole[max(0, top) : bottom].astype(np.float32)
    columns = whole[:, max(0, left) : right].astype(np.float32)
    seams = [
        seam
        for lines, edge, inwards in (
            (rows.T, left, 1),
            (rows.T, right - 1, -1),
            (columns, top, 1),
            (columns, bottom - 1, -1),
        )
        if (seam := _seam(lines, edge, inwards)) is not None
    ]
    return sum(seams) * 2 > len(seams)


def _seam(lines: Floats, edge: int, inwards: int) -> bool | None:
    """Tell whether an image ends at an edge; None where nothing is beyond it, or only the same.

    It does where pixels change abruptly, or where all beyond it are of one colour.
    """
    across = [edge + inwards * step for step in (-_STEP, _STEP, 3 * _STEP)]
    if min(across) < 0 or max(across) >= len(lines):
        return None
    outside, inside, further = (lines[place] for place in across)
    change, usual = np.abs(inside - outside), np.abs(inside - further)
    if change.mean() > _ABRUPT * usual.mean() + _NOISE:
        return True
    spread = max(1.0, float(outside.std()))
    if spread > _PLAIN:
        return False
    if np.median(change) > _ABRUPT * np.median(usual) + _NOISE:
        return True
    if inside.std() > _VARIED * spread:
        return True
    return False if inside.std() > _PLAIN else None


def _warp(grey: Grey, matrix: Matrix, size: tuple[int, int]) -> Grey:
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if zoom < 0.95:  # blurred first, or shrinking makes edges that are not there
        grey = cv2.GaussianBlur(grey, (0, 0), 0.45 / zoom).astype(np.uint8)
    laid = cv2.warpAffine(
        grey, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return laid.astype(np.uint8)


def refine_alignment(common: Common) -> Common:
    """Move b by fractions of a pixel, until it lies on a as well as it can.

    By the enhanced correlation coefficient (Evangelidis and Psarakis, "Parametric image alignment
    using enhanced correlation coefficient maximization", 2008), which forgives contrast.
    """
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 1e-3)
    still, where = np.eye(2, 3, dtype=np.float32), common.where.astype(np.uint8)
    try:
        _, motion = cv2.findTransformECC(
            common.a, common.b, still.copy(), cv2.MOTION_AFFINE, stop, where, 3
        )
    except cv2.error:  # they have too little in common for it
        return common
    if np.abs(motion - still).max() > _FARTHEST:
        return common
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(
        common.b, motion, common.a.shape[::-1], flags=how, borderMode=cv2.BORDER_REPLICATE
    )
    return common._replace(b=moved.astype(np.uint8))
