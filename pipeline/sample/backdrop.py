"""Where the characters are: five simple places, painted with one or two dozen shapes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from pipeline.sample.brush import Brush, Colour, Shape, dark, mix, oval, through

_WHITE: Colour = (255, 255, 255)

# Colours at the top and the bottom of the gradient.
_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((108, 178, 238), (222, 242, 252)),
    ((250, 170, 120), (255, 226, 188)),
    ((142, 132, 214), (248, 196, 214)),
    ((128, 206, 200), (236, 248, 226)),
    ((44, 54, 108), (132, 112, 172)),
    ((240, 190, 206), (255, 240, 236)),
)


def paint_backdrop(brush: Brush, place: str, dice: random.Random) -> None:
    """Paint a whole picture of 100 x 100 x aspect units; `place` is a key of `PLACES`."""
    width = brush.picture.width / brush.scale
    top, bottom = dice.choice(_SKIES)
    brush.fade([(0, 0), (width, 0), (width, 100), (0, 100)], top, bottom)
    PLACES[place](brush, width, (top, bottom), dice)


def _hills(brush: Brush, width: float, sky: tuple[Colour, Colour], dice: random.Random) -> None:
    for _ in range(4):
        middle, size = (dice.uniform(0, width), dice.uniform(8, 42)), dice.uniform(5, 10)
        _cloud(brush, middle, size, mix(sky[0], _WHITE, 0.72))
    for step, level in enumerate((66, 78, 90)):
        ridge = [(width * i / 5, level + dice.uniform(-7, 7)) for i in range(6)]
        green = mix((96, 160, 110), sky[1], 0.55 - 0.22 * step)
        brush.fill([*through(*ridge), (width, 101), (0, 101)], green)


def _cloud(brush: Brush, middle: tuple[float, float], size: float, colour: Colour) -> None:
    puffs = ((0.0, 0.0, 1.0), (-1.1, 0.3, 0.7), (1.2, 0.3, 0.75), (2.0, 0.5, 0.45))
    for dx, dy, part in puffs:
        radius = size * part
        brush.fill(oval(middle[0] + dx * size, middle[1] + dy * size, radius, radius * 0.7), colour)


def _town(brush: Brush, width: float, sky: tuple[Colour, Colour], dice: random.Random) -> None:
    brush.glaze(oval(dice.uniform(20, width - 20), 40, 15, 15), (255, 244, 206), 0.85, blur=0.6)
    x = -5.0
    while x < width:
        wide, tall = dice.uniform(12, 22), dice.uniform(24, 58)
        wall = mix(dark(sky[0], 0.62), sky[1], dice.uniform(0.1, 0.35))
        brush.fill([(x, 100 - tall), (x + wide, 100 - tall), (x + wide, 101), (x, 101)], wall)
        for _ in range(5):
            left, up = x + dice.uniform(1, wide - 4), dice.uniform(102 - tall, 96)
            pane = [(left, up), (left + 2.4, up), (left + 2.4, up + 3.4), (left, up + 3.4)]
            brush.fill(pane, mix(wall, (255, 226, 150), 0.7))
        x += wide + dice.uniform(-2, 5)


def _bokeh(brush: Brush, width: float, sky: tuple[Colour, Colour], dice: random.Random) -> None:
    for _ in range(16):
        spot = oval(dice.uniform(0, width), dice.uniform(0, 100), *[dice.uniform(4, 13)] * 2)
        tint = mix(sky[1], dice.choice(((255, 240, 190), (255, 210, 226), _WHITE)), 0.7)
        brush.glaze(spot, tint, dice.uniform(0.2, 0.5), blur=dice.choice((0.0, 0.8)))


def _room(brush: Brush, width: float, sky: tuple[Colour, Colour], dice: random.Random) -> None:
    wall = mix(sky[1], (238, 224, 206), 0.7)
    left, wide = dice.uniform(0.05, 0.45) * width, dice.uniform(56, 74)
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
            *through((x - 12 * out, 16), (x - 4 * out, 44), (x + 5 * out, 54)),
            *through((x + 4 * out, 58), (x - 1 * out, 84)),
            (x + 13 * out, 84),
        ]
        brush.fill(drape, curtain, dark(curtain, 0.8))
        fold = through((x + 4 * out, 7), (x + 7 * out, 50), (x + 5 * out, 82))
        brush.ink(fold, dark(curtain, 0.85))
    brush.line([(left - 16, 5), (left + wide + 16, 5)], dark(curtain, 0.6), 1.6)


def _around_window(left: float, wide: float, width: float) -> list[Shape]:
    return [
        [(0, 0), (width, 0), (width, 10), (0, 10)],
        [(0, 70), (width, 70), (width, 101), (0, 101)],
        [(0, 9), (left, 9), (left, 71), (0, 71)],
        [(left + wide, 9), (width, 9), (width, 71), (left + wide, 71)],
    ]


def _rays(brush: Brush, width: float, sky: tuple[Colour, Colour], dice: random.Random) -> None:
    middle = (dice.uniform(0.3, 0.7) * width, 60.0)
    start = dice.random()
    for ray in range(14):
        turn = 2 * math.pi * ray / 14 + start
        edges = [
            (middle[0] + 300 * math.cos(turn + d), middle[1] + 300 * math.sin(turn + d))
            for d in (-0.1, 0.1)
        ]
        brush.glaze([middle, *edges], mix(sky[0], _WHITE, 0.5), 0.42)
    for _ in range(12):
        x, y, size = dice.uniform(0, width), dice.uniform(0, 100), dice.uniform(1, 2.4)
        brush.glaze(_star(x, y, size), _WHITE, 0.8)


def _star(x: float, y: float, size: float) -> Shape:
    near, far = 0.5 * size, 2 * size
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

PLACES: dict[str, _Painter] = {
    "hills": _hills,
    "town": _town,
    "bokeh": _bokeh,
    "room": _room,
    "rays": _rays,
}
"""The places by name."""
