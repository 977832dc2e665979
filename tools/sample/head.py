"""Heads: hair, skin, eyes, brows, nose and mouth, in proportions that animeface-2009 detects.

All numbers are in units of a head of 100 x 100; the eyes are at x = 50 -+ 13.5, y = 55.
"""

from __future__ import annotations

import random
from itertools import pairwise

from tools.sample.brush import (
    Brush,
    Colour,
    Point,
    Shape,
    bezier,
    bow,
    dark,
    mirror,
    mix,
    moved,
    oval,
    through,
)
from tools.sample.character import Character, Expression

_CROWN: Point = (50.0, 5.0)

# From the right temple to the left: roots (where strands part) alternate with tips.
_FRINGES: dict[str, tuple[Point, ...]] = {
    "jagged": (
        (79, 39),
        (72, 45),
        (67, 33),
        (59, 44),
        (54, 30),
        (45, 45),
        (40, 32),
        (31, 44),
        (21, 39),
    ),
    "straight": (
        (79, 38),
        (77, 43.5),
        (66, 40),
        (64, 43.6),
        (52, 40.5),
        (50, 44),
        (37, 40.5),
        (35, 43.6),
        (24, 40),
        (22.6, 43.5),
        (21, 38),
    ),
    "parted": (
        (79, 40),
        (75, 47),
        (70, 35),
        (64, 42),
        (50, 19),
        (36, 42),
        (30, 35),
        (25, 47),
        (21, 40),
    ),
    "swept": (
        (79, 37),
        (75, 44),
        (66, 22),
        (58, 40),
        (56, 33),
        (45, 44),
        (42, 36),
        (32, 46),
        (29, 38),
        (23, 46),
        (21, 40),
    ),
}

# Tufts over the crown, from left to right.
_SPIKES: tuple[Point, ...] = (
    (3, 48),
    (9, 38),
    (-4, 26),
    (11, 21),
    (7, 2),
    (28, 9),
    (31, -9),
    (48, 3),
    (60, -9),
    (67, 6),
    (87, -2),
    (85, 18),
    (102, 20),
    (91, 37),
    (97, 49),
    (89, 50),
)

_LOCKS = {"long": 80.0, "bob": 72.0, "spiky": 58.0, "twintails": 76.0, "ponytail": 68.0}


def front_hair(who: Character) -> Shape:
    """Return the outline of hair, side locks and fringe."""
    lock = _LOCKS[who.hairstyle]
    left, right = (17.0, lock), (83.0, lock)
    if who.hairstyle == "spiky":
        cap = _jagged((left, *_SPIKES, right), 0.12, 0.12)
    else:
        cap = through(
            left, (11, 50), (12, 28), (27, 9), (50, 3), (73, 9), (88, 28), (89, 50), right
        )
    fringe = _FRINGES[who.fringe]
    edge = _jagged(fringe, -0.16, 0.10)
    return cap + bow(right, fringe[0], -0.1) + edge + bow(fringe[-1], left, -0.1)


def _jagged(points: tuple[Point, ...], down: float, up: float) -> Shape:
    """Join points by arcs, alternately bent by `down` and `up`."""
    edge: Shape = []
    for index, (start, end) in enumerate(pairwise(points)):
        edge += bow(start, end, up if index % 2 else down)
    return edge


def paint_back_hair(brush: Brush, who: Character) -> None:
    """Paint the hair behind neck and face."""
    back, line = dark(who.hair, 0.8), dark(who.hair, 0.45)
    if who.hairstyle == "twintails":
        for tail in (_twintail(), mirror(_twintail())):
            brush.fade_outlined(tail, who.hair, dark(who.hair, 0.74), line)
        for tail in (_twintail_strand(), mirror(_twintail_strand())):
            brush.ink(tail, line, 1.0)
    if who.hairstyle == "ponytail":
        brush.fade_outlined(_PONYTAIL, who.hair, dark(who.hair, 0.72), line)
    mass = {"long": _LONG, "spiky": _SPIKY}.get(who.hairstyle, _BOB)
    brush.fade_outlined(mass, back, dark(who.hair, 0.62), line)


def paint_front_hair(brush: Brush, who: Character, shine: float) -> None:
    """Paint front hair, strands and highlight; `shine` moves the highlight sideways."""
    shape, line = front_hair(who), dark(who.hair, 0.45)
    brush.fade(shape, mix(who.hair, (255, 255, 255), 0.10), dark(who.hair, 0.86))
    brush.glaze(oval(94 + shine, 40, 20, 46), dark(who.hair, 0.6), 0.4, within=shape, blur=6)
    brush.glaze(_ring(shine), mix(who.hair, (255, 255, 255), 0.62), 0.85, within=shape, blur=0.4)
    brush.line([*shape, *shape[:2]], line, 1.0)
    for root in _FRINGES[who.fringe][2:-1:2]:
        towards = (root[0] + (_CROWN[0] - root[0]) * 0.5, root[1] + (_CROWN[1] - root[1]) * 0.62)
        brush.ink(bow(root, towards, 0.06), line, 0.9)
    for side in (((14.4, 34), (14, 50), (17, 64)), ((18, 30), (17.4, 42), (19.5, 52))):
        for strand in (through(*side), mirror(through(*side))):
            brush.ink(strand, dark(who.hair, 0.6), 0.8)


