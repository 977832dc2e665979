"""Images prepared for comparison; what not every comparison needs is computed on demand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from gleanset.arrays import Float32Array, Float64Array, Pixels
from labeler.duplicates.filters import measure_smooth_slopes
from labeler.duplicates.hashes import (
    MIRRORED_ORDER,
    SIFT_SIDE,
    Points,
    TrimmedImage,
    find_points,
)
from labeler.duplicates.motions import scale_positions

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
    """A grey and trimmed image, mirrored or not.

    `read` returns the image as it is in the file, at its full size.
    """

    trimmed: TrimmedImage
    read: Callable[[], Image.Image]
    is_mirrored: bool = False

    @property
    def grey(self) -> Pixels:
        """The grey values, height x width, at most 384 pixels per side."""
        return self.trimmed.grey

    @cached_property
    def points(self) -> Points:
        """The strongest points, searched more finely in pages of text and plain drawings."""
        points = find_points(self.grey)
        # Letters and thin lines are too small at the usual size.
        finer = min(2 * SIFT_SIDE, max(self.grey.shape))
        if len(points.places) < _MIN_COMPARED_POINTS and finer > SIFT_SIDE:
            points = find_points(self.grey, finer)
        return points

    @cached_property
    def mirror_image(self) -> "PreparedImage":
        """The mirrored image, with the points as they would be found in it."""
        other = PreparedImage(
            self.trimmed.mirror_image, self.read, not self.is_mirrored
        )
        points = self.points
        places = points.places.copy()
        places[:, 0] = self.grey.shape[1] - 1 - places[:, 0]

        # Set here, or they would be found again, which takes longer.
        other.points = points._replace(
            places=places,
            # Right and left change places, up and down do not.
            angles=(180 - points.angles) % 360,
            descriptors=points.descriptors[:, MIRRORED_ORDER],
        )
        return other

    @cached_property
    def median_slope(self) -> float:
        """The median of the slopes, in grey values per pixel."""
        return float(np.median(measure_smooth_slopes(self.grey)))

    @cached_property
    def tiny(self) -> Float32Array:
        """The image in 16 x 16 pixels with mean 0 and norm 1."""
        size = (_TINY_SIDE, _TINY_SIDE)
        small = cv2.resize(self.grey, size, interpolation=cv2.INTER_AREA)
        values = small.astype(np.float32) - np.float32(small.mean())
        norm = max(1.0, float(np.linalg.norm(values)))
        return np.asarray(values / norm, np.float32)

    def read_fine(self) -> FineImage:
        """Read the image at its full size. Raises `Unreadable`."""
        fine = self.read().convert("RGB")
        if self.is_mirrored:
            fine = fine.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

        trimmed = self.trimmed
        height, width = trimmed.whole.shape
        motion = scale_positions(
            fine.width / width,
            fine.height / height,
            trimmed.left,
            trimmed.top,
        )
        return FineImage(fine, motion)
