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
from typing import ClassVar

from facecrop.detectors.animeface_library import (
    LOWEST_LIKELIHOOD,
    LibraryResult,
    LibrarySearch,
    checked_search,
)
from facecrop.detectors.base import Pixels, number
from facecrop.detectors.tiling import FloatBox, RawFace, search_tiles
from gleanset.records import Face, Landmark

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
        self.threshold = number("threshold", threshold, LOWEST_LIKELIHOOD, 1)
        self._search = self._checked_search()

    @property
    def settings(self) -> str:
        """For example `threshold=0.5`."""
        return f"threshold={self.threshold:g}"

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces with landmarks left_eye, right_eye, nose and mouth (their centres).

        Raises `ValueError` for anything but height x width x 3 bytes.
        """
        return search_tiles(self.name, pixels, self._find, LONGEST_SIDE)

    def _checked_search(self) -> LibrarySearch:
        """Return what searches a tile; the same library may be reached in another way."""
        return checked_search()

    def _find(self, tile: Pixels) -> Iterator[RawFace]:
        for result in self._search(tile):
            if result["likelihood"] >= self.threshold:
                yield _raw_face(result)


def _colours(result: LibraryResult) -> dict[str, object]:
    """Red, green and blue, 0..255, of hair, skin and both eyes."""
    return {
        "hair": list(result["hair_color"]),
        "skin": list(result["skin_color"]),
        "left_eye": list(result["left_eye_color"]),
        "right_eye": list(result["right_eye_color"]),
    }


def _raw_face(result: LibraryResult) -> RawFace:
    """One of the library's results, in pixels of the tile that it searched."""
    landmarks = (
        _centre("left_eye", result["left_eye_box"]),
        _centre("right_eye", result["right_eye_box"]),
        Landmark("nose", *result["nose_point"]),
        _centre("mouth", result["mouth_box"]),
    )
    box = FloatBox(*result["face_box"])
    return RawFace(box, result["likelihood"], landmarks, _colours(result))


def _centre(name: str, box: tuple[int, int, int, int]) -> Landmark:
    x, y, width, height = box
    return Landmark(name, x + width / 2, y + height / 2)
