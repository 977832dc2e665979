"""Searching a picture of any size with a function that searches a part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from facecrop.detectors.base import Pixels
from facecrop.detectors.pieces import cut, pieces, without_repeats
from gleanset.records import Box, Face, Landmark


class Rect(NamedTuple):
    """A box whose numbers are not rounded yet, in pixels of the searched part."""

    x: float
    y: float
    width: float
    height: float


class Found(NamedTuple):
    """One face in the searched part. `score` is in 0..1, `evidence` as in `Face`."""

    rect: Rect
    score: float
    landmarks: tuple[Landmark, ...] = ()
    evidence: Mapping[str, object] | None = None


Find: TypeAlias = Callable[[Pixels], Iterable[Found]]


def search(name: str, pixels: Pixels, find: Find, longest: int) -> list[Face]:
    """The faces that `find` finds, of the detector `name`, in reading order.

    `find` gets the picture or its pieces, no side longer than `longest` pixels. Raises
    `ValueError` for anything but height x width x 3 bytes.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != "uint8":
        raise ValueError(f"not an RGB picture: {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    places = pieces(width, height, longest)
    faces: list[Face] = []
    for place in places:
        part = cut(pixels, place, longest)
        size = part.shape[1], part.shape[0]
        faces += [
            Face(name, box, found.score, _marks(found, place, size), found.evidence)
            for found in find(part)
            if (box := _box(found.rect, place, size, (width, height)))
        ]
    kept = without_repeats(faces) if len(places) > 1 else faces
    return sorted(kept, key=lambda face: (face.box, face.score))


def overlap(one: Rect | Box, other: Rect | Box) -> float:
    """Intersection over union, 0..1."""
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(across, 0) * max(down, 0)
    total = one.width * one.height + other.width * other.height - shared
    return shared / total if total else 0.0


def _box(rect: Rect, place: Box, part: tuple[int, int], whole: tuple[int, int]) -> Box | None:
    """The rectangle in whole pixels of the picture; None where nothing of it lies within."""
    across, down = place.width / part[0], place.height / part[1]
    left = max(round(place.x + rect.x * across), 0)
    top = max(round(place.y + rect.y * down), 0)
    right = min(round(place.x + (rect.x + rect.width) * across), whole[0])
    bottom = min(round(place.y + (rect.y + rect.height) * down), whole[1])
    return Box(left, top, right - left, bottom - top) if right > left and bottom > top else None


def _marks(found: Found, place: Box, part: tuple[int, int]) -> tuple[Landmark, ...]:
    across, down = place.width / part[0], place.height / part[1]
    return tuple(
        Landmark(mark.name, place.x + mark.x * across, place.y + mark.y * down)
        for mark in found.landmarks
    )
