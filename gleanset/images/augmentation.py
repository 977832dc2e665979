"""Data augmentation that is reproducible for each image.

`characters`: flip, shift, slight zoom, darkening, blur, JPEG artifacts. Neither hue nor shape,
because hair color and proportions of a face identify characters. `photos`: also rotation, shear,
stretch, strong zoom, color jitter and random erasing.

An image is changed by random numbers drawn for it: in a batch from its generator, for a cached
view from the seed, the key of the sample and the number of the view.
"""

import zlib
from typing import Literal, NamedTuple

import cv2
import numpy as np

from gleanset.arrays import Float64Array, Pixels

Kind = Literal["none", "characters", "photos"]


NUMBERS_PER_IMAGE = 24
"""Random numbers in 0..1 for an image; each change has its own, used or not."""
(
    _MIRROR,
    _ZOOM,
    _SHIFT_X,
    _SHIFT_Y,
    _TURN,
    _SHEAR,
    _STRETCH,
    _DARK,
    _BLUR,
    _BLUR_BY,
    _JPEG,
    _JPEG_BY,
    _HUE,
    _SATURATION,
    _CONTRAST,
    _ERASE,
    _ERASE_X,
    _ERASE_Y,
    _ERASE_W,
    _ERASE_H,
    _ERASE_BY,
) = range(21)


class Limits(NamedTuple):
    """Strength of changes: lengths relative to the side, angles in degrees, factors around 1."""

    zoom: float = 0.12
    shift: float = 0.08
    turn: float = 0.0
    shear: float = 0.0
    stretch: float = 0.0
    dark: float = 0.25  # darker only: brightening would clip and so change hues
    blur: float = 0.2  # probability; by up to MAX_BLUR of the side
    jpeg: float = 0.3  # probability; of quality 30 to 90
    hue: float = 0.0  # as a share of the color circle
    saturation: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0  # probability


LIMITS: dict[Kind, Limits] = {
    "characters": Limits(),
    "photos": Limits(
        zoom=0.25,
        turn=15,
        shear=10,
        stretch=0.15,
        hue=0.03,
        saturation=0.35,
        contrast=0.3,
        erase=0.25,
    ),
}
MAX_BLUR = 0.01
"""Standard deviation of the strongest blur, relative to the side."""


def augment(x: Pixels, random: np.random.Generator, kind: Kind) -> Pixels:
    """Return augmented copies of `x` (uint8, N x C x H x W, channels last in memory)."""
    if kind == "none":
        return x
    numbers = random.random((len(x), NUMBERS_PER_IMAGE))
    return apply_augmentation(x, numbers, LIMITS[kind])


def draw_view_numbers(key: str, view: int, seed: int) -> Float64Array:
    """Return the random numbers (in 0..1) of view `view` of the sample `key`."""
    # The remainder, because a seed may be negative, and NumPy's entropy may not.
    entropy = (seed % 2**64, zlib.crc32(key.encode()), view)
    return np.random.default_rng(entropy).random(NUMBERS_PER_IMAGE)


