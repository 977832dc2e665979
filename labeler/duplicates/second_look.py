"""The second look: are two pictures the same picture, by their pixels?

The pictures are laid on each other by their common points, so crops, borders, scale, turns and
mirroring drop out. Then the edges are compared in small windows. A copy keeps its edges: they may
be fainter (recoloured, re-encoded), some may be added (a watermark, a border), but nowhere are
edges replaced by others. Another expression of the same face, or the next frame of a film, has
windows in which each picture lacks edges that the other one has.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from labeler.duplicates.hashes import MIRROR, Floats, Grey, Points, grey_of, points_of

# The common part is compared at this many pixels a side, or at the size of the smaller copy.
SIDE = 256
WINDOW = 16
LEAST_WINDOW = 10
# At most so much of the common part (per mille of windows) may have replaced edges.
CHANGED = 8.0
# Frames of one film are never watermarked or re-encoded copies of each other.
CHANGED_IN_FILM = 0.5
# One picture is all but contained in the other, and is no mere detail of it.
CONTAINED = 0.85
DETAIL = 0.35
_REPLACED = 0.4
_ALIKE = 0.85
_SURE = 12
_LEAST_POINTS = 4


class View(NamedTuple):
    """A picture made ready: grey, trimmed, with its points."""

    grey: Grey
    points: Points


class Verdict(NamedTuple):
    """What a second look found, `why` as a short text.

    `changed` is the per mille of windows with replaced edges, `overlap` the part of the larger
    picture that both show (0..1), `points` how many points agreed.
    """

    same: bool
    changed: float
    overlap: float
    mirrored: bool
    points: int
    why: str


Matrix = npt.NDArray[np.float64]


class _Fit(NamedTuple):
    """How to lay b on a: a 2 x 3 matrix, and the number of points that agree."""

    matrix: Matrix
    points: int


class _Common(NamedTuple):
    """The part both show, on one grid; where it is; and what part of each picture it is."""

    a: Grey
    b: Grey
    where: npt.NDArray[np.bool_]
    part_a: float
    part_b: float


def view_of(pixels: Image.Image) -> View:
    """Make a picture ready for comparing."""
    grey = grey_of(pixels)
    return View(grey, points_of(grey))


def compare(a: View, b: View, *, one_film: bool = False) -> Verdict:
    """Look at two pictures. `one_film` is for two frames of one video: nothing may have moved."""
    straight = _looked(a, b, mirrored=False, one_film=one_film)
    if straight.same or one_film:
        return straight
    turned = _looked(a, mirror(b), mirrored=True, one_film=False)
    return turned if turned.same or turned.points > straight.points else straight


def _looked(a: View, b: View, *, mirrored: bool, one_film: bool) -> Verdict:
    fit = _align(a.points, b.points)
    fits = ([fit] if fit else []) + _whole(a, b, fit)
    verdicts = [_judge(a, b, fit, mirrored, one_film) for fit in fits]
    return min(verdicts, key=lambda v: (not v.same, v.changed)) if verdicts else _NOTHING


_NOTHING = Verdict(False, 1000.0, 0.0, False, 0, "nothing in common")


def mirror(view: View) -> View:
    """The view as in a mirror; its points need not be looked for again."""
    return View(np.ascontiguousarray(view.grey[:, ::-1]), mirrored_points(view))


def mirrored_points(view: View) -> Points:
    """The points as they would be found in the mirrored picture."""
    places, sizes, angles, descriptors = view.points
    flipped = np.stack([view.grey.shape[1] - 1 - places[:, 0], places[:, 1]], axis=1)
    return Points(flipped, sizes, (180 - angles) % 360, descriptors[:, MIRROR])


def _whole(a: View, b: View, best: _Fit | None) -> list[_Fit]:
    """Frame laid on frame: for pictures with too few points, when their shapes agree."""
    if best is not None and best.points >= _SURE:
        return []
    (ha, wa), (hb, wb) = a.grey.shape, b.grey.shape
    if abs(wa * hb - wb * ha) > 0.05 * wa * hb:
        return []
    return [_Fit(np.array([[wa / wb, 0, 0], [0, ha / hb, 0]], dtype=np.float64), 0)]


def _align(a: Points, b: Points) -> _Fit | None:
    """Pair off points that are each other's best match, and find the motion most agree on."""
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
    matrix, agree = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=4.0,
                                                maxIters=500)  # fmt: skip
    if matrix is None or (number := int(agree.sum())) < _LEAST_POINTS:
        return None
    if number >= 2 * _LEAST_POINTS:
        # A copy may have been squeezed: six numbers instead of four, where that explains more.
        free, agree = cv2.estimateAffine2D(source, target, ransacReprojThreshold=3.0, maxIters=500)
        if free is not None and int(agree.sum()) >= number:
            matrix, number = free, int(agree.sum())
    laid = matrix.astype(np.float64)
    return _Fit(laid, number) if _plausible(laid) else None


