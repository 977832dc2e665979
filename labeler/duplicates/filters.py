"""Blurs, slopes and windowed brightness of grey images, as 32-bit numbers."""

from typing import NamedTuple

import cv2
import numpy as np

from gleanset.arrays import BoolArray, Float32Array, Pixels

# Standard deviation in pixels of the window in which one brightness has to explain the other, and
# the variance of grey values that is noise.
_WINDOW_SIGMA = 3.5
NOISE_VARIANCE = np.float32(9)
_SLOPE_SIGMA = 1.5


class ComparedWindows(NamedTuple):
    """Brightness of two images in small windows, at half their resolution.

    `variance_a` and `variance_b` are those of grey values; `unexplained` is the part (0..1) of each
    window that the brightness of the other image does not explain, 1 - r^2: contrast, inversion and
    tints are explained, another line is not.
    """

    variance_a: Float32Array
    variance_b: Float32Array
    unexplained: Float32Array


def compare_windows(a: Pixels, b: Pixels) -> ComparedWindows:
    """Compare the brightness of two aligned images (height x width)."""
    smooth_a = blur(a.astype(np.float32), 0.8)
    smooth_b = blur(b.astype(np.float32), 0.8)

    # Mean of squares minus square of the mean; rounding may make it negative.
    mean_a = _average(smooth_a)
    mean_b = _average(smooth_b)
    variance_a = np.maximum(_average(smooth_a * smooth_a) - mean_a * mean_a, 0)
    variance_b = np.maximum(_average(smooth_b * smooth_b) - mean_b * mean_b, 0)

    # 1 - r^2, where noise counts as unexplained.
    covariance = _average(smooth_a * smooth_b) - mean_a * mean_b
    product = (variance_a + NOISE_VARIANCE) * (variance_b + NOISE_VARIANCE)
    unexplained = np.clip(1 - covariance * covariance / product, 0, 1)
    return ComparedWindows(
        variance_a,
        variance_b,
        unexplained.astype(np.float32),
    )


def _average(values: Float32Array) -> Float32Array:
    """Return the weighted mean around each pixel, at half the resolution."""
    return blur(shrink(values, 2), _WINDOW_SIGMA / 2)


def measure_gradient(values: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return the slopes of an image to the right and downwards, in grey values per pixel."""
    x, y = (
        cv2.Sobel(values, cv2.CV_32F, *way, scale=1 / 8).astype(np.float32)
        for way in ((1, 0), (0, 1))
    )
    return x, y


def measure_slopes(values: Float32Array) -> Float32Array:
    """Return how steep each place of an image is, in grey values per pixel."""
    return cv2.magnitude(*measure_gradient(values)).astype(np.float32)


def measure_smooth_slopes(grey: Pixels) -> Float32Array:
    """Return the slopes of an image, averaged nearby, which distinguish lines from the ground."""
    return blur(
        measure_slopes(grey.astype(np.float32)),
        _SLOPE_SIGMA,
    )


def shrink(values: Float32Array, factor: int) -> Float32Array:
    """Return an image whose sides are smaller by a factor, rounded up."""
    size = [-(-side // factor) for side in values.shape[::-1]]  # rounded up
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def enlarge(values: Float32Array, shape: tuple[int, ...]) -> Float32Array:
    """Return an image enlarged to a shape (height, width)."""
    return cv2.resize(values, shape[::-1]).astype(np.float32)  # bilinear


def blur(values: Float32Array, sigma: float) -> Float32Array:
    """Return an image blurred by a Gaussian with a standard deviation in pixels."""
    return cv2.GaussianBlur(values, (0, 0), sigma).astype(np.float32)


_NEIGHBOURS = np.ones((3, 3), np.uint8)


def dilate_mask(mask: BoolArray, pixels: int) -> BoolArray:
    """Return a mask enlarged by some pixels in all directions."""
    return cv2.dilate(mask.astype(np.uint8), _NEIGHBOURS, iterations=pixels) > 0


def erode_mask(mask: BoolArray) -> BoolArray:
    """Return a mask reduced by 3 pixels in all directions, at the border, too."""
    small = mask.astype(np.uint8)
    return cv2.erode(small, _NEIGHBOURS, iterations=3, borderValue=0) > 0


def slice_with_margin(start: int, size: int, margin: int) -> slice:
    """Return the rows or columns of a part of an image with a margin on both sides."""
    return slice(max(0, start - margin), start + size + margin)
