"""Eyes, brows and glasses of all kinds, in units of half a face's width.

A face is centered at (0, 0): its sides are at x = -1 and 1, brows near y = -0.5, the chin near y =
1. Each part is painted by one function with its own random values.
"""

import colorsys
import math
import random
from dataclasses import dataclass

import numpy as np
from brush import Brush, Colour, Points, arc, curve, mix, oval, polygon

INK: Colour = (18, 14, 16)
WHITE: Colour = (250, 250, 250)


@dataclass(frozen=True)
class Palette:
    """Colors, line width and shading of all parts of one face."""

    skin: Colour
    line: Colour
    width: float
    outlined: bool
    hair: Colour
    solid: bool
    """Shaded as a rounded body instead of flat."""


@dataclass(frozen=True)
class EyePlan:
    """Plan of both eyes: kind, position, size, gaze and brows."""

    kind: str
    x: float
    y: float
    rx: float
    ry: float
    iris: Colour
    gaze: tuple[float, float]
    lid: float
    tilt: float
    pupil: float
    brow: str
    brow_bend: float
    brow_angle: float
    brow_width: float
    brow_up: float
    rim: bool


EYES = (
    "anime",
    "round",
    "cutout",
    "film",
    "dot",
    "closed",
    "squeezed",
    "comic",
    "plain",
)
RIGID_EYES = ("round", "cutout", "dot", "squeezed")
"""Kinds whose shape does not narrow on a turned head."""


def plan_eyes(rng: random.Random, kind: str) -> EyePlan:
    """Choose random parameters for a pair of eyes of a kind."""
    low = {
        "anime": (0.36, 0.58, 0.2, 0.32, 1.0, 1.6, -0.05, 0.28),
        "round": (0.3, 0.52, 0.24, 0.5, 0.9, 1.15, -0.35, 0.1),
        "cutout": (0.3, 0.46, 0.26, 0.46, 1.0, 1.5, -0.3, 0.12),
        "film": (0.36, 0.5, 0.19, 0.34, 0.6, 1.05, -0.2, 0.15),
        "dot": (0.25, 0.52, 0.05, 0.14, 0.9, 2.0, -0.25, 0.2),
        "closed": (0.32, 0.52, 0.15, 0.34, 0.2, 0.6, -0.2, 0.25),
        "squeezed": (0.34, 0.55, 0.14, 0.3, 0.5, 1.0, -0.2, 0.25),
        "comic": (0.32, 0.5, 0.12, 0.24, 0.4, 1.0, -0.25, 0.1),
        "plain": (0.3, 0.54, 0.15, 0.36, 0.8, 1.5, -0.25, 0.25),
    }[kind]
    rx = rng.uniform(low[2], low[3])
    x = max(
        rng.uniform(low[0], low[1]),
        rx * (0.92 if kind in ("round", "cutout") else 1.15),
    )
    dark = rng.random() < (0.8 if kind in ("round", "cutout", "comic") else 0.2)
    return EyePlan(
        kind=kind,
        x=x,
        y=rng.uniform(low[6], low[7]),
        rx=rx,
        ry=rx * rng.uniform(low[4], low[5]),
        iris=INK if dark else vivid(rng, (0.3, 0.9), (0.25, 0.85)),
        gaze=(rng.gauss(0, 0.3), rng.gauss(0, 0.22)),
        lid=rng.uniform(0.15, 0.6) if rng.random() < 0.3 else 0.0,
        tilt=rng.gauss(0, 0.22)
        if kind in ("cutout", "anime", "film", "comic")
        else 0.0,
        pupil=rng.uniform(0.1, rng.choice((0.32, 0.5)))
        if kind in ("round", "cutout")
        else rng.uniform(0.45, 0.8),
        brow=rng.choice(("line", "line", "thick", "none", "none", "joined")),
        brow_bend=rng.uniform(-0.15, 0.05),
        brow_angle=rng.gauss(0, 0.25),
        brow_width=rng.uniform(0.05, 0.16),
        brow_up=rng.uniform(0.05, 0.3),
        rim=kind not in ("round", "plain") or rng.random() < 0.75,
    )


def vivid(
    rng: random.Random, saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    """Return a color of random hue, with limited saturation and value."""
    rgb = colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    )
    return round(rgb[0] * 255), round(rgb[1] * 255), round(rgb[2] * 255)


