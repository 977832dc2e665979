"""Neck, shoulders, clothes and hair accessories."""

import math

from tools.sample.brush import (
    Brush,
    Colour,
    Point,
    Shape,
    bezier,
    curve,
    darken,
    mirror,
    mix,
    oval,
)
from tools.sample.character import Character
from tools.sample.head import FACE, paint_glasses

_WHITE: Colour = (252, 250, 248)
_BOTTOM = 300.0  # below the lower edge of any image

_NECK: Shape = [
    (41.5, 76),
    (42, 92),
    (36, 100),
    (50, 112),
    (64, 100),
    (58, 92),
    (58.5, 76),
]
_SHOULDER = curve((42, 94), (30, 99), (12, 105), (2, 120), (-3, 150))
_TORSO: Shape = [
    (50, 97),
    *_SHOULDER,
    (-6, _BOTTOM),
    (106, _BOTTOM),
    *mirror(_SHOULDER)[::-1],
]


def paint_body(brush: Brush, character: Character) -> None:
    """Paint neck and clothes; the head is painted over them."""
    skin = character.skin
    shade = mix(character.skin, (226, 140, 132), 0.5)
    brush.fade(
        _TORSO,
        character.cloth if character.clothes != "sailor" else _WHITE,
        darken(character.cloth, 0.7),
    )
    if character.clothes == "sailor":
        brush.fade(_TORSO, _WHITE, (206, 210, 226))
    brush.line([*_TORSO, _TORSO[0]], darken(character.cloth, 0.45), 1.0)
    brush.fill(_NECK, skin, darken(skin, 0.72))
    brush.glaze([(x, y + 6) for x, y in FACE], shade, 0.8, within=_NECK)
    {"sailor": _sailor, "blazer": _blazer, "hoodie": _hoodie, "scarf": _scarf}[
        character.clothes
    ](brush, character)


def paint_accessory(brush: Brush, character: Character, turn: Point) -> None:
    """Paint the accessory; glasses follow the turn of the head."""
    line = darken(character.accent, 0.5)
    if character.accessory == "glasses":
        paint_glasses(brush.shifted(turn), darken(character.accent, 0.8))
    elif character.accessory == "ribbon":
        _ribbon(brush, character.accent, line)
    elif character.accessory == "clip":
        for y in (27.0, 32.0):
            bar = [(69, y + 3), (80, y - 1.6), (81, y + 0.9), (70, y + 5.5)]
            brush.fill(bar, character.accent, line)
    elif character.accessory == "flower":
        for petal in range(5):
            angle = 2 * math.pi * petal / 5 - 0.5
            middle = (79 + 4.4 * math.cos(angle), 23 + 4.4 * math.sin(angle))
            brush.fill(oval(*middle, 3.5, 3.5), character.accent, line)
        brush.fill(oval(79, 23, 2.6, 2.6), _WHITE, line)


def _ribbon(brush: Brush, colour: Colour, line: Colour) -> None:
    """Paint a bow slightly right of the crown."""
    wing = curve((72, 9), (62, -6), (54, -3), (56, 8), (60, 14), (72, 9))
    other = [(144 - x, 2 * 9 - y + (x - 72) * -0.1) for x, y in wing]
    for loop in (wing, other):
        brush.fill(loop, colour, line)
        brush.glaze(
            loop[: len(loop) // 2], mix(colour, _WHITE, 0.5), 0.4, within=loop, blur=1
        )
    brush.ink([(70, 9), (65, 5), (60, 3)], line, 1.0)
    brush.ink([(74, 9), (79, 12), (84, 15)], line, 1.0)
    brush.fill(oval(72, 9, 3.4, 4), mix(colour, (0, 0, 0), 0.12), line)


def _sailor(brush: Brush, character: Character) -> None:
    line = darken(character.cloth, 0.5)
    collar = [(41, 93), *curve((35, 96), (22, 103), (14, 116)), (34, 124), (50, 118)]
    for side in (collar, mirror(collar)):
        brush.fill(side, character.cloth, line)
        stripe = side[-2:]
        brush.line([(x, y - 3) for x, y in stripe], _WHITE, 1.0)
    tie = [(50, 116), (40, 113), (38, 124), (50, 120)]
    for loop in (tie, mirror(tie)):
        brush.fill(loop, character.accent, darken(character.accent, 0.5))
    brush.fill(oval(50, 118, 3, 3.4), character.accent, darken(character.accent, 0.5))


def _blazer(brush: Brush, character: Character) -> None:
    shirt = [(38, 97), (50, 110), (62, 97), (66, 106), (50, 190), (34, 106)]
    brush.fill(shirt, _WHITE, (150, 150, 166))
    tie = [(47, 109), (53, 109), (56, 150), (50, 160), (44, 150)]
    brush.fill(tie, character.accent, darken(character.accent, 0.5))
    brush.fill(
        [(46, 106), (54, 106), (53, 112), (47, 112)], darken(character.accent, 0.85)
    )
    lapel = [(36, 97), (28, 101), (24, 122), (31, 126), (27, 132), (50, 190), (35, 108)]
    for side in (lapel, mirror(lapel)):
        brush.fill(
            side, mix(character.cloth, _WHITE, 0.1), darken(character.cloth, 0.45)
        )
    leaf = [(41, 92), (36, 98), (42, 110), (50, 110)]
    for side in (leaf, mirror(leaf)):
        brush.fill(side, _WHITE, (150, 150, 166))


def _hoodie(brush: Brush, character: Character) -> None:
    line = darken(character.cloth, 0.45)
    hood = [
        *curve((50, 116), (36, 110), (32, 98), (38, 90)),
        *curve((34, 88), (22, 96), (24, 112), (50, 126)),
    ]
    for side in (hood, mirror(hood)):
        brush.fill(side, mix(character.cloth, _WHITE, 0.14), line)
    for x in (43, 57):
        brush.line(bezier((x, 118), (x - 0.6, 128), (x, 140)), _WHITE, 1.5)
        brush.fill(oval(x, 141, 1.4, 2.2), character.accent)
    brush.line([(50, 126), (50, _BOTTOM)], line, 0.8)


def _scarf(brush: Brush, character: Character) -> None:
    line = darken(character.accent, 0.5)
    low = darken(character.accent, 0.86)
    tail = [(58, 104), (72, 104), (75, 146), (62, 148)]
    brush.fill(tail, low, line)
    for y in (120, 134):
        brush.line([(59.6 + (y - 104) / 9, y), (72.6 + (y - 104) / 15, y)], _WHITE, 1.8)
    wrap = [
        *curve((33, 92), (50, 103), (67, 92)),
        *curve((72, 101), (50, 119), (28, 101)),
    ]
    brush.fill(wrap, character.accent, line)
    brush.ink(curve((31, 97), (48, 108), (68, 99)), line, 0.9)
