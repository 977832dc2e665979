"""What is drawn on a plain ground: does it differ, although the images as a whole agree?

On a title card, a slide or a logo the ground is most of the image, and small type is lost at the
size at which images are compared. So what is drawn is compared alone, from the pixels of the files,
and with it the ground beyond the trimmed borders: a slide with one line less is not a crop. The
ground is what most places look like: one color, a gradient, or a texture that both images have.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from labeler.duplicates.alignment import (
    CommonPart,
    Mask,
    Matrix,
    crop_common_part,
    estimate_alignment,
    refine_alignment,
    warp,
)
from labeler.duplicates.differences import blur, measure_slopes
from labeler.duplicates.hashes import (
    FineImage,
    Floats,
    Grey,
    PreparedImage,
    find_points,
)

# In an image with a ground, the upper quarter of the slopes is not much steeper than the median:
# by a factor and in grey values per pixel. Photographs and scenes have slopes of all kinds.
_MAX_GROUND_FACTOR, _MAX_GROUND_SLOPE = 1.6, 1.0
# How far the slopes of drawings are above those of the ground, in distances between the median and
# the upper quarter and in grey values per pixel. Slopes are averaged with this sigma in pixels.
_MIN_DISTANCES, _MIN_DRAWN_SLOPE, _SLOPE_SIGMA = 3.0, 1.5, 1.5
# An image of which less than this part is left after trimming may have such a ground around it.
_MAX_TRIMMED_PART = 0.6
# Of two images with a ground, one has at least this part in common with the other, as a crop has.
_MIN_CONTAINED_PART = 0.85
# Pixels per side of the frame in which drawings are found, and of what is drawn. Parts of the
# frame: the margin around drawings, and the rim of which it is not certain what it shows.
_FRAME_SIDE, _DRAWN_SIDE, _MARGIN, _RIM = 1024, 640, 0.02, 0.01
# Standard deviation in pixels of the window in which one image has to explain the other, and the
# variance of grey values that is noise.
_WINDOW_SIGMA, _NOISE_VARIANCE = 3.5, 9.0
# Up to this change an alignment is right.
_SURELY_EQUAL = 0.05
# Standard deviation in pixels of a neighbourhood, about a letter, and the part of the usual
# contrast from which something is drawn there in both images.
_NEIGHBOURHOOD_SIGMA, _MIN_CONTRAST = 8.0, 0.5
# Without a plain ground, copies at 256 pixels per side have less than this change in common; pages
# of text and tables have more.
_MAX_COARSE_CHANGE = 0.15


class DrawnChange(NamedTuple):
    """The parts (0..1) of what is drawn in a and in b that the other image lacks.

    `redrawn` is the largest part of one place, such as a digit, that each lacks of the other.
    """

    lost_a: float = 0.0
    lost_b: float = 0.0
    redrawn: float = 0.0

    @property
    def lost_by_both(self) -> float:
        """The part that each of the two images lacks of the other."""
        return min(self.lost_a, self.lost_b)


def measure_drawn_change(
    a: PreparedImage, b: PreparedImage, matrix: Matrix, common: CommonPart
) -> DrawnChange:
    """Compare what is drawn in two aligned images; zero where photographs and scenes agree.

    `matrix` maps b to a, `common` is the part that both show.
    """
    if a.read_fine is None or b.read_fine is None:
        return DrawnChange()
    may_have_ground = min(a.filled, b.filled) <= _MAX_TRIMMED_PART
    if not may_have_ground and _find_drawn(common) is None:
        change = _measure_change(common.a, common.b, common.mask)
        if change.lost_by_both < _MAX_COARSE_CHANGE:
            return DrawnChange()
    return _compare_fine(a.read_fine(), b.read_fine(), matrix)


def _find_drawn(common: CommonPart) -> Mask | None:
    """Return the places that are drawn on in either image; None without a plain ground."""
    of_a, of_b = (
        blur(measure_slopes(grey.astype(np.float32)), _SLOPE_SIGMA)
        for grey in (common.a, common.b)
    )
    slopes = np.maximum(of_a, of_b)
    rim = max(1, round(_RIM * max(slopes.shape)))
    inner = np.zeros(slopes.shape, np.bool_)
    inner[rim:-rim, rim:-rim] = common.mask[rim:-rim, rim:-rim]
    if not inner.any():
        return None
    middle, upper = np.quantile(slopes[inner], (0.5, 0.75))
    if upper > _MAX_GROUND_FACTOR * middle + _MAX_GROUND_SLOPE:
        return None
    drawn: Mask = inner & (
        slopes > upper + _MIN_DISTANCES * (upper - middle) + _MIN_DRAWN_SLOPE
    )
    return drawn


def _compare_fine(a: FineImage, b: FineImage, matrix: Matrix) -> DrawnChange:
    motion = _then(
        _then(np.asarray(cv2.invertAffineTransform(b.motion), np.float64), matrix),
        a.motion,
    )
    for fine in zip(a.versions(), b.versions(), strict=True):
        frame = crop_common_part(*fine, motion, _FRAME_SIDE)
        if frame is None:
            break
        drawn = _find_drawn(frame)
        if drawn is None:
            # All is compared, and what only one image has may be a mark or a caption.
            replaced = _compare_frame(frame, frame.mask, fine, motion).lost_by_both
            return DrawnChange(replaced, replaced)
        if drawn.any() and max(frame.part_a, frame.part_b) < _MIN_CONTAINED_PART:
            return DrawnChange(redrawn=1.0)  # at another place of the ground
        if drawn.any():
            return _compare_frame(frame, drawn, fine, motion)
    return DrawnChange()


def _compare_frame(
    frame: CommonPart, drawn: Mask, fine: tuple[Grey, Grey], motion: Matrix
) -> DrawnChange:
    left, top, width, height = cv2.boundingRect(drawn.astype(np.uint8))
    margin = round(_MARGIN * max(drawn.shape))
    rows = slice(max(0, top - margin), top + height + margin)
    columns = slice(max(0, left - margin), left + width + margin)
    part = _enlarge(frame, rows, columns, fine, motion)
    if part is None:
        return DrawnChange()
    places = cv2.resize(
        drawn[rows, columns].astype(np.uint8),
        part.a.shape[::-1],
        interpolation=cv2.INTER_NEAREST,
    )
    return _compare_drawn(part, cv2.dilate(places, np.ones((3, 3), np.uint8)) > 0)


def _then(first: Matrix, second: Matrix) -> Matrix:
    """Return the motion that applies one motion after another."""
    result: Matrix = np.asarray(second @ np.vstack([first, [0, 0, 1]]), np.float64)
    return result


def _enlarge(
    frame: CommonPart,
    rows: slice,
    columns: slice,
    fine: tuple[Grey, Grey],
    motion: Matrix,
) -> CommonPart | None:
    """Return a part of the frame from the pixels of both files; `motion` maps the second to a."""
    high, wide = frame.a[rows, columns].shape
    box = [[columns.start, rows.start], [columns.start + wide, rows.start + high]]
    corners = np.rint(cv2.transform(np.array([box], np.float64), frame.to_a)[0]).astype(
        int
    )
    (left, top), (right, bottom) = np.maximum(corners, 0).tolist()
    moved = motion.copy()
    moved[:, 2] -= (left, top)
    return crop_common_part(
        fine[0][top:bottom, left:right], fine[1], moved, _DRAWN_SIDE
    )


def _compare_drawn(part: CommonPart, places: Mask) -> DrawnChange:
    refined = refine_alignment(part)
    change = _measure_change(refined.a, refined.b, places)
    if max(change) < _SURELY_EQUAL:
        return change

    # A cropped copy may have been aligned by its frame, which is not that of the whole image.
    points = (find_points(grey, _DRAWN_SIDE) for grey in (part.a, part.b))
    alignment = estimate_alignment(*points)
    if alignment is None:
        return change
    moved = warp(part.b, alignment.matrix, part.a.shape[::-1])
    return min(change, _measure_change(part.a, moved, places), key=max)


def _measure_change(a: Grey, b: Grey, places: Mask) -> DrawnChange:
    """Return what differs in some places, by the brightness of small windows."""
    first, second = (blur(grey.astype(np.float32), 0.8) for grey in (a, b))
    mean_a, mean_b = blur(first, _WINDOW_SIGMA), blur(second, _WINDOW_SIGMA)
    square_a = np.maximum(blur(first * first, _WINDOW_SIGMA) - mean_a * mean_a, 0)
    square_b = np.maximum(blur(second * second, _WINDOW_SIGMA) - mean_b * mean_b, 0)
    product = blur(first * second, _WINDOW_SIGMA) - mean_a * mean_b
    noise = np.float32(_NOISE_VARIANCE)
    explained: Floats = np.asarray(
        product * product / ((square_a + noise) * (square_b + noise)), np.float32
    )
    lost_a, lost_b = (
        _LostDrawing.find(square, explained, places) for square in (square_a, square_b)
    )

    common = np.minimum(lost_a.contrast, lost_b.contrast)
    usual = np.median(np.maximum(lost_a.contrast, lost_b.contrast)[places])
    in_both = places & (common > _MIN_CONTRAST * usual)
    redrawn = np.minimum(lost_a.parts, lost_b.parts)[in_both]
    return DrawnChange(lost_a.total, lost_b.total, float(redrawn.max(initial=0)))


class _LostDrawing(NamedTuple):
    """The part of an image's drawings that another lacks: of all of them, and of each place."""

    total: float
    parts: Floats
    contrast: Floats

    @classmethod
    def find(cls, variance: Floats, explained: Floats, places: Mask) -> _LostDrawing:
        drawn = np.where(places, variance - np.float32(_NOISE_VARIANCE), np.float32(0))
        weights: Floats = np.sqrt(np.maximum(drawn, np.float32(0)), dtype=np.float32)
        lost: Floats = np.asarray(weights * (1 - explained), np.float32)
        total = float(lost.sum() / max(1.0, float(weights.sum())))

        contrast = blur(weights, _NEIGHBOURHOOD_SIGMA)
        lost_nearby = blur(lost, _NEIGHBOURHOOD_SIGMA)
        parts: Floats = np.asarray(
            lost_nearby / np.maximum(contrast, np.float32(1e-3)), np.float32
        )
        return cls(total, parts, contrast)
