"""Perceptual hashes by which copies of a picture are found: of the whole, and of its SIFT points.

The whole is hashed without its uniform borders, plain and mirrored (pHash);
that finds re-encoded, resized, recoloured, letterboxed and mirrored copies. Crops, screenshots
and watermarks leave too little of the whole: for them the 64 strongest SIFT points (Lowe,
"Distinctive image features from scale-invariant keypoints", 2004) are hashed to 64 bits each.
A point and its mirror image have the same hash, so mirrored copies cost nothing extra.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gleanset.db.duplicates import SampleHashes
from gleanset.db.regions import SampleRegion
from gleanset.images.measure import dct_hash
from labeler.sample_pixels import SampleFile, read_pixels

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

# Changing anything that hashes depend on needs a new version: older ones are made again.
VERSION = 1
GREY_SIZE = 384
SIFT_SIZE = 160
POINTS = 64
ANGLE_STEP = 360 / 256
SCALE_STEP = 16
# Rows and columns of a border vary less than this (standard deviation of grey values).
_FLAT = 3.0
_LEAST = 16
# Pixels a side from which the hash takes its 8 x 8 frequencies.
_HASHED = 32

# The mean root-SIFT descriptor of some 40,000 points of photos and drawings, in thousandths,
# averaged with its mirror image. Left in, it would make most bits equal for all points.
_MEAN = np.array([
    65, 62, 56, 59, 65, 45, 35, 44, 117, 86, 59, 56, 57, 43, 42, 70,
    121, 75, 47, 44, 48, 45, 51, 83, 70, 48, 37, 41, 52, 50, 50, 60,
    83, 64, 57, 69, 82, 59, 43, 53, 162, 96, 60, 64, 71, 54, 49, 91,
    163, 91, 51, 54, 60, 56, 57, 96, 89, 57, 43, 51, 63, 57, 52, 65,
    83, 53, 43, 59, 82, 69, 57, 64, 162, 91, 49, 54, 71, 64, 60, 96,
    163, 96, 57, 56, 60, 54, 51, 91, 89, 65, 52, 57, 63, 51, 43, 57,
    65, 44, 35, 45, 65, 59, 56, 62, 117, 70, 42, 43, 57, 56, 59, 86,
    121, 83, 51, 45, 48, 44, 47, 75, 70, 60, 50, 50, 52, 41, 37, 48,
], dtype=np.float32) / 1000  # fmt: skip

# A descriptor is 4 rows x 4 columns x 8 directions, turned to the direction of its point: its
# mirror image has the rows and the directions in reverse.
MIRROR = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()


class Points(NamedTuple):
    """The points of a picture, n of them, in pixels of its trimmed grey version.

    `places` n x 2 (x, y), `sizes` and `angles` (degrees, clockwise) n, `descriptors` n x 128
    (root-SIFT: Arandjelovic and Zisserman, "Three things everyone should know", 2012).
    """

    places: Floats
    sizes: Floats
    angles: Floats
    descriptors: Floats


def to_grey(pixels: Image.Image) -> Grey:
    """Return the picture in grey, at most 384 pixels a side, without uniform borders."""
    small = pixels if pixels.mode == "L" else pixels.convert("L")
    small = small.copy()
    small.thumbnail((GREY_SIZE, GREY_SIZE), Image.Resampling.BOX)
    return trim_borders(np.asarray(small))


def trim_borders(grey: Grey) -> Grey:
    """Cut uniform rows and columns off the edges, unless next to nothing would be left."""
    values = grey.astype(np.float32)
    rows = np.flatnonzero(values.std(axis=1) > _FLAT)
    columns = np.flatnonzero(values.std(axis=0) > _FLAT)
    if len(rows) < _LEAST or len(columns) < _LEAST:
        return np.ascontiguousarray(grey)
    box = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if min(box.shape) < _LEAST:
        return np.ascontiguousarray(grey)
    return np.ascontiguousarray(box)


def find_points(grey: Grey, at: int = SIFT_SIZE) -> Points:
    """Find the SIFT points of a trimmed grey picture scaled to `at` pixels, the strongest first."""
    scale = at / max(grey.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    keypoints, descriptors = _sift().detectAndCompute(
        cv2.resize(grey, size, interpolation=how), None
    )
    if not keypoints:
        none = np.zeros(0, np.float32)
        return Points(np.zeros((0, 2), np.float32), none, none, np.zeros((0, 128), np.float32))
    strength = np.array([-p.response * p.size**2 for p in keypoints])
    order = np.argsort(strength, kind="stable")
    roots = np.sqrt(descriptors / (descriptors.sum(axis=1, keepdims=True) + 1e-6))
    return Points(
        (np.array([p.pt for p in keypoints], np.float32) / np.float32(scale))[order],
        np.array([p.size for p in keypoints], np.float32)[order],
        np.array([p.angle for p in keypoints], np.float32)[order],
        roots[order].astype(np.float32),
    )


def describe(pixels: Image.Image, sample: int = 0) -> SampleHashes:
    """Return the hashes of a picture, RGB or grey, as the catalogue stores them.

    A point's shape is three bytes: its scale in sixteenths of a doubling, its angle in 256ths of
    a turn, and whether its mirror image was hashed.
    """
    grey = to_grey(pixels)
    # Of this size the hash is made: so the picture is scaled once and not twice.
    picture = Image.fromarray(grey).resize((_HASHED, _HASHED), Image.Resampling.LANCZOS)
    flipped = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    points = find_points(grey)
    hashes, mirrored = hash_descriptors(points.descriptors[:POINTS])
    turns = np.floor(points.angles[:POINTS] / ANGLE_STEP).astype(np.int64) % 256
    scales = np.clip(np.log2(np.maximum(points.sizes[:POINTS], 1)) * SCALE_STEP, 0, 255)
    shapes = np.stack([part.astype(np.uint8) for part in (scales, turns, mirrored)], axis=1)
    return SampleHashes(
        sample,
        dct_hash(picture),
        dct_hash(flipped),
        round(visible_fraction(pixels, grey), 3),
        hashes.astype("<u8").tobytes(),
        shapes.tobytes(),
    )


def visible_fraction(pixels: Image.Image, grey: Grey) -> float:
    """Return the part of a picture, 0..1, that its trimmed grey version shows."""
    shrunk = min(1.0, GREY_SIZE / max(pixels.size))
    area = max(1.0, pixels.width * shrunk) * max(1.0, pixels.height * shrunk)
    return min(1.0, grey.size / area)


def hash_sample(item: tuple[SampleRegion, SampleFile]) -> SampleHashes:
    """Return the hashes of a sample, in a worker process. Raises `Unreadable`."""
    seen, file = item
    return describe(read_pixels(file, GREY_SIZE, "L"), seen.id)


def hash_descriptors(descriptors: Floats) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Hash n x 128 descriptors to 64 bits each; the second array says which were mirrored first.

    The bits are signs of random projections (Charikar, "Similarity estimation techniques from
    rounding algorithms", 2002). Of a descriptor and its mirror image the one is hashed that
    lies on the positive side of a fixed direction.
    """
    centred = descriptors - _MEAN
    plane = _projections()
    turned = (centred - centred[:, MIRROR]) @ plane[:, 5] < 0
    centred = np.where(turned[:, None], centred[:, MIRROR], centred)
    bits = np.packbits(centred @ plane > 0, axis=1)
    return np.ascontiguousarray(bits).view("<u8")[:, 0].astype(np.uint64), turned