def paint_eye(
    brush: Brush, side: float, plan: EyePlan, palette: Palette, rng: random.Random
) -> None:
    """Paint the eye on one side (-1 or 1)."""
    x = side * plan.x
    y = plan.y
    tilt = plan.tilt * side
    if plan.kind in ("dot", "closed", "squeezed"):
        _paint_plain_eye(brush, plan, x, y, palette, rng)
        return
    white = _white(plan, x, y, tilt)
    if palette.solid:
        brush.glaze(
            oval(x, y, plan.rx * 1.5, plan.ry * 1.6),
            mix(palette.skin, INK, 0.55),
            0.45,
            blur=0.12,
        )
    edge = (
        palette.line
        if plan.rim and (palette.outlined or plan.kind in ("comic", "film"))
        else None
    )
    tone = mix(WHITE, palette.skin, rng.uniform(0, 0.12))
    if plan.kind != "plain":
        brush.fill(white, tone, edge, palette.width * 0.8)
    _paint_iris(brush, plan, white, x, y, side)
    if plan.lid:
        _paint_lid(brush, plan, white, x, y, palette, tilt)
    _paint_lashes(brush, side, plan, white, palette, rng)


def _paint_plain_eye(
    brush: Brush,
    plan: EyePlan,
    x: float,
    y: float,
    palette: Palette,
    rng: random.Random,
) -> None:
    """Paint a dot, or the arc or angle of a closed eye."""
    if plan.kind == "squeezed":
        point = math.copysign(plan.rx, -x)
        angle = [
            (x - point, y - plan.ry * 0.6),
            (x + point, y),
            (x - point, y + plan.ry * 0.6),
        ]
        brush.line(polygon(*angle), palette.line, max(plan.rx * 0.2, palette.width))
        return
    if plan.kind == "closed":
        brush.line(
            arc(x, y, plan.rx, plan.ry * (1 if plan.lid else -1)),
            palette.line,
            plan.rx * 0.2,
        )
        return
    brush.fill(oval(x, y, plan.rx, plan.ry), INK)
    if rng.random() < 0.4:
        brush.fill(
            oval(x - 0.3 * plan.rx, y - 0.35 * plan.ry, plan.rx / 4, plan.ry / 4), WHITE
        )


def _paint_lashes(
    brush: Brush,
    side: float,
    plan: EyePlan,
    white: Points,
    palette: Palette,
    rng: random.Random,
) -> None:
    x = side * plan.x
    y = plan.y
    if plan.kind in ("anime", "film") or (plan.kind == "plain" and plan.lid):
        top = white[(white[:, 1] - y) < -0.25 * plan.ry]
        order = np.argsort(top[:, 0])
        brush.line(
            top[order], mix(INK, plan.iris, 0.1), max(0.14 * plan.rx, palette.width)
        )
    if plan.kind in ("film", "round") and rng.random() < 0.25:
        for lean in (-0.6, 0.0, 0.6):
            root = (x + lean * plan.rx, y - plan.ry * 0.85)
            tip = (root[0] + lean * 0.2 + 0.05 * side, root[1] - 0.22)
            brush.line(polygon(root, tip), INK, 0.03)


def _white(plan: EyePlan, x: float, y: float, tilt: float) -> Points:
    if plan.kind in ("film", "comic"):
        rx, ry = plan.rx, plan.ry
        almond = curve(
            [
                (-rx, 0.1 * ry),
                (-0.4 * rx, -0.9 * ry),
                (0.4 * rx, -0.95 * ry),
                (rx, -0.05 * ry),
                (0.4 * rx, 0.8 * ry),
                (-0.4 * rx, 0.8 * ry),
            ],
            True,
            5,
        )
        cos, sin = math.cos(tilt), math.sin(tilt)
        turned = almond @ np.array([[cos, sin], [-sin, cos]], np.float32)
        return turned + np.array([x, y], np.float32)
    return oval(x, y, plan.rx, plan.ry, tilt)


