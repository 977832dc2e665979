"""Alignment of two images, by their common points or by their frames.

The motion found by points is accurate to a pixel or two. Where two images seem to be the same it is
refined by their brightness, so that even thin lines coincide.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from gleanset.arrays import BoolArray, Float32Array, Float64Array, Pixels
from labeler.duplicates.filters import (
    ComparedWindows,
    blur,
    compare_windows,
    erode_mask,
    measure_gradient,
)
from labeler.duplicates.hashes import Points
from labeler.duplicates.motions import (
    invert_motion,
    list_corners,
    measure_zoom,
    move_points,
)

GRID_SIDE = 256
"""Pixels per side at which the common part is compared, or the size of the smaller copy."""

MIN_GRID_SIDE = 16
RELIABLE_POINTS = 12
"""With this many agreeing points, alignment by frames is not tried."""

MAX_ASPECT_DIFFERENCE = 0.05
"""Maximum relative difference of the aspect ratios of two frames."""
MAX_SQUEEZED_DIFFERENCE = 0.34
"""The same of squeezed copies."""

_MIN_SIMILARITY = 0.85
_MIN_POINTS = 4
# No copy is squeezed or sheared more than to half the width, or reduced to a twentieth.
_MIN_SQUEEZE = 0.5
_MIN_STRETCH = 0.05
_MAX_REFINEMENT_PIXELS = 6.0
# Pixels from an edge at which lines on both sides of it are compared.
_SEAM_STEP = 3
# A seam differs by this factor and offset from the usual difference of two lines.
_SEAM_FACTOR = 2.0
_SEAM_NOISE = 4.0
_MAX_PLAIN_DEVIATION = 3.0
_VARIED_FACTOR = 5.0
# Radians from which a copy is rotated, and the standard deviation of the color of its corners.
_MIN_ROTATION = 0.01
_MAX_CORNER_DEVIATION = 12.0
# The noise of gradients as a part of their mean square.
_EDGE_NOISE = 0.0625


class Alignment(NamedTuple):
    """A motion that maps b to a: a 2 x 3 matrix, and the number of agreeing points."""

    matrix: Float64Array
    points: int


class Edges(NamedTuple):
    """The normalized gradient (x, y) of each pixel; its squared length is the `strength`, 0..1."""

    x: Float32Array
    y: Float32Array
    strength: Float32Array


@dataclass(frozen=True)
class CommonPart:
    """What two images both show, on one grid of at most 256 pixels per side.

    `a` and `b` are grey values, height x width; `mask` marks the pixels that both have; `part_a`
    and `part_b` are the parts (0..1) of each image's pixels. `to_a` maps the grid to the first one.
    """

    a: Pixels
    b: Pixels
    mask: BoolArray
    part_a: float
    part_b: float
    to_a: Float64Array

    @cached_property
    def windows(self) -> ComparedWindows:
        """Brightness of both images in small windows, at half the resolution."""
        return compare_windows(self.a, self.b)

    @cached_property
    def edges(self) -> tuple[Edges, Edges]:
        """The edges of both images, with the noise of gradients estimated within the mask."""
        return self._find_edges(self.a), self._find_edges(self.b)

    def _find_edges(self, grey: Pixels) -> Edges:
        """Divide the gradients by their lengths, so that contrast does not count."""
        x, y = measure_gradient(blur(grey.astype(np.float32), 1.0))
        squares = x * x + y * y
        noise = 1.0
        if self.mask.any():
            noise = max(noise, _EDGE_NOISE * float(squares[self.mask].mean()))

        # Noise makes the gradients of plain areas short, so they do not count as edges.
        length: Float32Array = np.sqrt(squares + noise, dtype=np.float32)
        return Edges(
            x / length,
            y / length,
            squares / (length * length),
        )


def match_points(a: Points, b: Points) -> tuple[Float32Array, Float32Array]:
    """Return the places in b and in a (n x 2 each) of points that are each other's most similar."""
    if not len(a.places) or not len(b.places):
        return b.places[:0], a.places[:0]

    # Cosines: descriptors have unit length.
    similarity = a.descriptors @ b.descriptors.T
    best_in_b = similarity.argmax(axis=1)
    best_in_a = similarity.argmax(axis=0)
    rows = np.arange(len(a.places))
    is_mutual = best_in_a[best_in_b] == rows
    is_match = is_mutual & (similarity[rows, best_in_b] > _MIN_SIMILARITY)
    return b.places[best_in_b[is_match]], a.places[is_match]


