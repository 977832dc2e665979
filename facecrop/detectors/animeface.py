"""The animeface-2009 detector (nagadomi's nvxs library), in this process.

A sliding window of growing size is scored by small neural networks on Haar-like features. It finds
upright faces from about 43 pixels, but not faces rotated by 45 degrees or more. The library holds
the GIL, so use processes, not threads.

Left and right are the character's: its left eye is usually on the right of the image. The colors
that the library reports differ between runs and are not read.
"""

from collections.abc import Iterator

from facecrop.detectors.animeface_library import (
    LOWEST_LIKELIHOOD,
    LibraryResult,
    LibrarySearch,
    load_tested_search,
)
from facecrop.detectors.base import parse_number
from facecrop.detectors.tiling import FloatBox, RawFace, TiledDetector
from gleanset.arrays import Pixels
from gleanset.records import Landmark


class AnimeFace(TiledDetector):
    """Finds faces drawn in the Japanese style; `threshold` is the minimum likelihood.

    Their landmarks are the centers of left_eye, right_eye, nose and mouth.
    """

    name = "animeface"

    def __init__(self, threshold: str | float = LOWEST_LIKELIHOOD):
        """Load and test the library.

        Raises `UsageError` for an invalid threshold, `MissingComponent` without a working library.
        """
        self.threshold = parse_number("threshold", threshold, LOWEST_LIKELIHOOD, 1)
        self._search = self._load_search()

    @property
    def settings(self) -> str:
        """For example `threshold=0.5`."""
        return f"threshold={self.threshold:g}"

    def _load_search(self) -> LibrarySearch:
        """Return the tested search function; animeface-docker overrides it."""
        return load_tested_search()

    def _find(self, tile: Pixels) -> Iterator[RawFace]:
        for result in self._search(tile):
            if result["likelihood"] >= self.threshold:
                yield _convert_result(result)


def _convert_result(result: LibraryResult) -> RawFace:
    """Convert a result of the library, in pixels of the tile."""
    landmarks = (
        _make_landmark("left_eye", result["left_eye_box"]),
        _make_landmark("right_eye", result["right_eye_box"]),
        Landmark("nose", *result["nose_point"]),
        _make_landmark("mouth", result["mouth_box"]),
    )
    return RawFace(FloatBox(*result["face_box"]), result["likelihood"], landmarks)


def _make_landmark(name: str, box: tuple[int, int, int, int]) -> Landmark:
    x, y, width, height = box
    return Landmark(name, x + width / 2, y + height / 2)
