"""Objects that are not faces, some of them resembling one."""

import math
import random
import string

import cv2
import numpy as np
from brush import Brush, Colour, curve, mix, oval, polygon
from eyes import INK, WHITE, Palette, vivid
from hair import paint_back, paint_front
from scenery import any_colour

FONTS = (0, 1, 2, 3, 4, 5, 6, 7)


def paint_object(brush: Brush, rng: random.Random) -> None:
    """Paint a random object, about one unit in size."""
    rng.choice(
        (
            _wheel,
            _clock,
            _ball,
            _flower,
            _pair_of_dots,
            _star,
            _sign,
            _bubble,
            _head_from_behind,
            _hand,
            _box_with_knobs,
            _fruit,
            _lamp,
            _tower,
            _blank_head,
            _dotted_discs,
        )
    )(brush, rng)


def _edge_of(rng: random.Random) -> Colour | None:
    return rng.choice((None, INK, any_colour(rng)))


def _wheel(brush: Brush, rng: random.Random) -> None:
    for far, colour in ((1.0, INK), (0.65, any_colour(rng)), (0.25, any_colour(rng))):
        brush.fill(oval(0, 0, far, far), colour, _edge_of(rng))
    for index in range(rng.choice((0, 4, 5, 6))):
        turn = index * 2 * math.pi / 5
        brush.line(
            polygon((0, 0), (0.6 * math.cos(turn), 0.6 * math.sin(turn))), INK, 0.08
        )


def _clock(brush: Brush, rng: random.Random) -> None:
    brush.fill(oval(0, 0, 1, 1), WHITE, INK, 0.1)
    for index in range(12):
        turn = index * math.pi / 6
        brush.fill(oval(0.8 * math.cos(turn), 0.8 * math.sin(turn), 0.06, 0.06), INK)
    for far in (0.5, 0.75):
        turn = rng.uniform(0, 6.3)
        brush.line(
            polygon((0, 0), (far * math.cos(turn), far * math.sin(turn))), INK, 0.06
        )


def _ball(brush: Brush, rng: random.Random) -> None:
    colour = any_colour(rng)
    brush.fill(oval(0, 0, 1, rng.uniform(0.7, 1.3)), colour, _edge_of(rng), 0.05)
    if rng.random() < 0.6:
        brush.shade(oval(0, 0, 1, 1), (-0.5, -0.6), 0.9, mix(colour, INK, 0.7), 0.5)
    else:
        brush.glaze(oval(-0.3, -0.3, 0.2, 0.3), WHITE, 0.7)


def _flower(brush: Brush, rng: random.Random) -> None:
    colour = any_colour(rng)
    count = rng.randint(5, 9)
    for index in range(count):
        turn = index * 2 * math.pi / count
        brush.fill(
            oval(0.6 * math.cos(turn), 0.6 * math.sin(turn), 0.4, 0.25, turn),
            colour,
            _edge_of(rng),
            0.03,
        )
    brush.fill(oval(0, 0, 0.3, 0.3), any_colour(rng))


def _pair_of_dots(brush: Brush, rng: random.Random) -> None:
    base = any_colour(rng)
    dot = rng.choice((INK, WHITE, any_colour(rng)))
    shape = rng.choice(
        (oval(0, 0, 1.2, 0.8), polygon((-1, -0.6), (1, -0.6), (1, 0.6), (-1, 0.6)))
    )
    brush.fill(shape, base, _edge_of(rng), 0.05)
    radius = rng.uniform(0.08, 0.3)
    places = rng.choice(
        (
            ((-0.5, 0), (0.5, 0)),
            ((0, -0.4), (0, 0.4)),
            ((-0.5, 0.3), (0.5, 0.3), (0, -0.3)),
            ((-0.4, -0.4), (0.4, -0.4), (-0.4, 0.4), (0.4, 0.4)),
        )
    )
    for x, y in places:
        brush.fill(oval(x, y, radius, radius), dot, _edge_of(rng), 0.03)


def _star(brush: Brush, rng: random.Random) -> None:
    points = []
    for index in range(10):
        far = 1.0 if index % 2 else 0.45
        turn = index * math.pi / 5
        points.append((far * math.sin(turn), far * math.cos(turn)))
    brush.fill(polygon(*points), any_colour(rng), _edge_of(rng), 0.05)


def _sign(brush: Brush, rng: random.Random) -> None:
    w = rng.uniform(0.8, 2.0)
    h = rng.uniform(0.4, 1.0)
    box = polygon((-w, -h), (w, -h), (w, h), (-w, h))
    if rng.random() < 0.7:
        brush.fill(box, any_colour(rng), _edge_of(rng), 0.06)
    _write_text(brush, (-w * 0.9, h * 0.4), rng)


def _write_text(brush: Brush, at: tuple[float, float], rng: random.Random) -> None:
    letters = string.ascii_letters + string.digits + "!?&.OoCcB8"
    word = "".join(rng.choice(letters) for _ in range(rng.randint(2, 9)))
    x, y = brush.place(np.array([at], np.float32))[0]
    size = max(brush.scale / rng.uniform(20, 50), 0.3)
    colour = rng.choice((INK, WHITE, any_colour(rng)))
    cv2.putText(
        brush.canvas,
        word,
        (int(x), int(y)),
        rng.choice(FONTS),
        size,
        colour,
        max(int(size * rng.uniform(1, 4)), 1),
        cv2.LINE_AA,
    )


