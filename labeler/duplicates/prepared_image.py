"""Images prepared for comparison; what not every comparison needs is computed on demand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from gleanset.arrays import Float32Array, Float64Array, Pixels
from labeler.duplicates.hashes import (
    MIRRORED_ORDER,
    SIFT_SIDE,
    Points,
    TrimmedImage,
    find_points,
    to_grey,
)

_MIN_COMPARED_POINTS = 64
_TINY_SIDE = 16


class FineImage(NamedTuple):
    """An RGB image at its own size, and the motion (2 x 3) from its trimmed version to it."""

    pixels: Image.Image
    motion: Float64Array

    def versions(self) -> Iterator[Pixels]:
        """Yield the image in grey, then its channels: colors of one brightness differ in these."""
        yield np.asarray(self.pixels.convert("L"))
        for channel in self.pixels.split():
            yield np.asarray(channel)


@dataclass(eq=False)
class PreparedImage:
    """A grey and trimmed image, mirrored or not; `read` returns the image at its full size."""

    trimmed: TrimmedImage
    read: Callable[[], Image.Image]
    is_mirrored: bool = False

    @property
    def grey(self) -> Pixels:
        """The grey values, height x width, at most 384 pixels per side."""
        return self.trimmed.grey

    @property
    def filled(self) -> float:
        """The part (0..1) of the image that is left after trimming uniform borders."""
        return self.trimmed.filled

    @cached_property
    def points(self) -> Points:
        """The strongest points, searched more finely in pages of text and plain drawings."""
        points = find_points(self.grey)
        finer = min(2 * SIFT_SIDE, max(self.grey.shape))
        if len(points.places) < _MIN_COMPARED_POINTS and finer > SIFT_SIDE:
            points = find_points(self.grey, finer)
        return points

    @cached_property
    def mirrored(self) -> "PreparedImage":
        """The mirrored image, with the points as they would be found in it."""
        other = PreparedImage(self.trimmed.mirrored, self.read, not self.is_mirrored)
        places, sizes, angles, descriptors = self.points
        x = self.grey.shape[1] - 1 - places[:, 0]
        flipped = np.stack([x, places[:, 1]], axis=1)
        other.points = Points(
            flipped, sizes, (180 - angles) % 360, descriptors[:, MIRRORED_ORDER]
        )
        return other

    @cached_property
    def tiny(self) -> Float32Array:
        """The image in 16 x 16 pixels with mean 0 and norm 1."""
        size = (_TINY_SIDE, _TINY_SIDE)
        small = cv2.resize(self.grey, size, interpolation=cv2.INTER_AREA)
        values = small.astype(np.float32) - np.float32(small.mean())
        return np.asarray(values / max(1.0, float(np.linalg.norm(values))), np.float32)

    def read_fine(self) -> FineImage:
        """Read the image at its full size. Raises `Unreadable`."""
        fine = self.read().convert("RGB")
        if self.is_mirrored:
            fine = fine.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        height, width = self.trimmed.whole.shape
        right = fine.width / width
        down = fine.height / height
        # Centers of pixels are half a pixel from the edge in both versions.
        across = right * (self.trimmed.left + 0.5) - 0.5
        below = down * (self.trimmed.top + 0.5) - 0.5
        return FineImage(fine, np.array([[right, 0, across], [0, down, below]]))


def prepare_image(
    pixels: Image.Image, read: Callable[[], Image.Image] | None = None
) -> PreparedImage:
    """Prepare an image, RGB or grey, for comparison; `read` returns it at its full size."""
    return PreparedImage(to_grey(pixels), read or (lambda: pixels))
