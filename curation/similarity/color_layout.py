"""A descriptor of drawn faces: which colours lie where, as a histogram with soft bins.

Drawn characters are told apart by the colours of hair, eyes and clothes, which a network that
learnt from photographs hardly keeps (docs/experiments.md). The image is averaged to `SIDE` x
`SIDE` pixels, and half of its own tint and brightness is taken away. Each pixel counts for the
nearest tones and tints of CIE Lab and for the cells of a `GRID` x `GRID` grid that it lies between.
Shares are taken as square roots, so that Euclidean distance is Hellinger's (Swain and Ballard,
"Color indexing", 1991, for colour histograms; Arandjelovic and Zisserman, "Three things everyone
should know to improve object retrieval", 2012, for the root). As no bin has an edge, a small shift,
tint or shadow changes the numbers a little, and so do other floats.

The formula serves numpy and PyTorch; `baseline/features/shipped_backbones.py` is the same as a
graph of ONNX, and a test holds all together.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

VERSION = 1
"""Raised when the same image comes to give other numbers."""
SIDE = 56
GRID = 4
TONES, TINTS = 3, 4
LIGHTNESS = (8.0, 92.0)
"""Lab lightness of the darkest and the lightest tone; what lies beyond counts as these."""
TINT = (-30.0, 40.0)
"""The same for a* (green to red) and b* (blue to yellow)."""
WIDTH = GRID * GRID * TONES * TINTS * TINTS
FLOOR = 1e-5
"""Added to a share before the root, whose slope at nothing would be infinite."""

EVENED = 0.5
"""How much of an image's own tint and brightness is taken away: half of both did best, for some
of it is light and some the character."""
USUAL_LIGHTNESS = 62.0
TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""Linear sRGB to XYZ (IEC 61966-2-1), by rows."""
WHITE = (0.95047, 1.0, 1.08883)
"""XYZ of the white point D65."""
CUBE, LINEAR, OFFSET = 0.008856, 7.787, 16 / 116
"""CIE 1976: the cube root above `CUBE`, below it a line."""

Floats = npt.NDArray[np.float32]


def color_layout(small: Floats) -> Floats:
    """Describe an image, as `average_areas` gives it, by `WIDTH` numbers of 0 to 1."""
    rgb = small.reshape(-1, 3).T / np.float32(255)
    layout: Floats = compute_layout(rgb, compute_cell_weights(), np).ravel()
    return layout


def compute_layout(rgb: Any, cells: Any, library: Any) -> Any:
    """Return ... x GRID**2 x colours of sRGB (... x 3 x SIDE**2); `library` is numpy or torch."""
    lab = zip(_lab(rgb, library), (USUAL_LIGHTNESS, 0, 0), strict=True)
    light, red, yellow = (axis - EVENED * (axis.mean(-1) - usual)[..., None] for axis, usual in lab)
    tone = assign_soft_bins(light, *LIGHTNESS, TONES, library)
    red, yellow = (assign_soft_bins(axis, *TINT, TINTS, library) for axis in (red, yellow))
    colours = tone[..., None, None] * (red[..., None] * yellow[..., None, :])[..., None, :, :]
    shares = cells @ colours.reshape(*light.shape, -1)
    return (shares + FLOOR) ** 0.5 - FLOOR**0.5


def average_areas(pixels: npt.NDArray[np.uint8]) -> Floats:
    """Return SIDE x SIDE x 3 means, 0..255, of areas of an image (uint8, H x W x 3)."""
    height, width = pixels.shape[:2]
    rows = compute_area_weights(height) @ pixels.astype(np.float32).reshape(height, -1)
    average_areas: Floats = compute_area_weights(width) @ rows.reshape(SIDE, width, 3)
    return average_areas


@lru_cache(maxsize=64)
def compute_area_weights(size: int) -> Floats:
    """Return SIDE x size: how much each of `size` pixels of a line counts for each of `SIDE`."""
    step = size / SIDE
    first, pixel = np.arange(SIDE)[:, None] * step, np.arange(size)[None]
    shared = np.minimum(first + step, pixel + 1) - np.maximum(first, pixel)
    weights: Floats = (np.maximum(shared, 0) / step).astype(np.float32)
    return weights


@cache
def compute_cell_weights() -> Floats:
    """Return GRID**2 x SIDE**2: how much each pixel counts for each cell; each cell sums to 1."""
    middle = ((np.arange(SIDE) + 0.5) / SIDE).astype(np.float32)
    line = assign_soft_bins(middle, 0.5 / GRID, 1 - 0.5 / GRID, GRID)
    line /= line.sum(0)
    weights: Floats = np.einsum("ia,jb->abij", line, line).reshape(GRID * GRID, -1)
    return weights


def assign_soft_bins(values: Any, low: float, high: float, count: int, library: Any = np) -> Any:
    """Return ... x count weights of values, linear between `count` centres from low to high."""
    at = ((values - low) / (high - low) * (count - 1)).clip(0, count - 1)
    return library.stack([(1 - abs(at - centre)).clip(0) for centre in range(count)], -1)


def _lab(rgb: Any, library: Any) -> tuple[Any, Any, Any]:
    """Return lightness, a* and b* of CIE Lab, ... x pixels each, of sRGB in 0..1."""
    linear = library.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    red, green, blue = (linear[..., number, :] for number in range(3))
    rows = zip(TO_XYZ, WHITE, strict=True)
    xyz = [(r * red + g * green + b * blue) / white for (r, g, b), white in rows]
    x, y, z = (
        library.where(one > CUBE, one.clip(CUBE) ** (1 / 3), LINEAR * one + OFFSET) for one in xyz
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)