def apply_augmentation(x: Pixels, numbers: Float64Array, limits: Limits) -> Pixels:
    """Return copies of `x` (N x C x H x W), changed by N x `NUMBERS_PER_IMAGE` numbers (0..1)."""
    count, channels, height, width = x.shape
    out = np.empty((count, height, width, channels), np.uint8)
    maps = _compute_affine_maps(numbers, width, height, limits)

    for i, pixels in enumerate(x.transpose(0, 2, 3, 1)):
        warped = cv2.warpAffine(
            np.ascontiguousarray(pixels),
            maps[i],
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        image = _adjust_color(_as_pixels(warped), numbers[i], limits)
        image = _degrade(image, numbers[i], limits)
        # OpenCV drops the axis of a single channel.
        out[i] = image.reshape(out[i].shape)

    return out.transpose(0, 3, 1, 2)


def _compute_affine_maps(
    numbers: Float64Array, width: int, height: int, limits: Limits
) -> Float64Array:
    """Return affine maps (N x 2 x 3) from pixels of the augmented image to the original."""
    changes = numbers * 2 - 1  # -1..1: each goes both ways
    zoom = 1 + limits.zoom * changes[:, _ZOOM]
    stretch = 1 + limits.stretch * changes[:, _STRETCH]
    angle = np.deg2rad(limits.turn * changes[:, _TURN])
    shear = np.tan(np.deg2rad(limits.shear * changes[:, _SHEAR]))
    mirror = np.where(numbers[:, _MIRROR] < 0.5, -1.0, 1.0)

    # 2 x 2 matrices of all images: the last axis is N.
    cos = np.cos(angle)
    sin = np.sin(angle)
    rotations = np.array([[cos, -sin], [sin, cos]])
    zeros = np.zeros_like(zoom)
    distortions = np.array(
        [[mirror * zoom * stretch, shear * zoom], [zeros, zoom / stretch]]
    )
    matrices = np.einsum("ijn,jkn->nik", rotations, distortions)

    # The center of the image stays where it is, except for the shift.
    size = np.array([width, height], dtype=np.float64)
    shift = limits.shift * size * changes[:, [_SHIFT_X, _SHIFT_Y]]
    center = (size - 1) / 2
    offset = center + shift - matrices @ center
    return np.concatenate((matrices, offset[:, :, None]), axis=2)


def _adjust_color(image: Pixels, numbers: Float64Array, limits: Limits) -> Pixels:
    """Darken, and change contrast, saturation and hue within the limits."""
    contrast = 1 + limits.contrast * (numbers[_CONTRAST] * 2 - 1)
    brightness = 1 - limits.dark * numbers[_DARK]
    middle = 127.5
    levels = ((np.arange(256) - middle) * contrast + middle) * brightness
    table = levels.clip(0, 255).round().astype(np.uint8)
    image = _as_pixels(cv2.LUT(image, table))

    if image.ndim == 3 and (limits.hue or limits.saturation):
        return _adjust_hue(image, numbers, limits)
    return image


def _adjust_hue(image: Pixels, numbers: Float64Array, limits: Limits) -> Pixels:
    """Change hue and saturation by rotating and scaling the chroma plane (YCrCb).

    `numbers` are the random numbers of one image, in 0..1.
    """
    angle = 2 * np.pi * limits.hue * (numbers[_HUE] * 2 - 1)
    scale = 1 + limits.saturation * (numbers[_SATURATION] * 2 - 1)

    cos = scale * np.cos(angle)
    sin = scale * np.sin(angle)
    rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    gray = np.array([0, 128, 128])  # the center of the chroma plane
    offset = gray - rotation @ gray
    matrix = np.column_stack((rotation, offset))

    ycrcb = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    ycrcb = cv2.transform(ycrcb, matrix)
    return _as_pixels(cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2RGB))


def _degrade(image: Pixels, numbers: Float64Array, limits: Limits) -> Pixels:
    """Blur, compress and erase, each with its probability.

    `numbers` (0..1) decide for each change whether it happens, and how strongly.
    """
    if numbers[_BLUR] < limits.blur:
        # Less than 0.3 pixels changes nothing, and OpenCV refuses 0.
        sigma = max(0.3, MAX_BLUR * image.shape[0] * numbers[_BLUR_BY])
        image = _as_pixels(cv2.GaussianBlur(image, (0, 0), sigma))
    if numbers[_JPEG] < limits.jpeg:
        image = _compress_jpeg(
            image,
            round(30 + 60 * numbers[_JPEG_BY]),
        )
    if numbers[_ERASE] < limits.erase:
        _erase(image, numbers)
    return image


def _compress_jpeg(image: Pixels, quality: int) -> Pixels:
    is_color = image.ndim == 3
    if is_color:
        # OpenCV expects the channels as BGR: in another order other hues would suffer.
        image = np.ascontiguousarray(image[:, :, ::-1])
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    image = _as_pixels(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
    return image[:, :, ::-1] if is_color else image


def _erase(image: Pixels, numbers: Float64Array) -> None:
    """Fill a rectangle of 15 to 40 % of each side with a gray (Zhong et al., 2020).

    `numbers` are the random numbers of one image, in 0..1.
    """
    image_height, image_width = image.shape[:2]
    width = int(image_width * (0.15 + 0.25 * numbers[_ERASE_W]))
    height = int(image_height * (0.15 + 0.25 * numbers[_ERASE_H]))
    left = int((image_width - width) * numbers[_ERASE_X])
    top = int((image_height - height) * numbers[_ERASE_Y])
    gray = int(255 * numbers[_ERASE_BY])
    image[top : top + height, left : left + width] = gray


def _as_pixels(image: object) -> Pixels:
    assert isinstance(image, np.ndarray)
    return image
