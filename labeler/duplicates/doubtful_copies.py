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
from typing import Any, NamedTuple

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
from labeler.duplicates.filters import blur, dilate_mask, erode_mask, measure_slopes
from labeler.duplicates.motions import list_corners, measure_zoom
from labeler.duplicates.prepared_image import PreparedImage

# Allowed difference of brightness: an offset, and a part of the range of a pixel's neighbours.
_GREY_NOISE = 10.0
_NEIGHBOUR_FACTOR = 0.6
_MAX_OVERLAY_PART = 0.3
# The part of the image that may differ outside a sticker or subtitle.
_MAX_OUTSIDE = 0.0005
# Sides of a corner and of a sticker relative to the image's shorter side; a sticker's aspect ratio.
_CORNER = 0.12
_MIN_STICKER_SIDE = 0.12
_MAX_STICKER_RATIO = 2.0
# How much of the hull of all that differs its largest piece spans: eyes and a mouth span less.
_MIN_LARGEST_PART = 0.7
# The part of the image that a sticker's hull covers, and the part of the hull that differs.
_MAX_STICKER_PART = 0.35
_MIN_STICKER_FILL = 0.25
# The part of the hull that has the main brightness of the sticker, how many grey levels belong to
# it, and the part of the outline that is an edge.
_MIN_MAIN_PART = 0.42
_MAIN_LEVELS = 12
_MIN_OUTLINE_SLOPE = 5.0
_MIN_OUTLINED = 0.85
# Subtitles: length to height of the lines, their distance from the middle, their slant (radians).
_MIN_LINES_RATIO = 1.8
_MIN_FROM_MIDDLE = 0.2
_MAX_SLANT = 0.15
# The range of grey values of letters and outline; where it is larger than in the other image.
_MIN_LETTER_CONTRAST = 110
_MIN_MORE_VARIED = 0.8
# Opacity and extent of a veil, and the part of the image that it may leave unexplained.
_MIN_OPACITY = 0.15
_MAX_OPACITY = 0.85
_MIN_VEIL_EXTENT = 0.4
_MAX_UNEXPLAINED = 0.0015
_MIN_VEIL_PIXELS = 50


class _Change(NamedTuple):
    """How b differs from a, in grey values of each pixel.

    `expected` is a at the brightness of b, `residual` is b minus that. `is_different` marks where
    the residual is above `tolerance` or below its negative.
    """

    expected: Float32Array
    residual: Float32Array
    tolerance: Float32Array
    is_different: BoolArray


def is_overlaid(common: CommonPart) -> bool:
    """Return whether one image is the other with something laid over it, in either order."""
    swapped = replace(common, a=common.b, b=common.a)
    return _is_overlay_on_b(common) or _is_overlay_on_b(swapped)


def _is_overlay_on_b(common: CommonPart) -> bool:
    """Return whether b is a with rounded corners, a sticker, subtitles or a veil."""
    change = _find_change(common, common.mask)
    if change.is_different.sum() > _MAX_OVERLAY_PART * common.mask.sum():
        return False
    # Fit again without the overlay: it affects the brightness by which most pixels seem to differ.
    change = _find_change(common, common.mask & ~change.is_different)

    # Single pixels and thin lines are artifacts of scaling.
    overlay = _apply_morphology(change.is_different, cv2.MORPH_OPEN)
    pieces = sorted(find_pieces(overlay, 12), key=lambda piece: -piece.mask.sum())

    def is_within(mask: BoolArray) -> bool:
        """Return whether nothing differs outside of a mask."""
        outside = overlay & ~dilate_mask(mask, 4)
        max_outside = _MAX_OUTSIDE * common.mask.sum()
        return bool(mask.any() and outside.sum() <= max_outside)

    shape = overlay.shape
    if is_within(_draw_corners(shape)):
        return True

    # A sticker is one large piece, perhaps with small ones next to it.
    hull = _fill_hull(_draw(pieces, shape))
    largest = _fill_hull(_draw(pieces[:1], shape))
    is_compact = largest.sum() >= _MIN_LARGEST_PART * hull.sum()
    if is_compact and is_within(hull) and _is_sticker(change, common, hull):
        return True

    # Subtitles have at most two lines, the largest pieces.
    lines = pieces[:2]
    if is_within(_draw(lines, shape)) and _is_subtitle(change, common, lines):
        return True
    return _is_veil(change, common)


