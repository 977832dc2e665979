"""Measures of edges: blur, black or white.

Measures that count edges, such as the variance of the Laplacian, call flat drawn art blurred:
an anime face has few edges. But those it has are sharp, and so blur is the width of edges alone.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gleanset.images.photo_likeness import shrunk

BLUR_SIDE = 512
"""Pixels of the longer side at which blur is judged, so that sizes can be compared."""

NARROW, WIDE = 1.0, 2.0
"""Standard deviations, in pixels, of the two Gaussians that edges are seen through."""

SHARPEST = 25
"""Percentile: a portrait with a soft background has sharp edges, and is not blurred."""

FEWEST = 20
"""Edge pixels under which there is nothing to judge."""

FAINTEST, RELATIVE = 1.0, 0.25
"""An edge has at least this slope (grey values a pixel), and this part of the steepest ones."""

Array: TypeAlias = npt.NDArray[np.float32]


def edge_blur(pixels: Image.Image) -> float:
    """Return how wide the sharpest edges are, 0..1; 1 also where there is no edge at all.

    What remains of an edge's slope when it is seen through a Gaussian of twice the width: under
    0.6 for a step, far less for a thin line, about sqrt((s^2 + 1) / (s^2 + 4)) for an edge
    blurred by s pixels. After Zhuo and Sim, "Defocus map estimation from a single image"
    (2011), who take this ratio for the blur of each edge; edge width as the measure of a
    picture is that of Marziliano et al., "A no-reference perceptual blur metric" (2002).
    """
    grey = np.asarray(shrunk(pixels, BLUR_SIDE).convert("L"), dtype=np.float32)
    across, down = _slopes(grey, NARROW)
    steep = np.hypot(across, down)
    edges = _ridges(steep, np.abs(across) >= np.abs(down))
    edges &= steep >= max(FAINTEST, RELATIVE * float(np.percentile(steep, 99.5)))
    if np.count_nonzero(edges) < FEWEST:
        return 1.0
    left = np.hypot(*_slopes(grey, WIDE))[edges] / steep[edges]
    return round(min(1.0, float(np.percentile(left, SHARPEST))), 4)


def _slopes(grey: Array, sigma: float) -> tuple[Array, Array]:
    soft = cv2.GaussianBlur(grey, (0, 0), sigma)
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    down = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    return np.asarray(across, np.float32), np.asarray(down, np.float32)


def _ridges(steep: Array, sideways: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Find where the slope is steepest across its edge; the picture's border does not count."""
    ridges = np.zeros(steep.shape, dtype=np.bool_)
    if min(steep.shape) < 6:
        return ridges
    here, inner = steep[1:-1, 1:-1], (slice(1, -1), slice(1, -1))
    level = (here >= steep[1:-1, :-2]) & (here >= steep[1:-1, 2:])
    upright = (here >= steep[:-2, 1:-1]) & (here >= steep[2:, 1:-1])
    ridges[inner] = np.where(sideways[inner], level, upright)
    ridges[[1, -2]] = False
    ridges[:, [1, -2]] = False
    return ridges


def extremes(pixels: Image.Image) -> tuple[float, float]:
    """Return the grey values (0..255) that 1 % of the pixels are under and over."""
    grey = np.asarray(shrunk(pixels, BLUR_SIDE).convert("L"))
    low, high = np.percentile(grey, (1, 99))
    return round(float(low), 1), round(float(high), 1)
