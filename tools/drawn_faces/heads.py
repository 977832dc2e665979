"""Whole heads in many drawing styles, with the true box of the face.

One unit is half a face's width: the face is centered at (0, 0), the chin is near y = 1. To turn a
head, points are projected on a sphere, so that features on the far side narrow and vanish.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from brush import Brush, Colour, Points, arc, mix, oval, through
from eyes import INK, WHITE, EyePlan, Look, paint_brows, paint_eye, paint_glasses, plan_eyes, vivid
from features import BEARDS, paint_beard, paint_mouth, paint_nose
from hair import HATS, paint_back, paint_front, paint_hat
from styles import SKINS, STYLES, Style, read_contour


@dataclass(frozen=True)
class Turn:
    """Head rotated by `side` radians to the right and `up` units upwards; `ball` 0 is flat."""

    side: float
    up: float
    ball: float

    def warp(self, points: Points) -> Points:
        """Project points of the face on the sphere."""
        x, y = points[:, 0], points[:, 1]
        deep = np.sqrt(np.clip(1.05 - x * x, 0.05, 1.05)) * self.ball
        turned = x * math.cos(self.side) + deep * math.sin(self.side)
        lifted = y - self.up * (1 - 0.3 * y * y)
        return np.stack([turned, lifted], 1).astype(np.float32)

    def outline(self, points: Points) -> Points:
        """Move chin and jaw with the turn; keep the rest."""
        lean = 0.3 * math.sin(self.side) * np.clip(points[:, 1] + 0.2, 0, 1.2)
        narrow = 1 - 0.1 * abs(math.sin(self.side))
        down = -self.up * np.clip(points[:, 1], 0, 1) * 0.4
        return np.stack([points[:, 0] * narrow + lean, points[:, 1] + down], 1).astype(np.float32)

    def sees(self, x: float) -> bool:
        """Return whether a point of the face is on the visible side."""
        deep = math.sqrt(max(1.05 - x * x, 0.05))
        return math.cos(self.side) - self.ball * x / deep * math.sin(self.side) > 0.12


@dataclass(frozen=True)
class DrawnHead:
    """Outline of a painted face and its true box, in pixels (x0, y0, x1, y1)."""

    box: tuple[float, float, float, float]
    face: Points
    area: int


def paint_head(brush: Brush, name: str, dice: random.Random) -> DrawnHead:
    """Paint a head in the named style; return outline and box."""
    style = STYLES[name]
    flat = name == "cutout" or dice.random() < 0.1
    turn = Turn(
        max(min(dice.gauss(0, style.turn), 1.35), -1.35), dice.gauss(0, 0.12), 0.5 if flat else 0.85
    )
    look = _look(style, dice)
    contour = read_contour(dice.choice(style.shapes), dice)
    eyes = plan_eyes(dice, dice.choice(style.eyes))
    lamp = (dice.uniform(-0.8, 0.8), dice.uniform(-0.9, 0.2))
    back, front = dice.choice(style.backs), dice.choice(style.fronts)
    hat = dice.choice(HATS) if dice.random() < style.hats else ""
    outline = turn.outline(contour)
    if turn.side and abs(turn.side) > 0.4:
        skull = oval(-0.45 * math.sin(turn.side), -0.35, 1.0, 0.95)
        brush.fill(
            skull, look.skin if back == "none" else look.hair, outline_colour(look), look.width
        )
    paint_back(brush, back, look, dice)
    paint_ears(brush, turn, look, dice)
    brush.fill(outline, look.skin, outline_colour(look), look.width)
    shade_skin(brush, outline, look, lamp, dice)
    _paint_parts(brush, turn, style, look, eyes, outline, dice)
    hairline = paint_front(brush, turn.warp, front, look, outline, lamp, dice)
    if hat:
        hairline = max(hairline, paint_hat(brush, hat, look, outline, dice))
    if dice.random() < (0.6 if name == "anime" else 0.2):  # Brows show through the hair.
        with_warp(
            brush,
            turn,
            lambda: [paint_brows(brush, s, eyes, look) for s in visible_eyes(turn, eyes)],
        )
    area = brush.mark(outline)
    return DrawnHead(_box(brush, turn, outline, eyes, hairline), brush.place(outline), area)


def _look(style: Style, dice: random.Random) -> Look:
    skin = dice.choice(SKINS[dice.choice(style.skins)])
    skin = mix(skin, vivid(dice, (0.1, 0.6), (0.4, 1.0)), dice.choice((0, 0.05, 0.15)))
    width = dice.uniform(*style.outline)
    line = INK if dice.random() < 0.55 else mix(skin, INK, dice.uniform(0.4, 0.9))
    natural = dice.choice(
        (
            (30, 24, 26),
            (90, 56, 30),
            (150, 90, 40),
            (230, 190, 90),
            (180, 70, 30),
            (200, 200, 205),
            (60, 40, 30),
        )
    )
    hair = natural if dice.random() < 0.55 else vivid(dice, (0.2, 0.9), (0.2, 1.0))
    if dice.random() < 0.12:  # the hair has the color of the skin
        hair = skin
    return Look(skin, line, max(width, 0.012), width > 0.012, hair, dice.random() < style.solid)


def outline_colour(look: Look) -> Colour | None:
    """Return the color of the outline; None if there is none."""
    return look.line if look.outlined else None


def paint_ears(brush: Brush, turn: Turn, look: Look, dice: random.Random) -> None:
    """Paint the visible ears."""
    if dice.random() < 0.25:
        return
    size, y = dice.uniform(0.1, 0.3), dice.uniform(-0.1, 0.25)
    for side in (-1, 1):
        x = side * math.cos(turn.side) * 1.02 - 0.15 * math.sin(turn.side)
        if side * math.sin(turn.side) > 0.35:
            continue
        brush.fill(oval(x, y, size * 0.8, size), look.skin, outline_colour(look), look.width)
        inner = mix(look.skin, INK, 0.25)
        brush.line(arc(x, y, size * 0.4, -size * 0.4), inner, look.width)


def shade_skin(
    brush: Brush, outline: Points, look: Look, lamp: tuple[float, float], dice: random.Random
) -> None:
    """Paint light, shadow and blush on the skin."""
    shadow = mix(look.skin, dice.choice(((90, 30, 60), (60, 30, 20), (40, 40, 80))), 0.7)
    if look.solid:
        brush.shade(outline, lamp, dice.uniform(0.25, 0.85), shadow, dice.uniform(0, 0.35))
        if dice.random() < 0.5:  # The side facing away from the light is dark.
            far = oval(-lamp[0] * 1.6, 0.2, 1.0, 1.8)
            brush.glaze(far, mix(shadow, INK, 0.3), dice.uniform(0.3, 0.8), outline, 0.3)
        if dice.random() < 0.5:
            glow = oval(lamp[0] * 0.5, -0.4, 0.5, 0.4)
            brush.glaze(glow, mix(look.skin, WHITE, 0.7), dice.uniform(0.2, 0.6), outline, 0.25)
        for side in (-1, 1):
            brush.glaze(
                oval(side * 0.55, 0.3, 0.3, 0.22),
                mix(look.skin, (230, 80, 80), 0.5),
                dice.uniform(0, 0.5),
                outline,
                0.15,
            )
    elif dice.random() < 0.4:
        far = np.array([(0.5, -2), (2, -2), (2, 2), (0.35, 2)], np.float32) * np.array(
            [math.copysign(1, -lamp[0]), 1], np.float32
        )
        brush.glaze(far, shadow, dice.uniform(0.2, 0.5), outline, dice.choice((0.0, 0.05)))
    if not look.solid and dice.random() < 0.3:
        for side in (-1, 1):
            brush.glaze(
                oval(side * 0.6, 0.35, 0.2, 0.1),
                mix(look.skin, (240, 70, 90), 0.6),
                0.5,
                outline,
                0.08,
            )


def visible_eyes(turn: Turn, eyes: EyePlan) -> list[float]:
    """Return the sides (-1, 1) with visible eyes, the far first."""
    near = 1.0 if turn.side < 0 else -1.0
    return [side for side in (-near, near) if turn.sees(side * eyes.x)]


def with_warp(brush: Brush, turn: Turn, paint: Callable[[], object]) -> None:
    """Call `paint` with all points projected on the sphere of the head."""
    brush.warp = turn.warp
    try:
        paint()
    finally:
        brush.warp = None


def _paint_parts(
    brush: Brush,
    turn: Turn,
    style: Style,
    look: Look,
    eyes: EyePlan,
    outline: Points,
    dice: random.Random,
) -> None:
    nose = dice.choice(style.noses)
    beard = dice.choice(BEARDS) if dice.random() < style.beards else ""
    visible = visible_eyes(turn, eyes)
    late = nose if nose in ("ball", "long") else ""
    if abs(turn.side) > 0.75 and nose not in ("none", "dot"):
        _paint_profile_nose(brush, turn, look, eyes, dice)
        nose = late = ""

    def paint() -> None:
        low = eyes.y + 0.35
        if beard == "muzzle":
            paint_beard(brush, beard, look, outline, max(low, 0.2), dice)
        if nose and not late:
            low = paint_nose(brush, nose, look, eyes.y, dice)
        if beard and beard != "muzzle":
            paint_beard(brush, beard, look, outline, max(low, 0.2), dice)
        paint_mouth(brush, dice.choice(style.mouths), look, max(low, 0.2), dice)
        _paint_eyes(brush, visible, eyes, look, late, dice)

    with_warp(brush, turn, paint)


def _paint_eyes(
    brush: Brush, visible: list[float], eyes: EyePlan, look: Look, nose: str, dice: random.Random
) -> None:
    """Paint the visible eyes, a nose overlapping them, brows and glasses."""
    for side in visible:
        paint_eye(brush, side, eyes, look, dice)
    if nose:
        paint_nose(brush, nose, look, eyes.y, dice)
    for side in visible:
        paint_brows(brush, side, eyes, look)
    if dice.random() < 0.12 and eyes.ry < 0.5:
        paint_glasses(brush, eyes, look, dice)


def _paint_profile_nose(
    brush: Brush, turn: Turn, look: Look, eyes: EyePlan, dice: random.Random
) -> None:
    side = math.copysign(1, turn.side)
    y = max(eyes.y + 0.4, 0.15)
    far = dice.uniform(1.05, 1.35)
    points = [
        (0.8 * side, y - 0.3),
        (far * side, y - dice.uniform(-0.05, 0.1)),
        (far * side * 0.97, y + 0.12),
        (0.8 * side, y + 0.2),
    ]
    brush.fill(through(points), look.skin)
    if look.outlined:
        brush.line(through(points), look.line, look.width)


def _box(
    brush: Brush, turn: Turn, outline: Points, eyes: EyePlan, hairline: float
) -> tuple[float, float, float, float]:
    """Return the face's upright box, from hairline to chin, in pixels."""
    top = max(hairline, min(eyes.y - eyes.ry - 0.35, -0.45), float(outline[:, 1].min()))
    top = min(top, eyes.y - eyes.ry * 0.6)
    shown = outline[outline[:, 1] >= top]
    left, right = float(shown[:, 0].min()), float(shown[:, 0].max())
    behind = 0.45 * max(abs(math.sin(turn.side)) - 0.35, 0)
    left, right = (left + behind, right) if turn.side > 0 else (left, right - behind)
    low = float(outline[:, 1].max())
    middle = oval((left + right) / 2, (top + low) / 2, (right - left) / 2, (low - top) / 2)
    pixels = brush.place(middle)
    # Rotate an ellipse: its upright box is tighter than that of rotated corners.
    (x0, y0), (x1, y1) = pixels.min(0), pixels.max(0)
    return float(x0), float(y0), float(x1), float(y1)
