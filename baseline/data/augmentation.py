"""Small changes to pictures that leave their labels true.

`characters`: mirrored, shifted, zoomed a little, darkened, blurred, saved as a poor JPEG. Never
hue and never shape: hair colour and the proportions of a face are what tells characters apart.
`photos`: also turned, sheared, stretched, zoomed strongly, recoloured and partly erased.

Every picture is changed by numbers drawn for it alone, so a change can be repeated: a batch
draws them from its own generator, a cached view from the seed, the sample's key and its number.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

Kind = Literal["none", "characters", "photos"]
Pixels = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float64]

NUMBERS_PER_IMAGE = 24
"""Numbers in 0..1 that are drawn for a picture. Each change has its own, used or not."""
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


@dataclass(frozen=True, slots=True)
class Limits:
    """How far changes go: lengths as shares of the side, angles in degrees, factors around 1."""

    zoom: float = 0.12
    shift: float = 0.08
    turn: float = 0.0
    shear: float = 0.0
    stretch: float = 0.0
    dark: float = 0.25  # darker only: a brighter picture would clip, and so change its hues
    blur: float = 0.2  # how many are blurred; by up to BLUR of the side
    jpeg: float = 0.3  # how many are saved as a JPEG, of quality 30 to 90
    hue: float = 0.0  # as a share of the colour circle
    saturation: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0  # how many lose a rectangle


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
BLUR = 0.01
"""The strongest blur's standard deviation, as a share of the side."""


def augment(x: Pixels, random: np.random.Generator, kind: Kind) -> Pixels:
    """Return copies of `x` (uint8 N x C x H x W, channels last in memory), changed by `random`.

    As they are for the kind 'none'.
    """
    if kind == "none":
        return x
    return changed(x, random.random((len(x), NUMBERS_PER_IMAGE)), LIMITS[kind])


def draw_view_numbers(key: str, view: int, seed: int) -> Numbers:
    """Return the numbers in 0..1 that decide how view `view` of the sample `key` is changed."""
    return np.random.default_rng((seed, zlib.crc32(key.encode()), view)).random(NUMBERS_PER_IMAGE)


def changed(x: Pixels, drawn: Numbers, limits: Limits) -> Pixels:
    """Return copies of `x` (N x C x H x W), each changed by its row of `drawn` (N x DRAWS)."""
    out = np.empty((len(x), *x.shape[2:], x.shape[1]), np.uint8)
    maps = _maps(drawn, x.shape[3], x.shape[2], limits)
    for i, picture in enumerate(x.transpose(0, 2, 3, 1)):
        moved = cv2.warpAffine(
            np.ascontiguousarray(picture),
            maps[i],
            x.shape[:1:-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        made = _recorded(_coloured(_pixels(moved), drawn[i], limits), drawn[i], limits)
        out[i] = made.reshape(out[i].shape)
    return out.transpose(0, 3, 1, 2)


def _maps(drawn: Numbers, width: int, height: int, limits: Limits) -> Numbers:
    """Return affine maps from a changed picture's pixels to the original's, N x 2 x 3."""
    either = drawn * 2 - 1
    zoom = 1 + limits.zoom * either[:, _ZOOM]
    stretch = 1 + limits.stretch * either[:, _STRETCH]
    turn = np.deg2rad(limits.turn * either[:, _TURN])
    shear = np.tan(np.deg2rad(limits.shear * either[:, _SHEAR]))
    side = np.where(drawn[:, _MIRROR] < 0.5, -1.0, 1.0)
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.array([[cos, -sin], [sin, cos]])
    ones, none = np.ones_like(zoom), np.zeros_like(zoom)
    bent = np.array([[side * zoom * stretch, shear * zoom], [none, zoom / stretch * ones]])
    matrix = np.einsum("ijn,jkn->nik", turned, bent)
    size = np.array([width, height], dtype=np.float64)
    shift = limits.shift * size * either[:, [_SHIFT_X, _SHIFT_Y]]
    middle = (size - 1) / 2
    offset = middle + shift - matrix @ middle
    return np.concatenate((matrix, offset[:, :, None]), axis=2)


def _coloured(picture: Pixels, drawn: Numbers, limits: Limits) -> Pixels:
    """Darken; where the limits allow it, change contrast, saturation and hue."""
    contrast = 1 + limits.contrast * (drawn[_CONTRAST] * 2 - 1)
    table = ((np.arange(256) - 127.5) * contrast + 127.5) * (1 - limits.dark * drawn[_DARK])
    picture = _pixels(cv2.LUT(picture, table.clip(0, 255).round().astype(np.uint8)))
    if picture.ndim == 3 and (limits.hue or limits.saturation):
        return _recoloured(picture, drawn, limits)
    return picture


def _recoloured(picture: Pixels, drawn: Numbers, limits: Limits) -> Pixels:
    """Change hue and saturation, by a turn and a stretch of the chroma plane (YCrCb)."""
    angle = 2 * np.pi * limits.hue * (drawn[_HUE] * 2 - 1)
    scale = 1 + limits.saturation * (drawn[_SATURATION] * 2 - 1)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    middle = np.array([0, 128, 128])
    matrix = np.column_stack((turn, middle - turn @ middle))
    chroma = cv2.transform(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb), matrix)
    return _pixels(cv2.cvtColor(chroma, cv2.COLOR_YCrCb2RGB))


def _recorded(picture: Pixels, drawn: Numbers, limits: Limits) -> Pixels:
    """Do what poor copies suffer: some are blurred, some are JPEGs, some lose a part."""
    if drawn[_BLUR] < limits.blur:
        sigma = max(0.3, BLUR * picture.shape[0] * drawn[_BLUR_BY])
        picture = _pixels(cv2.GaussianBlur(picture, (0, 0), sigma))
    if drawn[_JPEG] < limits.jpeg:
        picture = _as_jpeg(picture, round(30 + 60 * drawn[_JPEG_BY]))
    if drawn[_ERASE] < limits.erase:
        _erase(picture, drawn)
    return picture


def _as_jpeg(picture: Pixels, quality: int) -> Pixels:
    # OpenCV takes the channels for blue, green, red: in any other order it would spare other hues.
    swapped = picture if picture.ndim == 2 else np.ascontiguousarray(picture[:, :, ::-1])
    _, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, quality])
    found = _pixels(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
    return found if picture.ndim == 2 else found[:, :, ::-1]


def _erase(picture: Pixels, drawn: Numbers) -> None:
    """Paint a rectangle of 15 to 40 % of each side in one grey (Zhong et al., 2020)."""
    height, width = picture.shape[:2]
    wide = int(width * (0.15 + 0.25 * drawn[_ERASE_W]))
    high = int(height * (0.15 + 0.25 * drawn[_ERASE_H]))
    left, top = int((width - wide) * drawn[_ERASE_X]), int((height - high) * drawn[_ERASE_Y])
    picture[top : top + high, left : left + wide] = int(255 * drawn[_ERASE_BY])


def _pixels(made: object) -> Pixels:
    assert isinstance(made, np.ndarray)
    return made
