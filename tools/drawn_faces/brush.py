"""Fast brush for training scenes: shapes in units of a head, painted with OpenCV.

Nothing is drawn oversized: a scene takes milliseconds, so that many thousands can be made.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gleanset.arrays import Float32Array, Pixels

Canvas = Pixels
Points = Float32Array
Colour = tuple[int, int, int]

_SHIFT = 4
"""Fractional bits of the coordinates passed to OpenCV."""


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Blend color `b` into `a`, with weight `share` (0..1)."""
    red, green, blue = (
        int(min(max(p + (q - p) * share, 0), 255)) for p, q in zip(a, b, strict=True)
    )
    return red, green, blue


def oval(
    x: float, y: float, rx: float, ry: float, tilt: float = 0.0, steps: int = 28
) -> Points:
    """Return an ellipse around (x, y), rotated by `tilt` radians."""
    turn = np.linspace(0, 2 * math.pi, steps, endpoint=False)
    across = rx * np.cos(turn)
    down = ry * np.sin(turn)
    return np.stack(
        [
            x + across * math.cos(tilt) - down * math.sin(tilt),
            y + across * math.sin(tilt) + down * math.cos(tilt),
        ],
        1,
    ).astype(np.float32)


def curve(
    points: Sequence[tuple[float, float]], closed: bool = False, steps: int = 8
) -> Points:
    """Return a smooth curve through all points (Catmull-Rom)."""
    nodes = np.array(points, np.float32)
    ends = (nodes[-1:], nodes[:2]) if closed else (nodes[:1], nodes[-1:])
    around = np.concatenate([ends[0], nodes, ends[1]])
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[:, None]
    pieces = []
    for a, b, c, d in zip(around, around[1:], around[2:], around[3:], strict=False):
        pieces.append(
            0.5
            * (
                2 * b
                + (c - a) * t
                + (2 * a - 5 * b + 4 * c - d) * t**2
                + (3 * (b - c) + d - a) * t**3
            )
        )
    joined = np.concatenate(pieces)
    return joined if closed else np.concatenate([joined, nodes[-1:]])


def polygon(*corners: tuple[float, float]) -> Points:
    """Return a shape with these corners."""
    return np.array(corners, np.float32)


def arc(x: float, y: float, width: float, bend: float, steps: int = 10) -> Points:
    """Return an arc around (x, y) with its middle `bend` lower."""
    t = np.linspace(-1, 1, steps)
    return np.stack([x + width * t, y + bend * (1 - t * t)], 1).astype(np.float32)