def _find_change(common: CommonPart, fitted: BoolArray) -> _Change:
    """Find where b differs from a at the brightness of b.

    How brightness maps from a to b is fitted to the pixels of the mask `fitted`.
    """
    slope, level = fit_brightness(replace(common, mask=fitted))
    expected = (slope * common.a.astype(np.float32) + level).astype(np.float32)
    residual = common.b.astype(np.float32) - expected

    # Along edges pixels differ more, because alignments are never exact.
    edge_tolerance = np.float32(_NEIGHBOUR_FACTOR) * _measure_range(expected, 3)
    tolerance = np.float32(_GREY_NOISE) + edge_tolerance
    is_different = (np.abs(residual) > tolerance) & common.mask
    return _Change(expected, residual, tolerance, is_different)


def _measure_range(values: Float32Array, side: int) -> Float32Array:
    """Return highest minus lowest value in a square of `side` pixels around each pixel."""
    around = np.ones((side, side), np.uint8)
    highest = cv2.dilate(values, around)
    return (highest - cv2.erode(values, around)).astype(np.float32)


def _draw_corners(shape: tuple[int, ...]) -> BoolArray:
    """Return the mask of the four corners of an image of a shape (height, width)."""
    rows, columns = (np.arange(side) for side in shape)
    reach = _CORNER * min(shape)
    is_outer_row = np.minimum(rows, rows[::-1]) < reach
    is_outer_column = np.minimum(columns, columns[::-1]) < reach
    return np.asarray(is_outer_row[:, None] & is_outer_column)


def _draw(pieces: list[Piece], shape: tuple[int, ...]) -> BoolArray:
    """Return the mask of all pieces together."""
    mask = np.zeros(shape, np.bool_)
    for piece in pieces:
        piece.draw_on(mask)
    return mask


def _fill_hull(mask: BoolArray) -> BoolArray:
    """Return the mask of the convex hull; empty for an empty mask."""
    hull = np.zeros(mask.shape, np.uint8)
    if mask.any():
        outline = cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8)))
        cv2.fillConvexPoly(hull, outline, 1)
    return hull > 0


def _is_sticker(change: _Change, common: CommonPart, hull: BoolArray) -> bool:
    """Return whether the hull of all that differs is compact, of one color, with an outline."""
    short, long = sorted(cv2.boundingRect(hull.astype(np.uint8))[2:])
    if short < _MIN_STICKER_SIDE * min(common.mask.shape):
        return False
    if long > _MAX_STICKER_RATIO * short:
        return False

    levels = common.b[hull].astype(np.int64)  # the grey values within the hull
    is_different = change.is_different[hull]
    if len(levels) > _MAX_STICKER_PART * common.mask.sum():
        return False
    if is_different.mean() < _MIN_STICKER_FILL:
        return False

    # The main level is the middle of the range of levels that most of what differs has.
    histogram = np.bincount(levels[is_different], minlength=256).astype(np.float64)
    main_level = np.convolve(histogram, np.ones(2 * _MAIN_LEVELS + 1), "same").argmax()
    has_main_level = np.abs(levels - main_level) <= _MAIN_LEVELS
    return bool(has_main_level.mean() >= _MIN_MAIN_PART) and _is_outlined(common, hull)


