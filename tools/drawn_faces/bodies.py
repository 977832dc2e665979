"""Bodies below a head: neck, shoulders, arms, clothes."""

from __future__ import annotations

import random

import numpy as np
from brush import Brush, Colour, mix, oval, through
from eyes import INK, WHITE, vivid
from styles import SKINS


def paint_body(brush: Brush, dice: random.Random) -> None:
    """Paint neck, shoulders and sometimes arms; the head is painted over them."""
    cloth = vivid(dice, (0.0, 0.9), (0.1, 1.0))
    skin = dice.choice(SKINS["human"])
    edge = INK if dice.random() < 0.5 else None
    neck, wide = dice.uniform(0.2, 0.5), dice.uniform(0.8, 2.2)
    high, low = dice.uniform(1.1, 1.6), dice.uniform(2.5, 6.0)
    brush.fill(
        np.array([(-neck, 0.5), (neck, 0.5), (neck, high + 0.4), (-neck, high + 0.4)], np.float32),
        skin,
        edge,
    )
    torso = through(
        [
            (-neck, high),
            (-wide, high + 0.4),
            (-wide * dice.uniform(0.7, 1.3), low),
            (wide * dice.uniform(0.7, 1.3), low),
            (wide, high + 0.4),
            (neck, high),
        ]
    )
    brush.fill(torso, cloth, edge)
    if dice.random() < 0.3:
        brush.shade(torso, (dice.uniform(-1, 1), -0.5), 0.7, mix(cloth, INK, 0.7))
    brush.mark(torso)
    _paint_clothes(brush, cloth, high, low, wide, dice)
    if dice.random() < 0.5:
        for side in (-1, 1):
            hand = (side * (wide + dice.uniform(-0.3, 1.2)), dice.uniform(high, low))
            arm = through(
                [(side * wide * 0.9, high + 0.5), (side * (wide + 0.4), (high + low) / 2), hand]
            )
            brush.line(arm, mix(cloth, INK, 0.1), dice.uniform(0.25, 0.5))
            brush.fill(oval(*hand, 0.25, 0.25), skin, edge)


def _paint_clothes(
    brush: Brush, cloth: Colour, high: float, low: float, wide: float, dice: random.Random
) -> None:
    trim = dice.choice((WHITE, INK, mix(cloth, INK, 0.4), vivid(dice, (0.3, 1), (0.3, 1))))
    kind = dice.choice(("plain", "collar", "buttons", "tie", "stripes", "logo"))
    if kind == "collar":
        for side in (-1, 1):
            brush.fill(
                np.array(
                    [(0, high + 0.7), (side * 0.6, high), (side * 0.8, high + 0.5)], np.float32
                ),
                trim,
            )
    elif kind in ("buttons", "logo"):
        for step in range(4 if kind == "buttons" else 1):
            size = 0.09 if kind == "buttons" else 0.4
            place = high + (0.6 + step * 0.5 if kind == "buttons" else 1.2)
            brush.fill(oval(0, place, size, size), trim)
    elif kind == "tie":
        brush.fill(
            np.array(
                [
                    (-0.12, high),
                    (0.12, high),
                    (0.25, high + 1.4),
                    (0, high + 1.7),
                    (-0.25, high + 1.4),
                ],
                np.float32,
            ),
            trim,
        )
    elif kind == "stripes":
        for step in range(5):
            y = high + 0.6 + step * (low - high) / 5
            brush.line(np.array([(-wide, y), (wide, y)], np.float32), trim, 0.15)
