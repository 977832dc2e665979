"""Face search in images of any size: reduced, or in tiles if they are elongated.

Reducing a comic strip of 1000 x 7000 pixels as a whole would make its faces too small. Tiles
overlap by the shorter side, so that every face is entirely in one of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from facecrop.detectors.base import Pixels
from gleanset.records import Box, Face, Landmark

MAX_ASPECT_RATIO = 2
"""Aspect ratio from which images are searched in tiles, and of those tiles."""

MIN_SHARED_AREA = 0.5
"""Share of the smaller box from which two boxes are of the same face."""


def tiles(width: int, height: int, max_side: int) -> list[Box]:
    """Return the tiles of an image; `max_side` is the maximum searchable side."""
    long, short = max(width, height), min(width, height)
    if long <= max(max_side, MAX_ASPECT_RATIO * short):
        return [Box(0, 0, width, height)]
    length = max(MAX_ASPECT_RATIO * short, max_side)
    starts = [*range(0, long - length, length - short), long - length]
    if width > height:
        return [Box(start, 0, length, height) for start in starts]
    return [Box(0, start, width, length) for start in starts]


def cut_tile(pixels: Pixels, tile: Box, max_side: int) -> Pixels:
    """Return a tile, reduced to at most `max_side` pixels a side."""
    part = pixels[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
    shrink = max(part.shape[:2]) / max_side
    if shrink <= 1:
        return part
    size = max(round(tile.width / shrink), 1), max(round(tile.height / shrink), 1)
    image = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def drop_overlapping_faces(faces: list[Face]) -> list[Face]:
    """Keep the face with the highest score among overlapping ones."""
    distinct: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.score, face.box)):
        if not any(is_same_face(face.box, other.box) for other in distinct):
            distinct.append(face)
    return distinct


def sort_in_reading_order(faces: Iterable[Face]) -> list[Face]:
    """Return faces by rows from the top, each row from left to right.

    A face is in the row of a higher one if they share half of the smaller height. The page numbers
    faces in the same way (`finder.js`).
    """
    rows: list[list[Face]] = []
    for face in sorted(faces, key=lambda face: (face.box.y, face.box.x)):
        top = rows[-1][0].box if rows else face.box
        box = face.box
        shared = min(top.y + top.height, box.y + box.height) - box.y
        if rows and 2 * shared >= min(top.height, box.height):
            rows[-1].append(face)
        else:
            rows.append([face])
    return [face for row in rows for face in sorted(row, key=lambda face: face.box)]


def is_same_face(box: FloatBox | Box, other: FloatBox | Box) -> bool:
    """Return whether two boxes show the same face, or are nested."""
    across = min(box.x + box.width, other.x + other.width) - max(box.x, other.x)
    down = min(box.y + box.height, other.y + other.height) - max(box.y, other.y)
    smaller = min(box.width * box.height, other.width * other.height)
    return max(across, 0) * max(down, 0) >= MIN_SHARED_AREA * smaller


class FloatBox(NamedTuple):
    """Box in pixels of the searched tile, not rounded."""

    x: float
    y: float
    width: float
    height: float


class RawFace(NamedTuple):
    """Face in a tile, with a score in 0..1 and evidence as in `Face`."""

    rect: FloatBox
    score: float
    landmarks: tuple[Landmark, ...] = ()
    evidence: Mapping[str, object] | None = None


FindFaces: TypeAlias = Callable[[Pixels], Iterable[RawFace]]


def search_tiles(
    name: str, pixels: Pixels, find: FindFaces, max_side: int
) -> list[Face]:
    """Return the faces that `find` finds, from left to right.

    `name` is the detector's. `find` gets the image or its tiles, no side longer than `max_side`
    pixels. Raises `ValueError` unless `pixels` is height x width x 3 bytes.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != "uint8":
        raise ValueError(f"not an RGB image: {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    boxes = tiles(width, height, max_side)
    faces: list[Face] = []
    for tile in boxes:
        part = cut_tile(pixels, tile, max_side)
        size = part.shape[1], part.shape[0]
        faces += [
            Face(
                name, box, _score(raw.score), _landmarks(raw, tile, size), raw.evidence
            )
            for raw in find(part)
            if (box := _box(raw.rect, tile, size, (width, height)))
        ]
    distinct = drop_overlapping_faces(faces) if len(boxes) > 1 else faces
    return sorted(distinct, key=lambda face: (face.box, face.score))


def _score(score: float) -> float:
    """Return the score clipped to 0..1. Raises `ValueError` for NaN."""
    if math.isnan(number := float(score)):
        raise ValueError("the score of a face is not a number")
    return min(max(number, 0.0), 1.0)


def _box(
    rect: FloatBox, tile: Box, part: tuple[int, int], image_size: tuple[int, int]
) -> Box | None:
    """Return a box in whole image pixels; None if it is outside."""
    across, down = tile.width / part[0], tile.height / part[1]
    left = max(round(tile.x + rect.x * across), 0)
    top = max(round(tile.y + rect.y * down), 0)
    right = min(round(tile.x + (rect.x + rect.width) * across), image_size[0])
    bottom = min(round(tile.y + (rect.y + rect.height) * down), image_size[1])
    return (
        Box(left, top, right - left, bottom - top)
        if right > left and bottom > top
        else None
    )


def _landmarks(face: RawFace, tile: Box, part: tuple[int, int]) -> tuple[Landmark, ...]:
    across, down = tile.width / part[0], tile.height / part[1]
    return tuple(
        Landmark(mark.name, tile.x + mark.x * across, tile.y + mark.y * down)
        for mark in face.landmarks
    )
