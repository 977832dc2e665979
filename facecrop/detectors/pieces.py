"""Searching large pictures: made smaller, or piece by piece where they are elongated.

A comic strip of 1000 x 7000 pixels made small enough to be searched as a whole has
faces too small to be found. Its pieces overlap by the strip's width, so that every face,
which is no larger than that, lies wholly in one of them.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from facecrop.detectors.base import Pixels
from gleanset.records import Box, Face

ELONGATED = 2
"""Pictures longer than this many times their shorter side are searched in pieces of
about this shape."""

SAME_FACE = 0.5
"""Boxes from different pieces that share this part of the smaller one show one face."""


def pieces(width: int, height: int, longest: int) -> list[Box]:
    """Where to look in a picture of that size, at `longest` pixels or less at a time."""
    long, short = max(width, height), min(width, height)
    if long <= max(longest, ELONGATED * short):
        return [Box(0, 0, width, height)]
    length = max(ELONGATED * short, longest)
    starts = [*range(0, long - length, length - short), long - length]
    if width > height:
        return [Box(start, 0, length, height) for start in starts]
    return [Box(0, start, width, length) for start in starts]


def cut(pixels: Pixels, place: Box, longest: int) -> Pixels:
    """That part of a picture, made smaller where a side is above `longest` pixels."""
    part = pixels[place.y : place.y + place.height, place.x : place.x + place.width]
    shrink = max(part.shape[:2]) / longest
    if shrink <= 1:
        return part
    size = max(round(place.width / shrink), 1), max(round(place.height / shrink), 1)
    image = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def without_repeats(faces: list[Face]) -> list[Face]:
    """Keep the surest of the faces that lie on each other."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.score, face.box)):
        if all(_shared(face.box, other.box) < SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _shared(one: Box, other: Box) -> float:
    """Area in common, as a part of the smaller box (0..1)."""
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    smaller = min(one.width * one.height, other.width * other.height)
    return max(across, 0) * max(down, 0) / smaller
