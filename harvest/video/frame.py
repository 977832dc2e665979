"""Decoded frames: color conversion, reduced copies, quality, encoding as JPEG or PNG.

A frame may be black, of one color or blurred. Drawn art has large areas of one color, so that mean
sharpness is not informative. In a blurred frame, even the sharpest edges take many pixels from dark
to light; a sharp outline takes one or two, however few outlines there are.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gleanset.arrays import Float64Array, Pixels
from gleanset.files.store import hash_bytes
from gleanset.images.measure import compute_phash_and_sharpness
from gleanset.records import Box, Measured
from harvest.video.sampling import Sampling

FrameQuality = Literal["good", "black", "one colour", "blurred"]

# Lookup from the grey levels of video (ITU-R BT.601-7 and BT.709-6: 16..235) to 0..255.
_BLACK = 16.0
_Y_SCALE = 255 / 219
_FULL_RANGE = [min(max(round((n - _BLACK) * _Y_SCALE), 0), 255) for n in range(256)]
_COLOR_SCALE = 255 / 224
_GREY = 128.0
# Shares of red and blue in the brightness, by these standards.
_BT601_SHARES = (0.299, 0.114)
_BT709_SHARES = (0.2126, 0.0722)


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
            return self.to_image().convert("L")
        width, height = self.size
        brightness = self.data[: width * height]
        return Image.frombytes("L", self.size, brightness).point(_FULL_RANGE)

    @cached_property
    def phash_and_sharpness(self) -> tuple[int, float]:
        """Perceptual hash (64 bits) and sharpness, as for every image."""
        return compute_phash_and_sharpness(self.grey)

    @cached_property
    def quality(self) -> FrameQuality:
        """Quality class: good, black, one color or blurred."""
        return classify_frame(self.grey)

    def to_image(self) -> Image.Image:
        """Return the frame as an RGB image; only valid if `rgb`."""
        return Image.frombytes("RGB", self.size, self.data)

    def bgr(self) -> Pixels:
        """Return BGR (height, width, 3)."""
        if self.rgb:
            bgr = cv2.cvtColor(np.asarray(self.to_image()), cv2.COLOR_RGB2BGR)
            return np.asarray(bgr, np.uint8)

        width, height = self.size
        planes = [self._brightness()]
        for color in self._split_planes()[1:]:
            large = cv2.resize(color, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
            # Color planes have half the size, rounded up.
            planes.append(np.asarray(large[:height, :width], np.uint8))
        ycbcr = cv2.merge(planes)
        return np.asarray(cv2.transform(ycbcr, _make_matrix(self.bt709)), np.uint8)

    def reduce(self, grey: Pixels) -> Pixels:
        """Return RGB (height, width, 3) in the size of `grey`, a result of `reduce_grey`."""
        height, width = grey.shape
        size = (width, height)
        if self.rgb:
            pixels = np.asarray(self.to_image())
            return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))

        data = grey.tobytes()
        # `reduce_grey` makes both sides even, as color planes of half the size need.
        half_size = (width // 2, height // 2)
        for plane in self._split_planes()[1:]:
            color = cv2.resize(plane, half_size, interpolation=cv2.INTER_AREA)
            data += color.tobytes()
        small = RawFrame(data, size, rgb=False, bt709=self.bt709)
        return np.ascontiguousarray(small.bgr()[..., ::-1])

    def reduce_grey(self, max_side: int) -> Pixels:
        """Return the brightness (height, width), no side longer than `max_side` pixels.

        It is 16..235 unless `rgb`.
        """
        scale = min(max_side / max(self.size), 1.0)
        # Even sides: color planes have half of them.
        size = [max(round(side * scale / 2), 1) * 2 for side in self.size]
        small = cv2.resize(self._brightness(), size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    def crop_grey(self, box: Box) -> Pixels:
        """Return the brightness within a box, clipped to the frame."""
        rows = slice(max(box.y, 0), max(box.y + box.height, 0))
        columns = slice(max(box.x, 0), max(box.x + box.width, 0))
        return self._brightness()[rows, columns]

    def _brightness(self) -> Pixels:
        return np.asarray(self.grey) if self.rgb else self._split_planes()[0]

    def _split_planes(self) -> tuple[Pixels, Pixels, Pixels]:
        """Return Y (height x width), and Cb and Cr of half that size, rounded up."""
        width, height = self.size
        half_shape = ((height + 1) // 2, (width + 1) // 2)
        flat = np.frombuffer(self.data, dtype=np.uint8)
        brightness = flat[: width * height].reshape(height, width)
        blue, red = flat[width * height :].reshape(2, *half_shape)
        return brightness, blue, red


@cache
def _make_matrix(is_bt709: bool) -> Float64Array:
    """Return the matrix (3 x 4) from Y, Cb, Cr and 1 in video range to BGR."""
    red_share, blue_share = _BT709_SHARES if is_bt709 else _BT601_SHARES
    green_share = 1 - red_share - blue_share
    # The same standards: Cb is B - Y, Cr is R - Y, each divided by its largest value.
    cb_to_blue = 2 * (1 - blue_share) * _COLOR_SCALE
    cr_to_red = 2 * (1 - red_share) * _COLOR_SCALE
    cb_to_green = -cb_to_blue * blue_share / green_share
    cr_to_green = -cr_to_red * red_share / green_share
    matrix = np.array(
        [
            [_Y_SCALE, cb_to_blue, 0],
            [_Y_SCALE, cb_to_green, cr_to_green],
            [_Y_SCALE, 0, cr_to_red],
        ]
    )
    offsets = -matrix @ (_BLACK, _GREY, _GREY)
    return np.column_stack([matrix, offsets])


def encode(frame: RawFrame, sampling: Sampling) -> tuple[bytes, Measured]:
    """Return a frame's bytes in the requested format, and their measurements."""
    options = {
        "jpeg": (cv2.IMWRITE_JPEG_QUALITY, 92),
        "png": (cv2.IMWRITE_PNG_COMPRESSION, 4),
    }
    kind = sampling.format
    _, file = cv2.imencode(f".{kind}", frame.bgr(), options[kind])
    data = bytes(file)

    width, height = frame.size
    phash, sharpness = frame.phash_and_sharpness
    measurements = Measured(
        sha256=hash_bytes(data),
        format=kind.upper(),
        bytes=len(data),
        width=width,
        height=height,
        orientation=1,
        frames=1,
        phash=phash,
        sharpness=sharpness,
    )
    return data, measurements


