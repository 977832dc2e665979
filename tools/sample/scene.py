"""Scenes: figures, light and background, planned as a value and then painted.

Everything is derived from a seed by `random.Random`, so that an image can be reproduced on any
machine. animeface-2009 detects the faces; `face_box` gives their true boxes.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from gleanset.records import Box
from tools.sample.brush import (
    OVERSAMPLE,
    Brush,
    Colour,
    Point,
    Shape,
    curve,
    darken,
    mix,
    oval,
)
from tools.sample.character import (
    CAST,
    Character,
    Expression,
    random_character,
    random_expression,
)
from tools.sample.head import (
    FACE,
    front_hair,
    paint_back_hair,
    paint_brows,
    paint_face,
    paint_front_hair,
)
from tools.sample.outfit import paint_accessory, paint_body

_WHITE: Colour = (255, 255, 255)

# Colors at the top and the bottom of the gradient.
_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((108, 178, 238), (222, 242, 252)),
    ((250, 170, 120), (255, 226, 188)),
    ((142, 132, 214), (248, 196, 214)),
    ((128, 206, 200), (236, 248, 226)),
    ((44, 54, 108), (132, 112, 172)),
    ((240, 190, 206), (255, 240, 236)),
)


def paint_backdrop(brush: Brush, backdrop: str, rng: random.Random) -> None:
    """Paint a background, 100 units high; `backdrop` is a name in `BACKDROPS`."""
    width = brush.image.width / brush.scale
    top, bottom = rng.choice(_SKIES)
    brush.fade([(0, 0), (width, 0), (width, 100), (0, 100)], top, bottom)
    BACKDROPS[backdrop](brush, width, (top, bottom), rng)


def _hills(
    brush: Brush, width: float, sky: tuple[Colour, Colour], rng: random.Random
) -> None:
    for _ in range(4):
        middle = (rng.uniform(0, width), rng.uniform(8, 42))
        size = rng.uniform(5, 10)
        _cloud(brush, middle, size, mix(sky[0], _WHITE, 0.72))
    for step, level in enumerate((66, 78, 90)):
        ridge = [(width * i / 5, level + rng.uniform(-7, 7)) for i in range(6)]
        green = mix((96, 160, 110), sky[1], 0.55 - 0.22 * step)
        brush.fill([*curve(*ridge), (width, 101), (0, 101)], green)


def _cloud(
    brush: Brush, middle: tuple[float, float], size: float, colour: Colour
) -> None:
    puffs = ((0.0, 0.0, 1.0), (-1.1, 0.3, 0.7), (1.2, 0.3, 0.75), (2.0, 0.5, 0.45))
    for dx, dy, part in puffs:
        radius = size * part
        brush.fill(
            oval(middle[0] + dx * size, middle[1] + dy * size, radius, radius * 0.7),
            colour,
        )


def _town(
    brush: Brush, width: float, sky: tuple[Colour, Colour], rng: random.Random
) -> None:
    brush.glaze(
        oval(rng.uniform(20, width - 20), 40, 15, 15), (255, 244, 206), 0.85, blur=0.6
    )
    x = -5.0
    while x < width:
        wide = rng.uniform(12, 22)
        tall = rng.uniform(24, 58)
        wall = mix(darken(sky[0], 0.62), sky[1], rng.uniform(0.1, 0.35))
        brush.fill(
            [(x, 100 - tall), (x + wide, 100 - tall), (x + wide, 101), (x, 101)], wall
        )
        for _ in range(5):
            left = x + rng.uniform(1, wide - 4)
            up = rng.uniform(102 - tall, 96)
            pane = [
                (left, up),
                (left + 2.4, up),
                (left + 2.4, up + 3.4),
                (left, up + 3.4),
            ]
            brush.fill(pane, mix(wall, (255, 226, 150), 0.7))
        x += wide + rng.uniform(-2, 5)


def _bokeh(
    brush: Brush, width: float, sky: tuple[Colour, Colour], rng: random.Random
) -> None:
    for _ in range(16):
        spot = oval(
            rng.uniform(0, width), rng.uniform(0, 100), *[rng.uniform(4, 13)] * 2
        )
        tint = mix(sky[1], rng.choice(((255, 240, 190), (255, 210, 226), _WHITE)), 0.7)
        brush.glaze(spot, tint, rng.uniform(0.2, 0.5), blur=rng.choice((0.0, 0.8)))


def _room(
    brush: Brush, width: float, sky: tuple[Colour, Colour], rng: random.Random
) -> None:
    wall = mix(sky[1], (238, 224, 206), 0.7)
    left = rng.uniform(0.05, 0.45) * width
    wide = rng.uniform(56, 74)
    for shape in _around_window(left, wide, width):
        brush.fill(shape, wall)
    frame = [(left, 10), (left + wide, 10), (left + wide, 70), (left, 70), (left, 10)]
    brush.line(frame, _WHITE, 3)
    brush.line([(left + wide / 2, 10), (left + wide / 2, 70)], _WHITE, 2)
    brush.line([(left, 36), (left + wide, 36)], _WHITE, 1.6)
    light = [(left + wide, 70), (left, 70), (left - 26, 100), (left + wide - 20, 100)]
    brush.glaze(light, _WHITE, 0.3)
    curtain = mix(sky[0], _WHITE, 0.35)
    for x, out in ((left, -1), (left + wide, 1)):
        drape = [
            (x + 12 * out, 5),
            (x - 13 * out, 5),
            *curve((x - 12 * out, 16), (x - 4 * out, 44), (x + 5 * out, 54)),
            *curve((x + 4 * out, 58), (x - 1 * out, 84)),
            (x + 13 * out, 84),
        ]
        brush.fill(drape, curtain, darken(curtain, 0.8))
        fold = curve((x + 4 * out, 7), (x + 7 * out, 50), (x + 5 * out, 82))
        brush.ink(fold, darken(curtain, 0.85))
    brush.line([(left - 16, 5), (left + wide + 16, 5)], darken(curtain, 0.6), 1.6)


def _around_window(left: float, wide: float, width: float) -> list[Shape]:
    return [
        [(0, 0), (width, 0), (width, 10), (0, 10)],
        [(0, 70), (width, 70), (width, 101), (0, 101)],
        [(0, 9), (left, 9), (left, 71), (0, 71)],
        [(left + wide, 9), (width, 9), (width, 71), (left + wide, 71)],
    ]


def _rays(
    brush: Brush, width: float, sky: tuple[Colour, Colour], rng: random.Random
) -> None:
    middle = (rng.uniform(0.3, 0.7) * width, 60.0)
    start = rng.random()
    for ray in range(14):
        turn = 2 * math.pi * ray / 14 + start
        edges = [
            (middle[0] + 300 * math.cos(turn + d), middle[1] + 300 * math.sin(turn + d))
            for d in (-0.1, 0.1)
        ]
        brush.glaze([middle, *edges], mix(sky[0], _WHITE, 0.5), 0.42)
    for _ in range(12):
        x = rng.uniform(0, width)
        y = rng.uniform(0, 100)
        size = rng.uniform(1, 2.4)
        brush.glaze(_star(x, y, size), _WHITE, 0.8)


def _star(x: float, y: float, size: float) -> Shape:
    near = 0.5 * size
    far = 2 * size
    return [
        (x, y - far),
        (x + near, y - near),
        (x + far, y),
        (x + near, y + near),
        (x, y + far),
        (x - near, y + near),
        (x - far, y),
        (x - near, y - near),
    ]


_Painter = Callable[[Brush, float, tuple[Colour, Colour], random.Random], None]

BACKDROPS: dict[str, _Painter] = {
    "hills": _hills,
    "town": _town,
    "bokeh": _bokeh,
    "room": _room,
    "rays": _rays,
}
"""Painters of backgrounds, by name."""


__all__ = [
    "CAST",
    "Character",
    "Figure",
    "Scene",
    "draw_scene",
    "paint_scene",
    "plan_scene",
    "random_character",
]

_FACE_MIDDLE: Point = (50.0, 58.0)
_FACE_SIDE = 56.0

# Factors of the light for red, green and blue.
_LIGHTS = (
    (1.0, 1.0, 1.0),
    (1.0, 1.0, 1.0),
    (1.03, 0.98, 0.91),
    (0.95, 0.98, 1.03),
    (0.92, 0.9, 0.93),
)


@dataclass(frozen=True, slots=True)
class Shade:
    """Shadow over the head, beyond `edge` units from its center.

    `turn` is the direction of the shadow in radians; `strength` is 0..1.
    """

    turn: float
    edge: float
    strength: float


@dataclass(frozen=True, slots=True)
class Figure:
    """Character in a scene: top left corner and side of the head in pixels, tilt in degrees."""

    character: Character
    x: float
    y: float
    side: float
    tilt: float
    expression: Expression
    shine: float = 0.0
    shade: Shade | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything needed to paint an image. `seed` determines the details of the background."""

    size: tuple[int, int]
    backdrop: str
    seed: int
    light: tuple[float, float, float]
    figures: tuple[Figure, ...]


