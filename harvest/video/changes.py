"""Changes between the frames of a shot."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from gleanset.records import Box
from harvest.video.frame import Plane

REDUCTION, BLUR = 4, 5
"""Frames are reduced to a fourth, and their difference is averaged over 5 x 5 pixels."""
MAX_CHANGE = 8.0
"""Grey levels that may change; compression changes less."""


def reduce_for_changes(grey: Plane) -> Plane:
    """Return the brightness of a frame, reduced for `has_changed`."""
    high, wide = (max(side // REDUCTION, 1) for side in grey.shape)
    return np.asarray(cv2.resize(grey, (wide, high), interpolation=cv2.INTER_AREA), np.uint8)


def has_changed(frame: Plane, others: Sequence[Plane], ignored: Sequence[Box]) -> bool:
    """Return whether a frame shows something outside the boxes that is in none of the others.

    Boxes are in pixels of the frames before their reduction.
    """
    differences = (cv2.subtract(frame, other, dtype=cv2.CV_32F) for other in others)
    changes = [np.abs(cv2.blur(difference, (BLUR, BLUR))) for difference in differences]
    change = np.minimum.reduce(changes)
    for x, y, width, height in ignored:
        edges = (x, y, x + width, y + height)
        left, top, right, bottom = (max(edge, 0) // REDUCTION for edge in edges)
        change[top : bottom + 1, left : right + 1] = 0
    return float(change.max()) > MAX_CHANGE