def _is_outlined(common: CommonPart, hull: BoolArray) -> bool:
    """Return whether there are edges all along the outline, except at the image's border."""
    outline = np.zeros(hull.shape, np.uint8)
    contours, _ = cv2.findContours(
        hull.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(outline, contours, -1, 1)

    # The outline may be three pixels away from the edge.
    slopes = measure_slopes(blur(common.b.astype(np.float32), 1.0))
    steepest = cv2.dilate(slopes, np.ones((7, 7)))
    is_compared = (outline > 0) & erode_mask(common.mask)
    is_edge = steepest[is_compared] > _MIN_OUTLINE_SLOPE
    return bool(is_edge.size and is_edge.mean() >= _MIN_OUTLINED)


def _is_subtitle(change: _Change, common: CommonPart, lines: list[Piece]) -> bool:
    """Return whether lines near the top or bottom have light letters with a dark outline."""
    height = len(common.mask)
    for line in lines:
        from_middle = abs(line.centre[1] / height - 0.5)
        if line.long < _MIN_LINES_RATIO * line.short or abs(line.angle) > _MAX_SLANT:
            return False
        if from_middle < _MIN_FROM_MIDDLE:
            return False

    lettering = _draw(lines, common.mask.shape) & change.is_different
    if not lettering.any():
        return False

    # Letters and outline are light and dark where the other image is neither.
    dark, light = np.quantile(common.b[lettering], (0.05, 0.95))
    range_in_a = _measure_range(change.expected, 5)
    range_in_b = _measure_range(common.b.astype(np.float32), 5)
    more_varied = (range_in_b > range_in_a)[lettering].mean()
    return bool(
        light - dark >= _MIN_LETTER_CONTRAST and more_varied >= _MIN_MORE_VARIED
    )


def _is_veil(change: _Change, common: CommonPart) -> bool:
    """Return whether blending with one brightness explains all that differs."""
    # A veil only brightens or only darkens: take what most of the changed pixels do.
    inner = _apply_morphology(change.is_different, cv2.MORPH_ERODE)
    is_brighter = inner & (change.residual > 0)
    is_darker = inner & ~is_brighter
    veil = max(is_brighter, is_darker, key=np.sum)
    positions = np.nonzero(veil)  # rows, columns
    if len(positions[0]) < _MIN_VEIL_PIXELS:
        return False

    # The part of the height and of the width that nine of ten positions span.
    spans = np.ptp(np.quantile(positions, (0.05, 0.95), axis=1), axis=0)
    if max(spans / veil.shape) < _MIN_VEIL_EXTENT:
        return False

    # A veil of one opacity and brightness maps the grey values of a to those of b by a line.
    slope, level = fit_robust_line(
        change.expected[veil],
        common.b[veil],
    )
    # Thin letters cover only half of most of their pixels, so fit again to those covered more.
    usual_change = (slope - 1) * change.expected + level
    more_covered = veil & (np.abs(change.residual) >= np.abs(usual_change))
    slope, level = fit_robust_line(
        change.expected[more_covered], common.b[more_covered]
    )
    opacity = 1 - slope
    if not _MIN_OPACITY <= opacity <= _MAX_OPACITY:
        return False

    # Each pixel has to be between its own brightness and the veiled one.
    veiled = slope * change.expected + level
    darkest = np.minimum(veiled, change.expected)
    lightest = np.maximum(veiled, change.expected)
    excess = common.b - np.clip(common.b, darkest, lightest)
    unexplained = (np.abs(excess) > change.tolerance) & common.mask
    return bool(unexplained.sum() <= _MAX_UNEXPLAINED * common.mask.sum())


def _apply_morphology(mask: BoolArray, operator: int) -> BoolArray:
    kernel = np.ones((2, 2), np.uint8)
    return cv2.morphologyEx(mask.astype(np.uint8), operator, kernel) > 0


_GRID_SIDE = 128
MIN_INLIERS = 16
"""Points of a photograph that agree in perspective; without it, about half of them do."""

_MIN_MATCHES = 20
_MAX_DISTANCE_PIXELS = 6.0
# RANSAC trials: of a photograph, at least two in five matches agree.
_MAX_TRIALS = 200
# Median distance of agreeing points. Drawings of one person in two poses agree less: 1.5 pixels,
# photographs 0.6.
_MAX_MEDIAN_PIXELS = 0.8
# How far the corners are from a parallelogram, as a part of the longer side.
_MIN_PERSPECTIVE = 0.05
_MIN_COVERED = 0.85
# Coarse detail is the difference of two blurs. It is compared in windows in which at least one of
# the images has this variance.
_FINE_SIGMA = 1.5
_COARSE_SIGMA = 8.0
_WINDOW = (17, 17)
_MIN_VARIANCE = 25.0
_MIN_CORRELATION = 0.6
_MIN_AGREEING_PART = 0.85


def is_photograph(a: PreparedImage, b: PreparedImage) -> bool:
    """Return whether `b` is a photograph of `a`: in perspective, with the same coarse detail."""
    motion = _find_perspective(a, b)
    if motion is None:
        return False

    # Warp both to a small grid, which leaves moire and noise out.
    height, width = a.grey.shape
    scale = _GRID_SIDE / max(height, width)
    size = round(width * scale), round(height * scale)
    to_grid = np.diag([scale, scale, 1.0]) @ motion
    covered = cv2.warpPerspective(np.ones_like(b.grey), to_grid, size)
    if covered.mean() < _MIN_COVERED:
        return False
    mask = cv2.erode(covered, np.ones((5, 5), np.uint8)) > 0
    # Blurred first, or shrinking makes edges that are not there.
    smooth = cv2.GaussianBlur(
        b.grey,
        (0, 0),
        max(0.3, 0.45 / measure_zoom(to_grid)),
    )

    detail_a = _coarse_detail(cv2.resize(a.grey, size, interpolation=cv2.INTER_AREA))
    detail_b = _coarse_detail(cv2.warpPerspective(smooth, to_grid, size))
    return _agree_nearly_everywhere(detail_a, detail_b, mask)


def _agree_nearly_everywhere(
    detail_a: Float32Array, detail_b: Float32Array, mask: BoolArray
) -> bool:
    """Return whether details (height x width, mean 0) correlate in most windows of a mask."""
    variance_a = cv2.blur(detail_a * detail_a, _WINDOW)[mask]
    variance_b = cv2.blur(detail_b * detail_b, _WINDOW)[mask]
    covariance = cv2.blur(detail_a * detail_b, _WINDOW)[mask]

    has_detail = np.maximum(variance_a, variance_b) > _MIN_VARIANCE
    # Rounding may make one of the variances negative.
    deviations = np.sqrt(np.maximum(variance_a * variance_b, 0))
    agrees = (covariance > _MIN_CORRELATION * deviations)[has_detail]
    return bool(agrees.sum() > _MIN_AGREEING_PART * len(agrees))


def _find_perspective(a: PreparedImage, b: PreparedImage) -> Float64Array | None:
    """Find the motion (3 x 3) that maps b to a in perspective; None without perspective."""
    source, target = match_points(a.points, b.points)
    if len(source) < _MIN_MATCHES:
        return None
    cv2.setRNGSeed(0)  # RANSAC is random: the same images get the same motion
    motion, inliers = cv2.findHomography(
        source, target, cv2.RANSAC, _MAX_DISTANCE_PIXELS, maxIters=_MAX_TRIALS
    )
    if motion is None or inliers.sum() < MIN_INLIERS:
        return None
    if np.linalg.det(motion[:2, :2]) <= 0:  # mirrored
        return None

    is_inlier = inliers[:, 0] > 0
    distances = np.linalg.norm(
        _project(source[is_inlier], motion) - target[is_inlier], axis=1
    )
    if np.median(distances) > _MAX_MEDIAN_PIXELS:
        return None

    # The diagonals of a parallelogram halve each other: the sums of opposite corners are equal.
    first, second, third, fourth = _project(
        list_corners(b.grey),
        motion,
    )
    deviation = np.linalg.norm(first - second + third - fourth)
    if deviation / max(a.grey.shape) < _MIN_PERSPECTIVE:
        return None
    return np.asarray(motion, np.float64)


def _project(points: npt.ArrayLike, motion: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return n positions (n x 2: x, y) after a motion in perspective (3 x 3)."""
    positions = cv2.perspectiveTransform(np.array([points], np.float64), motion)
    return np.asarray(positions[0])


def _coarse_detail(grey: npt.ArrayLike) -> Float32Array:
    values = np.asarray(grey, np.float32)
    return blur(values, _FINE_SIGMA) - blur(values, _COARSE_SIGMA)
