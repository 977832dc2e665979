"""Hair behind and in front of a face, and hats."""

import math
import random
from collections.abc import Callable

import numpy as np
from brush import Brush, Colour, Points, curve, mix, oval, polygon
from eyes import INK, WHITE, Palette, vivid

BACKS = ("none", "long", "bob", "spiky", "tails", "short", "afro", "beehive", "bun")
FRONTS = (
    "none",
    "jagged",
    "parted",
    "straight",
    "swept",
    "tufts",
    "cap",
    "few",
    "spikes",
)
HATS = (
    "beanie",
    "cap",
    "brim",
    "hood",
    "helmet",
    "band",
    "crown",
    "bow",
    "ears",
    "pom",
)


def paint_back(brush: Brush, kind: str, palette: Palette, rng: random.Random) -> None:
    """Paint the hair behind the face."""
    shape = _back_shape(kind, rng)
    if shape is None:
        return
    tone = mix(palette.hair, INK, 0.15)
    edge = mix(palette.hair, INK, 0.6) if palette.outlined else None
    if kind == "tails":
        for side in (-1, 1):
            tail = curve(
                [
                    (side, -0.6),
                    (side * 2.0, -0.4),
                    (side * rng.uniform(1.6, 2.4), 2.0),
                    (side * 1.2, 0.6),
                ],
                True,
            )
            brush.fill(tail, tone, edge, palette.width)
    if kind in ("beehive", "bun"):
        high = -2.6 if kind == "beehive" else -1.6
        brush.fill(
            oval(0, high, 0.7 if kind == "bun" else 0.9, 0.6 if kind == "bun" else 1.6),
            tone,
            edge,
            palette.width,
        )
    brush.fill(shape, tone, edge, palette.width)
    brush.mark(shape)
    if palette.solid:
        brush.shade(shape, (0.3, -0.8), 0.8, mix(palette.hair, INK, 0.7), 0.3)


def _back_shape(kind: str, rng: random.Random) -> Points | None:
    wide = rng.uniform(1.05, 1.35)
    top = rng.uniform(-1.7, -1.35)
    match kind:
        case "none":
            return None
        case "long" | "bob":
            low = rng.uniform(1.8, 3.5) if kind == "long" else rng.uniform(0.7, 1.3)
            return curve(
                [
                    (0, top),
                    (wide, -0.8),
                    (wide * 1.1, low * 0.6),
                    (wide, low),
                    (0, low * 0.9),
                    (-wide, low),
                    (-wide * 1.1, low * 0.6),
                    (-wide, -0.8),
                ],
                True,
            )
        case "spiky":
            points = []
            count = rng.randint(9, 17)
            for index in range(count * 2):
                turn = math.pi * (0.85 + 1.3 * index / (count * 2 - 1))
                far = (1.15 if index % 2 else rng.uniform(1.5, 2.1)) * (
                    1 + 0.1 * rng.random()
                )
                points.append((math.cos(turn) * far, math.sin(turn) * far - 0.2))
            return polygon(*points)
        case "afro":
            return oval(0, -0.7, rng.uniform(1.4, 2.0), rng.uniform(1.2, 1.8))
        case _:
            return oval(0, -0.45, wide, rng.uniform(1.0, 1.3))


