"""A raw frame as a picture: what it looks like, and its bytes as JPEG or PNG."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gleanset.files.store import sha256_of
from gleanset.images.measure import look
from gleanset.records import Measured
from harvest.video.judge import Quality, quality_of
from harvest.video.sampling import Sampling

Whole = TypeVar("Whole", np.uint8, np.int16)

# From video YCbCr (ITU-R BT.601-7 and BT.709-6, 16..235) to that of JPEG (JFIF: BT.601, 0..255):
# brightness by 255/219, colours by 255/224; of BT.709 also by the product of both matrices.
_BLACK, _GREY = 16.0, 128.0
_Y_SCALE, _C_SCALE = 255 / 219, 255 / 224
_FROM_709 = np.array(
    [[1.0, 0.10158, 0.19608], [0.0, 0.98985, -0.11065], [0.0, -0.07245, 0.98340]], dtype=np.float32
)


@dataclass(frozen=True)
class RawPicture:
    """A frame as it came from the decoder.

    `data` is planar YCbCr 4:2:0 in video range, or RGB pixel by pixel when `rgb`.
    """

    data: bytes
    size: tuple[int, int]
    rgb: bool
    bt709: bool = False

    @cached_property
    def grey(self) -> Image.Image:
        """Its brightness, 0..255."""
        if self.rgb:
            return self.whole().convert("L")
        wide, high = self.size
        return Image.frombytes("L", self.size, self.data[: wide * high]).point(_STRETCHED)

    @cached_property
    def measured(self) -> tuple[int, float]:
        """pHash and sharpness, as of any image."""
        return look(self.grey)

    @cached_property
    def quality(self) -> Quality:
        """Whether it is black, of one colour or blurred."""
        return quality_of(self.grey)

    def whole(self) -> Image.Image:
        """The picture in its colours: RGB, or YCbCr of JPEG."""
        if self.rgb:
            return Image.frombytes("RGB", self.size, self.data)
        return Image.merge("YCbCr", [Image.fromarray(plane) for plane in self._planes()])

    def _planes(self) -> list[NDArray[np.uint8]]:
        wide, high = self.size
        small = ((high + 1) // 2, (wide + 1) // 2)
        flat = np.frombuffer(self.data, dtype=np.uint8)
        area, part = wide * high, small[0] * small[1]
        bright = flat[:area].reshape(high, wide)
        blue, red = (flat[area + n * part :][:part].reshape(small) for n in (0, 1))
        if self.bt709:
            return _converted(bright, blue, red)
        colours = [_large(_colour(one), high, wide) for one in (blue, red)]
        return [np.asarray(self.grey), *colours]


_STRETCHED = [min(max(round((n - _BLACK) * _Y_SCALE), 0), 255) for n in range(256)]
_BRIGHT = np.array([round((n - _BLACK) * _Y_SCALE) for n in range(256)], dtype=np.int16)
_COLOURS = np.array(
    [min(max(round((n - _GREY) * _C_SCALE + _GREY), 0), 255) for n in range(256)], dtype=np.uint8
)


def _colour(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _COLOURS[plane]


def _large(plane: NDArray[Whole], high: int, wide: int) -> NDArray[Whole]:
    """Twice as large; JPEG makes it the same small plane again."""
    return plane.repeat(2, axis=0).repeat(2, axis=1)[:high, :wide]


def _converted(
    bright: NDArray[np.uint8], blue: NDArray[np.uint8], red: NDArray[np.uint8]
) -> list[NDArray[np.uint8]]:
    """BT.709 planes as those of JPEG; the colours are reckoned at their own, small size."""
    high, wide = bright.shape
    cb, cr = ((one.astype(np.float32) - _GREY) * np.float32(_C_SCALE) for one in (blue, red))
    added, cb_out, cr_out = (np.rint(row[1] * cb + row[2] * cr) for row in _FROM_709)
    light = _BRIGHT[bright]
    light += _large(added.astype(np.int16), high, wide)
    colours = [np.clip(one + _GREY, 0, 255).astype(np.uint8) for one in (cb_out, cr_out)]
    np.clip(light, 0, 255, out=light)
    return [light.astype(np.uint8), *(_large(one, high, wide) for one in colours)]


def encoded(picture: RawPicture, sampling: Sampling) -> tuple[bytes, Measured]:
    """The bytes of a picture in the wanted format, and what is to be known of them."""
    file = io.BytesIO()
    if sampling.format == "png":
        picture.whole().save(file, "PNG", compress_level=4)
    else:
        picture.whole().save(file, "JPEG", quality=sampling.quality, subsampling="4:2:0")
    data = file.getvalue()
    phash, sharpness = picture.measured
    kind = "PNG" if sampling.format == "png" else "JPEG"
    wide, high = picture.size
    return data, Measured(sha256_of(data), kind, len(data), wide, high, 1, 1, phash, sharpness)
