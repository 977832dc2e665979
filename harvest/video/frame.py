"""Decoded frames: quality checks, and encoding as JPEG or PNG.

Drawn art has large areas of one color, so that mean sharpness is not informative. In a blurred
frame, even the sharpest edges take many pixels from dark to light; a sharp outline takes one or
two, however few outlines there are.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gleanset.files.store import sha256_of
from gleanset.images.measure import compute_phash_and_sharpness
from gleanset.records import Box, Measured
from harvest.video.sampling import Sampling

FrameQuality: TypeAlias = Literal["good", "black", "one colour", "blurred"]

# Longer side (pixels) of the reduced frame in which edges are measured.
_WORKING = 480
# A frame is black if 99.9 % of its pixels are below this grey level (of 255).
_BLACK_LEVEL = 40
# A frame has one color if its 0.5th and 99.5th percentiles differ by fewer grey levels.
_FLAT = 10.0
# Minimum steepness: the largest step between two neighbouring pixels, as a share of an edge's rise.
# 1 is a hard edge; a Gaussian blur of 3 pixels (of 480) gives 1 / (3 sqrt(2 pi)) = 0.13 and up.
BLURRED = 0.19
# Length in pixels of the row segments in which edges are measured.
_STRETCH = 14
# Segments with the strongest edges are used (a share of all, and a minimum number), and of their
# steepness this quantile.
_STRONG, _FEWEST, _STEEPER = 0.02, 16, 0.75


def frame_quality(grey: Image.Image) -> FrameQuality:
    """Return the quality class of a frame (Pillow mode L)."""
    part = min(_WORKING / max(grey.size), 1.0)
    size = (max(round(grey.width * part), 1), max(round(grey.height * part), 1))
    small = grey.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    values = np.asarray(small).astype(np.int16)
    low, high, top = np.percentile(values, (0.5, 99.5, 99.9))
    if top < _BLACK_LEVEL:
        return "black"
    if high - low < _FLAT:
        return "one colour"
    return "blurred" if steepness(values) < BLURRED else "good"


def steepness(values: NDArray[np.int16]) -> float:
    """Return the steepness (0..1) of strong edges in pixels (height, width).

    Rows and columns are divided into segments; the largest step between neighbouring pixels of
    each is divided by the difference of its lightest and darkest pixel. 1 if there is no edge to
    measure, as in a tiny image.
    """
    found = [_steepness_of_rows(values), _steepness_of_rows(values.T)]
    judged = [one for one in found if one is not None]
    return max(judged) if judged else 1.0


def _steepness_of_rows(values: NDArray[np.int16]) -> float | None:
    height, width = values.shape
    number = width // _STRETCH
    if number * height < 2 * _FEWEST:
        return None
    parts = values[:, : number * _STRETCH].reshape(height * number, _STRETCH)
    rise = parts.max(axis=1) - parts.min(axis=1)
    count = max(int(len(rise) * _STRONG), _FEWEST)
    strong = np.argpartition(rise, -count)[-count:]
    whole = rise[strong]
    if float(whole.max()) < _FLAT:
        return None
    step = np.abs(np.diff(parts[strong], axis=1)).max(axis=1)
    return float(np.quantile(step / np.maximum(whole, 1), _STEEPER))


Plane: TypeAlias = NDArray[np.uint8]

# Lookup from the grey levels of video (ITU-R BT.601-7 and BT.709-6: 16..235) to 0..255.
_BLACK, _Y_SCALE = 16.0, 255 / 219
_STRETCHED = [min(max(round((n - _BLACK) * _Y_SCALE), 0), 255) for n in range(256)]
# From YCbCr of BT.709 to that of BT.601, which OpenCV expects: the product of both matrices,
# with brightness in steps of 1/219 and color in steps of 1/224.
_STEPS = 219 / 224
_BRIGHTER, _BLUE, _RED = (
    (0.10158 * _STEPS, 0.19608 * _STEPS),
    (0.98985, -0.11065),
    (-0.07245, 0.98340),
)
_GREY = 128.0


@dataclass(frozen=True)
class RawFrame:
    """Raw frame from the decoder; `size` is (width, height) in pixels.

    `data` is planar YCbCr 4:2:0 in video range, or interleaved RGB if `rgb`.
    """

    data: bytes
    size: tuple[int, int]
    rgb: bool
    bt709: bool = False

    @cached_property
    def grey(self) -> Image.Image:
        """Brightness, 0..255 (Pillow mode L)."""
        if self.rgb:
            return self.whole().convert("L")
        wide, high = self.size
        return Image.frombytes("L", self.size, self.data[: wide * high]).point(_STRETCHED)

    @cached_property
    def measured(self) -> tuple[int, float]:
        """Perceptual hash (64 bits) and sharpness, as for every image."""
        return compute_phash_and_sharpness(self.grey)

    @cached_property
    def quality(self) -> FrameQuality:
        """Quality class: good, black, one color or blurred."""
        return frame_quality(self.grey)

    def whole(self) -> Image.Image:
        """Return the frame as an RGB image; only valid if `rgb`."""
        return Image.frombytes("RGB", self.size, self.data)

    def bgr(self) -> Plane:
        """Return BGR (height, width, 3) of a frame that is not `rgb`."""
        wide, high = self.size
        planes = self._planes()
        if self.bt709:
            planes = _of_601(*planes)
        even = (high + 1) // 2 * 2, (wide + 1) // 2 * 2
        packed = np.empty((even[0] * 3 // 2, even[1]), dtype=np.uint8)
        bright, small = packed[: even[0]], packed[even[0] :].reshape(2, even[0] // 2, even[1] // 2)
        bright[:high, :wide] = planes[0]
        bright[high:], bright[:, wide:] = bright[high - 1], bright[:, wide - 1 : wide]
        small[0], small[1] = planes[1:]
        shown = cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_I420)[:high, :wide]
        return np.asarray(shown, dtype=np.uint8)

    def reduced(self, longest: int) -> Plane:
        """Return RGB (height, width, 3) with no side longer than `longest` pixels."""
        part = min(longest / max(self.size), 1.0)
        wide, high = (max(round(side * part / 2), 1) * 2 for side in self.size)
        if self.rgb:
            whole = np.asarray(self.whole())
            return np.asarray(cv2.resize(whole, (wide, high), interpolation=cv2.INTER_AREA))
        sizes = ((wide, high), (wide // 2, high // 2), (wide // 2, high // 2))
        planes = (
            cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
            for plane, size in zip(self._planes(), sizes, strict=True)
        )
        data = b"".join(plane.tobytes() for plane in planes)
        small = RawFrame(data, (wide, high), rgb=False, bt709=self.bt709).bgr()
        return np.ascontiguousarray(small[:, :, ::-1])

    def grey_part(self, box: Box) -> Plane:
        """Return the brightness within a box, clipped to the frame."""
        rows = slice(max(box.y, 0), max(box.y + box.height, 0))
        columns = slice(max(box.x, 0), max(box.x + box.width, 0))
        whole = np.asarray(self.grey) if self.rgb else self._planes()[0]
        return whole[rows, columns]

    def _planes(self) -> tuple[Plane, Plane, Plane]:
        wide, high = self.size
        shape = ((high + 1) // 2, (wide + 1) // 2)
        flat = np.frombuffer(self.data, dtype=np.uint8)
        area, part = wide * high, shape[0] * shape[1]
        blue, red = (flat[area + n * part :][:part].reshape(shape) for n in (0, 1))
        return flat[:area].reshape(high, wide), blue, red


def _of_601(bright: Plane, blue: Plane, red: Plane) -> tuple[Plane, Plane, Plane]:
    """Convert planes from BT.709 to BT.601; color planes stay subsampled."""
    high, wide = bright.shape
    a, b = _BRIGHTER
    more, less = (_large(_mixed(blue, n * a, red, n * b), high, wide) for n in (1, -1))
    new_blue, new_red = (_mixed(blue, c, red, d, _GREY) for c, d in (_BLUE, _RED))
    # One of both is always 0 (saturated): adding and subtracting clips as their difference would.
    added = cv2.subtract(cv2.add(bright, more), less)
    return np.asarray(added, dtype=np.uint8), new_blue, new_red


def _mixed(blue: Plane, a: float, red: Plane, b: float, grey: float = 0.0) -> Plane:
    """Return `grey + a * (blue - 128) + b * (red - 128)` as bytes, clipped."""
    return np.asarray(cv2.addWeighted(blue, a, red, b, grey - _GREY * (a + b)), dtype=np.uint8)


def _large(plane: Plane, high: int, wide: int) -> Plane:
    twice = plane.shape[1] * 2, plane.shape[0] * 2
    shown = cv2.resize(plane, twice, interpolation=cv2.INTER_NEAREST)[:high, :wide]
    return np.asarray(shown, dtype=np.uint8)


def _jpeg(picture: RawFrame, quality: int) -> bytes:
    if picture.rgb:
        file = io.BytesIO()
        picture.whole().save(file, "JPEG", quality=quality, subsampling="4:2:0")
        return file.getvalue()
    # OpenCV encodes BGR directly; Pillow would need a copy as RGB.
    made, data = cv2.imencode(".jpg", picture.bgr(), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert made
    return bytes(data)


def encode(picture: RawFrame, sampling: Sampling) -> tuple[bytes, Measured]:
    """Return a frame's bytes in the requested format, and their measurements."""
    png = sampling.format == "png"
    if png:
        file = io.BytesIO()
        picture.whole().save(file, "PNG", compress_level=4)
        data = file.getvalue()
    else:
        data = _jpeg(picture, sampling.quality)
    phash, sharpness = picture.measured
    kind = "PNG" if png else "JPEG"
    wide, high = picture.size
    return data, Measured(sha256_of(data), kind, len(data), wide, high, 1, 1, phash, sharpness)