def _bubble(brush: Brush, rng: random.Random) -> None:
    brush.fill(oval(0, 0, 1.4, 0.9), WHITE, INK, 0.04)
    brush.fill(polygon((-0.2, 0.7), (0.2, 0.7), (0.3, 1.3)), WHITE)
    for row in (-0.3, 0.1, 0.5):
        _write_text(brush, (-1.0, row), rng)


def _head_from_behind(brush: Brush, rng: random.Random) -> None:
    hair = any_colour(rng)
    palette = Palette(
        (240, 200, 170), INK, 0.03, rng.random() < 0.6, hair, rng.random() < 0.4
    )
    kind = rng.choice(("long", "bob", "spiky", "short", "afro"))
    paint_back(brush, kind, palette, rng)
    brush.fill(
        oval(0, -0.2, 1.0, rng.uniform(0.9, 1.2)),
        hair,
        mix(hair, INK, 0.6) if palette.outlined else None,
    )
    for _ in range(rng.randint(0, 8)):
        x = rng.uniform(-0.8, 0.8)
        brush.line(
            curve([(x * 0.3, -1.1), (x, 0), (x * 0.9, 0.9)]), mix(hair, INK, 0.25), 0.03
        )
    brush.mark(oval(0, -0.2, 1.1, 1.1))


def _blank_head(brush: Brush, rng: random.Random) -> None:
    skin = rng.choice(
        ((255, 220, 190), (255, 217, 15), (150, 100, 70), any_colour(rng))
    )
    palette = Palette(
        skin, INK, 0.03, rng.random() < 0.6, any_colour(rng), rng.random() < 0.4
    )
    shape = oval(0, 0, 0.9, 1.1)
    brush.fill(shape, skin, palette.line if palette.outlined else None)
    if rng.random() < 0.5:
        brush.shade(shape, (-0.5, -0.5), 0.8, mix(skin, INK, 0.6), 0.2)
    if rng.random() < 0.5:
        paint_front(
            brush,
            lambda points: points,
            rng.choice(("jagged", "swept", "straight")),
            palette,
            shape,
            (0.2, -0.5),
            rng,
        )
    brush.mark(shape)


def _dotted_discs(brush: Brush, rng: random.Random) -> None:
    """Paint discs with dots: eggs, buttons, lamps, but not eyes."""
    for _ in range(rng.choice((1, 1, 3, 5))):
        x = rng.uniform(-1.5, 1.5)
        y = rng.uniform(-1.5, 1.5)
        far = rng.uniform(0.2, 0.5)
        brush.fill(
            oval(x, y, far, far),
            rng.choice((WHITE, any_colour(rng))),
            _edge_of(rng),
            0.04,
        )
        brush.fill(oval(x, y, far * 0.4, far * 0.4), rng.choice((INK, any_colour(rng))))


def _hand(brush: Brush, rng: random.Random) -> None:
    skin = rng.choice(
        ((255, 220, 190), (255, 217, 15), (150, 100, 70), any_colour(rng))
    )
    edge = _edge_of(rng)
    for index in range(4):
        turn = -2.2 + index * 0.4
        brush.fill(
            oval(0.7 * math.cos(turn), 0.7 * math.sin(turn), 0.5, 0.16, turn),
            skin,
            edge,
            0.03,
        )
    brush.fill(oval(0, 0, 0.55, 0.6), skin, edge, 0.03)


def _box_with_knobs(brush: Brush, rng: random.Random) -> None:
    brush.fill(
        polygon((-1.3, -0.8), (1.3, -0.8), (1.3, 0.8), (-1.3, 0.8)),
        any_colour(rng),
        _edge_of(rng),
        0.05,
    )
    brush.fill(
        polygon((-0.9, -0.5), (0.4, -0.5), (0.4, 0.5), (-0.9, 0.5)),
        any_colour(rng),
        INK,
    )
    for y in (-0.4, 0.1, 0.5):
        brush.fill(oval(0.85, y, 0.16, 0.16), any_colour(rng), _edge_of(rng))


def _fruit(brush: Brush, rng: random.Random) -> None:
    colour = vivid(rng, (0.5, 1), (0.4, 1))
    for _ in range(rng.choice((1, 2, 6))):
        x, y = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8)
        brush.fill(oval(x, y, 0.5, 0.5), colour, _edge_of(rng), 0.03)
        brush.glaze(oval(x - 0.15, y - 0.2, 0.1, 0.12), WHITE, 0.8)


def _lamp(brush: Brush, rng: random.Random) -> None:
    brush.fill(
        polygon((-0.08, 0), (0.08, 0), (0.08, 2.5), (-0.08, 2.5)), any_colour(rng)
    )
    brush.fill(
        polygon((-0.5, -0.8), (0.5, -0.8), (0.9, 0.3), (-0.9, 0.3)),
        any_colour(rng),
        _edge_of(rng),
    )


def _tower(brush: Brush, rng: random.Random) -> None:
    brush.fill(
        polygon((-0.8, -2), (0.8, -2), (0.8, 2), (-0.8, 2)),
        any_colour(rng),
        _edge_of(rng),
        0.06,
    )
    for row in range(4):
        for side in (-0.4, 0.4):
            brush.fill(
                oval(side, -1.5 + row, 0.22, 0.3),
                rng.choice((INK, any_colour(rng))),
                _edge_of(rng),
            )
    if rng.random() < 0.5:
        brush.fill(polygon((-0.3, 1.2), (0.3, 1.2), (0.3, 2), (-0.3, 2)), INK)
