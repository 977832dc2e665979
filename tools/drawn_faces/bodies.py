"""Bodies below a head: neck, shoulders, arms, clothes."""

import random

from brush import Brush, Colour, curve, mix, oval, polygon
from eyes import INK, WHITE, vivid
from styles import SKINS


def paint_body(brush: Brush, rng: random.Random) -> None:
    """Paint neck, shoulders and sometimes arms; the head is painted over them."""
    cloth = vivid(rng, (0.0, 0.9), (0.1, 1.0))
    skin = rng.choice(SKINS["human"])
    edge = INK if rng.random() < 0.5 else None
    neck = rng.uniform(0.2, 0.5)
    wide = rng.uniform(0.8, 2.2)
    high = rng.uniform(1.1, 1.6)
    low = rng.uniform(2.5, 6.0)
    brush.fill(
        polygon((-neck, 0.5), (neck, 0.5), (neck, high + 0.4), (-neck, high + 0.4)),
        skin,
        edge,
    )
    torso = curve(
        [
            (-neck, high),
            (-wide, high + 0.4),
            (-wide * rng.uniform(0.7, 1.3), low),
            (wide * rng.uniform(0.7, 1.3), low),
            (wide, high + 0.4),
            (neck, high),
        ]
    )
    brush.fill(torso, cloth, edge)
    if rng.random() < 0.3:
        brush.shade(torso, (rng.uniform(-1, 1), -0.5), 0.7, mix(cloth, INK, 0.7))
    brush.mark(torso)
    _paint_clothes(brush, cloth, high, low, wide, rng)
    if rng.random() < 0.5:
        for side in (-1, 1):
            hand = (side * (wide + rng.uniform(-0.3, 1.2)), rng.uniform(high, low))
            arm = curve(
                [
                    (side * wide * 0.9, high + 0.5),
                    (side * (wide + 0.4), (high + low) / 2),
                    hand,
                ]
            )
            brush.line(arm, mix(cloth, INK, 0.1), rng.uniform(0.25, 0.5))
            brush.fill(oval(*hand, 0.25, 0.25), skin, edge)


def _paint_clothes(
    brush: Brush,
    cloth: Colour,
    high: float,
    low: float,
    wide: float,
    rng: random.Random,
) -> None:
    trim = rng.choice(
        (WHITE, INK, mix(cloth, INK, 0.4), vivid(rng, (0.3, 1), (0.3, 1)))
    )
    kind = rng.choice(("plain", "collar", "buttons", "tie", "stripes", "logo"))
    if kind == "collar":
        for side in (-1, 1):
            brush.fill(
                polygon((0, high + 0.7), (side * 0.6, high), (side * 0.8, high + 0.5)),
                trim,
            )
    elif kind in ("buttons", "logo"):
        for step in range(4 if kind == "buttons" else 1):
            size = 0.09 if kind == "buttons" else 0.4
            place = high + (0.6 + step * 0.5 if kind == "buttons" else 1.2)
            brush.fill(oval(0, place, size, size), trim)
    elif kind == "tie":
        brush.fill(
            polygon(
                (-0.12, high),
                (0.12, high),
                (0.25, high + 1.4),
                (0, high + 1.7),
                (-0.25, high + 1.4),
            ),
            trim,
        )
    elif kind == "stripes":
        for step in range(5):
            y = high + 0.6 + step * (low - high) / 5
            brush.line(polygon((-wide, y), (wide, y)), trim, 0.15)