def paint_front(
    brush: Brush,
    warp: Callable[[Points], Points],
    kind: str,
    palette: Palette,
    outline: Points,
    light: tuple[float, float],
    rng: random.Random,
) -> float:
    """Paint hair over the face; return its lower y coordinate."""
    crown = float(outline[:, 1].min()) - rng.uniform(0.05, 0.3)
    if kind == "none":
        return crown
    edge = mix(palette.hair, INK, 0.6) if palette.outlined else None
    if kind in ("few", "spikes"):
        _paint_strands(brush, kind, palette, crown, edge, rng)
        return crown
    low = rng.uniform(-0.75, -0.35) if kind != "cap" else rng.uniform(-0.95, -0.65)
    fringe = warp(_fringe(kind, low, rng))
    side = rng.uniform(1.02, 1.15)
    temple = rng.uniform(-0.4, 0.5)
    top = curve(
        [
            (side, temple),
            (side, -0.6),
            (0.75, crown + 0.15),
            (0, crown),
            (-0.75, crown + 0.15),
            (-side, -0.6),
            (-side, temple),
        ]
    )
    shape = np.concatenate([top, fringe])
    if rng.random() < 0.5:  # shadow of the hair on the skin
        below = shape + np.array([0, rng.uniform(0.05, 0.15)], np.float32)
        shadow = mix(palette.skin, (60, 25, 45), 0.5)
        brush.glaze(below, shadow, 0.6, outline, 0.06 if palette.solid else 0.0)
    brush.fill(shape, palette.hair, edge, palette.width)
    if palette.solid:
        brush.shade(shape, light, 0.7, mix(palette.hair, INK, 0.7), 0.4)
    if palette.solid or rng.random() < 0.3:
        for _ in range(rng.randint(3, 9)):
            x = rng.uniform(-0.8, 0.8)
            lock = curve(
                [(x * 0.4, crown + 0.1), (x, crown * 0.6), (x * 1.1, low - 0.1)]
            )
            brush.line(
                lock,
                mix(palette.hair, rng.choice((INK, WHITE)), rng.uniform(0.1, 0.35)),
                0.025,
            )
    if rng.random() < 0.4:
        brush.glaze(
            curve(
                [
                    (-0.7, crown * 0.72),
                    (0, crown * 0.82),
                    (0.7, crown * 0.72),
                    (0, crown * 0.66),
                ],
                True,
            ),
            mix(palette.hair, WHITE, 0.6),
            0.6,
            shape,
        )
    return low


def _fringe(kind: str, low: float, rng: random.Random) -> Points:
    """Return the lower edge of the hair, from left to right."""
    if kind == "cap":
        return curve(
            [(-0.95, 0.0), (-0.8, low * 0.8), (0, low), (0.8, low * 0.8), (0.95, 0.0)]
        )
    if kind == "straight":
        return polygon(
            (-0.95, rng.uniform(-0.2, 0.5)),
            (-0.85, low),
            (0.85, low),
            (0.95, rng.uniform(-0.2, 0.5)),
        )
    if kind == "parted":
        part = rng.uniform(-0.5, 0.5)
        lock = rng.uniform(0.65, 0.9)
        end = rng.uniform(0.4, 1.1)
        return curve(
            [(-0.98, end), (-lock, low), (part, low - 0.45), (lock, low), (0.98, end)]
        )
    if kind == "swept":
        lean = rng.choice((-1, 1))
        points = [
            (-0.98, 0.3 - 0.2 * lean),
            (-0.6, low + 0.2 * lean),
            (0.2, low),
            (0.7, low - 0.25 * lean),
            (0.98, 0.2),
        ]
        return curve(points)
    count = rng.randint(3, 7)
    lock = rng.uniform(0.7, 1.0)  # side locks cover the cheeks
    points = [(-0.98, rng.uniform(0.3, 1.2)), (-lock, low + 0.1)]
    for index in range(count):
        x = -0.85 + 1.7 * (index + 0.5) / count
        points.append((x - 0.8 / count, low - rng.uniform(0.1, 0.35)))
        points.append((x + rng.uniform(-0.1, 0.1), low + rng.uniform(0.05, 0.35)))
    points.append((lock, low + 0.1))
    points.append((0.98, rng.uniform(0.3, 1.2)))
    return polygon(*points)


def _paint_strands(
    brush: Brush,
    kind: str,
    palette: Palette,
    crown: float,
    edge: Colour | None,
    rng: random.Random,
) -> None:
    if kind == "few":
        for _ in range(rng.randint(2, 5)):
            x = rng.uniform(-0.4, 0.4)
            brush.line(
                curve(
                    [(x, crown + 0.3), (x * 1.6, crown - 0.2), (x * 2.2, crown + 0.1)]
                ),
                palette.line,
                max(palette.width, 0.03),
            )
        return
    count = rng.randint(5, 9)
    points = [(-0.9, crown + 0.75)]
    for index in range(count):
        x = -0.9 + 1.8 * index / count
        points += [(x + 0.9 / count, crown - 0.1), (x + 1.8 / count, crown + 0.5)]
    shape = polygon(*points, (0.85, crown + 0.85), (-0.85, crown + 0.85))
    brush.fill(shape, palette.hair, edge, palette.width)