def draw_scene(
    characters: Sequence[Character], seed: int, size: tuple[int, int] = (640, 360)
) -> tuple[Image.Image, list[Box]]:
    """Draw characters as an RGB image, with their true face boxes."""
    scene = plan_scene(characters, seed, size)
    return paint_scene(scene), [face_box(figure) for figure in scene.figures]


def plan_scene(
    characters: Sequence[Character], seed: int, size: tuple[int, int] = (640, 360)
) -> Scene:
    """Plan backdrop, light, positions and expressions; faces are always inside the image."""
    rng = random.Random(f"scene {seed}")  # noqa: S311 - drawing, not secrecy
    backdrop = rng.choice(sorted(BACKDROPS))
    light = rng.choice(_LIGHTS)
    share = size[0] / len(characters)
    figures = [
        _plan_figure(character, (index * share, share, size[1]), rng)
        for index, character in enumerate(characters)
    ]
    return Scene(size, backdrop, seed, light, tuple(figures))


def _plan_figure(
    character: Character, room: tuple[float, float, int], rng: random.Random
) -> Figure:
    """Place a character in its part of the image: left, width, height."""
    left, width, height = room
    side = min(rng.uniform(0.46, 0.8) * height, 0.78 * width)
    return Figure(
        character=character,
        x=left + rng.uniform(0.04, 0.96) * (width - side),
        y=rng.uniform(0.06 * side, height - 0.96 * side),
        side=side,
        tilt=rng.uniform(-8, 8),
        expression=random_expression(rng),
        shine=rng.uniform(-8, 8),
        shade=_plan_shade(rng),
    )


