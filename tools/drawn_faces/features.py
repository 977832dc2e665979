"""Noses, mouths and beards of all kinds, in units of half a face's width (eyes.py)."""

import random

import numpy as np
from brush import Brush, Points, arc, curve, mix, oval, polygon
from eyes import INK, WHITE, Palette

NOSES = ("none", "stroke", "dot", "corner", "ball", "long", "soft", "triangle", "bend")


def paint_nose(
    brush: Brush, kind: str, palette: Palette, eye_y: float, rng: random.Random
) -> float:
    """Paint a nose; return the y coordinate of its lower end."""
    size = rng.uniform(0.1, 0.26)
    y = max(eye_y + rng.uniform(0.22, 0.5), 0.12)
    shadow = mix(palette.skin, INK, 0.35)
    edge = palette.line if palette.outlined else shadow
    lean = rng.choice((-1, 1))
    if kind == "stroke":
        brush.line(
            polygon((0, y - size / 2), (lean * 0.04, y + size / 3)), edge, palette.width
        )
    elif kind == "dot":
        brush.fill(oval(0, y, 0.035, 0.03), shadow)
    elif kind in ("corner", "bend"):
        points = [(0, y - size * 1.6), (lean * size * 0.7, y), (0, y + size * 0.2)]
        path = curve(points) if kind == "bend" else polygon(*points)
        brush.line(path, edge, palette.width)
    elif kind in ("ball", "long"):
        return y + _paint_round_nose(brush, kind, palette, (y, size), rng)
    elif kind == "soft":
        _paint_soft_nose(brush, palette, y, size)
    elif kind == "triangle":
        shape = polygon((-size, y), (size, y), (0, y + size))
        brush.fill(shape, rng.choice((INK, shadow, (220, 110, 90))))
    return y + size


def _paint_round_nose(
    brush: Brush,
    kind: str,
    palette: Palette,
    place: tuple[float, float],
    rng: random.Random,
) -> float:
    """Paint a round or long nose; return half its height."""
    y, size = place
    tone = rng.choice(
        (palette.skin, mix(palette.skin, (230, 60, 60), rng.uniform(0.1, 0.7)))
    )
    tall = size * (rng.uniform(1.2, 2.2) if kind == "long" else rng.uniform(0.7, 1.0))
    shape = oval(0, y, size * rng.uniform(0.8, 1.4), tall)
    brush.fill(shape, tone, palette.line if palette.outlined else None, palette.width)
    if palette.solid or not palette.outlined:
        brush.shade(shape, (-0.4, -0.5), 0.6, mix(tone, INK, 0.6), 0.5 * palette.solid)
    return tall


def _paint_soft_nose(brush: Brush, palette: Palette, y: float, size: float) -> None:
    """Paint a nose with light and shadow, without outline."""
    brush.glaze(
        oval(0, y, size * 1.1, size * 0.8),
        mix(palette.skin, WHITE, 0.5),
        0.5,
        blur=0.06,
    )
    brush.glaze(
        oval(0, y + size * 0.8, size * 1.3, size * 0.35),
        mix(palette.skin, (80, 20, 10), 0.5),
        0.6,
        blur=0.05,
    )
    for side in (-1, 1):
        brush.glaze(
            oval(side * size * 0.5, y + size * 0.65, 0.05, 0.03),
            mix(palette.skin, (40, 0, 0), 0.7),
            0.8,
            blur=0.02,
        )


MOUTHS = (
    "line",
    "smile",
    "open",
    "teeth",
    "oh",
    "frown",
    "small",
    "lips",
    "grin",
    "none",
    "cat",
    "shout",
)


def paint_mouth(
    brush: Brush, kind: str, palette: Palette, low: float, rng: random.Random
) -> None:
    """Paint a mouth between the nose (ending at `low`) and chin."""
    y = min(max(low + rng.uniform(0.08, 0.3), 0.42), 0.85)
    half = rng.uniform(0.12, 0.5)
    x = rng.gauss(0, 0.05)
    ink = palette.line if palette.outlined else mix(palette.skin, (70, 10, 20), 0.75)
    room = max(0.95 - y, 0.12)
    if kind in ("line", "small"):
        width, bend_sd = (half, 0.03) if kind == "line" else (0.1, 0.04)
        brush.line(arc(x, y, width, rng.gauss(0, bend_sd)), ink, palette.width)
    elif kind in ("smile", "frown"):
        bend = rng.uniform(0.06, 0.22) * (1 if kind == "smile" else -1)
        brush.line(arc(x, y, half, bend), ink, palette.width)
        corners = (-1, 1) if rng.random() < 0.3 else ()
        for side in corners:
            brush.line(arc(x + side * half, y, 0.06, 0.03), ink, palette.width)
    elif kind == "cat":
        for side in (-1, 1):
            brush.line(arc(x + side * half / 2, y, half / 2, 0.1), ink, palette.width)
    elif kind == "lips":
        _paint_lips(brush, palette, (x, y, half), rng)
    elif kind != "none":
        _paint_open_mouth(brush, kind, palette, (x, y, half, room), rng)