def _paint_iris(
    brush: Brush, plan: EyePlan, white: Points, x: float, y: float, side: float
) -> None:
    within = None if plan.kind == "plain" else white
    room = 1 - plan.pupil
    gx = x + min(max(plan.gaze[0], -0.7), 0.7) * plan.rx * room
    if plan.kind in ("round", "cutout"):
        gx -= side * 0.25 * plan.rx * (plan.gaze[1] > 0)
    gy = y + min(max(plan.gaze[1], -0.7), 0.7) * plan.ry * room
    if plan.kind in ("round", "cutout"):
        radius = max(plan.pupil * plan.rx, 0.05)
        brush.glaze(oval(gx, gy, radius, radius), plan.iris, 1.0, within)
        return
    rx = plan.rx * plan.pupil * (1.0 if plan.kind != "film" else 0.9)
    ry = plan.ry * min(plan.pupil * 1.2, 1) if plan.kind in ("anime", "plain") else rx
    outer = oval(gx, gy, rx, ry)
    brush.glaze(outer, mix(plan.iris, INK, 0.35), 1.0, within)
    brush.glaze(
        oval(gx, gy + 0.35 * ry, 0.8 * rx, 0.6 * ry),
        mix(plan.iris, WHITE, 0.25),
        0.8,
        within,
    )
    brush.glaze(oval(gx, gy, 0.45 * rx, 0.5 * ry), INK, 1.0, within)
    brush.glaze(
        oval(gx - 0.35 * rx, gy - 0.4 * ry, 0.32 * rx, 0.3 * ry), WHITE, 1.0, within
    )
    if plan.kind in ("anime", "plain"):
        brush.glaze(
            oval(gx + 0.4 * rx, gy + 0.5 * ry, 0.16 * rx, 0.14 * ry), WHITE, 1.0, within
        )


def _paint_lid(
    brush: Brush,
    plan: EyePlan,
    white: Points,
    x: float,
    y: float,
    palette: Palette,
    tilt: float,
) -> None:
    low = y - plan.ry + 2 * plan.ry * plan.lid
    slope = tilt * plan.rx
    skin = mix(palette.skin, INK, 0.12)
    wide = plan.rx * 1.3
    high = y - plan.ry * 1.3
    lid = polygon(
        (x - wide, high),
        (x + wide, high),
        (x + wide, low + slope),
        (x - wide, low - slope),
    )
    brush.glaze(lid, skin, 1.0, white)
    edge = polygon((x - plan.rx * 0.95, low - slope), (x + plan.rx * 0.95, low + slope))
    brush.line(edge, palette.line, palette.width)


def paint_brows(brush: Brush, side: float, plan: EyePlan, palette: Palette) -> None:
    """Paint the brow on one side."""
    if plan.brow == "none":
        return
    y = plan.y - plan.ry - plan.brow_up
    half = max(plan.rx * 1.05, 0.16)
    bow = arc(side * plan.x, y, half, plan.brow_bend)
    bow[:, 1] += plan.brow_angle * (bow[:, 0] - side * plan.x) * side
    colour = (
        mix(palette.hair, INK, 0.45) if palette.hair != palette.skin else palette.line
    )
    brush.line(bow, colour, plan.brow_width * (1.7 if plan.brow == "thick" else 0.8))
    if plan.brow == "joined" and side > 0:
        brush.line(polygon((-half / 2, y), (half / 2, y)), colour, plan.brow_width)


def paint_glasses(
    brush: Brush, plan: EyePlan, palette: Palette, rng: random.Random
) -> None:
    """Paint glasses over both eyes, sometimes sunglasses."""
    rx = max(plan.rx * 1.25, 0.26)
    ry = max(min(plan.ry * 1.2, 0.5), 0.2) * rng.uniform(0.7, 1.0)
    dark = rng.random() < 0.2
    frame = rng.choice(
        (INK, (120, 30, 30), (90, 90, 100), (180, 140, 40), (30, 50, 110))
    )
    round_ones = rng.random() < 0.5
    for side in (-1, 1):
        x = side * max(plan.x, rx * 1.05)
        box = [
            (x - rx, plan.y - ry),
            (x + rx, plan.y - ry),
            (x + rx * 0.9, plan.y + ry),
            (x - rx * 0.9, plan.y + ry),
        ]
        shape = oval(x, plan.y, rx, ry) if round_ones else polygon(*box)
        if dark:
            brush.fill(shape, mix(frame, INK, 0.7))
        else:
            brush.glaze(shape, WHITE, rng.choice((0.0, 0.15, 0.35)))
        closed = np.concatenate([shape, shape[:1]])
        brush.line(closed, frame, rng.uniform(0.03, 0.07))
    brush.line(arc(0, plan.y, 0.12, -0.04), frame, 0.04)