def estimate_alignment(a: Points, b: Points) -> Alignment | None:
    """Find the motion that most matching points agree on; None if they are too few.

    By RANSAC (Fischler and Bolles, 1981).
    """
    source, target = match_points(a, b)
    if len(source) < _MIN_POINTS:
        return None

    cv2.setRNGSeed(0)  # RANSAC is random: the same images get the same motion
    matrix, inliers = cv2.estimateAffinePartial2D(
        source, target, ransacReprojThreshold=4.0, maxIters=500
    )
    count = 0 if matrix is None else int(inliers.sum())
    if count < _MIN_POINTS:
        return None

    if count >= 2 * _MIN_POINTS:
        # The first motion only rotates, scales and shifts, but a copy may be squeezed: use an
        # affine motion if it explains as many points or more, at a lower threshold.
        affine, inliers = cv2.estimateAffine2D(
            source, target, ransacReprojThreshold=3.0, maxIters=500
        )
        if affine is not None and int(inliers.sum()) >= count:
            matrix = affine
            count = int(inliers.sum())

    motion = matrix.astype(np.float64)
    # The singular values are the factors by which the motion stretches the most and the least.
    large, small = np.linalg.svd(motion[:, :2])[1]
    is_mirrored = np.linalg.det(motion[:, :2]) <= 0
    if is_mirrored or small <= large * _MIN_SQUEEZE or small <= _MIN_STRETCH:
        return None
    return Alignment(motion, count)


def fit_frames(a: Pixels, b: Pixels, max_difference: float) -> Alignment | None:
    """Map one frame onto the other if their aspect ratios differ by at most `max_difference`."""
    height_a, width_a = a.shape
    height_b, width_b = b.shape
    # The ratios width / height, both multiplied by the two heights: whole numbers.
    ratio_a = width_a * height_b
    ratio_b = width_b * height_a
    if abs(ratio_a - ratio_b) > max_difference * max(ratio_a, ratio_b):
        return None

    matrix = np.array([[width_a / width_b, 0, 0], [0, height_a / height_b, 0]])
    return Alignment(matrix, points=0)


def crop_common_part(
    a: Pixels, b: Pixels, matrix: Float64Array, max_side: int = GRID_SIDE
) -> CommonPart | None:
    """Warp b onto a and crop what both show, at the lower of both resolutions.

    `matrix` maps b to a. None if less than 16 pixels of a side are in common.
    """
    # The rectangle around b in a, as far as it is inside: x, y and width, height.
    corners = move_points(list_corners(b), matrix)
    start = np.maximum(corners.min(axis=0), 0)
    extent = np.minimum(corners.max(axis=0), a.shape[::-1]) - start
    if extent.min() < MIN_GRID_SIDE:
        return None

    # Neither image is enlarged: a is scaled by `scale`, b by `scale * zoom`.
    zoom = measure_zoom(matrix)
    scale = min(max_side / extent.max(), 1.0, 1.0 / zoom)
    size = np.maximum((extent * scale).astype(int), MIN_GRID_SIDE).tolist()

    motion_a = scale * np.eye(2, 3)
    motion_a[:, 2] = -scale * start
    motion_b = scale * matrix
    motion_b[:, 2] += motion_a[:, 2]

    everywhere = np.ones(b.shape, np.uint8)
    covered = cv2.warpAffine(everywhere, motion_b, size, flags=cv2.INTER_NEAREST) > 0
    # At the rim of one image the other continues with its own border, which is not compared.
    mask = erode_mask(covered)
    if not mask.any():
        return None

    area = float(covered.sum()) / scale**2  # in pixels of a
    return CommonPart(
        warp(a, motion_a, size),
        warp(b, motion_b, size),
        mask,
        part_a=area / a.size,
        part_b=area / (zoom**2 * b.size),
        to_a=invert_motion(motion_a),
    )


