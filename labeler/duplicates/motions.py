"""Motions between images: 2 x 3 matrices that map positions (x, y) in pixels."""

from collections.abc import Sequence

import cv2
import numpy as np

from gleanset.arrays import Float64Array, Pixels


def scale_positions(
    across: float, down: float, left: float, top: float
) -> Float64Array:
    """Return the motion from a part of an image, at `left` and `top`, to a scaled version.

    Centers of pixels are half a pixel from the edge in both versions.
    """
    x = across * (left + 0.5) - 0.5
    y = down * (top + 0.5) - 0.5
    return np.array([[across, 0, x], [0, down, y]])


def join_motions(first: Float64Array, second: Float64Array) -> Float64Array:
    """Return the motion that applies the first motion, then the second."""
    square = np.vstack([first, [0, 0, 1]])
    return np.asarray(second @ square, np.float64)


def invert_motion(motion: Float64Array) -> Float64Array:
    """Return the motion that moves everything back."""
    return cv2.invertAffineTransform(motion).astype(np.float64)


def measure_zoom(motion: Float64Array) -> float:
    """Return the factor by which a motion enlarges, in the mean of all directions."""
    return float(np.sqrt(np.linalg.det(motion[:2, :2])))


def move_points(
    points: Sequence[tuple[int, int]], motion: Float64Array
) -> Float64Array:
    """Return n positions after a motion (n x 2)."""
    positions = cv2.transform(np.array([points], np.float64), motion)
    return np.asarray(positions[0], np.float64)


def list_corners(image: Pixels) -> list[tuple[int, int]]:
    """Return the four corners of an image, clockwise from the top left."""
    height, width = image.shape
    return [(0, 0), (width, 0), (width, height), (0, height)]
