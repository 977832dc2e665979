"""Measures of edges and texture: blur, black or white, photo or drawing.

Measures that count edges, such as the variance of the Laplacian, call flat drawn art blurred:
an anime face has few edges. But those it has are sharp, and so blur is the width of edges alone.

Photo or drawing is told by how steep the small differences between neighbouring pixels are. Drawn
art has flat fields and hard lines; a photo, also one of a figurine or a key chain, has shading,
grain and soft edges nearly everywhere. After Athitsos, Swain and Frankel, "Distinguishing
photographs and graphics on the World Wide Web" (1997), and Ianeva, de Vries and Roehrig,
"Detecting cartoons" (2003); the features here are histograms of the local range at two scales and
of the Laplacian, weighed by a logistic regression. Colour is left out: it told our sources from
each other better than photos from drawings.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

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
Pixels: TypeAlias = npt.NDArray[np.uint8]

PHOTO_SIDE = 256
"""Pixels of the longer side at which texture is judged."""

RANGES = (0, 2, 4, 8, 16, 32, 64, 256)
CURVATURES = (0.0, 1.5, 3.5, 7.5, 15.5, 31.5, 1e9)

# Fitted by `benchmarks/quality.py fit` on half of the sources; the last one is the bias.
WEIGHTS: tuple[float, ...] = (
    -6.189, -7.352, -2.415, 3.697, 11.583, 9.833, 3.002,
    -2.924, 2.699, -1.023, -4.911, -5.314, -4.82, -7.053,
    2.195, 3.205, 6.776, -6.47, -13.75, -6.832, 9.242,
)  # fmt: skip


def shrunk(pixels: Image.Image, side: int) -> Image.Image:
    """Return a copy with at most `side` pixels on the longer side; small ones stay as they are."""
    small = pixels.copy()
    small.thumbnail((side, side), Image.Resampling.BOX)
    return small


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
    found = np.zeros(steep.shape, dtype=np.bool_)
    if min(steep.shape) < 6:
        return found
    here, inner = steep[1:-1, 1:-1], (slice(1, -1), slice(1, -1))
    level = (here >= steep[1:-1, :-2]) & (here >= steep[1:-1, 2:])
    upright = (here >= steep[:-2, 1:-1]) & (here >= steep[2:, 1:-1])
    found[inner] = np.where(sideways[inner], level, upright)
    found[[1, -2]] = False
    found[:, [1, -2]] = False
    return found


def extremes(pixels: Image.Image) -> tuple[float, float]:
    """Return the grey values (0..255) that 1 % of the pixels are under and over."""
    grey = np.asarray(shrunk(pixels, BLUR_SIDE).convert("L"))
    low, high = np.percentile(grey, (1, 99))
    return round(float(low), 1), round(float(high), 1)


def photo_likeness(pixels: Image.Image) -> float:
    """Return how likely it is a photo, 0..1, as far as its texture tells."""
    score = float(np.dot(texture_features(pixels), WEIGHTS[:-1])) + WEIGHTS[-1]
    return round(1 / (1 + math.exp(-max(-30.0, min(30.0, score)))), 4)


def texture_features(pixels: Image.Image) -> npt.NDArray[np.float64]:
    """Return twenty values, each the square root of a part of the pixels."""
    grey = np.asarray(shrunk(pixels, PHOTO_SIDE).convert("L"))
    size = (max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2))
    half = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    bent = np.abs(cv2.Laplacian(grey, cv2.CV_32F))
    parts = [
        *_parts(_ranges(grey), RANGES),
        *_parts(_ranges(half), RANGES),
        *_parts(bent, CURVATURES),
    ]
    return np.asarray(np.sqrt(np.array(parts)))


def _ranges(grey: Pixels) -> Pixels:
    """Return the largest minus the smallest value of the 3 x 3 pixels about each."""
    square = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(grey, square) - cv2.erode(grey, square))


def _parts(values: npt.NDArray[np.generic], borders: tuple[float, ...]) -> list[float]:
    counts, _ = np.histogram(values, bins=borders)
    return [float(count) / values.size for count in counts]