@cache
def _projections() -> Floats:
    """Return 128 x 64 random numbers; the legacy generator never changes them (NEP 19)."""
    return np.random.RandomState(0).standard_normal((128, 64)).astype(np.float32)


@cache
def _sift() -> Any:
    return cv2.SIFT_create(contrastThreshold=0.02)  # type: ignore[attr-defined]


_CELLS = 24
_SMALL = 48
_TINY = 16
# Grey values of a flat image vary less than this (standard deviation), as far as JPEG lets them.
_FLAT_IMAGE = 1.0


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
        points = find_points(self.grey)
        finer = min(2 * SIFT_SIZE, max(self.grey.shape))
        if len(points.places) < POINTS and finer > SIFT_SIZE:
            points = find_points(self.grey, finer)
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
        return float(self.grey.std()) < _FLAT_IMAGE

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
    grey = to_grey(pixels)
    if colours is None and pixels.mode != "L":
        colours = lambda: pixels  # noqa: E731
    return PreparedImage(grey, visible_fraction(pixels, grey), colours)


def hue_histogram(colours: Image.Image) -> npt.NDArray[np.float64]:
    """Return how much colour there is at each hue; the sum is the mean of the picture, 0..1."""
    small = colours.convert("RGB").resize((_SMALL, _SMALL), Image.Resampling.BOX).convert("HSV")
    hue, saturation, value = np.asarray(small).reshape(-1, 3).astype(np.float64).T / 255
    cells = np.minimum((hue * _CELLS).astype(np.int64), _CELLS - 1)
    counts = np.bincount(cells, saturation * value, minlength=_CELLS)
    return np.asarray(counts / len(hue), np.float64)
