"""Drawing styles (`styles.toml`): the parts of heads in each style, and the outlines of faces."""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from pathlib import Path

from brush import Colour, Points, curve
from eyes import EYES
from features import MOUTHS, NOSES
from hair import BACKS, FRONTS

_FILE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
SKINS: dict[str, list[Colour]] = {
    kind: [(red, green, blue) for red, green, blue in colours]
    for kind, colours in _FILE["skins"].items()
}
_KINDS = {
    "eyes": EYES,
    "skins": tuple(SKINS),
    "shapes": tuple(_FILE["shapes"]),
    "noses": NOSES,
    "mouths": MOUTHS,
    "fronts": FRONTS,
    "backs": BACKS,
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
    """Range of the line width, in units; 0: no line."""
    solid: float
    hats: float
    beards: float
    turn: float
    """Standard deviation of the rotation of heads to the side, in radians."""

    @classmethod
    def from_table(cls, table: dict[str, object]) -> Style:
        """Read a style; raise `ValueError` for kinds that cannot be drawn."""
        values = dict(table)
        for part, kinds in _KINDS.items():
            words = kinds if table[part] == "any" else tuple(str(table[part]).split())
            if unknown := set(words) - set(kinds):
                raise ValueError(f"unknown {part}: {', '.join(unknown)}")
            values[part] = words
        return cls(**values)


STYLES = {name: Style.from_table(table) for name, table in _FILE["styles"].items()}
TRAINING_STYLES: dict[str, float] = _FILE["trained"]
HELD_OUT = tuple(name for name in STYLES if name not in TRAINING_STYLES)
"""Styles that are never used for training."""


def read_contour(shape: str, rng: random.Random) -> Points:
    """Return the outline of a face with small random variations."""
    tall = rng.uniform(0.88, 1.15)
    shape_points = [
        (y * tall, w * rng.uniform(0.94, 1.06)) for y, w in _FILE["shapes"][shape]
    ]
    right = [(w, y) for y, w in shape_points]
    left = [(-w, y) for y, w in reversed(shape_points)]
    return curve([*right, *left], closed=True, steps=5)