def _ring(shift: float) -> Shape:
    """Return the zigzag highlight around the crown that is typical of anime."""
    dice = random.Random("ring")  # noqa: S311 - drawing, not secrecy
    top = through((17, 30), (30, 19), (50, 15), (70, 19), (83, 30))
    zigzag = [
        (x, y + (dice.uniform(5, 8) if i % 2 else dice.uniform(1, 2.5)))
        for i, (x, y) in enumerate(top[::3])
    ]
    return [(x + shift * 0.4, y) for x, y in [*top, *zigzag[::-1]]]


def _twintail() -> Shape:
    outer = through((17, 26), (0, 26), (-11, 48), (-10, 84), (-2, 122))
    inner = through((-2, 122), (4, 104), (10, 96), (13, 72), (14, 44), (17, 26))
    return outer + inner


def _twintail_strand() -> Shape:
    return through((10, 34), (0, 50), (-2, 80), (0, 108))


def _fringed(left: Shape, tips: tuple[Point, ...]) -> Shape:
    """Return a symmetrical shape with pointed tips at the bottom."""
    bottom: Shape = []
    ends = (left[-1], *tips, (100 - left[-1][0], left[-1][1]))
    for start, end in pairwise(ends):
        bottom += bow(start, end, -0.10)
    return [*left, *bottom, *mirror(left)[::-1]]


_BOB = _fringed(
    through((50, 2), (26, 6), (10, 28), (8, 56), (9, 76), (17, 90)),
    ((26, 84), (33, 92), (50, 86), (67, 92), (74, 84)),
)
_LONG = _fringed(
    through((50, 2), (26, 6), (9, 28), (6, 60), (3, 100), (-2, 150)),
    ((10, 138), (22, 156), (50, 150), (78, 156), (90, 138)),
)
_SPIKY = _fringed(
    [*through((50, 2), (26, 6), (11, 26), (5, 40)), (11, 46), (5, 60), (13, 62), (12, 78)],
    ((22, 74), (30, 86), (50, 82), (70, 86), (78, 74)),
)
_PONYTAIL: Shape = [
    *through((62, 8), (86, 4), (106, 24), (110, 60), (98, 100)),
    *through((98, 100), (94, 84), (92, 60), (84, 30), (62, 8)),
]


_LASH: Colour = (48, 34, 44)
_WHITE: Colour = (255, 255, 255)
_JAW = bezier((22, 40), (21, 58), (26, 72), (40, 84), (50, 87))

_SKULL = through((78, 40), (72, 18), (50, 8), (28, 18), (22, 40))

FACE: Shape = [*_JAW, *mirror(_JAW)[::-1], *_SKULL]
"""Outline of the face; the hair covers its upper part."""


def paint_face(brush: Brush, who: Character, mood: Expression, shadow: Shape) -> None:
    """Paint ears, skin and features; `shadow` (the front hair) darkens the forehead."""
    line, shade = dark(who.skin, 0.72), mix(who.skin, (236, 150, 140), 0.42)
    if who.hairstyle == "spiky":  # the other hairstyles cover the ears
        for ear in (oval(21, 57, 3.2, 6.4), oval(79, 57, 3.2, 6.4)):
            brush.fill(ear, mix(who.skin, shade, 0.4), line)
    brush.fill(FACE, who.skin, line)
    brush.glaze(moved(shadow, 0.8, 3.2), shade, 0.75, within=FACE)
    brush.glaze(mirror(_JAW) + _JAW[::-1][:3], shade, 0.35, within=FACE, blur=2)
    brush = brush.shifted(mood.turn)
    _paint_blush(brush, mood.blush)
    _paint_mouth(brush, mood.mouth, who.skin)
    brush.ink([(50.4, 66.2), (49.4, 68.2), (50.6, 69.4)], dark(who.skin, 0.6), 1.1)
    for right in (False, True):
        _paint_eye(brush, who, mood, right)


def paint_brows(brush: Brush, who: Character, mood: Expression) -> None:
    """Paint the brows last, over the fringe, as is customary in anime."""
    lift = 41.5 - mood.brow - max(0.0, who.slant) * 0.3
    left = bezier((29.5, lift + 1.5 - who.slant), (35, lift - 1.4), (43, lift + 0.6 + mood.brow))
    for brow in (left, mirror(left)):
        brush.shifted(mood.turn).ink(brow, dark(who.hair, 0.5), 1.7)


