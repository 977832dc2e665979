"""Face search in images of any size: reduced, or in tiles if they are elongated.

Reducing a comic strip of 1000 x 7000 pixels as a whole would make its faces too small. Tiles
overlap by the shorter side, so that every face is entirely in one of them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from gleanset.arrays import Pixels
from gleanset.records import Box, Face, Landmark

MAX_SIDE = 1920
"""Pixels of a side to which images and tiles are reduced. Above some 2,600 the library animeface
silently finds nothing."""

MAX_ASPECT_RATIO = 2
"""Aspect ratio from which images are searched in tiles, and of those tiles."""

CUT_MARGIN = 0.02
"""Share of the shorter side. Boxes nearer to the end of a tile may be parts of faces, such as a
chin; the next tile contains the whole face."""

MIN_SHARED_AREA = 0.5
"""Share of the smaller box from which two boxes are of the same face."""


class FloatBox(NamedTuple):
    """Box in pixels of the searched tile, not rounded."""

    x: float
    y: float
    width: float
    height: float


def plan_tiles(width: int, height: int, max_side: int) -> list[Box]:
    """Return the tiles of an image; `max_side` is the maximum searchable side in pixels.

    A tile may be longer than that: `cut_tile` reduces it.
    """
    longer_side = max(width, height)
    shorter_side = min(width, height)
    length = max(MAX_ASPECT_RATIO * shorter_side, max_side)
    if longer_side <= length:
        return [Box(0, 0, width, height)]

    # Tiles overlap by the shorter side; the last one ends with the image.
    last_start = longer_side - length
    starts = [*range(0, last_start, length - shorter_side), last_start]
    if width > height:
        return [Box(start, 0, length, height) for start in starts]
    return [Box(0, start, width, length) for start in starts]


def cut_tile(pixels: Pixels, tile: Box, max_side: int) -> Pixels:
    """Return a tile, reduced to at most `max_side` pixels a side."""
    part = pixels[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
    factor = max(part.shape[:2]) / max_side
    if factor <= 1:
        return part

    # A very narrow tile keeps at least one pixel.
    width = max(round(tile.width / factor), 1)
    height = max(round(tile.height / factor), 1)
    image = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


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
        if rows and _is_in_row(face.box, rows[-1][0].box):
            rows[-1].append(face)
        else:
            rows.append([face])

    in_order: list[Face] = []
    for row in rows:
        in_order += sorted(row, key=lambda face: face.box)
    return in_order


def _is_in_row(box: Box, highest: Box) -> bool:
    bottom = min(highest.y + highest.height, box.y + box.height)
    # Faces come sorted from the top, so the common part begins at `box`.
    common_height = bottom - box.y
    return 2 * common_height >= min(highest.height, box.height)


def is_same_face(box: FloatBox | Box, other: FloatBox | Box) -> bool:
    """Return whether two boxes show the same face, or are nested."""
    # Corners of the intersection. Its sides are negative where the boxes are apart.
    left = max(box.x, other.x)
    top = max(box.y, other.y)
    right = min(box.x + box.width, other.x + other.width)
    bottom = min(box.y + box.height, other.y + other.height)
    common_area = max(right - left, 0) * max(bottom - top, 0)

    smaller_area = min(box.width * box.height, other.width * other.height)
    return common_area >= MIN_SHARED_AREA * smaller_area


class RawFace(NamedTuple):
    """Face in a tile, with a score in 0..1 and evidence as in `Face`."""

    rect: FloatBox
    score: float
    landmarks: tuple[Landmark, ...] = ()
    evidence: Mapping[str, object] | None = None


FindFaces: TypeAlias = Callable[[Pixels], Iterable[RawFace]]


def search_tiles(
    name: str, pixels: Pixels, find: FindFaces, max_side: int = MAX_SIDE
) -> list[Face]:
    """Return the faces that `find` finds, from left to right.

    `name` is the detector's. `find` gets the image or its tiles, no side longer than `max_side`
    pixels. Raises `ValueError` unless `pixels` is height x width x 3 bytes.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != "uint8":
        raise ValueError(f"not an RGB image: {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    tiles = plan_tiles(width, height, max_side)
    faces: list[Face] = []

    for tile in tiles:
        part = cut_tile(pixels, tile, max_side)
        part_height, part_width = part.shape[:2]
        place = _TilePlace(
            tile.x, tile.y, tile.width / part_width, tile.height / part_height
        )
        for raw in find(part):
            box = _convert_box(raw.rect, place, width, height)
            if box is not None and not _is_cut(box, tile, width, height):
                score = _clip_score(raw.score)
                landmarks = _convert_landmarks(raw.landmarks, place)
                faces.append(Face(name, box, score, landmarks, raw.evidence))

    if len(tiles) > 1:
        faces = drop_overlapping_faces(faces)
    return sorted(faces, key=lambda face: (face.box, face.score))


class TiledDetector(ABC):
    """Detector for images of any size, in tiles of at most `MAX_SIDE` pixels a side."""

    name: ClassVar[str]

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces. Raises `ValueError` for anything but height x width x 3 bytes."""
        return search_tiles(self.name, pixels, self._find)

    @abstractmethod
    def _find(self, tile: Pixels) -> Iterable[RawFace]:
        """Find the faces in an image or in a tile of it."""


class _TilePlace(NamedTuple):
    """Corner of a tile, and image pixels per pixel of the searched part."""

    x: int
    y: int
    x_scale: float
    y_scale: float


def _is_cut(box: Box, tile: Box, width: int, height: int) -> bool:
    """Return whether a box reaches an end of its tile that is not one of the image."""
    # Tiles divide the longer side. In boxes (x, y, width, height) `axis` is the index of the start
    # along that side, and `axis + 2` that of the length.
    axis = 0 if width > height else 1
    margin = CUT_MARGIN * min(width, height)
    tile_end = tile[axis] + tile[axis + 2]
    is_cut_at_start = tile[axis] > 0 and box[axis] < tile[axis] + margin
    is_cut_at_end = (
        tile_end < max(width, height) and box[axis] + box[axis + 2] > tile_end - margin
    )
    return is_cut_at_start or is_cut_at_end


def _clip_score(score: float) -> float:
    """Return the score clipped to 0..1. Raises `ValueError` for NaN."""
    number = float(score)
    if math.isnan(number):
        raise ValueError("the score of a face is not a number")
    return min(max(number, 0.0), 1.0)


def _convert_box(
    rect: FloatBox, place: _TilePlace, image_width: int, image_height: int
) -> Box | None:
    """Return a box in whole image pixels; None if it is outside."""
    left = max(round(place.x + rect.x * place.x_scale), 0)
    top = max(round(place.y + rect.y * place.y_scale), 0)
    right = round(place.x + (rect.x + rect.width) * place.x_scale)
    bottom = round(place.y + (rect.y + rect.height) * place.y_scale)

    # Boxes of detectors may extend beyond the image: they are clipped to it.
    width = min(right, image_width) - left
    height = min(bottom, image_height) - top
    if min(width, height) <= 0:
        return None
    return Box(left, top, width, height)


def _convert_landmarks(
    landmarks: Iterable[Landmark], place: _TilePlace
) -> tuple[Landmark, ...]:
    return tuple(
        Landmark(
            mark.name,
            place.x + mark.x * place.x_scale,
            place.y + mark.y * place.y_scale,
        )
        for mark in landmarks
    )
