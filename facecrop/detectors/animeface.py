"""The animeface-2009 detector (nagadomi's nvxs library), within this process.

It slides a window over the picture in growing sizes and scores it by small neural
networks on Haar-like features. Upright faces from about 43 pixels on are found; faces
turned by 45 degrees or more are not. It holds Python's lock while it searches, so more
processes make it faster and more threads do not.

Left and right are those of the character: its left eye is usually on the picture's
right. The colours that the library also reports differ from run to run: they are kept as
evidence, to search by and not to rely on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from facecrop.detectors.animeface_library import (
    LOWEST_LIKELIHOOD,
    Result,
    Search,
    checked_search,
)
from facecrop.detectors.base import Pixels
from facecrop.detectors.pieces import cut, pieces, without_repeats
from gleanset.errors import UsageError
from gleanset.records import Box, Face, Landmark

LONGEST_SIDE = 1920
"""Pixels. The library finds nothing in pictures wider than about 2,600 pixels, without
saying so; larger pictures are searched at this size."""


class AnimeFace:
    """Finds faces drawn in the Japanese style. `threshold` is the lowest likelihood."""

    name: ClassVar[str] = "animeface"

    def __init__(self, threshold: str | float = LOWEST_LIKELIHOOD) -> None:
        """Load the library and test it.

        Raises `UsageError` for a bad threshold and `MissingComponent` where the library
        is not there or does not work.
        """
        self.threshold = _likelihood(threshold)
        self._search = self._checked_search()

    @property
    def settings(self) -> str:
        """For example `threshold=0.5`."""
        return f"threshold={self.threshold:g}"

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces with landmarks left_eye, right_eye, nose and mouth (their centres).

        Raises `ValueError` for anything but height x width x 3 bytes.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != "uint8":
            raise ValueError(f"not an RGB picture: {pixels.dtype} {pixels.shape}")
        height, width = pixels.shape[:2]
        places = pieces(width, height, LONGEST_SIDE)
        faces = [face for place in places for face in self._search_piece(pixels, place)]
        return sorted(without_repeats(faces) if len(places) > 1 else faces, key=_reading_order)

    def _checked_search(self) -> Search:
        """What searches a piece; the same library may be reached in another way."""
        return checked_search()

    def _search_piece(self, pixels: Pixels, place: Box) -> Iterator[Face]:
        part = cut(pixels, place, LONGEST_SIDE)
        height, width = part.shape[:2]
        zoom = _Zoom(place.x, place.y, place.width / width, place.height / height)
        for result in self._search(part):
            if result["likelihood"] >= self.threshold:
                yield zoom.face(self.name, result, pixels.shape[1], pixels.shape[0])


def _likelihood(threshold: str | float) -> float:
    mend = f"give a number from {LOWEST_LIKELIHOOD:g} to 1"
    try:
        value = float(threshold)
    except ValueError:
        raise UsageError(f"threshold {threshold!r} is not a number", mend) from None
    if not LOWEST_LIKELIHOOD <= value <= 1:
        raise UsageError(f"threshold {value:g} makes no difference to animeface", mend)
    return value


def _colours(result: Result) -> dict[str, object]:
    """Red, green and blue, 0..255, of hair, skin and both eyes."""
    return {
        "hair": list(result["hair_color"]),
        "skin": list(result["skin_color"]),
        "left_eye": list(result["left_eye_color"]),
        "right_eye": list(result["right_eye_color"]),
    }


def _reading_order(face: Face) -> tuple[Box, float]:
    return face.box, face.score


@dataclass(frozen=True, slots=True)
class _Zoom:
    """From a searched piece back to the picture: add `left`, `top` after multiplying."""

    left: int
    top: int
    across: float
    down: float

    def face(self, detector: str, result: Result, width: int, height: int) -> Face:
        """One of the library's results as a face in a picture of that size."""
        landmarks = (
            Landmark("left_eye", *self.centre(result["left_eye_box"])),
            Landmark("right_eye", *self.centre(result["right_eye_box"])),
            Landmark("nose", *self.point(*result["nose_point"])),
            Landmark("mouth", *self.centre(result["mouth_box"])),
        )
        box = self.box(result["face_box"], width, height)
        score = min(float(result["likelihood"]), 1.0)
        return Face(detector, box, score, landmarks, _colours(result))

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.left + x * self.across, self.top + y * self.down

    def centre(self, box: tuple[int, int, int, int]) -> tuple[float, float]:
        x, y, width, height = box
        return self.point(x + width / 2, y + height / 2)

    def box(self, box: tuple[int, int, int, int], width: int, height: int) -> Box:
        """The box in the picture, rounded to whole pixels and kept within it."""
        left, top = self.point(box[0], box[1])
        right, bottom = self.point(box[0] + box[2], box[1] + box[3])
        x, y = max(round(left), 0), max(round(top), 0)
        return Box(x, y, min(round(right), width) - x, min(round(bottom), height) - y)