def _paint_blush(brush: Brush, strength: float) -> None:
    for x in (31, 69):
        brush.glaze(oval(x, 69, 6.2, 3.4), (248, 128, 128), strength, within=FACE, blur=1.4)
        for dx in (-2.4, 0.0, 2.4):
            stroke = [(x + dx + 0.9, 67.6), (x + dx, 69), (x + dx - 0.9, 70.4)]
            brush.ink(stroke, (240, 140, 136), 0.7)


def _paint_mouth(brush: Brush, mouth: str, skin: Colour) -> None:
    line = dark(mix(skin, (200, 70, 70), 0.35), 0.62)
    if mouth == "flat":
        brush.ink(bezier((46, 77.6), (50, 76.8), (54, 77.6)), line, 1.2)
    elif mouth == "smile":
        brush.ink(bezier((44.6, 76), (47, 79.4), (53, 79.4), (55.4, 76)), line, 1.4)
    elif mouth == "open":
        _paint_open_mouth(brush, oval(50, 77.8, 3.4, 3.2), line)
    else:
        lip = bezier((44.4, 75.4), (50, 76.6), (55.6, 75.4))
        chin = bezier((55.6, 75.4), (54, 82.6), (46, 82.6), (44.4, 75.4))
        _paint_open_mouth(brush, lip + chin, line)


def _paint_open_mouth(brush: Brush, lips: Shape, line: Colour) -> None:
    brush.fill(lips, (176, 62, 74))
    brush.glaze(oval(50, 81.4, 3.6, 2.6), (244, 140, 140), 0.95, within=lips)
    brush.line([*lips, *lips[:2]], line, 0.7)


def _paint_eye(brush: Brush, who: Character, mood: Expression, right: bool) -> None:
    """Paint an eye, mirrored for the right except its gaze."""

    def side(shape: Shape) -> Shape:
        return mirror(shape) if right else shape

    up = who.slant
    outer, inner = (28.6, 55.2 - up), (43.6, 55.0)
    upper = through(outer, (30.6, 49.4 - up * 0.6), (36.4, 46.6), (42, 49.6), inner)
    lower = through(inner, (42.4, 61), (37, 63.8), (31.6, 61.6 - up * 0.4), outer)
    ball = side(upper + lower)
    brush.fill(ball, _WHITE)
    middle = (63.6 if right else 36.4) + mood.gaze[0]
    _paint_iris(brush, who.eyes, ball, middle, 55.4 + mood.gaze[1])
    shade = side([*upper, *moved(upper, 0, 2.6)[::-1]])
    brush.glaze(shade, (96, 84, 128), 0.45, within=ball, blur=0.3)
    _paint_lids(brush, who, side(upper), side(lower), up)


def _paint_iris(brush: Brush, colour: Colour, ball: Shape, x: float, y: float) -> None:
    iris, deep = oval(x, y, 5.7, 7.7), dark(colour, 0.45)
    brush.glaze(iris, deep, 1.0, within=ball)
    brush.glaze(oval(x, y + 0.5, 4.9, 6.8), colour, 1.0, within=ball)
    brush.glaze(oval(x, y - 3.6, 5.2, 5.2), deep, 0.8, within=iris, blur=1.0)
    glow = mix(colour, _WHITE, 0.55)
    brush.glaze(oval(x, y + 5.0, 3.6, 2.4), glow, 0.9, within=ball, blur=0.5)
    brush.glaze(oval(x, y, 2.5, 4.1), dark(colour, 0.16), 1.0, within=ball)
    brush.fill(oval(x - 2.3, y - 3.3, 2.1, 2.5), _WHITE)
    brush.fill(oval(x + 2.3, y + 3.2, 1.1, 1.2), _WHITE)


def _paint_lids(brush: Brush, who: Character, upper: Shape, lower: Shape, up: float) -> None:
    lash = moved(upper, 0, -2.5)
    outer = (upper[0][0] - (2.4 if upper[0][0] < 50 else -2.4), upper[0][1] - 1.6 - up * 0.8)
    inner = (upper[-1][0], upper[-1][1] - 1.2)
    brush.fill([outer, *lash[5:-5], inner, *upper[::-1]], _LASH)
    brush.ink(lower, mix(_LASH, who.skin, 0.35), 1.1)
    crease = moved(upper[12:-12], 0, -4.6)
    brush.ink(crease, dark(who.skin, 0.68), 0.7)


def paint_glasses(brush: Brush, colour: Colour) -> None:
    """Paint thin frames without reflections, which would prevent detection."""
    for x in (35.6, 64.4):
        lens = through(
            (x - 10.4, 54),
            (x - 8, 46.8),
            (x, 45.4),
            (x + 8, 46.8),
            (x + 10.4, 54),
            (x + 8, 63.6),
            (x, 65.6),
            (x - 8, 63.6),
            (x - 10.4, 54),
        )
        brush.line(lens, colour, 0.9)
    brush.line(bow((46, 54), (54, 54), 0.18), colour, 0.9)
