"""Whether a frame is black, of one color or blurred.

Drawn art has large areas of one color, so that mean sharpness is not informative. In a blurred
frame, even the sharpest edges take many pixels from dark to light; a sharp outline takes one or
two, however few outlines there are.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FrameQuality: TypeAlias = Literal["good", "black", "one colour", "blurred"]

# Longer side (pixels) of the reduced frame in which edges are measured.
_WORKING_SIDE = 480
# A frame is black if 99.9 % of its pixels are below this grey level (of 255).
_MAX_BLACK_LEVEL = 40
# A frame has one color if its 0.5th and 99.5th percentiles differ by fewer grey levels.
_MIN_CONTRAST = 10.0
# Minimum steepness: the largest step between two neighbouring pixels, as a share of an edge's rise.
# 1 is a hard edge; a Gaussian blur of 3 pixels (of 480) gives 1 / (3 sqrt(2 pi)) = 0.13 and up.
MIN_STEEPNESS = 0.19
# Length in pixels of the row segments in which edges are measured.
_SEGMENT_PIXELS = 14
# Segments with the strongest edges are used (a share of all, and a minimum number), and of their
# steepness this quantile.
_STRONG_SHARE, _MIN_STRONG_SEGMENTS, _STEEPNESS_QUANTILE = 0.02, 16, 0.75


def classify_frame(grey: Image.Image) -> FrameQuality:
    """Return the quality class of a frame (Pillow mode L)."""
    scale = min(_WORKING_SIDE / max(grey.size), 1.0)
    size = (max(round(grey.width * scale), 1), max(round(grey.height * scale), 1))
    small = grey.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    values = np.asarray(small).astype(np.int16)
    low, high, top = np.percentile(values, (0.5, 99.5, 99.9))
    if top < _MAX_BLACK_LEVEL:
        return "black"
    if high - low < _MIN_CONTRAST:
        return "one colour"
    return "blurred" if measure_steepness(values) < MIN_STEEPNESS else "good"


def measure_steepness(values: NDArray[np.int16]) -> float:
    """Return the steepness (0..1) of strong edges in pixels (height, width).

    Rows and columns are divided into segments; the largest step between neighbouring pixels of
    each is divided by the difference of its lightest and darkest pixel. 1 if there is no edge to
    measure, as in a tiny image.
    """
    by_axis = (_steepness_of_rows(values), _steepness_of_rows(values.T))
    return max((value for value in by_axis if value is not None), default=1.0)


def _steepness_of_rows(values: NDArray[np.int16]) -> float | None:
    height, width = values.shape
    segment_count = width // _SEGMENT_PIXELS
    if segment_count * height < 2 * _MIN_STRONG_SEGMENTS:
        return None
    segments = values[:, : segment_count * _SEGMENT_PIXELS].reshape(
        height * segment_count, _SEGMENT_PIXELS
    )
    rise = segments.max(axis=1) - segments.min(axis=1)
    strong_count = max(int(len(rise) * _STRONG_SHARE), _MIN_STRONG_SEGMENTS)
    strong = np.argpartition(rise, -strong_count)[-strong_count:]
    rises = rise[strong]
    if float(rises.max()) < _MIN_CONTRAST:
        return None
    step = np.abs(np.diff(segments[strong], axis=1)).max(axis=1)
    return float(np.quantile(step / np.maximum(rises, 1), _STEEPNESS_QUANTILE))
