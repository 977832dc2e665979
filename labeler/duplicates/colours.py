"""Turned colours: a copy whose hue was turned has other grey values, but is as bright as before.

Grey edges between colours come and go with the hue; the largest of red, green and blue, the value
of HSV, stays. It shows less than grey does, so it is asked only where the hues of two pictures are
not the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

# So much of the colour (0..1) may lie at other hues before they count as turned.
_OTHER = 0.4
_CELLS = 24
# Less colour than this (mean of saturation times value, 0..1) is none.
_PALE = 0.04
_SMALL = 48


def brightest(colours: Image.Image) -> Image.Image:
    """The largest of red, green and blue at each pixel, as a grey picture."""
    return Image.fromarray(np.asarray(colours.convert("RGB")).max(axis=2))


def turned(one: Image.Image, other: Image.Image) -> bool:
    """Whether two pictures have their colours at different hues."""
    mine, theirs = _hues(one), _hues(other)
    if mine.sum() < _PALE or theirs.sum() < _PALE:
        return False
    shared = np.minimum(mine / mine.sum(), theirs / theirs.sum()).sum()
    return bool(shared < 1 - _OTHER)


def _hues(colours: Image.Image) -> npt.NDArray[np.float64]:
    """How much colour there is at each hue; the sum is the mean of the picture, 0..1."""
    small = colours.convert("RGB").resize((_SMALL, _SMALL), Image.Resampling.BOX).convert("HSV")
    hue, saturation, value = np.asarray(small).reshape(-1, 3).astype(np.float64).T / 255
    cells = np.minimum((hue * _CELLS).astype(np.int64), _CELLS - 1)
    counts = np.bincount(cells, saturation * value, minlength=_CELLS)
    return np.asarray(counts / len(hue), np.float64)