def _plausible(matrix: Matrix) -> bool:
    """No mirror, no shear, nothing squeezed to less than half of its width."""
    large, small = np.linalg.svd(matrix[:, :2])[1]
    return bool(np.linalg.det(matrix[:, :2]) > 0 and small > large / 2 and small > 0.05)


def _judge(a: View, b: View, fit: _Fit, mirrored: bool, one_film: bool) -> Verdict:
    common = _common(a.grey, b.grey, fit.matrix)
    if common is None:
        return _NOTHING
    overlap = float(min(common.part_a, common.part_b))
    changed = _changed(common)

    def verdict(same: bool, why: str) -> Verdict:
        return Verdict(same, round(changed, 2), round(overlap, 3), mirrored, fit.points, why)

    if max(common.part_a, common.part_b) < CONTAINED:
        return verdict(False, "they only overlap")
    if overlap < DETAIL:
        return verdict(False, "one is a detail of the other")
    if changed > (CHANGED_IN_FILM if one_film else CHANGED):
        return verdict(False, "something else is shown in places")
    return verdict(True, "the same picture, mirrored" if mirrored else "the same picture")


def _common(a: Grey, b: Grey, matrix: Matrix) -> _Common | None:
    """Lay b on a and cut out what both show, at the resolution of the poorer one."""
    (ha, wa), (hb, wb) = a.shape, b.shape
    corners = cv2.transform(np.array([[[0, 0], [wb, 0], [wb, hb], [0, hb]]], np.float64), matrix)[0]
    left, top = np.maximum(corners.min(axis=0), 0)
    right, bottom = np.minimum(corners.max(axis=0), [wa, ha])
    if min(right - left, bottom - top) < WINDOW:
        return None
    zoom = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    scale = min(SIDE / max(right - left, bottom - top), 1.0, 1.0 / zoom)
    size = (max(WINDOW, int((right - left) * scale)), max(WINDOW, int((bottom - top) * scale)))
    lay_a = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    lay_b = scale * matrix
    lay_b[:, 2] += lay_a[:, 2]
    whole = np.full(b.shape, 1, np.uint8)
    covered = cv2.warpAffine(whole, lay_b, size, flags=cv2.INTER_NEAREST)
    area = float(covered.sum()) / scale**2
    # At the rim of the one the other goes on with its own border: not compared.
    where = cv2.erode(covered, np.ones((7, 7), np.uint8), borderType=cv2.BORDER_CONSTANT,
                      borderValue=0) > 0  # fmt: skip
    if not where.any():
        return None
    return _Common(_warp(a, lay_a, size), _warp(b, lay_b, size), where, area / (wa * ha),
                   area / (zoom**2 * wb * hb))  # fmt: skip


def _warp(grey: Grey, matrix: Matrix, size: tuple[int, int]) -> Grey:
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if zoom < 0.7:  # blurred first, or shrinking makes edges that are not there
        grey = cv2.GaussianBlur(grey, (0, 0), 0.45 / zoom).astype(np.uint8)
    laid = cv2.warpAffine(grey, matrix, size, flags=cv2.INTER_LINEAR,
                                borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return laid.astype(np.uint8)


def _changed(common: _Common) -> float:
    """Per mille of windows in which each picture lacks edges of the other.

    Edges are compared as normalised gradients (Haber and Modersitzki, "Intensity gradient based
    registration and fusion of multi-modal images", 2006), which forgives contrast and inversion.
    """
    window = max(LEAST_WINDOW, round(max(common.a.shape) * WINDOW / SIDE))
    mask = common.where.astype(np.float32)
    ax, ay, own_a = _edges(common.a, common.where)
    bx, by, own_b = _edges(common.b, common.where)

    def gather(values: Floats) -> Floats:
        return cv2.blur(values * mask, (window, window)).astype(np.float32)

    edges_a, edges_b = gather(own_a * own_a), gather(own_b * own_b)
    shared = gather((ax * bx + ay * by) ** 2)
    kept = np.maximum((shared + 0.02) / (edges_a + 0.02), (shared + 0.02) / (edges_b + 0.02))
    inside = gather(np.ones_like(mask)) > 0.5
    replaced = (kept < 1 - _REPLACED) & (np.maximum(edges_a, edges_b) > 0.05) & inside
    return 1000 * float(replaced.sum()) / max(1, int(inside.sum()))


def _edges(grey: Grey, where: npt.NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """The normalised gradient (x, y) of each pixel and its square length, 0..1."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    x: Floats = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8).astype(np.float32)
    y: Floats = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8).astype(np.float32)
    squares: Floats = x * x + y * y
    noise = max(1.0, 0.0625 * float(squares[where].mean()))
    length: Floats = np.sqrt(squares + np.float32(noise))
    return x / length, y / length, squares / (squares + np.float32(noise))
