"""Perceptual hashes that find copies: of the whole image, and of its SIFT points.

The whole image is hashed without uniform borders, plain and mirrored (pHash); that finds
re-encoded, resized, recolored, letterboxed and mirrored copies. Crops, screenshots and watermarked
copies have too little of the whole in common: for them 96 strong SIFT points (Lowe, "Distinctive
image features from scale-invariant keypoints", 2004) are hashed to 64 bits each, up to 24 of each
quarter, so that every image of a collage has some. A point and its mirror image have the same hash.
"""

from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gleanset.arrays import BoolArray, Float32Array, Pixels
from gleanset.db.duplicates import SampleHashes
from gleanset.db.regions import SampleRegion
from gleanset.images.measure import compute_dct_hash
from labeler.sample_pixels import SampleFile, read_pixels

GREY_SIDE = 384
SIFT_SIDE = 160
MAX_POINTS = 96
_MAX_POINTS_OF_QUARTER = 24
DEGREES_PER_STEP = 360 / 256
STEPS_PER_OCTAVE = 16
# Standard deviation of grey values below which a row or column is part of a border.
MAX_BORDER_DEVIATION = 3.0
_MIN_SIDE = 16
# Pixels per side from which the hash takes its 8 x 8 frequencies.
_HASHED_SIDE = 32

# A descriptor is 4 rows x 4 columns x 8 directions, rotated to the direction of its point; its
# mirror image has rows and directions reversed.
_MIRRORED_DIRECTIONS = -np.arange(8) % 8
MIRRORED_ORDER = (
    np.arange(128).reshape(4, 4, 8)[::-1][:, :, _MIRRORED_DIRECTIONS].ravel()
)

# Mean root-SIFT descriptor of some 40,000 points of photos and drawings, in thousandths, averaged
# with its mirror image: the lower two rows are those of the mirrored upper ones. Without
# subtracting it, most bits would be equal for all points.
_UPPER_ROWS = np.array([
    65, 62, 56, 59, 65, 45, 35, 44, 117, 86, 59, 56, 57, 43, 42, 70,
    121, 75, 47, 44, 48, 45, 51, 83, 70, 48, 37, 41, 52, 50, 50, 60,
    83, 64, 57, 69, 82, 59, 43, 53, 162, 96, 60, 64, 71, 54, 49, 91,
    163, 91, 51, 54, 60, 56, 57, 96, 89, 57, 43, 51, 63, 57, 52, 65,
], dtype=np.float32).reshape(2, 4, 8) / 1000  # fmt: skip
_LOWER_ROWS = _UPPER_ROWS[::-1][:, :, _MIRRORED_DIRECTIONS]
_MEAN_DESCRIPTOR = np.concatenate([_UPPER_ROWS, _LOWER_ROWS]).ravel()


class Points(NamedTuple):
    """The n points of an image, in pixels of its trimmed grey version.

    `places` n x 2 (x, y), `sizes` and `angles` (degrees, clockwise) n, `descriptors` n x 128
    (root-SIFT: Arandjelovic and Zisserman, "Three things everyone should know", 2012).
    """

    places: Float32Array
    sizes: Float32Array
    angles: Float32Array
    descriptors: Float32Array


class TrimmedImage(NamedTuple):
    """An image in grey without uniform borders, at most 384 pixels per side.

    `whole` is the image before trimming, `left` and `top` are the position of `grey` in it, and
    `filled` is the part (0..1) of the pixels that is left.
    """

    grey: Pixels
    filled: float
    left: int
    top: int
    whole: Pixels

    @property
    def mirror_image(self) -> "TrimmedImage":
        """The mirrored image."""
        right = self.whole.shape[1] - self.left - self.grey.shape[1]
        return self._replace(
            grey=np.ascontiguousarray(self.grey[:, ::-1]),
            left=right,
            whole=np.ascontiguousarray(self.whole[:, ::-1]),
        )


