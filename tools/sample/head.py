"""Heads: hair, skin, eyes, brows, nose and mouth, in proportions that animeface-2009 detects.

All numbers are in units of a head of 100 x 100; the eyes are at x = 50 -+ 13.5, y = 55.
"""

import random
from itertools import pairwise

from tools.sample.brush import (
    Brush,
    Colour,
    Point,
    Shape,
    arc,
    bezier,
    curve,
    darken,
    mirror,
    mix,
    oval,
    translate,
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


def front_hair(character: Character) -> Shape:
    """Return the outline of hair, side locks and fringe."""
    lock = _LOCKS[character.hairstyle]
    left = (17.0, lock)
    right = (83.0, lock)
    if character.hairstyle == "spiky":
        cap = _jagged((left, *_SPIKES, right), 0.12, 0.12)
    else:
        cap = curve(
            left,
            (11, 50),
            (12, 28),
            (27, 9),
            (50, 3),
            (73, 9),
            (88, 28),
            (89, 50),
            right,
        )
    fringe = _FRINGES[character.fringe]
    edge = _jagged(fringe, -0.16, 0.10)
    return cap + arc(right, fringe[0], -0.1) + edge + arc(fringe[-1], left, -0.1)


def _jagged(points: tuple[Point, ...], down: float, up: float) -> Shape:
    """Join points by arcs, alternately bent by `down` and `up`."""
    edge: Shape = []
    for index, (start, end) in enumerate(pairwise(points)):
        edge += arc(start, end, up if index % 2 else down)
    return edge


def paint_back_hair(brush: Brush, character: Character) -> None:
    """Paint the hair behind neck and face."""
    back = darken(character.hair, 0.8)
    line = darken(character.hair, 0.45)
    if character.hairstyle == "twintails":
        for tail in (_twintail(), mirror(_twintail())):
            brush.fade_outlined(
                tail, character.hair, darken(character.hair, 0.74), line
            )
        for tail in (_twintail_strand(), mirror(_twintail_strand())):
            brush.ink(tail, line, 1.0)
    if character.hairstyle == "ponytail":
        brush.fade_outlined(
            _PONYTAIL, character.hair, darken(character.hair, 0.72), line
        )
    mass = {"long": _LONG, "spiky": _SPIKY}.get(character.hairstyle, _BOB)
    brush.fade_outlined(mass, back, darken(character.hair, 0.62), line)


def paint_front_hair(brush: Brush, character: Character, shine: float) -> None:
    """Paint front hair, strands and highlight; `shine` moves the highlight sideways."""
    shape = front_hair(character)
    line = darken(character.hair, 0.45)
    brush.fade(
        shape, mix(character.hair, (255, 255, 255), 0.10), darken(character.hair, 0.86)
    )
    brush.glaze(
        oval(94 + shine, 40, 20, 46),
        darken(character.hair, 0.6),
        0.4,
        within=shape,
        blur=6,
    )
    brush.glaze(
        _ring(shine),
        mix(character.hair, (255, 255, 255), 0.62),
        0.85,
        within=shape,
        blur=0.4,
    )
    brush.line([*shape, *shape[:2]], line, 1.0)
    for root in _FRINGES[character.fringe][2:-1:2]:
        towards = (
            root[0] + (_CROWN[0] - root[0]) * 0.5,
            root[1] + (_CROWN[1] - root[1]) * 0.62,
        )
        brush.ink(arc(root, towards, 0.06), line, 0.9)
    for side in (((14.4, 34), (14, 50), (17, 64)), ((18, 30), (17.4, 42), (19.5, 52))):
        for strand in (curve(*side), mirror(curve(*side))):
            brush.ink(strand, darken(character.hair, 0.6), 0.8)


def _ring(shift: float) -> Shape:
    """Return the zigzag highlight around the crown that is typical of anime."""
    rng = random.Random("ring")  # noqa: S311 - drawing, not secrecy
    top = curve((17, 30), (30, 19), (50, 15), (70, 19), (83, 30))
    zigzag = [
        (x, y + (rng.uniform(5, 8) if i % 2 else rng.uniform(1, 2.5)))
        for i, (x, y) in enumerate(top[::3])
    ]
    return [(x + shift * 0.4, y) for x, y in [*top, *zigzag[::-1]]]


def _twintail() -> Shape:
    outer = curve((17, 26), (0, 26), (-11, 48), (-10, 84), (-2, 122))
    inner = curve((-2, 122), (4, 104), (10, 96), (13, 72), (14, 44), (17, 26))
    return outer + inner


def _twintail_strand() -> Shape:
    return curve((10, 34), (0, 50), (-2, 80), (0, 108))


def _fringed(left: Shape, tips: tuple[Point, ...]) -> Shape:
    """Return a symmetrical shape with pointed tips at the bottom."""
    bottom: Shape = []
    ends = (left[-1], *tips, (100 - left[-1][0], left[-1][1]))
    for start, end in pairwise(ends):
        bottom += arc(start, end, -0.10)
    return [*left, *bottom, *mirror(left)[::-1]]


_BOB = _fringed(
    curve((50, 2), (26, 6), (10, 28), (8, 56), (9, 76), (17, 90)),
    ((26, 84), (33, 92), (50, 86), (67, 92), (74, 84)),
)
_LONG = _fringed(
    curve((50, 2), (26, 6), (9, 28), (6, 60), (3, 100), (-2, 150)),
    ((10, 138), (22, 156), (50, 150), (78, 156), (90, 138)),
)
_SPIKY = _fringed(
    [
        *curve((50, 2), (26, 6), (11, 26), (5, 40)),
        (11, 46),
        (5, 60),
        (13, 62),
        (12, 78),
    ],
    ((22, 74), (30, 86), (50, 82), (70, 86), (78, 74)),
)
_PONYTAIL: Shape = [
    *curve((62, 8), (86, 4), (106, 24), (110, 60), (98, 100)),
    *curve((98, 100), (94, 84), (92, 60), (84, 30), (62, 8)),
]


_LASH: Colour = (48, 34, 44)
_WHITE: Colour = (255, 255, 255)
_JAW = bezier((22, 40), (21, 58), (26, 72), (40, 84), (50, 87))

_SKULL = curve((78, 40), (72, 18), (50, 8), (28, 18), (22, 40))

FACE: Shape = [*_JAW, *mirror(_JAW)[::-1], *_SKULL]
"""Outline of the face; the hair covers its upper part."""


def paint_face(
    brush: Brush, character: Character, expression: Expression, shadow: Shape
) -> None:
    """Paint ears, skin and features; `shadow` (the front hair) darkens the forehead."""
    line = darken(character.skin, 0.72)
    shade = mix(character.skin, (236, 150, 140), 0.42)
    if character.hairstyle == "spiky":  # the other hairstyles cover the ears
        for ear in (oval(21, 57, 3.2, 6.4), oval(79, 57, 3.2, 6.4)):
            brush.fill(ear, mix(character.skin, shade, 0.4), line)
    brush.fill(FACE, character.skin, line)
    brush.glaze(translate(shadow, 0.8, 3.2), shade, 0.75, within=FACE)
    brush.glaze(mirror(_JAW) + _JAW[::-1][:3], shade, 0.35, within=FACE, blur=2)
    brush = brush.shifted(expression.turn)
    _paint_blush(brush, expression.blush)
    _paint_mouth(brush, expression.mouth, character.skin)
    brush.ink(
        [(50.4, 66.2), (49.4, 68.2), (50.6, 69.4)], darken(character.skin, 0.6), 1.1
    )
    for right in (False, True):
        _paint_eye(brush, character, expression, right)


def paint_brows(brush: Brush, character: Character, expression: Expression) -> None:
    """Paint the brows last, over the fringe, as is customary in anime."""
    lift = 41.5 - expression.brow - max(0.0, character.slant) * 0.3
    left = bezier(
        (29.5, lift + 1.5 - character.slant),
        (35, lift - 1.4),
        (43, lift + 0.6 + expression.brow),
    )
    for brow in (left, mirror(left)):
        brush.shifted(expression.turn).ink(brow, darken(character.hair, 0.5), 1.7)


def _paint_blush(brush: Brush, strength: float) -> None:
    for x in (31, 69):
        brush.glaze(
            oval(x, 69, 6.2, 3.4), (248, 128, 128), strength, within=FACE, blur=1.4
        )
        for dx in (-2.4, 0.0, 2.4):
            stroke = [(x + dx + 0.9, 67.6), (x + dx, 69), (x + dx - 0.9, 70.4)]
            brush.ink(stroke, (240, 140, 136), 0.7)


def _paint_mouth(brush: Brush, mouth: str, skin: Colour) -> None:
    line = darken(mix(skin, (200, 70, 70), 0.35), 0.62)
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


def _paint_eye(
    brush: Brush, character: Character, expression: Expression, right: bool
) -> None:
    """Paint an eye, mirrored for the right except its gaze."""

    def side(shape: Shape) -> Shape:
        return mirror(shape) if right else shape

    up = character.slant
    outer = (28.6, 55.2 - up)
    inner = (43.6, 55.0)
    upper = curve(outer, (30.6, 49.4 - up * 0.6), (36.4, 46.6), (42, 49.6), inner)
    lower = curve(inner, (42.4, 61), (37, 63.8), (31.6, 61.6 - up * 0.4), outer)
    ball = side(upper + lower)
    brush.fill(ball, _WHITE)
    middle = (63.6 if right else 36.4) + expression.gaze[0]
    _paint_iris(brush, character.eyes, ball, middle, 55.4 + expression.gaze[1])
    shade = side([*upper, *translate(upper, 0, 2.6)[::-1]])
    brush.glaze(shade, (96, 84, 128), 0.45, within=ball, blur=0.3)
    _paint_lids(brush, character, side(upper), side(lower), up)


def _paint_iris(brush: Brush, colour: Colour, ball: Shape, x: float, y: float) -> None:
    iris = oval(x, y, 5.7, 7.7)
    deep = darken(colour, 0.45)
    brush.glaze(iris, deep, 1.0, within=ball)
    brush.glaze(oval(x, y + 0.5, 4.9, 6.8), colour, 1.0, within=ball)
    brush.glaze(oval(x, y - 3.6, 5.2, 5.2), deep, 0.8, within=iris, blur=1.0)
    glow = mix(colour, _WHITE, 0.55)
    brush.glaze(oval(x, y + 5.0, 3.6, 2.4), glow, 0.9, within=ball, blur=0.5)
    brush.glaze(oval(x, y, 2.5, 4.1), darken(colour, 0.16), 1.0, within=ball)
    brush.fill(oval(x - 2.3, y - 3.3, 2.1, 2.5), _WHITE)
    brush.fill(oval(x + 2.3, y + 3.2, 1.1, 1.2), _WHITE)


def _paint_lids(
    brush: Brush, character: Character, upper: Shape, lower: Shape, up: float
) -> None:
    lash = translate(upper, 0, -2.5)
    outer = (
        upper[0][0] - (2.4 if upper[0][0] < 50 else -2.4),
        upper[0][1] - 1.6 - up * 0.8,
    )
    inner = (upper[-1][0], upper[-1][1] - 1.2)
    brush.fill([outer, *lash[5:-5], inner, *upper[::-1]], _LASH)
    brush.ink(lower, mix(_LASH, character.skin, 0.35), 1.1)
    crease = translate(upper[12:-12], 0, -4.6)
    brush.ink(crease, darken(character.skin, 0.68), 0.7)


def paint_glasses(brush: Brush, colour: Colour) -> None:
    """Paint thin frames without reflections, which would prevent detection."""
    for x in (35.6, 64.4):
        lens = curve(
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
    brush.line(arc((46, 54), (54, 54), 0.18), colour, 0.9)