# Longer side (pixels) of the reduced frame in which edges are measured.
_WORKING_SIDE = 480
# A frame is black if 99.9 % of its pixels are below this grey level (of 255).
_MAX_BLACK_LEVEL = 40
# A frame has one color if its 0.5th and 99.5th percentiles differ by fewer grey levels.
_MIN_CONTRAST = 10.0
# Minimum steepness: the largest step between two neighbouring pixels, as a share of an edge's rise.
# 1 is a hard edge; a Gaussian blur of 3 pixels (of 480) gives 1 / (3 sqrt(2 pi)) = 0.13 and up.
MIN_STEEPNESS = 0.19
# Length in pixels of the row segments in which edges are measured.
_SEGMENT_PIXELS = 14
# Segments with the strongest edges are used (a share of all, and a minimum number), and of their
# steepness this quantile.
_STRONG_SHARE = 0.02
_MIN_STRONG_SEGMENTS = 16
_STEEPNESS_QUANTILE = 0.75


def classify_frame(grey: Image.Image) -> FrameQuality:
    """Return the quality class of a frame (Pillow mode L)."""
    scale = min(_WORKING_SIDE / max(grey.size), 1.0)
    size = (max(round(grey.width * scale), 1), max(round(grey.height * scale), 1))
    small = grey.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    values = np.asarray(small).astype(np.int16)
    low, high, top = np.percentile(values, (0.5, 99.5, 99.9))
    if top < _MAX_BLACK_LEVEL:
        return "black"
    if high - low < _MIN_CONTRAST:
        return "one colour"
    return "blurred" if measure_steepness(values) < MIN_STEEPNESS else "good"


def measure_steepness(values: NDArray[np.int16]) -> float:
    """Return the steepness (0..1) of strong edges in pixels (height, width).

    Rows and columns are divided into segments; the largest step between neighbouring pixels of
    each is divided by the difference of its lightest and darkest pixel. 1 if there is no edge to
    measure, as in a tiny image.
    """
    # Sharp edges in one direction are enough: in a blurred frame no edge is sharp.
    by_axis = (_measure_rows(values), _measure_rows(values.T))
    steepness = [value for value in by_axis if value is not None]
    return max(steepness, default=1.0)


def _measure_rows(values: NDArray[np.int16]) -> float | None:
    """Return how much of an edge's rise is between two neighbors in a row; None without edges."""
    height, width = values.shape
    per_row = width // _SEGMENT_PIXELS  # segments
    # In a smaller image, more than half of all segments would count as the strongest ones.
    if per_row * height < 2 * _MIN_STRONG_SEGMENTS:
        return None

    # Each row in segments of equal length; the pixels that remain at its end are left out.
    divisible = values[:, : per_row * _SEGMENT_PIXELS]
    segments = divisible.reshape(height * per_row, _SEGMENT_PIXELS)
    rises = segments.max(axis=1) - segments.min(axis=1)  # one per segment
    count = max(int(len(rises) * _STRONG_SHARE), _MIN_STRONG_SEGMENTS)
    strongest = np.argpartition(rises, -count)[-count:]  # in any order
    rises = rises[strongest]
    if float(rises.max()) < _MIN_CONTRAST:
        return None
    steps = np.abs(np.diff(segments[strongest], axis=1)).max(axis=1)
    return float(np.quantile(steps / np.maximum(rises, 1), _STEEPNESS_QUANTILE))
