"""Drawn images for generated clips, all distinct from each other.

`DistinctImages(count, seed)` holds images whose perceptual hashes differ by at least
`MIN_HASH_DISTANCE` bits, so that no two are near-duplicates. One in ten is a night scene (mean luma
below 40), one in ten almost one flat color with one figure, one in ten almost white: a filter for
black or empty frames must keep all of these.
"""

import colorsys
from collections.abc import Callable
from functools import lru_cache
from math import cos, pi, sin
from typing import Any

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[Any]  # uint8; OpenCV's own annotations are less precise
Colour = tuple[float, float, float]
CANVAS_SCALE = 1.12  # size of the canvas relative to the frame: room for camera moves
MIN_HASH_DISTANCE = 14
HASHED_HEIGHT = 270  # pixels; another value selects other images
STYLES = (
    "day",
    "texture",
    "day",
    "night",
    "day",
    "flat",
    "texture",
    "bright",
    "day",
    "day",
)
SUBPIXEL_BITS = 4  # fractional bits of coordinates passed to OpenCV


class DistinctImages:
    """`count` distinct images, drawn when requested.

    They are selected on small drawings, so that every height shows the same images.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.seed = seed
        self.attempts: list[int] = []
        hashes: list[int] = []
        attempt = 0
        while len(self.attempts) < count:
            image_hash = hash_center(
                self._draw(len(self.attempts), attempt, HASHED_HEIGHT)
            )
            if all(
                (image_hash ^ other).bit_count() >= MIN_HASH_DISTANCE
                for other in hashes
            ):
                hashes.append(image_hash)
                self.attempts.append(attempt)
            attempt += 1

    @lru_cache(maxsize=8)  # noqa: B019 - a script makes one or two of these
    def canvas(self, number: int, height: int) -> Pixels:
        """Draw image `number` as 16:9, `CANVAS_SCALE * height` pixels high, BGR."""
        return self._draw(number, self.attempts[number], height)

    def _draw(self, number: int, attempt: int, height: int) -> Pixels:
        rng = np.random.default_rng([self.seed, attempt])
        return draw(rng, STYLES[number % len(STYLES)], height)


def hash_center(canvas: Pixels) -> int:
    """Return the pHash of a canvas as a static camera shows it."""
    rows, columns = canvas.shape[:2]
    y = round(rows * (1 - 1 / CANVAS_SCALE) / 2)
    x = round(columns * (1 - 1 / CANVAS_SCALE) / 2)
    grey = cv2.cvtColor(canvas[y : rows - y, x : columns - x], cv2.COLOR_BGR2GRAY)
    return int(str(imagehash.phash(Image.fromarray(grey))), 16)


def draw(rng: np.random.Generator, style: str, height: int) -> Pixels:
    """Draw a canvas that looks nearly the same at every height."""
    rows = round(height * CANVAS_SCALE / 2) * 2
    columns = round(height * 16 / 9 * CANVAS_SCALE / 2) * 2
    canvas = _gradient(rng, style, rows, columns)
    shapes = (_hill, _sun, _house, _tree, _shard)
    if style == "texture":
        canvas = _texture(rng, canvas)
    if style != "flat":
        for _ in range(int(rng.integers(4, 9))):
            shapes[int(rng.integers(len(shapes)))](canvas, rng, style)
    for _ in range(1 if style == "flat" else int(rng.integers(1, 3))):
        _person(canvas, rng, style)
    return canvas


def colour(rng: np.random.Generator, style: str) -> Colour:
    """Return a random color of the style, BGR."""
    saturation = rng.uniform(0.2, 0.9)
    value = rng.uniform(0.3, 1)
    if style == "night":
        value *= 0.25
    if style == "bright":
        saturation = saturation * 0.25
        value = 0.85 + 0.15 * value
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(), saturation, value)
    return blue * 255, green * 255, red * 255


def _gradient(rng: np.random.Generator, style: str, rows: int, columns: int) -> Pixels:
    first, second = np.array(colour(rng, style)), np.array(colour(rng, style))
    if style == "flat":
        second = first * 0.97
    angle = rng.uniform(0, 2 * pi)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    ramp = (x / columns - 0.5) * cos(angle) + (y / rows - 0.5) * sin(angle) + 0.5
    share = np.clip(ramp, 0, 1)[..., None]
    pixels: Pixels = (first * (1 - share) + second * share).astype(np.uint8)
    return pixels


def _texture(rng: np.random.Generator, canvas: Pixels) -> Pixels:
    """Add clouds: noise of four sizes."""
    rows, columns = canvas.shape[:2]
    sheet = np.zeros((rows, columns), np.float32)
    for cells, weight in ((4, 50.0), (12, 30.0), (48, 16.0), (192, 8.0)):
        grid = rng.normal(0, weight, (cells * 9 // 16 + 1, cells)).astype(np.float32)
        sheet += cv2.resize(grid, (columns, rows), interpolation=cv2.INTER_CUBIC)
    pixels: Pixels = np.clip(canvas + sheet[..., None], 0, 255).astype(np.uint8)
    return pixels


def _fill(canvas: Pixels, points: list[tuple[float, float]], paint: Colour) -> None:
    """Draw an outlined polygon; points are shares of the canvas."""
    rows, columns = canvas.shape[:2]
    pixels = np.array([(x * columns, y * rows) for x, y in points]) * (
        1 << SUBPIXEL_BITS
    )
    corners = pixels.astype(np.int32)
    cv2.fillPoly(canvas, [corners], paint, cv2.LINE_AA, SUBPIXEL_BITS)
    ink = tuple(channel * 0.35 for channel in paint)
    cv2.polylines(
        canvas, [corners], True, ink, max(1, rows // 300), cv2.LINE_AA, SUBPIXEL_BITS
    )


def _ellipse(
    canvas: Pixels, x: float, y: float, width: float, height: float, paint: Colour
) -> None:
    """Draw an outlined ellipse; half axes are shares of the height."""
    rows, columns = canvas.shape[:2]
    ratio = rows / columns
    turns = [2 * pi * step / 64 for step in range(64)]
    _fill(
        canvas,
        [(x + width * ratio * cos(t), y + height * sin(t)) for t in turns],
        paint,
    )


def _hill(canvas: Pixels, rng: np.random.Generator, style: str) -> None:
    base = rng.uniform(0.35, 0.9)
    ridge = [(step / 6, base + rng.uniform(-0.2, 0.2)) for step in range(7)]
    _fill(canvas, [(0, 1.1), *ridge, (1, 1.1)], colour(rng, style))


def _sun(canvas: Pixels, rng: np.random.Generator, style: str) -> None:
    size = rng.uniform(0.06, 0.25)
    _ellipse(canvas, rng.uniform(), rng.uniform(0, 0.8), size, size, colour(rng, style))


def _house(canvas: Pixels, rng: np.random.Generator, style: str) -> None:
    x = rng.uniform(-0.1, 0.9)
    y = rng.uniform(0.1, 0.7)
    width = rng.uniform(0.08, 0.35)
    _fill(
        canvas, [(x, y), (x + width, y), (x + width, 1.1), (x, 1.1)], colour(rng, style)
    )
    glass = colour(rng, style)
    for row in range(3):
        for column in range(3):
            left = x + width * (0.12 + 0.3 * column)
            top = y + 0.06 + 0.13 * row
            right = left + width * 0.16
            low = top + 0.07
            _fill(canvas, [(left, top), (right, top), (right, low), (left, low)], glass)


def _tree(canvas: Pixels, rng: np.random.Generator, style: str) -> None:
    x = rng.uniform()
    y = rng.uniform(0.2, 0.7)
    size = rng.uniform(0.1, 0.25)
    stem = size * 0.1
    _fill(
        canvas,
        [(x - stem, y), (x + stem, y), (x + stem, 1.1), (x - stem, 1.1)],
        colour(rng, style),
    )
    _ellipse(canvas, x, y, size, size * rng.uniform(0.7, 1.4), colour(rng, style))


def _shard(canvas: Pixels, rng: np.random.Generator, style: str) -> None:
    x, y = rng.uniform(0, 1, 2)
    corners = [
        (x + rng.uniform(-0.4, 0.4), y + rng.uniform(-0.4, 0.4)) for _ in range(3)
    ]
    _fill(canvas, corners, colour(rng, style))


def _person(canvas: Pixels, rng: np.random.Generator, style: str) -> None:
    """Draw body, hair, face, eyes and mouth, distant or close."""
    x = rng.uniform(0.15, 0.85)
    size = rng.uniform(0.1, 0.32)
    y = rng.uniform(0.3, 0.65)
    ratio = canvas.shape[0] / canvas.shape[1]
    skin = tuple(
        channel * (0.25 if style == "night" else 1) for channel in (200.0, 222.0, 250.0)
    )
    part: Callable[..., None] = lambda dx, dy, w, h, paint: _ellipse(  # noqa: E731
        canvas, x + dx * size * ratio, y + dy * size, w * size, h * size, paint
    )
    part(0, 2.3, 1.5, 1.4, colour(rng, style))
    hair = colour(rng, style)
    part(0, -0.1, 1.15, 1.3, hair)
    part(0, 0.15, 0.85, 1, skin)
    part(0, -0.75, 0.9, 0.4, hair)
    iris = colour(rng, "night" if style == "night" else "day")
    for side in (-0.38, 0.38):
        part(side, 0.2, 0.2, 0.26, iris)
    part(0, 0.75, 0.22, rng.uniform(0.04, 0.14), (60, 60, 150))
