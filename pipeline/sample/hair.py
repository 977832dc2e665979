"""Hair, in two parts: what hangs behind the head, and the cap with fringe before it."""

from __future__ import annotations

import random
from itertools import pairwise

from pipeline.sample.brush import Brush, Point, Shape, bow, dark, mirror, mix, oval, through
from pipeline.sample.character import Character

_CROWN: Point = (50.0, 5.0)

# From the right temple to the left: roots (where strands part) and tips take turns.
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

# The same, over the crown from left to right: tufts that stand up.
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
    """The cap over the skull, the side locks and the fringe, as one outline."""
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
    """Bows from root to tip (bent by `down`) and from tip to root (bent by `up`)."""
    edge: Shape = []
    for index, (start, end) in enumerate(pairwise(points)):
        edge += bow(start, end, up if index % 2 else down)
    return edge


def paint_back_hair(brush: Brush, who: Character) -> None:
    """Everything behind neck and face."""
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
    """The front hair with strands and a ring of light; `shine` moves the ring sideways."""
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
    """The zigzag band of light around the crown that every anime head has."""
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
    """A symmetrical mass: its left side, mirrored, with pointed tips along the bottom."""
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