def paint_hat(
    brush: Brush, kind: str, palette: Palette, outline: Points, rng: random.Random
) -> float:
    """Paint a hat or ornament; return its lower y coordinate."""
    tone = vivid(rng, (0.2, 1.0), (0.15, 1.0))
    trim = rng.choice(
        (WHITE, INK, mix(tone, WHITE, 0.5), vivid(rng, (0.3, 1), (0.3, 1)))
    )
    edge = palette.line if palette.outlined else None
    crown = float(outline[:, 1].min()) - 0.15
    low = rng.uniform(-0.75, -0.45)
    dome = curve(
        [
            (-1.1, low),
            (-1.05, crown * 0.75),
            (0, crown - 0.25),
            (1.05, crown * 0.75),
            (1.1, low),
        ]
    )
    if kind == "hood":
        return _paint_hood(brush, tone, trim, edge, outline, palette, rng)
    if kind in ("beanie", "helmet", "pom"):
        brush.fill(dome, tone, edge, palette.width)
        band = polygon(
            (-1.13, low - 0.25),
            (1.13, low - 0.25),
            (1.13, low + 0.05),
            (-1.13, low + 0.05),
        )
        brush.fill(band, trim, edge, palette.width)
        if kind != "helmet":
            brush.fill(oval(0, crown - 0.3, 0.28, 0.25), trim, edge, palette.width)
    elif kind == "cap":
        brush.fill(dome, tone, edge, palette.width)
        lean = rng.choice((-1, 0, 1))
        brush.fill(oval(lean * 0.7, low, 1.0, 0.18), trim, edge, palette.width)
    elif kind == "brim":
        brush.fill(dome, tone, edge, palette.width)
        brush.fill(
            oval(0, low, rng.uniform(1.4, 2.0), 0.22),
            mix(tone, INK, 0.2),
            edge,
            palette.width,
        )
    elif kind == "band":
        band = [(-1.05, low - 0.3), (1.05, low - 0.3), (1.05, low), (-1.05, low)]
        brush.fill(polygon(*band), tone, edge, palette.width)
    else:
        _paint_ornament(brush, kind, tone, edge, crown, palette)
        return crown
    if palette.solid:
        brush.shade(dome, (0.3, -0.7), 0.6, mix(tone, INK, 0.7))
    return low


def _paint_ornament(
    brush: Brush,
    kind: str,
    tone: Colour,
    edge: Colour | None,
    crown: float,
    palette: Palette,
) -> None:
    if kind == "crown":
        points = [
            (-0.8, crown + 0.3),
            (-0.8, crown - 0.5),
            (-0.4, crown - 0.1),
            (0, crown - 0.6),
            (0.4, crown - 0.1),
            (0.8, crown - 0.5),
            (0.8, crown + 0.3),
        ]
        brush.fill(polygon(*points), (240, 200, 60), edge, palette.width)
        return
    for side in (-1, 1):
        if kind == "bow":
            wing = [
                (0.5, crown + 0.1),
                (0.5 + side * 0.5, crown - 0.25),
                (0.5 + side * 0.5, crown + 0.4),
            ]
        else:
            wing = [
                (side * 0.3, crown + 0.2),
                (side * 0.8, crown - 0.7),
                (side * 0.95, crown + 0.5),
            ]
        brush.fill(
            polygon(*wing), tone if kind == "bow" else palette.hair, edge, palette.width
        )


def _paint_hood(
    brush: Brush,
    tone: Colour,
    trim: Colour,
    edge: Colour | None,
    outline: Points,
    palette: Palette,
    rng: random.Random,
) -> float:
    """Paint a ring between the hood's rim and its opening."""
    rim = oval(0, -0.1, rng.uniform(1.25, 1.6), rng.uniform(1.35, 1.7))
    opening = oval(0, 0.12, rng.uniform(0.8, 1.0), rng.uniform(0.8, 1.0))
    ring = np.concatenate([rim, rim[:1], opening[::-1][-1:], opening[::-1]])
    brush.fill(ring, tone)
    closed = np.concatenate([opening, opening[:1]])
    brush.line(closed, trim, rng.uniform(0.05, 0.25))
    if edge is not None:
        brush.line(np.concatenate([rim, rim[:1]]), edge, palette.width)
    return float(opening[:, 1].min())
