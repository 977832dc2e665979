"""Photographs of an image on a screen or page: in perspective, with moire, glare, noise and a tint.

Their edges differ nearly everywhere, but seen coarsely they agree nearly everywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from labeler.duplicates.alignment import match_points
from labeler.duplicates.hashes import Floats, PreparedImage

_GRID_SIDE = 128
_MIN_MATCHES, _MIN_INLIERS, _MAX_DISTANCE_PIXELS = 20, 16, 6.0
# Median distance of agreeing points. Drawings of one person in two poses agree less: 1.5 pixels,
# photographs 0.6.
_MAX_MEDIAN_PIXELS = 0.8
# How far the corners are from a parallelogram, as a part of the longer side.
_MIN_PERSPECTIVE = 0.05
_MIN_COVERED = 0.85
# Blurs that coarse detail lies between, and the window and its variance that it is compared by.
_FINE_SIGMA, _COARSE_SIGMA, _WINDOW_SIDE, _MIN_VARIANCE = 1.5, 8.0, (17, 17), 25.0
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
    of_a, of_b, of_both = (cv2.blur(product, _WINDOW_SIDE)[mask] for product in products)
    detailed = np.maximum(of_a, of_b) > _MIN_VARIANCE
    agrees = (of_both > _MIN_CORRELATION * np.sqrt(of_a * of_b))[detailed]
    enough = agrees.sum() > _MIN_AGREEING_PART * len(agrees)
    return bool(enough and covered.mean() >= _MIN_COVERED)


def _find_perspective(a: PreparedImage, b: PreparedImage) -> npt.NDArray[np.float64] | None:
    source, target = match_points(a.points, b.points)
    if len(source) < _MIN_MATCHES:
        return None
    cv2.setRNGSeed(0)
    motion, inliers = cv2.findHomography(
        source, target, cv2.RANSAC, _MAX_DISTANCE_PIXELS, maxIters=1000
    )
    if motion is None or inliers.sum() < _MIN_INLIERS or np.linalg.det(motion[:2, :2]) <= 0:
        return None
    is_inlier = inliers[:, 0] > 0
    projected = cv2.perspectiveTransform(source[is_inlier][None].astype(np.float64), motion)[0]
    distances = np.linalg.norm(projected - target[is_inlier], axis=1)
    if float(np.median(distances)) > _MAX_MEDIAN_PIXELS:
        return None
    high, wide = b.grey.shape
    corners = np.array([[[0, 0], [wide, 0], [wide, high], [0, high]]], np.float64)
    first, second, third, fourth = cv2.perspectiveTransform(corners, motion)[0]
    perspective = float(np.linalg.norm(first - second + third - fourth)) / max(a.grey.shape)
    return np.asarray(motion, np.float64) if perspective >= _MIN_PERSPECTIVE else None


def _coarse_detail(grey: npt.ArrayLike) -> Floats:
    fine, coarse = (
        cv2.GaussianBlur(np.asarray(grey, np.float32), (0, 0), sigma)
        for sigma in (_FINE_SIGMA, _COARSE_SIGMA)
    )
    return (fine - coarse).astype(np.float32)
