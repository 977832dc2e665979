"""Whether edges were replaced, in small windows: the first and coarse comparison."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from labeler.duplicates.hashes import Floats, Grey
from labeler.duplicates.laying import SIDE, Common, Mask

WINDOW = 16
LEAST_WINDOW = 10
_REPLACED = 0.4


class Edges(NamedTuple):
    """The normalised gradient (x, y) of each pixel and its square length, 0..1."""

    x: Floats
    y: Floats
    own: Floats


def changed(common: Common) -> float:
    """Per mille of windows in which each picture lacks edges of the other.

    Edges are compared as normalised gradients (Haber and Modersitzki, "Intensity gradient based
    registration and fusion of multi-modal images", 2006), which forgives contrast and inversion.
    """
    window = max(LEAST_WINDOW, round(max(common.a.shape) * WINDOW / SIDE))
    mask = common.where.astype(np.float32)
    ax, ay, own_a = edges_of(common.a, common.where)
    bx, by, own_b = edges_of(common.b, common.where)

    def gather(values: Floats) -> Floats:
        return cv2.blur(values * mask, (window, window)).astype(np.float32)

    edges_a, edges_b = gather(own_a * own_a), gather(own_b * own_b)
    shared = gather((ax * bx + ay * by) ** 2)
    kept = np.maximum((shared + 0.02) / (edges_a + 0.02), (shared + 0.02) / (edges_b + 0.02))
    inside = gather(np.ones_like(mask)) > 0.5
    replaced = (kept < 1 - _REPLACED) & (np.maximum(edges_a, edges_b) > 0.05) & inside
    return 1000 * float(replaced.sum()) / max(1, int(inside.sum()))


def edges_of(grey: Grey, where: Mask) -> Edges:
    """The normalised gradient (x, y) of each pixel and its square length, 0..1."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    x: Floats = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8).astype(np.float32)
    y: Floats = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8).astype(np.float32)
    squares: Floats = x * x + y * y
    noise = max(1.0, 0.0625 * float(squares[where].mean()))
    length: Floats = np.sqrt(squares + np.float32(noise))
    return Edges(x / length, y / length, squares / (squares + np.float32(noise)))
