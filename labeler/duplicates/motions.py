"""Motions between images: 2 x 3 matrices that map positions (x, y) in pixels."""

from collections.abc import Sequence

import cv2
import numpy as np

from gleanset.arrays import Float64Array, Pixels


def scale_positions(
    across: float, down: float, left: float, top: float
) -> Float64Array:
    """Return the motion from a part of an image to the whole image at another size.

    The part begins at `left` and `top` of the image, which is scaled by `across` and `down`.
    """
    # The center of a pixel is half a pixel from its edge at both sizes.
    return np.array(
        [
            [across, 0, across * (left + 0.5) - 0.5],
            [0, down, down * (top + 0.5) - 0.5],
        ]
    )


def join_motions(first: Float64Array, second: Float64Array) -> Float64Array:
    """Return the motion that applies the first motion, then the second."""
    # Only a square matrix can be multiplied.
    return np.asarray(second @ np.vstack([first, [0, 0, 1]]), np.float64)


def invert_motion(motion: Float64Array) -> Float64Array:
    """Return the motion that moves everything back."""
    return cv2.invertAffineTransform(motion).astype(np.float64)


def measure_zoom(motion: Float64Array) -> float:
    """Return the factor by which a motion enlarges, in the mean of all directions."""
    return float(np.sqrt(np.linalg.det(motion[:2, :2])))


def move_points(
    points: Sequence[tuple[int, int]], motion: Float64Array
) -> Float64Array:
    """Return n positions (n x 2: x, y) after a motion."""
    positions = cv2.transform(np.array([points], np.float64), motion)
    return np.asarray(positions[0], np.float64)


def list_corners(image: Pixels) -> list[tuple[int, int]]:
    """Return the four corners of an image, clockwise from the top left."""
    height, width = image.shape
    return [(0, 0), (width, 0), (width, height), (0, height)]