def find_content(values: npt.NDArray[Any], min_side: int) -> tuple[slice, slice] | None:
    """Return the rows and columns within uniform borders; None if they are too few."""
    rows = np.flatnonzero(values.std(axis=1) > MAX_BORDER_DEVIATION).tolist()
    columns = np.flatnonzero(values.std(axis=0) > MAX_BORDER_DEVIATION).tolist()
    if min(len(rows), len(columns)) < min_side:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def to_grey(pixels: Image.Image) -> TrimmedImage:
    """Scale an image to at most 384 pixels per side and trim uniform borders.

    They stay if less than 16 rows or columns would be left.
    """
    small = pixels.convert("L")  # always a copy
    small.thumbnail((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)
    grey = whole = np.asarray(small)
    left = top = 0
    content = find_content(grey.astype(np.float32), _MIN_SIDE)
    if content is not None:
        rows, columns = content
        left = columns.start
        top = rows.start
        grey = grey[content]

    # Of the scaled size before rounding: rounding the sides of a thin image changes its area a lot.
    shrunk = min(1.0, GREY_SIDE / max(pixels.size))
    area = max(1.0, pixels.width * shrunk) * max(1.0, pixels.height * shrunk)
    filled = min(1.0, grey.size / area)
    return TrimmedImage(
        np.ascontiguousarray(grey),
        filled,
        left,
        top,
        whole,
    )


def find_points(grey: Pixels, side: int = SIFT_SIDE) -> Points:
    """Find the SIFT points of a grey image scaled to `side` pixels, the best ones first."""
    height, width = grey.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(grey, size, interpolation=interpolation)
    keypoints, descriptors = _get_sift().detectAndCompute(small, None)
    if descriptors is None:  # there are no points
        descriptors = np.zeros((0, 128), np.float32)

    # Root-SIFT: the square roots of the shares of the directions.
    roots = np.sqrt(descriptors / (descriptors.sum(axis=1, keepdims=True) + 1e-6))

    # By response alone watermarked copies are lost, by size alone crops (docs/experiments.md).
    order = np.argsort([-p.response * p.size**2 for p in keypoints], kind="stable")
    places = np.array([p.pt for p in keypoints], np.float32).reshape(-1, 2)
    return Points(
        (places / np.float32(scale))[order],
        np.array([p.size for p in keypoints], np.float32)[order],
        np.array([p.angle for p in keypoints], np.float32)[order],
        roots[order].astype(np.float32),
    )


def compute_hashes(pixels: Image.Image, sample: int) -> SampleHashes:
    """Return the hashes of an image, RGB or grey, as the catalogue stores them.

    A point's shape is three bytes: its scale in sixteenths of a doubling, its angle in 256ths of a
    turn, and whether its mirror image was hashed.
    """
    trimmed = to_grey(pixels)
    grey = trimmed.grey
    # The hash is computed at this size, so the image is scaled only once.
    small = Image.fromarray(grey).resize(
        (_HASHED_SIDE, _HASHED_SIDE), Image.Resampling.LANCZOS
    )
    flipped = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    points = find_points(grey)
    order = _choose_points(points.places, grey)
    hashes, mirrored = hash_descriptors(points.descriptors[order])
    turns = np.floor(points.angles[order] / DEGREES_PER_STEP).astype(np.int64) % 256
    octaves = np.log2(np.maximum(points.sizes[order], 1))
    scales = np.clip(octaves * STEPS_PER_OCTAVE, 0, 255)
    shapes = np.stack([scales, turns, mirrored], axis=1).astype(np.uint8)

    return SampleHashes(
        sample,
        compute_dct_hash(small),
        compute_dct_hash(flipped),
        round(trimmed.filled, 3),
        hashes.astype("<u8").tobytes(),
        shapes.tobytes(),
    )


def _choose_points(places: Float32Array, grey: Pixels) -> npt.NDArray[np.intp]:
    """Return positions of points: the best ones of each quarter, then the best others.

    `places` (n x 2: x, y) are sorted, the best ones first.
    """
    height, width = grey.shape
    is_right, is_low = (places > (width / 2, height / 2)).T
    quarters = is_right + 2 * is_low  # 0..3

    is_chosen = np.zeros(len(places), np.bool_)
    for quarter in range(4):
        is_chosen[np.flatnonzero(quarters == quarter)[:_MAX_POINTS_OF_QUARTER]] = True
    # A stable sort: the chosen ones first, both in their order.
    return np.argsort(~is_chosen, kind="stable")[:MAX_POINTS]


def hash_sample(item: tuple[SampleRegion, SampleFile]) -> SampleHashes:
    """Return the hashes of a sample; runs in a worker process. Raises `Unreadable`."""
    region, file = item
    return compute_hashes(read_pixels(file, GREY_SIDE, "L"), region.id)


def hash_descriptors(
    descriptors: Float32Array,
) -> tuple[npt.NDArray[np.uint64], BoolArray]:
    """Hash n x 128 descriptors to 64 bits each; the second array says which were mirrored first.

    The bits are signs of random projections (Charikar, "Similarity estimation techniques from
    rounding algorithms", 2002). Of a descriptor and its mirror image, the one on the positive side
    of a fixed direction is hashed.
    """
    upright = descriptors - _MEAN_DESCRIPTOR
    mirror = upright[:, MIRRORED_ORDER]
    projections = _make_projections()
    # The fixed direction is any one of the 64, but always the same.
    is_mirrored = (upright - mirror) @ projections[:, 5] < 0
    rows = np.where(is_mirrored[:, None], mirror, upright)
    bits = np.packbits(rows @ projections > 0, axis=1)
    return np.ascontiguousarray(bits).view("<u8")[:, 0].astype(np.uint64), is_mirrored


@cache
def _make_projections() -> Float32Array:
    """Return 128 x 64 random numbers; the legacy generator never changes them (NEP 19)."""
    return np.random.RandomState(0).standard_normal((128, 64)).astype(np.float32)


@cache
def _get_sift() -> Any:
    return cv2.SIFT_create(contrastThreshold=0.02)  # type: ignore[attr-defined]
