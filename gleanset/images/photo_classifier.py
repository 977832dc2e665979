"""Classification of images as photo or drawing by their texture.

Drawn art has flat areas and hard lines; a photo, also one of a figurine or a key chain, has
shading, grain and soft edges nearly everywhere. After Athitsos, Swain and Frankel, "Distinguishing
photographs and graphics on the World Wide Web" (1997), and Ianeva, de Vries and Roehrig,
"Detecting cartoons" (2003). The features are histograms of the local range at two scales and of
the Laplacian, weighted by logistic regression. Color is not used: it distinguished our sources
better than photos from drawings.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gleanset.arrays import Float64Array, Pixels

PHOTO_SIDE = 256
"""Longer side in pixels at which texture is measured."""

# Borders of the bins of the histograms, in grey levels.
RANGES = (0, 2, 4, 8, 16, 32, 64, 256)
CURVATURES = (0.0, 1.5, 3.5, 7.5, 15.5, 31.5, 1e9)

# Fitted by logistic regression on half of the sources: 7 weights for the ranges, 7 for those at
# half the size, 6 for the curvatures, and the bias.
WEIGHTS = (
    -6.189, -7.352, -2.415, 3.697, 11.583, 9.833, 3.002,
    -2.924, 2.699, -1.023, -4.911, -5.314, -4.82, -7.053,
    2.195, 3.205, 6.776, -6.47, -13.75, -6.832, 9.242,
)  # fmt: skip


def shrink_copy(pixels: Image.Image, side: int) -> Image.Image:
    """Return a copy whose longer side has at most `side` pixels."""
    small = pixels.copy()
    small.thumbnail((side, side), Image.Resampling.BOX)
    return small


def estimate_photo_probability(pixels: Image.Image) -> float:
    """Return the probability (0..1) that an image is a photo."""
    *weights, bias = WEIGHTS
    score = float(np.dot(compute_texture_features(pixels), weights)) + bias
    # `exp` of larger numbers overflows.
    score = max(-30.0, min(30.0, score))
    return round(1 / (1 + math.exp(-score)), 4)


def compute_texture_features(pixels: Image.Image) -> Float64Array:
    """Return 20 texture features: square roots of the shares in three histograms."""
    grey = np.asarray(shrink_copy(pixels, PHOTO_SIDE).convert("L"))
    height, width = grey.shape
    half_size = (max(1, width // 2), max(1, height // 2))
    half = cv2.resize(grey, half_size, interpolation=cv2.INTER_AREA)
    curvature = np.abs(cv2.Laplacian(grey, cv2.CV_32F))

    shares = [
        _compute_shares(_compute_local_range(grey), RANGES),
        _compute_shares(_compute_local_range(np.asarray(half, np.uint8)), RANGES),
        _compute_shares(curvature, CURVATURES),
    ]
    return np.asarray(np.sqrt(np.concatenate(shares)))


def _compute_local_range(grey: Pixels) -> Pixels:
    """Return the difference of the lightest and darkest of 3 x 3 pixels."""
    square = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(grey, square) - cv2.erode(grey, square))


def _compute_shares(
    values: npt.NDArray[np.generic], borders: tuple[float, ...]
) -> Float64Array:
    """Return the share of the values (of any shape) in each bin."""
    counts, _ = np.histogram(values, bins=borders)
    return np.asarray(counts / values.size)
