"""Objects that are not faces, some of them resembling one."""

from __future__ import annotations

import math
import random
import string

import cv2
import numpy as np
from brush import Brush, Colour, mix, oval, through
from eyes import INK, WHITE, Look, vivid
from hair import paint_back, paint_front
from scenery import any_colour

FONTS = (0, 1, 2, 3, 4, 5, 6, 7)


def paint_thing(brush: Brush, dice: random.Random) -> None:
    """Paint a random object, about one unit in size."""
    dice.choice(
        (
            _wheel,
            _clock,
            _ball,
            _flower,
            _pair_of_dots,
            _star,
            _sign,
            _bubble,
            _from_behind,
            _hand,
            _box_with_knobs,
            _fruit,
            _lamp,
            _tower,
            _blank_head,
            _eyes_alone,
        )
    )(brush, dice)


def _edge_of(dice: random.Random) -> Colour | None:
    return dice.choice((None, INK, any_colour(dice)))


def _wheel(brush: Brush, dice: random.Random) -> None:
    for far, colour in ((1.0, INK), (0.65, any_colour(dice)), (0.25, any_colour(dice))):
        brush.fill(oval(0, 0, far, far), colour, _edge_of(dice))
    for index in range(dice.choice((0, 4, 5, 6))):
        turn = index * 2 * math.pi / 5
        brush.line(
            np.array([(0, 0), (0.6 * math.cos(turn), 0.6 * math.sin(turn))], np.float32), INK, 0.08
        )


def _clock(brush: Brush, dice: random.Random) -> None:
    brush.fill(oval(0, 0, 1, 1), WHITE, INK, 0.1)
    for index in range(12):
        turn = index * math.pi / 6
        brush.fill(oval(0.8 * math.cos(turn), 0.8 * math.sin(turn), 0.06, 0.06), INK)
    for far in (0.5, 0.75):
        turn = dice.uniform(0, 6.3)
        brush.line(
            np.array([(0, 0), (far * math.cos(turn), far * math.sin(turn))], np.float32), INK, 0.06
        )


def _ball(brush: Brush, dice: random.Random) -> None:
    colour = any_colour(dice)
    brush.fill(oval(0, 0, 1, dice.uniform(0.7, 1.3)), colour, _edge_of(dice), 0.05)
    if dice.random() < 0.6:
        brush.shade(oval(0, 0, 1, 1), (-0.5, -0.6), 0.9, mix(colour, INK, 0.7), 0.5)
    else:
        brush.glaze(oval(-0.3, -0.3, 0.2, 0.3), WHITE, 0.7)


def _flower(brush: Brush, dice: random.Random) -> None:
    colour, count = any_colour(dice), dice.randint(5, 9)
    for index in range(count):
        turn = index * 2 * math.pi / count
        brush.fill(
            oval(0.6 * math.cos(turn), 0.6 * math.sin(turn), 0.4, 0.25, turn),
            colour,
            _edge_of(dice),
            0.03,
        )
    brush.fill(oval(0, 0, 0.3, 0.3), any_colour(dice))


def _pair_of_dots(brush: Brush, dice: random.Random) -> None:
    base, dot = any_colour(dice), dice.choice((INK, WHITE, any_colour(dice)))
    shape = dice.choice(
        (oval(0, 0, 1.2, 0.8), np.array([(-1, -0.6), (1, -0.6), (1, 0.6), (-1, 0.6)], np.float32))
    )
    brush.fill(shape, base, _edge_of(dice), 0.05)
    radius = dice.uniform(0.08, 0.3)
    places = dice.choice(
        (
            ((-0.5, 0), (0.5, 0)),
            ((0, -0.4), (0, 0.4)),
            ((-0.5, 0.3), (0.5, 0.3), (0, -0.3)),
            ((-0.4, -0.4), (0.4, -0.4), (-0.4, 0.4), (0.4, 0.4)),
        )
    )
    for x, y in places:
        brush.fill(oval(x, y, radius, radius), dot, _edge_of(dice), 0.03)


def _star(brush: Brush, dice: random.Random) -> None:
    points = []
    for index in range(10):
        far, turn = (1.0 if index % 2 else 0.45), index * math.pi / 5
        points.append((far * math.sin(turn), far * math.cos(turn)))
    brush.fill(np.array(points, np.float32), any_colour(dice), _edge_of(dice), 0.05)


def _sign(brush: Brush, dice: random.Random) -> None:
    w, h = dice.uniform(0.8, 2.0), dice.uniform(0.4, 1.0)
    box = np.array([(-w, -h), (w, -h), (w, h), (-w, h)], np.float32)
    if dice.random() < 0.7:
        brush.fill(box, any_colour(dice), _edge_of(dice), 0.06)
    _write(brush, (-w * 0.9, h * 0.4), dice)


def _write(brush: Brush, at: tuple[float, float], dice: random.Random) -> None:
    letters = string.ascii_letters + string.digits + "!?&.OoCcB8"
    word = "".join(dice.choice(letters) for _ in range(dice.randint(2, 9)))
    x, y = brush.place(np.array([at], np.float32))[0]
    size = max(brush.scale / dice.uniform(20, 50), 0.3)
    colour = dice.choice((INK, WHITE, any_colour(dice)))
    cv2.putText(
        brush.canvas,
        word,
        (int(x), int(y)),
        dice.choice(FONTS),
        size,
        colour,
        max(int(size * dice.uniform(1, 4)), 1),
        cv2.LINE_AA,
    )


