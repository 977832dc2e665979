"""Drawing styles: the parts that heads have in each style, and the outlines of faces."""

from __future__ import annotations

import random
from dataclasses import dataclass

from brush import Colour, Points, through
from eyes import EYES
from features import MOUTHS, NOSES
from hair import BACKS, FRONTS

SKINS: dict[str, tuple[Colour, ...]] = {
    "human": (
        (255, 228, 206),
        (250, 214, 186),
        (236, 190, 150),
        (206, 150, 110),
        (150, 100, 68),
        (104, 66, 44),
        (255, 238, 228),
    ),
    "yellow": ((255, 217, 15), (250, 220, 70), (240, 200, 40), (255, 230, 110)),
    "odd": (
        (120, 190, 90),
        (160, 160, 165),
        (110, 160, 220),
        (200, 130, 190),
        (230, 120, 90),
        (90, 200, 190),
        (180, 200, 150),
    ),
    "paper": ((255, 255, 255), (240, 240, 240), (225, 225, 225), (245, 236, 220)),
}


@dataclass(frozen=True)
class Style:
    """Options of a drawing style; elements of tuples are chosen with equal probability."""

    eyes: tuple[str, ...]
    skins: tuple[str, ...]
    shapes: tuple[str, ...]
    noses: tuple[str, ...]
    mouths: tuple[str, ...]
    fronts: tuple[str, ...]
    backs: tuple[str, ...]
    outline: tuple[float, float]
    """Range of the line width, in units; 0 is no line."""
    solid: float
    hats: float
    beards: float
    turn: float
    """Standard deviation of the rotation of heads to the side, in radians."""


HUMAN = ("human", "human", "human", "human", "odd")
ANY_FRONT = tuple(FRONTS)
ANY_BACK = tuple(BACKS)

STYLES: dict[str, Style] = {
    "anime": Style(
        ("anime", "anime", "anime", "anime", "closed", "plain"),
        ("human",) * 6 + ("odd", "paper"),
        ("pointed", "pointed", "egg"),
        ("none", "stroke", "dot", "stroke"),
        ("small", "smile", "open", "line", "cat", "oh"),
        ("jagged", "jagged", "parted", "straight", "swept", "tufts"),
        ("long", "bob", "spiky", "tails", "short"),
        (0.015, 0.05),
        0.12,
        0.08,
        0.02,
        0.35,
    ),
    "round": Style(
        ("round", "round", "round", "closed", "dot"),
        ("yellow", "yellow", "human", "human", "odd"),
        ("tall", "tall", "egg", "pear", "round", "square"),
        ("ball", "long", "ball", "bend", "corner"),
        ("line", "smile", "open", "teeth", "grin", "frown", "oh"),
        ("none", "none", "few", "tufts", "cap", "straight", "spikes"),
        ("none", "none", "short", "afro", "beehive", "bob", "spiky"),
        (0.03, 0.09),
        0.0,
        0.15,
        0.35,
        0.6,
    ),
    "cutout": Style(
        ("cutout", "cutout", "cutout", "round", "closed"),
        ("human", "human", "human", "odd"),
        ("round", "wide", "wide", "round"),
        ("none", "none", "none", "dot", "bend"),
        ("line", "smile", "small", "open", "teeth", "frown", "oh"),
        ("none", "cap", "straight", "few", "parted", "swept"),
        ("none", "short", "bob", "long", "tails"),
        (0.0, 0.04),
        0.0,
        0.5,
        0.12,
        0.15,
    ),
    "film": Style(
        ("film", "film", "film", "film", "anime", "closed"),
        HUMAN,
        ("egg", "heart", "egg", "square", "round"),
        ("soft", "soft", "ball", "soft"),
        ("lips", "smile", "open", "teeth", "line", "grin"),
        ("swept", "parted", "cap", "straight", "jagged", "none"),
        ("long", "tails", "short", "bob", "none"),
        (0.0, 0.0),
        1.0,
        0.15,
        0.15,
        0.5,
    ),
    "comic": Style(
        ("comic", "comic", "dot", "film", "closed"),
        ("human", "human", "paper", "odd"),
        ("egg", "square", "pointed", "pear"),
        ("corner", "bend", "stroke", "triangle", "ball"),
        MOUTHS,
        ANY_FRONT,
        ANY_BACK,
        (0.02, 0.08),
        0.15,
        0.15,
        0.25,
        0.6,
    ),
    "mixed": Style(
        EYES,
        ("human", "human", "yellow", "odd", "paper"),
        ("egg", "tall", "round", "wide", "pear", "pointed", "heart", "square"),
        NOSES,
        MOUTHS,
        ANY_FRONT,
        ANY_BACK,
        (0.0, 0.09),
        0.35,
        0.25,
        0.2,
        0.5,
    ),
    "puppet": Style(
        ("dot", "plain"),
        ("odd", "paper"),
        ("wide", "pear"),
        ("triangle", "ball"),
        ("line", "open"),
        ("few", "tufts", "none"),
        ("none", "afro"),
        (0.0, 0.02),
        1.0,
        0.2,
        0.1,
        0.3,
    ),
    "inked": Style(
        ("comic", "dot"),
        ("paper",),
        ("egg", "square"),
        ("corner", "bend"),
        ("line", "smile", "frown"),
        ("swept", "cap", "straight"),
        ("short", "bob"),
        (0.03, 0.07),
        0.0,
        0.15,
        0.2,
        0.6,
    ),
}
"""Styles by name. `HELD_OUT` are never used for training."""

HELD_OUT = ("puppet", "inked")
TRAINED = {"anime": 2.2, "round": 2.0, "cutout": 1.8, "film": 2.4, "comic": 1.0, "mixed": 3.0}

# (height, half width) of the face, from crown to chin.
_SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "egg": ((-1.25, 0.45), (-0.9, 0.85), (-0.3, 1.0), (0.3, 0.92), (0.75, 0.6), (1.0, 0.25)),
    "pointed": ((-1.2, 0.5), (-0.8, 0.9), (-0.2, 1.0), (0.25, 0.94), (0.65, 0.58), (0.95, 0.12)),
    "heart": ((-1.2, 0.6), (-0.8, 0.95), (-0.3, 1.0), (0.3, 0.85), (0.7, 0.5), (1.0, 0.2)),
    "round": ((-1.0, 0.4), (-0.75, 0.75), (-0.1, 1.0), (0.4, 0.92), (0.75, 0.65), (0.95, 0.25)),
    "wide": ((-0.85, 0.45), (-0.6, 0.8), (0.05, 1.0), (0.45, 0.9), (0.7, 0.65), (0.85, 0.3)),
    "tall": ((-1.75, 0.4), (-1.5, 0.75), (-0.7, 0.9), (0.2, 0.95), (0.8, 0.8), (1.15, 0.35)),
    "pear": ((-1.3, 0.35), (-1.0, 0.6), (-0.3, 0.8), (0.35, 1.0), (0.75, 0.85), (1.05, 0.35)),
    "square": ((-1.15, 0.6), (-0.85, 0.9), (-0.2, 0.97), (0.5, 0.95), (0.85, 0.75), (1.0, 0.4)),
}


def read_contour(shape: str, dice: random.Random) -> Points:
    """Return the outline of a face with small random variations."""
    tall = dice.uniform(0.88, 1.15)
    shape_points = [(y * tall, w * dice.uniform(0.94, 1.06)) for y, w in _SHAPES[shape]]
    right = [(w, y) for y, w in shape_points]
    left = [(-w, y) for y, w in reversed(shape_points)]
    return through([*right, *left], closed=True, steps=5)
