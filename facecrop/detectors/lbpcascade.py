"""nagadomi's cascade of local binary patterns for anime faces, run by OpenCV.

Windows of growing size slide over the grey picture; a face is where several of them
agree. It is quick and seldom wrong, and overlooks much. Its boxes are about 1.3 times as wide
as a face from cheek to cheek.

Well-known scripts equalise the histogram first. The patterns only compare neighbours, so that
helps them little: without it 14 of 24 illustrations are found instead of 9, with no more
false alarms (docs/detectors.md). `equalize=yes` does as those scripts do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from facecrop.detectors.base import Pixels, number, switch, whole_number
from facecrop.detectors.tiling import FloatBox, RawFace, search_tiles
from facecrop.detectors.weights import LBPCASCADE, weights_file
from gleanset.errors import MissingComponent, UsageError
from gleanset.files.store import sha256_of
from gleanset.records import Face

LONGEST_SIDE = 1920
"""Pixels. Larger pictures are searched at this size, elongated ones in pieces."""

SMALLEST = 32
"""Pixels: the first window. Well-known scripts begin with 24, the cascade's own size, and spend
nearly half of their time on windows of less than 32, in which a face is too small to be cut."""

HALF_SURE = 5
"""Windows beyond the first that give a score of 0.5."""


class LbpCascade:
    """Finds anime faces with a cascade, by default `lbpcascade_animeface.xml`.

    `scale` is the step from one window size to the next, `neighbors` how many windows must
    agree, `smallest` the first window in pixels: OpenCV's own. `threshold` is the lowest score.
    """

    name: ClassVar[str] = "lbpcascade"

    def __init__(
        self,
        cascade: str | float = "",
        threshold: str | float = 0.0,
        scale: str | float = 1.1,
        neighbors: str | float = 5,
        smallest: str | float = SMALLEST,
        equalize: str | float = "no",
    ) -> None:
        """Get and load the cascade, fetched where none is given.

        Raises `UsageError` for a bad setting or file and `MissingComponent` where the
        cascade cannot be fetched or OpenCV has no cascades.
        """
        self.threshold = number("threshold", threshold, 0, 1)
        self.scale = number("scale", scale, 1.01, 2)
        self.neighbors = whole_number("neighbors", neighbors, 1, 100)
        self.smallest = whole_number("smallest", smallest, 24, 1000)
        self.equalize = switch("equalize", equalize)
        file = weights_file(str(cascade), "", "--cascade ", LBPCASCADE)
        self._sha256 = sha256_of(file.read_bytes())
        self._cv2 = _opencv()
        self._cascade = self._loaded(file)

    @property
    def settings(self) -> str:
        """For example `cascade=9376d30ac38d equalize=no neighbors=5 scale=1.1 …`."""
        return (
            f"cascade={self._sha256[:12]} equalize={'yes' if self.equalize else 'no'} "
            f"neighbors={self.neighbors} scale={self.scale:g} smallest={self.smallest} "
            f"threshold={self.threshold:g}"
        )

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces; the score grows with the number of windows that agree.

        Raises `ValueError` for anything but height x width x 3 bytes.
        """
        return search_tiles(self.name, pixels, self._find, LONGEST_SIDE)

    def _find(self, part: Pixels) -> Iterator[RawFace]:
        grey = self._cv2.cvtColor(np.ascontiguousarray(part), self._cv2.COLOR_RGB2GRAY)
        grey = self._cv2.equalizeHist(grey) if self.equalize else grey
        smallest = (self.smallest, self.smallest)
        boxes, windows = self._cascade.detectMultiScale2(
            grey, self.scale, self.neighbors, 0, smallest
        )
        for box, count in zip(boxes, np.ravel(windows), strict=True):
            score = count / (count + HALF_SURE)
            if score >= self.threshold:
                yield RawFace(FloatBox(*(float(edge) for edge in box)), score)

    def _loaded(self, file: Path) -> Any:
        try:
            cascade = self._cv2.CascadeClassifier(str(file))
            empty = bool(cascade.empty())
        except (self._cv2.error, SystemError):
            empty = True
        if empty:
            raise UsageError(
                f"{file} is not a cascade that OpenCV can load",
                "give lbpcascade_animeface.xml, or no file to have it fetched",
            )
        return cascade


def _opencv() -> Any:
    fix = "pip install 'opencv-python-headless>=4.8,<5'"
    try:
        import cv2
    except ImportError as error:
        raise MissingComponent(f"OpenCV cannot be loaded: {error}", fix) from error
    if not hasattr(cv2, "CascadeClassifier"):
        raise MissingComponent(f"OpenCV {cv2.__version__} has no cascades any more", fix)
    return cv2