def _bubble(brush: Brush, dice: random.Random) -> None:
    brush.fill(oval(0, 0, 1.4, 0.9), WHITE, INK, 0.04)
    brush.fill(np.array([(-0.2, 0.7), (0.2, 0.7), (0.3, 1.3)], np.float32), WHITE)
    for row in (-0.3, 0.1, 0.5):
        _write(brush, (-1.0, row), dice)


def _from_behind(brush: Brush, dice: random.Random) -> None:
    hair = any_colour(dice)
    look = Look((240, 200, 170), INK, 0.03, dice.random() < 0.6, hair, dice.random() < 0.4)
    kind = dice.choice(("long", "bob", "spiky", "short", "afro"))
    paint_back(brush, kind, look, dice)
    brush.fill(
        oval(0, -0.2, 1.0, dice.uniform(0.9, 1.2)),
        hair,
        mix(hair, INK, 0.6) if look.outlined else None,
    )
    for _ in range(dice.randint(0, 8)):
        x = dice.uniform(-0.8, 0.8)
        brush.line(through([(x * 0.3, -1.1), (x, 0), (x * 0.9, 0.9)]), mix(hair, INK, 0.25), 0.03)
    brush.mark(oval(0, -0.2, 1.1, 1.1))


def _blank_head(brush: Brush, dice: random.Random) -> None:
    skin = dice.choice(((255, 220, 190), (255, 217, 15), (150, 100, 70), any_colour(dice)))
    look = Look(skin, INK, 0.03, dice.random() < 0.6, any_colour(dice), dice.random() < 0.4)
    shape = oval(0, 0, 0.9, 1.1)
    brush.fill(shape, skin, look.line if look.outlined else None)
    if dice.random() < 0.5:
        brush.shade(shape, (-0.5, -0.5), 0.8, mix(skin, INK, 0.6), 0.2)
    if dice.random() < 0.5:
        paint_front(
            brush,
            lambda points: points,
            dice.choice(("jagged", "swept", "straight")),
            look,
            shape,
            (0.2, -0.5),
            dice,
        )
    brush.mark(shape)


def _eyes_alone(brush: Brush, dice: random.Random) -> None:
    """Paint discs with dots: eggs, buttons, lamps, but not eyes."""
    for _ in range(dice.choice((1, 1, 3, 5))):
        x, y, far = dice.uniform(-1.5, 1.5), dice.uniform(-1.5, 1.5), dice.uniform(0.2, 0.5)
        brush.fill(
            oval(x, y, far, far), dice.choice((WHITE, any_colour(dice))), _edge_of(dice), 0.04
        )
        brush.fill(oval(x, y, far * 0.4, far * 0.4), dice.choice((INK, any_colour(dice))))


def _hand(brush: Brush, dice: random.Random) -> None:
    skin = dice.choice(((255, 220, 190), (255, 217, 15), (150, 100, 70), any_colour(dice)))
    edge = _edge_of(dice)
    for index in range(4):
        turn = -2.2 + index * 0.4
        brush.fill(
            oval(0.7 * math.cos(turn), 0.7 * math.sin(turn), 0.5, 0.16, turn), skin, edge, 0.03
        )
    brush.fill(oval(0, 0, 0.55, 0.6), skin, edge, 0.03)


def _box_with_knobs(brush: Brush, dice: random.Random) -> None:
    brush.fill(
        np.array([(-1.3, -0.8), (1.3, -0.8), (1.3, 0.8), (-1.3, 0.8)], np.float32),
        any_colour(dice),
        _edge_of(dice),
        0.05,
    )
    brush.fill(
        np.array([(-0.9, -0.5), (0.4, -0.5), (0.4, 0.5), (-0.9, 0.5)], np.float32),
        any_colour(dice),
        INK,
    )
    for y in (-0.4, 0.1, 0.5):
        brush.fill(oval(0.85, y, 0.16, 0.16), any_colour(dice), _edge_of(dice))


def _fruit(brush: Brush, dice: random.Random) -> None:
    colour = vivid(dice, (0.5, 1), (0.4, 1))
    for _ in range(dice.choice((1, 2, 6))):
        x, y = dice.uniform(-0.8, 0.8), dice.uniform(-0.8, 0.8)
        brush.fill(oval(x, y, 0.5, 0.5), colour, _edge_of(dice), 0.03)
        brush.glaze(oval(x - 0.15, y - 0.2, 0.1, 0.12), WHITE, 0.8)


def _lamp(brush: Brush, dice: random.Random) -> None:
    brush.fill(
        np.array([(-0.08, 0), (0.08, 0), (0.08, 2.5), (-0.08, 2.5)], np.float32), any_colour(dice)
    )
    brush.fill(
        np.array([(-0.5, -0.8), (0.5, -0.8), (0.9, 0.3), (-0.9, 0.3)], np.float32),
        any_colour(dice),
        _edge_of(dice),
    )


def _tower(brush: Brush, dice: random.Random) -> None:
    brush.fill(
        np.array([(-0.8, -2), (0.8, -2), (0.8, 2), (-0.8, 2)], np.float32),
        any_colour(dice),
        _edge_of(dice),
        0.06,
    )
    for row in range(4):
        for side in (-0.4, 0.4):
            brush.fill(
                oval(side, -1.5 + row, 0.22, 0.3),
                dice.choice((INK, any_colour(dice))),
                _edge_of(dice),
            )
    if dice.random() < 0.5:
        brush.fill(np.array([(-0.3, 1.2), (0.3, 1.2), (0.3, 2), (-0.3, 2)], np.float32), INK)
