"""Color layout descriptor of drawn faces: color histograms with soft bins on a grid.

Drawn characters differ in the colors of hair, eyes and clothes, which networks trained on
photographs hardly represent (docs/experiments.md). The image is averaged to `SIDE` x `SIDE`
pixels, and half of its mean lightness and tint is subtracted. Each pixel is interpolated between
the nearest bins of CIE Lab and the nearest cells of a `GRID` x `GRID` grid. Square roots of shares
make Euclidean distance the Hellinger distance (Swain and Ballard, "Color indexing", 1991, for
color histograms; Arandjelovic and Zisserman, "Three things everyone should know to improve object
retrieval", 2012, for the root). Soft bins keep the effect of small shifts, tints and shadows small.

`baseline/features/graph_backbones.py` has the same formula as an ONNX graph; a test compares both.
"""

from functools import cache, lru_cache

import numpy as np

from gleanset.arrays import Float32Array, Pixels

VERSION = 1
"""Increase it when results for the same image change."""
SIDE = 56
GRID = 4
TONES = 3
TINTS = 4
"""Bins of lightness, and of a* and b* each."""
LIGHTNESS = (8.0, 92.0)
"""Lab lightness of the first and the last bin; values outside are clipped."""
TINT = (-30.0, 40.0)
"""First and last bin of a* (green to red) and b* (blue to yellow)."""
WIDTH = GRID * GRID * TONES * TINTS * TINTS
FLOOR = 1e-5
"""Added to a share before the root, which has an infinite slope at 0."""

SUBTRACTED_SHARE = 0.5
"""Share of an image's mean tint and lightness that is subtracted. Half works best: they come
from the light and from the character."""
USUAL_LIGHTNESS = 62.0
TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
"""Linear sRGB to XYZ (IEC 61966-2-1), by rows."""
WHITE = (0.95047, 1.0, 1.08883)
"""XYZ of the white point D65."""
CUBE = 0.008856
LINEAR = 7.787
OFFSET = 16 / 116
"""CIE 1976: the cube root above `CUBE`, below it a line."""


def compute_color_layout(small: Float32Array) -> Float32Array:
    """Return the descriptor (`WIDTH` numbers in 0..1) of a result of `average_areas`."""
    rgb = small.reshape(-1, 3).T / np.float32(255)  # 3 x pixels
    # Red is a* and yellow is b*: both are negative in the opposite colors, green and blue.
    lightness, red, yellow = _convert_to_lab(rgb)
    lightness = _subtract_mean(lightness, usual=USUAL_LIGHTNESS)
    red = _subtract_mean(red, usual=0)
    yellow = _subtract_mean(yellow, usual=0)

    tone_bins = assign_soft_bins(lightness, *LIGHTNESS, TONES)
    red_bins = assign_soft_bins(red, *TINT, TINTS)
    yellow_bins = assign_soft_bins(yellow, *TINT, TINTS)
    tint_bins = red_bins[:, :, None] * yellow_bins[:, None]
    # Pixels x tones x tints x tints.
    bins = tone_bins[:, :, None, None] * tint_bins[:, None]

    # Shares of each bin in each cell.
    shares = compute_cell_weights() @ bins.reshape(len(bins), -1)
    # Distances of roots of shares are Hellinger distances. A share of 0 stays 0, so that the floor
    # changes no sparse layout into a dense one.
    return np.ravel((shares + FLOOR) ** 0.5 - FLOOR**0.5)


def _subtract_mean(axis: Float32Array, *, usual: float) -> Float32Array:
    """Move values of pixels so that their mean comes closer to the usual mean of images."""
    return np.asarray(axis - SUBTRACTED_SHARE * (axis.mean() - usual))


def average_areas(pixels: Pixels) -> Float32Array:
    """Downscale an image to area means (SIDE x SIDE x 3, 0..255)."""
    height, width = pixels.shape[:2]
    rows = compute_area_weights(height) @ pixels.astype(np.float32).reshape(height, -1)
    return compute_area_weights(width) @ rows.reshape(SIDE, width, 3)


@lru_cache(maxsize=64)
def compute_area_weights(size: int) -> Float32Array:
    """Return weights (SIDE x size) for area means of a line."""
    # Each of the `SIDE` areas covers `step` pixels, also parts of pixels.
    step = size / SIDE
    start = np.arange(SIDE)[:, None] * step
    pixel = np.arange(size)[None]
    # Negative for pixels outside of the area.
    overlap = np.minimum(start + step, pixel + 1) - np.maximum(start, pixel)
    return np.asarray(np.maximum(overlap, 0) / step, np.float32)


@cache
def compute_cell_weights() -> Float32Array:
    """Return pixel weights of cells (GRID**2 x SIDE**2); rows sum to 1."""
    pixel_centers = ((np.arange(SIDE) + 0.5) / SIDE).astype(np.float32)
    # The first and the last bin are centered half a cell from the border.
    margin = 0.5 / GRID
    line = assign_soft_bins(pixel_centers, margin, 1 - margin, GRID)
    line /= line.sum(axis=0)
    # The weight of pixel (i, j) in cell (a, b) is the product of those of its row and column.
    return np.reshape(np.einsum("ia,jb->abij", line, line), (GRID * GRID, -1))


def assign_soft_bins(
    values: Float32Array, low: float, high: float, count: int
) -> Float32Array:
    """Interpolate values (N) between `count` bin centers (N x count weights).

    `low` and `high` are the centers of the first and the last bin; values outside are clipped.
    """
    position = ((values - low) / (high - low) * (count - 1)).clip(
        0,
        count - 1,
    )
    weights = [(1 - abs(position - center)).clip(0) for center in range(count)]
    return np.stack(weights, -1)


def _convert_to_lab(
    rgb: Float32Array,
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Convert sRGB (3 x pixels, 0..1) to CIE Lab: L, a* and b*."""
    # The transfer function of sRGB, IEC 61966-2-1.
    red, green, blue = np.where(
        rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4
    )

    roots = []
    for (r, g, b), white in zip(TO_XYZ, WHITE, strict=True):
        axis = (r * red + g * green + b * blue) / white
        cube_root = axis.clip(CUBE) ** (1 / 3)
        roots.append(np.where(axis > CUBE, cube_root, LINEAR * axis + OFFSET))
    x, y, z = roots
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)
