"""Scenes: who stands where, in which light, before what; planned as a value, then painted.

Everything comes from a seed through `random.Random`, so that a picture can be drawn again
anywhere. The faces are found by animeface-2009; their true boxes come with the picture.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from gleanset.records import Box
from pipeline.sample.backdrop import PLACES, paint_backdrop
from pipeline.sample.brush import OVERSAMPLE, Brush, Point, Shape
from pipeline.sample.character import (
    CAST,
    Character,
    Expression,
    random_character,
    random_expression,
)
from pipeline.sample.hair import front_hair, paint_back_hair, paint_front_hair
from pipeline.sample.head import FACE, paint_brows, paint_face
from pipeline.sample.outfit import paint_accessory, paint_body

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

# What the light does to red, green and blue.
_LIGHTS = (
    (1.0, 1.0, 1.0),
    (1.0, 1.0, 1.0),
    (1.03, 0.98, 0.91),
    (0.95, 0.98, 1.03),
    (0.92, 0.9, 0.93),
)


@dataclass(frozen=True, slots=True)
class Shade:
    """A shadow over the head: all that lies beyond `edge` units from its middle.

    `turn` is the direction in which the shadow lies, in radians; `strength` is 0..1.
    """

    turn: float
    edge: float
    strength: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A character in a scene: the head's top left corner and side in pixels, tilt in degrees."""

    who: Character
    x: float
    y: float
    side: float
    tilt: float
    mood: Expression
    shine: float = 0.0
    shade: Shade | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is needed to paint a picture. `seed` decides the details of the place."""

    size: tuple[int, int]
    place: str
    seed: int
    light: tuple[float, float, float]
    figures: tuple[Figure, ...]


def draw_scene(
    characters: Sequence[Character], seed: int, size: tuple[int, int] = (640, 360)
) -> tuple[Image.Image, list[Box]]:
    """An RGB picture of one or two characters, and the true boxes of their faces."""
    scene = plan_scene(characters, seed, size)
    return paint_scene(scene), [face_box(figure) for figure in scene.figures]


def plan_scene(
    characters: Sequence[Character], seed: int, size: tuple[int, int] = (640, 360)
) -> Scene:
    """Decide place, light, positions and moods; the faces always lie inside the picture."""
    dice = random.Random(f"scene {seed}")  # noqa: S311 - drawing, not secrecy
    place, light = dice.choice(sorted(PLACES)), dice.choice(_LIGHTS)
    share = size[0] / len(characters)
    figures = [
        _plan_figure(who, (index * share, share, size[1]), dice)
        for index, who in enumerate(characters)
    ]
    return Scene(size, place, seed, light, tuple(figures))


def _plan_figure(who: Character, room: tuple[float, float, int], dice: random.Random) -> Figure:
    """Place a character within the part of the picture (left, width, height) that is theirs."""
    left, width, height = room
    side = min(dice.uniform(0.46, 0.8) * height, 0.78 * width)
    return Figure(
        who=who,
        x=left + dice.uniform(0.04, 0.96) * (width - side),
        y=dice.uniform(0.06 * side, height - 0.96 * side),
        side=side,
        tilt=dice.uniform(-8, 8),
        mood=random_expression(dice),
        shine=dice.uniform(-8, 8),
        shade=_plan_shade(dice),
    )


def _plan_shade(dice: random.Random) -> Shade:
    """From one side, never from below: faces lit like that look eerie, to detectors too."""
    turn = dice.choice((0.0, math.pi)) + dice.uniform(-0.6, 0.6)
    return Shade(turn, dice.uniform(-4, 16), dice.uniform(0.06, 0.24))


def face_box(figure: Figure) -> Box:
    """The true face box of a figure, in pixels of the finished picture."""
    # Only the brush knows how a tilted head moves; what it paints on does not matter here.
    blank = Image.new("1", (1, 1))
    head = Brush(blank, figure.side / 100, (figure.x, figure.y), figure.tilt)
    x, y = head.at(_FACE_MIDDLE)
    side = _FACE_SIDE * figure.side / 100
    return Box(round(x - side / 2), round(y - side / 2), round(side), round(side))


def paint_scene(scene: Scene) -> Image.Image:
    """Paint it, larger than wanted, and scale it down."""
    width, height = scene.size
    canvas = Image.new("RGB", (width * OVERSAMPLE, height * OVERSAMPLE))
    dice = random.Random(f"place {scene.seed}")  # noqa: S311 - drawing, not secrecy
    paint_backdrop(Brush(canvas, height * OVERSAMPLE / 100), scene.place, dice)
    for figure in scene.figures:
        _paint_figure(canvas, figure)
    picture = canvas.resize(scene.size, Image.Resampling.LANCZOS)
    curve = [min(255, round(value * part)) for part in scene.light for value in range(256)]
    return picture.point(curve)


def _paint_figure(canvas: Image.Image, figure: Figure) -> None:
    """Back hair, body, face, front hair: from far to near. Only the head is tilted."""
    who, scale = figure.who, figure.side * OVERSAMPLE / 100
    body = Brush(canvas, scale, (figure.x * OVERSAMPLE, figure.y * OVERSAMPLE))
    head = body.tilted(figure.tilt)
    paint_back_hair(head, who)
    paint_body(body, who)
    paint_face(head, who, figure.mood, front_hair(who))
    _paint_shade(head, figure.shade, FACE)
    paint_front_hair(head, who, figure.shine)
    _paint_shade(head, figure.shade, front_hair(who))
    paint_brows(head, who, figure.mood)
    paint_accessory(head, who, figure.mood.turn)


def _paint_shade(head: Brush, shade: Shade | None, within: Shape) -> None:
    """The violet shadow of cel animation."""
    if shade is None:
        return
    along = (math.cos(shade.turn), math.sin(shade.turn))

    def spot(far: float, aside: float) -> Point:
        return (50 + along[0] * far - along[1] * aside, 55 + along[1] * far + along[0] * aside)

    dark_side = [spot(shade.edge, -99), spot(shade.edge, 99), spot(150, 99), spot(150, -99)]
    head.glaze(dark_side, (112, 60, 112), shade.strength, within=within, blur=0.8)