def _paint_lips(
    brush: Brush,
    palette: Palette,
    place: tuple[float, float, float],
    rng: random.Random,
) -> None:
    x, y, half = place
    red = mix(
        palette.skin, rng.choice(((190, 40, 60), (200, 90, 90), (150, 30, 50))), 0.65
    )
    brush.fill(
        curve(
            [
                (x - half * 0.7, y),
                (x - 0.06, y - 0.07),
                (x + 0.06, y - 0.07),
                (x + half * 0.7, y),
            ]
        ),
        red,
    )
    brush.fill(arc(x, y, half * 0.7, rng.uniform(0.08, 0.14)), mix(red, WHITE, 0.15))
    brush.line(arc(x, y, half * 0.7, 0.02), mix(red, INK, 0.5), 0.02)


def _paint_open_mouth(
    brush: Brush,
    kind: str,
    palette: Palette,
    place: tuple[float, float, float, float],
    rng: random.Random,
) -> None:
    x, y, half, room = place
    inside = rng.choice(((90, 16, 24), (40, 8, 12), (160, 50, 60), INK))
    if kind == "oh":
        tall = min(rng.uniform(0.08, 0.24), room)
        shape = oval(x, y + tall / 2, min(half, 0.25), tall)
    else:
        if kind == "shout":
            y = y - 0.12
            half = rng.uniform(0.25, 0.6)
        deep = room * (
            1.6 if kind == "shout" else min(rng.uniform(0.15 / room, 0.6 / room), 1.6)
        )
        low = arc(x, y, half, deep)
        top = arc(x, y, half, rng.uniform(-0.04, 0.06))[::-1]
        shape = np.concatenate([low, top])
    brush.fill(
        shape, inside, palette.line if palette.outlined else None, palette.width * 0.8
    )
    if kind in ("teeth", "grin", "shout") and rng.random() < 0.8:
        high = room * (2 if kind == "grin" else 0.25)
        box = [(x - 1, y - 0.1), (x + 1, y - 0.1), (x + 1, y + high), (x - 1, y + high)]
        brush.glaze(polygon(*box), WHITE, 1.0, shape)
        if kind == "grin":
            brush.line(
                arc(x, y + 0.04, half * 0.9, room * 0.4), mix(INK, WHITE, 0.4), 0.02
            )
    elif rng.random() < 0.6:
        brush.glaze(
            oval(x, y + room * 0.7, half * 0.7, room * 0.4), (220, 100, 110), 1.0, shape
        )


BEARDS = ("full", "chin", "moustache", "stubble", "muzzle", "shadow")


def paint_beard(
    brush: Brush,
    kind: str,
    palette: Palette,
    contour: Points,
    nose: float,
    rng: random.Random,
) -> None:
    """Paint a beard, or a paler muzzle, around the mouth."""
    hair = palette.hair if palette.hair != palette.skin else mix(palette.skin, INK, 0.5)
    y = nose + 0.1
    if kind == "moustache":
        for side in (-1, 1):
            wing = curve(
                [
                    (0, y - 0.06),
                    (side * 0.3, y - 0.08),
                    (side * 0.5, y + 0.1),
                    (side * 0.2, y + 0.1),
                    (0, y + 0.05),
                ]
            )
            brush.fill(wing, hair)
    elif kind == "chin":
        brush.fill(oval(0, 1.0, rng.uniform(0.15, 0.4), rng.uniform(0.2, 0.4)), hair)
    elif kind == "muzzle":
        tone = mix(
            palette.skin,
            rng.choice(((200, 170, 110), WHITE, (120, 90, 60))),
            rng.uniform(0.3, 0.7),
        )
        shape = oval(0, y + 0.2, rng.uniform(0.45, 0.75), rng.uniform(0.32, 0.5))
        brush.fill(
            shape,
            tone,
            palette.line if palette.outlined and rng.random() < 0.6 else None,
            palette.width,
        )
    else:
        if kind == "shadow":
            hair = mix(
                palette.skin, rng.choice(((96, 80, 66), (110, 110, 130), INK)), 0.35
            )
        low = polygon(
            (-1.3, nose - 0.05),
            (-0.6, nose + 0.05),
            (0, nose + 0.12),
            (0.6, nose + 0.05),
            (1.3, nose - 0.05),
            (1.3, 1.6),
            (-1.3, 1.6),
        )
        brush.glaze(
            low,
            hair,
            0.25 if kind == "stubble" else 1.0,
            contour,
            0.06 if palette.solid else 0.0,
        )
