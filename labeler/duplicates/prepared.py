"""Pictures made ready for comparison: whatever several comparisons ask of one is made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from labeler.duplicates.hashes import (
    MIRROR,
    POINTS,
    SIFT_SIZE,
    Floats,
    Grey,
    Points,
    grey_of,
    points_of,
    share_of,
)

_CELLS = 24
_SMALL = 48
_TINY = 16
# Grey values of a flat image vary less than this (standard deviation), as far as JPEG lets them.
_FLAT = 1.0


class PreparedImage:
    """A picture as comparisons see it: grey, trimmed; its points are searched for when asked.

    `filled` is the part that was left when uniform borders were cut off. `colours` gives it in
    colour, which is seldom asked; None where there are none.
    """

    def __init__(
        self,
        grey: Grey,
        filled: float = 1.0,
        colours: Callable[[], Image.Image] | None = None,
    ) -> None:
        self.grey = grey
        self.filled = filled
        self._colours = colours

    @cached_property
    def points(self) -> Points:
        """The strongest points; of a page of text or a plain cartoon searched for more finely."""
        points = points_of(self.grey)
        finer = min(2 * SIFT_SIZE, max(self.grey.shape))
        if len(points.places) < POINTS and finer > SIFT_SIZE:
            points = points_of(self.grey, finer)
        return points

    @cached_property
    def mirrored(self) -> PreparedImage:
        """The picture mirrored; its points need not be searched for again."""
        other = _Mirrored(np.ascontiguousarray(self.grey[:, ::-1]), self.filled)
        other.original = self
        return other

    @cached_property
    def inverted(self) -> PreparedImage:
        """The negative of the picture."""
        return PreparedImage(255 - self.grey, self.filled)

    @cached_property
    def flat(self) -> bool:
        """Whether nothing is to be seen on it."""
        return float(self.grey.std()) < _FLAT

    @cached_property
    def tiny(self) -> Floats:
        """The picture in 16 x 16 pixels, less their mean, of length 1."""
        small = cv2.resize(self.grey, (_TINY, _TINY), interpolation=cv2.INTER_AREA)
        values = small.astype(np.float32) - np.float32(small.mean())
        return np.asarray(values / max(1.0, float(np.linalg.norm(values))), np.float32)

    @cached_property
    def hues(self) -> npt.NDArray[np.float64] | None:
        """How much colour there is at each hue; the sum is the mean of the picture, 0..1."""
        return None if self._colours is None else hue_histogram(self._colours())

    @cached_property
    def by_value(self) -> PreparedImage:
        """The same of the largest of red, green and blue at each pixel."""
        assert self._colours is not None
        colours = np.asarray(self._colours().convert("RGB"))
        return prepare(Image.fromarray(colours.max(axis=2)))


class _Mirrored(PreparedImage):
    original: PreparedImage

    @cached_property
    def points(self) -> Points:
        """The points as they would be found in the mirrored picture."""
        places, sizes, angles, descriptors = self.original.points
        flipped = np.stack([self.grey.shape[1] - 1 - places[:, 0], places[:, 1]], axis=1)
        return Points(flipped, sizes, (180 - angles) % 360, descriptors[:, MIRROR])


def prepare(pixels: Image.Image, colours: Callable[[], Image.Image] | None = None) -> PreparedImage:
    """Make a picture ready for comparing; `colours` where `pixels` themselves have none."""
    grey = grey_of(pixels)
    if colours is None and pixels.mode != "L":
        colours = lambda: pixels  # noqa: E731
    return PreparedImage(grey, share_of(pixels, grey), colours)


def hue_histogram(colours: Image.Image) -> npt.NDArray[np.float64]:
    """Return how much colour there is at each hue; the sum is the mean of the picture, 0..1."""
    small = colours.convert("RGB").resize((_SMALL, _SMALL), Image.Resampling.BOX).convert("HSV")
    hue, saturation, value = np.asarray(small).reshape(-1, 3).astype(np.float64).T / 255
    cells = np.minimum((hue * _CELLS).astype(np.int64), _CELLS - 1)
    counts = np.bincount(cells, saturation * value, minlength=_CELLS)
    return np.asarray(counts / len(hue), np.float64)