@dataclass
class Brush:
    """Brush on `canvas`: one unit is `scale` pixels, (0, 0) is at `at`, rotated by `tilt` radians.

    `warp` is applied to points first (a turned head). `owner` holds the ID of the last head marked
    at each pixel; `mark` writes `head_id` into it.
    """

    canvas: Canvas
    owner: npt.NDArray[np.int16]
    at: tuple[float, float]
    scale: float
    tilt: float = 0.0
    flip: float = 1.0
    head_id: int = 0
    warp: Callable[[Points], Points] | None = None

    def place(self, points: Points) -> Points:
        """Convert points from units to pixels of the canvas."""
        if self.warp is not None:
            points = self.warp(points)
        cos, sin = math.cos(self.tilt) * self.scale, math.sin(self.tilt) * self.scale
        x = points[:, 0] * self.flip
        y = points[:, 1]
        return np.stack(
            [self.at[0] + x * cos - y * sin, self.at[1] + x * sin + y * cos], 1
        )

    def fill(
        self,
        points: Points,
        colour: Colour,
        edge: Colour | None = None,
        width: float = 0.03,
    ) -> None:
        """Fill a shape, with an outline if `edge` is given."""
        pixels = _to_fixed_point(self.place(points))
        cv2.fillPoly(self.canvas, [pixels], colour, cv2.LINE_AA, _SHIFT)
        if edge is not None:
            cv2.polylines(
                self.canvas, [pixels], True, edge, self.pen(width), cv2.LINE_AA, _SHIFT
            )

    def line(self, points: Points, colour: Colour, width: float = 0.03) -> None:
        """Draw a line of constant width."""
        pixels = _to_fixed_point(self.place(points))
        cv2.polylines(
            self.canvas, [pixels], False, colour, self.pen(width), cv2.LINE_AA, _SHIFT
        )

    def pen(self, width: float) -> int:
        """Convert a line width from units to whole pixels."""
        return min(max(round(width * self.scale), 1), 40)

    def mark(self, points: Points) -> int:
        """Write `head_id` into the owner map; return the area in pixels."""
        pixels = np.round(self.place(points)).astype(np.int32)
        cv2.fillPoly(self.owner, [pixels], self.head_id)
        return int(abs(cv2.contourArea(pixels)))

    def glaze(
        self,
        points: Points,
        colour: Colour,
        strength: float = 1.0,
        within: Points | None = None,
        blur: float = 0.0,
    ) -> None:
        """Paint transparent color over a shape, blurred by `blur` units, inside `within`."""
        area = self.region(points if within is None else within, blur)
        if area is None:
            return
        part, corner = area
        mask = self.mask(points, part, corner)
        if blur:
            mask = _blur(mask, blur * self.scale)
        if within is not None:
            mask = mask * self.mask(within, part, corner)
        _blend(part, mask[..., None] * strength, np.array(colour, np.float32))

    def region(
        self, points: Points, margin: float = 0.0
    ) -> tuple[Canvas, tuple[int, int]] | None:
        """Return the canvas region around a shape, and its corner."""
        pixels = self.place(points)
        room = 2 + 2 * margin * self.scale
        height, width = self.canvas.shape[:2]
        low = pixels.min(0) - room
        high = pixels.max(0) + room
        left, top = max(int(low[0]), 0), max(int(low[1]), 0)
        right = min(int(high[0]) + 1, width)
        bottom = min(int(high[1]) + 1, height)
        if right <= left or bottom <= top:
            return None
        return self.canvas[top:bottom, left:right], (left, top)

    def mask(
        self, points: Points, part: Canvas, corner: tuple[int, int]
    ) -> Float32Array:
        """Return each pixel's coverage by a shape, 0..1."""
        cover = np.zeros(part.shape[:2], np.uint8)
        pixels = _to_fixed_point(self.place(points) - np.array(corner, np.float32))
        cv2.fillPoly(cover, [pixels], 255, cv2.LINE_AA, _SHIFT)
        return cover.astype(np.float32) / 255

    def shade(
        self,
        points: Points,
        light: tuple[float, float],
        depth: float,
        tint: Colour,
        gloss: float = 0.0,
    ) -> None:
        """Shade a shape like a sphere lit from the direction `light`."""
        area = self.region(points)
        if area is None:
            return
        part, corner = area
        pixels = self.place(points)
        middle = (pixels.min(0) + pixels.max(0)) / 2
        half = np.ptp(pixels, 0) / 2 + 1e-3
        height, width = part.shape[:2]
        u = ((np.arange(width) + corner[0] - middle[0]) / half[0]).astype(np.float32)[
            None
        ]
        v = ((np.arange(height) + corner[1] - middle[1]) / half[1]).astype(np.float32)[
            :, None
        ]
        z = np.sqrt(np.clip(1 - 0.8 * (u * u + v * v), 0.02, 1))
        lit = np.clip(0.9 * u * light[0] + 0.9 * v * light[1] + z * 0.75, 0, 1)
        mask = self.mask(points, part, corner)
        _blend(part, (mask * depth * (1 - lit))[..., None], np.array(tint, np.float32))
        if gloss:
            shine = mask * gloss * np.clip(lit - 0.75, 0, 1) * 4
            _blend(
                part,
                np.clip(shine, 0, 1)[..., None],
                np.array((255, 250, 240), np.float32),
            )


def _to_fixed_point(pixels: Points) -> npt.NDArray[np.int32]:
    return np.round(np.clip(pixels, -4000, 4000) * (1 << _SHIFT)).astype(np.int32)


def _blur(mask: Float32Array, sigma: float) -> Float32Array:
    """Blur the mask, on a coarser grid if the blur is wide."""
    if sigma < 0.3:
        return mask
    step = max(int(sigma / 2), 1)
    height, width = mask.shape
    small = cv2.resize(
        mask, (max(width // step, 1), max(height // step, 1)), interpolation=3
    )
    small = cv2.GaussianBlur(small, (0, 0), sigma / step)
    return np.asarray(cv2.resize(small, (width, height)), np.float32)


def _blend(part: Canvas, share: Float32Array, colour: Float32Array) -> None:
    part[:] = (part + (colour - part) * share + 0.5).astype(np.uint8)