def is_framed(image: Pixels, part: Pixels, matrix: Float64Array) -> bool:
    """Return whether an image that contains all of another has it pasted in, as in a screenshot.

    The image continues beyond the border of a crop, but ends at the border of what was pasted in.
    Of a rotated part, one color fills the corners.
    """
    height, width = part.shape
    if abs(np.arctan2(matrix[1, 0], matrix[0, 0])) > _MIN_ROTATION:
        corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
        return bool(corners.std() < _MAX_CORNER_DEVIATION)

    # `matrix` maps the part to the image. A mirrored part was mirrored before.
    first_and_last = move_points([(0, 0), (width, height)], matrix)
    (left, top), (right, bottom) = np.rint(first_and_last).astype(int).tolist()

    # The strips of the image in which the sides of the part are.
    rows = image[max(0, top) : bottom].astype(np.float32)
    columns = image[:, max(0, left) : right].astype(np.float32)
    if not rows.size or not columns.size:
        return False

    # Lines parallel to each side: columns of pixels, then rows. Undecided sides do not count.
    seams = [
        _has_seam(rows.T, left, inwards=1),
        _has_seam(rows.T, right - 1, inwards=-1),
        _has_seam(columns, top, inwards=1),
        _has_seam(columns, bottom - 1, inwards=-1),
    ]
    return seams.count(True) > seams.count(False)


def _has_seam(lines: Float32Array, edge: int, inwards: int) -> bool | None:
    """Return whether an image ends at a line; None if this cannot be decided.

    It does where pixels change abruptly, or where everything beyond has one color. `inwards` is 1
    if later `lines` are inside, otherwise -1.
    """
    step = inwards * _SEAM_STEP
    positions = (edge - step, edge + step, edge + 3 * step)
    if min(positions) < 0 or max(positions) >= len(lines):
        return None

    outside, inside, further = (lines[position] for position in positions)
    change = np.abs(inside - outside)
    usual_change = np.abs(inside - further)
    if change.mean() > _SEAM_FACTOR * usual_change.mean() + _SEAM_NOISE:
        return True

    outside_deviation = max(1.0, float(outside.std()))
    if outside_deviation > _MAX_PLAIN_DEVIATION:
        return False

    # One color is outside: the image ends if most pixels change, or if the inside varies far more.
    if np.median(change) > _SEAM_FACTOR * np.median(usual_change) + _SEAM_NOISE:
        return True
    if inside.std() > _VARIED_FACTOR * outside_deviation:
        return True
    # Plain on both sides: a crop of a plain ground looks the same as a frame.
    return False if inside.std() > _MAX_PLAIN_DEVIATION else None


def warp(grey: Pixels, matrix: Float64Array, size: tuple[int, int]) -> Pixels:
    """Move an image onto another of a size (width, height), repeating its border."""
    zoom = measure_zoom(matrix)
    if zoom < 0.95:  # blurred first, or shrinking makes edges that are not there
        grey = cv2.GaussianBlur(grey, (0, 0), 0.45 / zoom).astype(np.uint8)
    moved = cv2.warpAffine(grey, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return moved.astype(np.uint8)


def refine_alignment(common: CommonPart) -> CommonPart:
    """Move b by fractions of a pixel to match a as well as possible.

    By the enhanced correlation coefficient (Evangelidis and Psarakis, "Parametric image alignment
    using enhanced correlation coefficient maximization", 2008), which is invariant to contrast.
    """
    # At most 12 steps, or until the correlation grows by less than 0.001.
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 1e-3)
    identity = np.eye(2, 3, dtype=np.float32)
    try:
        _, motion = cv2.findTransformECC(
            common.a,
            common.b,
            identity.copy(),
            cv2.MOTION_AFFINE,
            stop,
            inputMask=common.mask.astype(np.uint8),
            gaussFiltSize=3,
        )
    except cv2.error:  # they have too little in common for it
        return common
    # The shift is what can exceed the limit: the other entries hardly differ from 0 and 1.
    if np.abs(motion - identity).max() > _MAX_REFINEMENT_PIXELS:
        return common

    moved = cv2.warpAffine(
        common.b,
        motion,
        common.a.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return replace(common, b=moved.astype(np.uint8))
