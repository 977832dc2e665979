"""Copies that only a person can confirm: overlays, and photographs of a screen or page.

Rounded corners differ in the corners alone. A sticker covers one compact place, and nothing else
differs. It is mostly of one color and ends at an edge, unlike a person who left or turned. Lines of
subtitles are light and dark where the other image is neither. A veil (a large watermark, tiled
letters) blends everything it covers with one brightness, so that each pixel is between its own
brightness and the veiled one.

A photograph has perspective, moire, glare, noise and a tint. Its edges differ nearly everywhere,
but seen coarsely they agree nearly everywhere.
"""

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gleanset.arrays import BoolArray, Float32Array, Float64Array
from labeler.duplicates.alignment import CommonPart, match_points
from labeler.duplicates.differences import (
    Piece,
    find_pieces,
    fit_brightness,
    fit_robust_line,
)
from labeler.duplicates.filters import blur, measure_slopes
from labeler.duplicates.prepared_image import PreparedImage

# Allowed difference of brightness: an offset, and a part of the range of a pixel's neighbours.
_GREY_NOISE, _NEIGHBOUR_FACTOR = 10.0, 0.6
_MAX_OVERLAY_PART = 0.3
# The part of the image that may differ outside a sticker or subtitle.
_MAX_OUTSIDE = 0.0005
# Sides of a corner and of a sticker relative to the image's shorter side; a sticker's aspect ratio.
_CORNER, _MIN_STICKER_SIDE, _MAX_STICKER_RATIO = 0.12, 0.12, 2.0
# How much of the hull of all that differs its largest piece spans: eyes and a mouth span less.
_MIN_LARGEST_PART = 0.7
# The part of the image that a sticker's hull covers, and the part of the hull that differs.
_MAX_STICKER_PART, _MIN_STICKER_FILL = 0.35, 0.25
# The part of the hull that has the main brightness of the sticker, how many grey levels belong to
# it, and the part of the outline that is an edge.
_MIN_MAIN_PART, _MAIN_LEVELS = 0.42, 12
_MIN_OUTLINE_SLOPE, _MIN_OUTLINED = 5.0, 0.85
# Subtitles: length to height of the lines, their distance from the middle, their slant (radians).
_MIN_LINES_RATIO, _MIN_FROM_MIDDLE, _MAX_SLANT = 1.8, 0.2, 0.15
# The range of grey values of letters and outline; where it is larger than in the other image.
_MIN_LETTER_CONTRAST, _MIN_MORE_VARIED = 110, 0.8
# Opacity and extent of a veil, and the part of the image that it may leave unexplained.
_MIN_OPACITY, _MAX_OPACITY = 0.15, 0.85
_MIN_VEIL_EXTENT, _MAX_UNEXPLAINED = 0.4, 0.0015
_MIN_VEIL_PIXELS = 50


class _Change(NamedTuple):
    """How b differs from a at the brightness of b (`clean`); `off` marks what exceeds `slack`."""

    clean: Float32Array
    by: Float32Array
    slack: Float32Array
    off: BoolArray


def is_overlaid(common: CommonPart) -> bool:
    """Return whether one image is the other with something laid over it, in either order."""
    return _is_overlay_on_b(common) or _is_overlay_on_b(
        replace(common, a=common.b, b=common.a)
    )


def _is_overlay_on_b(common: CommonPart) -> bool:
    change = _find_change(common)
    if change.off.sum() > _MAX_OVERLAY_PART * common.mask.sum():
        return False
    # An overlay affects the brightness by which most pixels seem to differ.
    change = _find_change(common, common.mask & ~change.off)

    # Single pixels and thin lines are artifacts of scaling.
    drawn = _apply_morphology(change.off, cv2.MORPH_OPEN)
    pieces = sorted(find_pieces(drawn, 12), key=lambda piece: -piece.mask.sum())
    hull = _fill_hull(_draw(pieces, drawn.shape))
    lettered = _draw(pieces[:2], drawn.shape)

    is_compact = (
        _fill_hull(_draw(pieces[:1], drawn.shape)).sum()
        >= _MIN_LARGEST_PART * hull.sum()
    )

    shape = drawn.shape
    near = (np.minimum(range(n), range(n)[::-1]) < _CORNER * min(shape) for n in shape)
    corners: BoolArray = np.asarray(np.logical_and.outer(*near), np.bool_)
    return (
        _covers(corners, drawn, common.mask)
        or (
            is_compact
            and _covers(hull, drawn, common.mask)
            and _is_sticker(change, common, hull)
        )
        or (
            _covers(lettered, drawn, common.mask)
            and _is_subtitle(change, common, pieces[:2])
        )
        or _is_veil(change, common)
    )