def _plan_shade(rng: random.Random) -> Shade:
    """Shade from one side: detectors miss faces lit from below."""
    turn = rng.choice((0.0, math.pi)) + rng.uniform(-0.6, 0.6)
    return Shade(turn, rng.uniform(-4, 16), rng.uniform(0.06, 0.24))


def face_box(figure: Figure) -> Box:
    """Return a figure's true face box in pixels of the image."""
    # The brush computes the position of the tilted head; a blank image is enough.
    blank = Image.new("1", (1, 1))
    head = Brush(blank, figure.side / 100, (figure.x, figure.y), figure.tilt)
    x, y = head.to_pixel(_FACE_MIDDLE)
    side = _FACE_SIDE * figure.side / 100
    return Box(round(x - side / 2), round(y - side / 2), round(side), round(side))


def paint_scene(scene: Scene) -> Image.Image:
    """Paint the scene oversized and scale it down."""
    width, height = scene.size
    canvas = Image.new("RGB", (width * OVERSAMPLE, height * OVERSAMPLE))
    rng = random.Random(f"place {scene.seed}")  # noqa: S311 - drawing, not secrecy
    paint_backdrop(Brush(canvas, height * OVERSAMPLE / 100), scene.backdrop, rng)
    for figure in scene.figures:
        paint_figure(canvas, figure)
    image = canvas.resize(scene.size, Image.Resampling.LANCZOS)
    tone_curve = [
        min(255, round(value * part)) for part in scene.light for value in range(256)
    ]
    return image.point(tone_curve)


def paint_figure(canvas: Image.Image, figure: Figure) -> None:
    """Paint a figure from back to front; only the head tilts."""
    character = figure.character
    scale = figure.side * OVERSAMPLE / 100
    body = Brush(canvas, scale, (figure.x * OVERSAMPLE, figure.y * OVERSAMPLE))
    head = body.tilted(figure.tilt)
    paint_back_hair(head, character)
    paint_body(body, character)
    paint_face(head, character, figure.expression, front_hair(character))
    _paint_shade(head, figure.shade, FACE)
    paint_front_hair(head, character, figure.shine)
    _paint_shade(head, figure.shade, front_hair(character))
    paint_brows(head, character, figure.expression)
    paint_accessory(head, character, figure.expression.turn)


def _paint_shade(head: Brush, shade: Shade | None, within: Shape) -> None:
    """Paint the violet shadow of cel animation."""
    if shade is None:
        return
    along = (math.cos(shade.turn), math.sin(shade.turn))

    def spot(far: float, across: float) -> Point:
        return (
            50 + along[0] * far - along[1] * across,
            55 + along[1] * far + along[0] * across,
        )

    dark_side = [
        spot(shade.edge, -99),
        spot(shade.edge, 99),
        spot(150, 99),
        spot(150, -99),
    ]
    head.glaze(dark_side, (112, 60, 112), shade.strength, within=within, blur=0.8)
