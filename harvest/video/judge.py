"""Whether a frame is worth keeping: not black, not of one colour, not blurred.

Drawn art is flat: large areas of one colour, so that mean sharpness says nothing. What tells
a blurred frame is that not even its sharpest edges are steep: they take many pixels from dark
to light. An outline takes one or two, however few there are.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Quality: TypeAlias = Literal["good", "black", "one colour", "blurred"]

# The longer side at which edges are measured, in pixels.
_WORKING = 480
# Grey levels (of 255) under which all but a thousandth of a black picture lies.
_BLACK = 40
# Spread in grey levels of a picture of one colour, between its 0.5th and 99.5th percentile.
_FLAT = 10.0
# The part of an edge's whole rise that lies between two neighbouring pixels where it is steepest;
# 1 is a hard edge, a Gaussian blur of 3 pixels (of 480) gives 1 / (3 sqrt(2 pi)) = 0.13 and up.
BLURRED = 0.19
# Pixels in a row within which an edge is looked for.
_STRETCH = 14
# Of all stretches, those with the strongest edges (a share, and at least so many) speak for
# the picture, and of them the steeper ones.
_STRONG, _FEWEST, _STEEPER = 0.02, 16, 0.75


def quality_of(grey: Image.Image) -> Quality:
    """What is wrong with a picture (mode L), or "good"."""
    part = min(_WORKING / max(grey.size), 1.0)
    size = (max(round(grey.width * part), 1), max(round(grey.height * part), 1))
    small = grey.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    values = np.asarray(small).astype(np.int16)
    low, high, top = np.percentile(values, (0.5, 99.5, 99.9))
    if top < _BLACK:
        return "black"
    if high - low < _FLAT:
        return "one colour"
    return "blurred" if steepness(values) < BLURRED else "good"


def steepness(values: NDArray[np.int16]) -> float:
    """How steep the steeper of the strong edges are, 0..1, of grey pixels (height, width).

    Rows and columns are cut into stretches; of each the greatest step between neighbours is
    compared with the whole rise from its darkest to its lightest pixel. 1 where nothing is found
    to be judged: a tiny picture.
    """
    found = [_steepness_of_rows(values), _steepness_of_rows(values.T)]
    told = [one for one in found if one is not None]
    return max(told) if told else 1.0


def _steepness_of_rows(values: NDArray[np.int16]) -> float | None:
    height, width = values.shape
    number = width // _STRETCH
    if number * height < 2 * _FEWEST:
        return None
    parts = values[:, : number * _STRETCH].reshape(height * number, _STRETCH)
    rise = parts.max(axis=1) - parts.min(axis=1)
    count = max(int(len(rise) * _STRONG), _FEWEST)
    strong = np.argpartition(rise, -count)[-count:]
    whole = rise[strong]
    if float(whole.max()) < _FLAT:
        return None
    step = np.abs(np.diff(parts[strong], axis=1)).max(axis=1)
    return float(np.quantile(step / np.maximum(whole, 1), _STEEPER))
