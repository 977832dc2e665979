"""Shapes in units of a head, and a brush that paints them on an oversized image.

A head is 100 x 100 units. Shapes are lists of points; curves are sampled finely enough to look
round after the image has been scaled down by `OVERSAMPLE`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point = tuple[float, float]
Shape = list[Point]
Colour = tuple[int, int, int]

OVERSAMPLE = 3
"""Factor by which images are painted larger; scaling them down is the anti-aliasing."""

_STEPS = 14
_TURNS = [2 * math.pi * step / 40 for step in range(40)]
_CIRCLE = [(math.cos(turn), math.sin(turn)) for turn in _TURNS]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Blend color `b` into `a`, with weight `share` (0..1)."""
    red, green, blue = (round(p + (q - p) * share) for p, q in zip(a, b, strict=True))
    return red, green, blue


def darken(colour: Colour, factor: float) -> Colour:
    """Multiply a color by `factor`, for outlines and shadows."""
    return mix((0, 0, 0), colour, factor)


def bezier(*points: Point) -> Shape:
    """Return a Bezier curve of any degree (de Casteljau)."""
    return list(_bezier(points))


@lru_cache(maxsize=4096)
def _bezier(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Compute a Bezier curve, cached because most images share it."""
    points_on_curve = []
    for step in range(_STEPS + 1):
        t = step / _STEPS
        level = points
        while len(level) > 1:
            level = tuple(
                (x + (right - x) * t, y + (below - y) * t)
                for (x, y), (right, below) in pairwise(level)
            )
        points_on_curve.append(level[0])
    return tuple(points_on_curve)


def curve(*points: Point) -> Shape:
    """Return a smooth curve through all points (Catmull-Rom, as Bezier pieces)."""
    ends = [points[0], *points, points[-1]]
    shape: Shape = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        out = (b[0] + (c[0] - a[0]) / 6, b[1] + (c[1] - a[1]) / 6)
        into = (c[0] - (d[0] - b[0]) / 6, c[1] - (d[1] - b[1]) / 6)
        shape += bezier(b, out, into, c)
    return shape


def arc(start: Point, end: Point, bulge: float) -> Shape:
    """Return an arc bent sideways by `bulge` times its length."""
    middle = _between(start, end, 0.5)
    across = (end[1] - start[1], start[0] - end[0])
    return bezier(
        start, (middle[0] + across[0] * bulge, middle[1] + across[1] * bulge), end
    )


def oval(x: float, y: float, rx: float, ry: float) -> Shape:
    """Return an ellipse around (x, y)."""
    return [(x + rx * across, y + ry * down) for across, down in _CIRCLE]


def mirror(shape: Sequence[Point]) -> Shape:
    """Mirror a shape at the middle of the face, x = 50."""
    return [(100 - x, y) for x, y in shape]


def translate(shape: Sequence[Point], dx: float, dy: float) -> Shape:
    """Return the shape, moved by `dx` and `dy`."""
    return [(x + dx, y + dy) for x, y in shape]


@dataclass(frozen=True, slots=True)
class Brush:
    """Brush on `image`: `scale` pixels per unit, (0, 0) at `origin`, rotated by `tilt`.

    `tilt` is in degrees, clockwise in the image, around the unit point `pivot`.
    """

    image: Image.Image
    scale: float = 1.0
    origin: Point = (0.0, 0.0)
    tilt: float = 0.0
    pivot: Point = (50.0, 92.0)

    def tilted(self, degrees: float) -> Brush:
        """Return this brush with another tilt."""
        return replace(self, tilt=degrees)

    def shifted(self, by: Point) -> Brush:
        """Return this brush, moved along the axes of the head."""
        start = self.to_pixel((0, 0))
        end = self.to_pixel(by)
        x, y = self.origin
        return replace(self, origin=(x + end[0] - start[0], y + end[1] - start[1]))

    def to_pixel(self, point: Point) -> Point:
        """Convert a point from units to pixels of the image."""
        return self.to_pixels([point])[0]

    def to_pixels(self, points: Sequence[Point]) -> Shape:
        """Convert points from units to pixels of the image."""
        turn = math.radians(self.tilt)
        scale = self.scale
        cos, sin = math.cos(turn), math.sin(turn)
        (left, top), (px, py) = self.origin, self.pivot
        return [
            (
                left + (px + (x - px) * cos - (y - py) * sin) * scale,
                top + (py + (x - px) * sin + (y - py) * cos) * scale,
            )
            for x, y in points
        ]

    def fill(
        self, shape: Sequence[Point], colour: Colour, outline: Colour | None = None
    ) -> None:
        """Fill a shape, with an outline if its color is given."""
        ImageDraw.Draw(self.image).polygon(self.to_pixels(shape), fill=colour)
        if outline is not None:
            self.line([*shape, *shape[:2]], outline)

    def line(self, points: Sequence[Point], colour: Colour, width: float = 0.9) -> None:
        """Draw a line of constant width."""
        pixels = max(1, round(width * self.scale))
        pen = ImageDraw.Draw(self.image)
        pen.line(self.to_pixels(points), fill=colour, width=pixels, joint="curve")

    def ink(self, points: Sequence[Point], colour: Colour, width: float = 1.2) -> None:
        """Draw a line that is thick in the middle, like ink."""
        left: Shape = []
        right: Shape = []
        last = len(points) - 1
        for i, (x, y) in enumerate(points):
            before = points[max(0, i - 1)]
            after = points[min(last, i + 1)]
            dx, dy = after[0] - before[0], after[1] - before[1]
            half = width / 2 * math.sin(math.pi * i / last) / (math.hypot(dx, dy) or 1)
            left.append((x - dy * half, y + dx * half))
            right.append((x + dy * half, y - dx * half))
        self.fill(left + right[::-1], colour)

    def fade(self, shape: Sequence[Point], top: Colour, bottom: Colour) -> None:
        """Fill a shape with a vertical gradient from `top` to `bottom`."""
        pixels = self.to_pixels(shape)
        region = self._region(pixels, 0)
        if region is None:
            return
        size = (region[2] - region[0], region[3] - region[1])
        ramp = Image.linear_gradient("L").resize(size)
        colours = Image.composite(
            Image.new("RGB", size, bottom), Image.new("RGB", size, top), ramp
        )
        self.image.paste(colours, region, _mask(pixels, region))

    def fade_outlined(
        self, shape: Sequence[Point], top: Colour, bottom: Colour, outline: Colour
    ) -> None:
        """Fill a shape with a gradient and an outline."""
        self.fade(shape, top, bottom)
        self.line([*shape, *shape[:2]], outline)

    def glaze(
        self,
        shape: Sequence[Point],
        colour: Colour,
        strength: float = 0.5,
        within: Sequence[Point] | None = None,
        blur: float = 0.0,
    ) -> None:
        """Paint transparent color over a shape, blurred by `blur` units, inside `within`."""
        pixels = self.to_pixels(shape)
        edge = pixels if within is None else self.to_pixels(within)
        region = self._region(edge, blur)
        if region is None:
            return
        mask = _mask(pixels, region)
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * self.scale))
        if within is not None:
            mask = ImageChops.multiply(mask, _mask(edge, region))
        self.image.paste(
            colour, region, mask.point([round(v * strength) for v in range(256)])
        )

    def _region(self, pixels: Shape, margin: float) -> tuple[int, int, int, int] | None:
        """Return a shape's bounding box in pixels; None outside the image."""
        across = [x for x, _ in pixels]
        down = [y for _, y in pixels]
        edge = math.ceil(margin * 2 * self.scale) + 1
        left = max(0, math.floor(min(across)) - edge)
        top = max(0, math.floor(min(down)) - edge)
        right = min(self.image.width, math.ceil(max(across)) + edge)
        bottom = min(self.image.height, math.ceil(max(down)) + edge)
        return (left, top, right, bottom) if left < right and top < bottom else None


def _mask(pixels: Shape, region: tuple[int, int, int, int]) -> Image.Image:
    left, top, right, bottom = region
    mask = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in pixels], fill=255)
    return mask


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share