def _find_change(common: CommonPart, like: BoolArray | None = None) -> _Change:
    a, b = common.a.astype(np.float32), common.b.astype(np.float32)
    slope, level = fit_brightness(
        common if like is None else replace(common, mask=like)
    )
    clean = (np.float32(slope) * a + np.float32(level)).astype(np.float32)
    slack = np.float32(_GREY_NOISE) + np.float32(_NEIGHBOUR_FACTOR) * _local_range(
        clean, 3
    )
    by = b - clean
    return _Change(clean, by, slack, (np.abs(by) > slack) & common.mask)


def _local_range(values: Float32Array, side: int) -> Float32Array:
    around = np.ones((side, side), np.uint8)
    return (cv2.dilate(values, around) - cv2.erode(values, around)).astype(np.float32)


def _draw(pieces: list[Piece], shape: tuple[int, int]) -> BoolArray:
    mask = np.zeros(shape, np.bool_)
    for piece in pieces:
        piece.draw_on(mask)
    return mask


def _fill_hull(mask: BoolArray) -> BoolArray:
    filled = np.zeros(mask.shape, np.uint8)
    if mask.any():
        cv2.fillConvexPoly(
            filled, cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8))), 1
        )
    return filled > 0


def _covers(overlay: BoolArray, drawn: BoolArray, mask: BoolArray) -> bool:
    near = cv2.dilate(overlay.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return bool(overlay.any() and (drawn & ~near).sum() <= _MAX_OUTSIDE * mask.sum())


def _is_sticker(change: _Change, common: CommonPart, hull: BoolArray) -> bool:
    short, long = sorted(cv2.boundingRect(hull.astype(np.uint8))[2:])
    if (
        short < _MIN_STICKER_SIDE * min(common.mask.shape)
        or long > _MAX_STICKER_RATIO * short
    ):
        return False

    inside = common.b[hull].astype(np.int64)
    changed = change.off[hull]
    if (
        len(inside) > _MAX_STICKER_PART * common.mask.sum()
        or changed.mean() < _MIN_STICKER_FILL
    ):
        return False

    levels = np.bincount(inside[changed], minlength=256).astype(np.float64)
    main = np.convolve(levels, np.ones(2 * _MAIN_LEVELS + 1), "same").argmax()
    is_of_one_color = (np.abs(inside - main) <= _MAIN_LEVELS).mean() >= _MIN_MAIN_PART
    return bool(is_of_one_color) and _is_outlined(common, hull)


def _is_outlined(common: CommonPart, hull: BoolArray) -> bool:
    """Return whether there are edges all along the outline, except at the image's border."""
    steepest = cv2.dilate(
        measure_slopes(blur(common.b.astype(np.float32), 1.0)), np.ones((7, 7))
    )
    outline = np.zeros(hull.shape, np.uint8)
    contours, _ = cv2.findContours(
        hull.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(outline, contours, -1, 1)
    inner = cv2.erode(common.mask.astype(np.uint8), np.ones((7, 7)), borderValue=0)
    edges = steepest[(outline > 0) & (inner > 0)] > _MIN_OUTLINE_SLOPE
    return bool(edges.size and edges.mean() >= _MIN_OUTLINED)


def _is_subtitle(change: _Change, common: CommonPart, lines: list[Piece]) -> bool:
    height = len(common.mask)
    for line in lines:
        if (
            line.long < _MIN_LINES_RATIO * line.short
            or abs(line.angle) > _MAX_SLANT
            or abs(line.centre[1] / height - 0.5) < _MIN_FROM_MIDDLE
        ):
            return False
    lettered = _draw(lines, common.mask.shape) & change.off
    if not lettered.any():
        return False

    dark, light = np.quantile(common.b[lettered], (0.05, 0.95))
    more_varied = _local_range(common.b.astype(np.float32), 5) > _local_range(
        change.clean, 5
    )
    return bool(
        light - dark >= _MIN_LETTER_CONTRAST
        and more_varied[lettered].mean() >= _MIN_MORE_VARIED
    )


def _is_veil(change: _Change, common: CommonPart) -> bool:
    core = _apply_morphology(change.off, cv2.MORPH_ERODE)
    light = core & (change.by > 0)
    veiled = max(light, core & ~light, key=np.sum)
    rows, columns = np.nonzero(veiled)
    if len(rows) < _MIN_VEIL_PIXELS:
        return False

    # The part of a side that nine of ten positions span.
    spans = (
        np.subtract(*np.quantile(places, (0.95, 0.05))) for places in (rows, columns)
    )
    if max(np.divide(list(spans), veiled.shape)) < _MIN_VEIL_EXTENT:
        return False

    slope, level = fit_robust_line(change.clean[veiled], common.b[veiled])
    # Thin letters cover only half of most of their pixels, so fit again to those covered more.
    more_covered = veiled & (
        np.abs(change.by) >= np.abs((slope - 1) * change.clean + level)
    )
    slope, level = fit_robust_line(change.clean[more_covered], common.b[more_covered])
    if not _MIN_OPACITY <= 1 - slope <= _MAX_OPACITY:
        return False

    fully_covered = np.float32(slope) * change.clean + np.float32(level)
    excess = common.b - np.clip(
        common.b,
        np.minimum(fully_covered, change.clean),
        np.maximum(fully_covered, change.clean),
    )
    unexplained = (np.abs(excess) > change.slack) & common.mask
    return bool(unexplained.sum() <= _MAX_UNEXPLAINED * common.mask.sum())


def _apply_morphology(mask: BoolArray, operator: int) -> BoolArray:
    return (
        cv2.morphologyEx(mask.astype(np.uint8), operator, np.ones((2, 2), np.uint8)) > 0
    )


_GRID_SIDE = 128
_MIN_MATCHES, _MIN_INLIERS, _MAX_DISTANCE_PIXELS = 20, 16, 6.0
# RANSAC trials: of a photograph, at least two in five matches agree.
_MAX_TRIALS = 200
# Median distance of agreeing points. Drawings of one person in two poses agree less: 1.5 pixels,
# photographs 0.6.
_MAX_MEDIAN_PIXELS = 0.8
# How far the corners are from a parallelogram, as a part of the longer side.
_MIN_PERSPECTIVE = 0.05
_MIN_COVERED = 0.85
# Blurs that coarse detail lies between, and the window and its variance that it is compared by.
_FINE_SIGMA = 1.5
_COARSE_SIGMA = 8.0
_WINDOW_SIDE = (17, 17)
_MIN_VARIANCE = 25.0
_MIN_CORRELATION, _MIN_AGREEING_PART = 0.6, 0.85


def is_photograph(a: PreparedImage, b: PreparedImage) -> bool:
    """Return whether `b` is a photograph of `a`."""
    motion = _find_perspective(a, b)
    if motion is None:
        return False

    scale = _GRID_SIDE / max(a.grey.shape)
    size = round(a.grey.shape[1] * scale), round(a.grey.shape[0] * scale)
    matrix = np.diag([scale, scale, 1.0]) @ motion
    zoom = float(np.sqrt(np.linalg.det(matrix[:2, :2])))
    smooth = cv2.GaussianBlur(b.grey, (0, 0), max(0.3, 0.45 / zoom))
    covered = cv2.warpPerspective(np.ones_like(b.grey), matrix, size)
    mask = cv2.erode(covered, np.ones((5, 5), np.uint8)) > 0

    first = _coarse_detail(cv2.resize(a.grey, size, interpolation=cv2.INTER_AREA))
    second = _coarse_detail(cv2.warpPerspective(smooth, matrix, size))
    products = first * first, second * second, first * second
    of_a, of_b, of_both = (
        cv2.blur(product, _WINDOW_SIDE)[mask] for product in products
    )

    detailed = np.maximum(of_a, of_b) > _MIN_VARIANCE
    # Rounding may make one of them negative.
    energy = np.sqrt(np.maximum(of_a * of_b, 0))
    agrees = (of_both > _MIN_CORRELATION * energy)[detailed]
    enough = agrees.sum() > _MIN_AGREEING_PART * len(agrees)
    return bool(enough and covered.mean() >= _MIN_COVERED)


def _find_perspective(a: PreparedImage, b: PreparedImage) -> Float64Array | None:
    source, target = match_points(a.points, b.points)
    if len(source) < _MIN_MATCHES:
        return None
    cv2.setRNGSeed(0)
    motion, inliers = cv2.findHomography(
        source, target, cv2.RANSAC, _MAX_DISTANCE_PIXELS, maxIters=_MAX_TRIALS
    )
    if (
        motion is None
        or inliers.sum() < _MIN_INLIERS
        or np.linalg.det(motion[:2, :2]) <= 0
    ):
        return None

    is_inlier = inliers[:, 0] > 0
    projected = cv2.perspectiveTransform(
        source[is_inlier][None].astype(np.float64), motion
    )[0]
    if (
        float(np.median(np.linalg.norm(projected - target[is_inlier], axis=1)))
        > _MAX_MEDIAN_PIXELS
    ):
        return None

    high, wide = b.grey.shape
    corners = np.array([[[0, 0], [wide, 0], [wide, high], [0, high]]], np.float64)
    first, second, third, fourth = cv2.perspectiveTransform(corners, motion)[0]
    perspective = float(np.linalg.norm(first - second + third - fourth)) / max(
        a.grey.shape
    )
    return np.asarray(motion, np.float64) if perspective >= _MIN_PERSPECTIVE else None


def _coarse_detail(grey: npt.ArrayLike) -> Float32Array:
    values = np.asarray(grey, np.float32)
    return blur(values, _FINE_SIGMA) - blur(values, _COARSE_SIGMA)
