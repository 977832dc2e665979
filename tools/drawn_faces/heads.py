"""Whole heads in many drawing styles, with the true box of the face.

One unit is half a face's width: the face is centered at (0, 0), the chin is near y = 1. To turn a
head, points are projected on a sphere, so that features on the far side narrow and vanish.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from brush import Brush, Colour, Points, arc, curve, mix, oval, polygon
from eyes import (
    INK,
    RIGID_EYES,
    WHITE,
    EyePlan,
    Palette,
    paint_brows,
    paint_eye,
    paint_glasses,
    plan_eyes,
    vivid,
)
from features import BEARDS, paint_beard, paint_mouth, paint_nose
from hair import HATS, paint_back, paint_front, paint_hat
from styles import SKINS, STYLES, Style, read_contour


@dataclass(frozen=True)
class Turn:
    """Head rotated by `side` radians to the right and `up` units upwards; `roundness` 0 is flat."""

    side: float
    up: float
    roundness: float

    def warp(self, points: Points) -> Points:
        """Project points of the face on the sphere."""
        x, y = points[:, 0], points[:, 1]
        deep = np.sqrt(np.clip(1.05 - x * x, 0.05, 1.05)) * self.roundness
        # The jaw is narrower than the cheeks.
        deep = deep * (1 - 0.45 * np.clip(y - 0.2, 0, 1))
        turned = x * math.cos(self.side) + deep * math.sin(self.side)
        lifted = y - self.up * (1 - 0.3 * y * y)
        return np.stack([turned, lifted], 1).astype(np.float32)

    def outline(self, points: Points) -> Points:
        """Move chin and jaw forward, and the back of the skull outwards."""
        x, y = points[:, 0], points[:, 1]
        turned = math.sin(self.side)
        lean = 0.3 * turned * np.clip(y + 0.2, 0, 1.2)
        behind = np.clip(-x * self.facing, 0, 1) * turned
        skull = behind * (
            0.35 * np.clip(y - 0.1, 0, 1) - 0.3 * np.exp(-(((y + 0.35) / 0.5) ** 2))
        )
        down = -self.up * np.clip(y, 0, 1) * 0.4
        across = x * (1 - 0.1 * abs(turned)) + lean + skull
        return np.stack([across, y + down], 1).astype(np.float32)

    @property
    def facing(self) -> float:
        """1 for a head turned to the right, -1 to the left."""
        return math.copysign(1, self.side)

    def warp_rigid(self, x: float, y: float) -> Callable[[Points], Points]:
        """Return a warp that moves a part at (x, y) with the face, but keeps its shape."""
        moved = self.warp(polygon((x, y)))[0] - np.array([x, y], np.float32)
        narrow = 1 - 0.35 * math.sin(self.side) ** 2

        def warp(points: Points) -> Points:
            return (points - (x, 0)) * np.float32((narrow, 1)) + (x, 0) + moved

        return warp

    def is_visible(self, x: float) -> bool:
        """Return whether a point of the face is on the visible side."""
        deep = math.sqrt(max(1.05 - x * x, 0.05))
        return (
            math.cos(self.side) - self.roundness * x / deep * math.sin(self.side) > 0.12
        )


@dataclass(frozen=True)
class DrawnHead:
    """Outline of a painted face and its true box, in pixels (x0, y0, x1, y1)."""

    box: tuple[float, float, float, float]
    face: Points
    area: int


def paint_head(brush: Brush, name: str, rng: random.Random) -> DrawnHead:
    """Paint a head in the named style; return outline and box."""
    style = STYLES[name]
    flat = name == "cutout" or rng.random() < 0.1
    turn = Turn(
        max(min(rng.gauss(0, style.turn), 1.35), -1.35),
        rng.gauss(0, 0.12),
        0.5 if flat else 0.85,
    )
    palette = _choose_palette(style, rng)
    contour = read_contour(rng.choice(style.shapes), rng)
    eyes = plan_eyes(rng, rng.choice(style.eyes))
    light = (rng.uniform(-0.8, 0.8), rng.uniform(-0.9, 0.2))
    back, front = rng.choice(style.backs), rng.choice(style.fronts)
    hat = rng.choice(HATS) if rng.random() < style.hats else ""
    outline = turn.outline(contour)
    paint_back(brush, back, palette, rng)
    _paint_neck(brush, turn, palette, rng)
    is_turned = abs(turn.side) > 0.35
    if not is_turned:
        ears = paint_ears(brush, turn, palette, rng)
    brush.fill(outline, palette.skin, outline_colour(palette), palette.width)
    shade_skin(brush, outline, palette, light, rng)
    if is_turned:
        if back != "none" or rng.random() < 0.5:
            _paint_side_hair(
                brush, turn, palette, outline, -1.9 if back != "none" else -0.6
            )
        ears = paint_ears(brush, turn, palette, rng)
    if palette.outlined and rng.random() < 0.15:  # no line between chin and neck
        x = 0.1 * math.sin(turn.side)
        brush.fill(
            oval(x, float(outline[:, 1].max()), 0.3, palette.width + 0.03), palette.skin
        )
    nose = _paint_parts(brush, turn, style, palette, eyes, outline, rng)
    # Side locks stay off a turned face.
    hair_turn = Turn(0.6 * turn.side, turn.up, turn.roundness)
    paint_front(brush, hair_turn.warp, front, palette, outline, light, rng)
    if hat:
        paint_hat(brush, hat, palette, outline, rng)
    if rng.random() < (0.6 if name == "anime" else 0.2):  # Brows show through the hair.
        with_warp(
            brush,
            turn,
            lambda: [
                paint_brows(brush, s, eyes, palette) for s in visible_eyes(turn, eyes)
            ],
        )
    area = brush.mark(outline)
    if name in ("anime", "chibi") or (eyes.kind == "anime" and name != "film"):
        # Boxes of anime reach from cheek to cheek between locks of hair, and to the fringe.
        behind = 0.45 * max(abs(math.sin(turn.side)) - 0.35, 0) * turn.facing
        parts = outline - (outline[:, :1] * turn.facing < 0) * np.float32((-behind, 0))
        box = _face_box(brush, parts, eyes, (0.84, 0.0))
    else:
        parts = np.concatenate([outline, ears, nose])
        box = _face_box(brush, parts, eyes, (1.03, 0.06))
    return DrawnHead(box, brush.place(outline), area)


def _choose_palette(style: Style, rng: random.Random) -> Palette:
    skin = rng.choice(SKINS[rng.choice(style.skins)])
    skin = mix(skin, vivid(rng, (0.1, 0.6), (0.4, 1.0)), rng.choice((0, 0.05, 0.15)))
    width = rng.uniform(*style.outline)
    line = INK if rng.random() < 0.55 else mix(skin, INK, rng.uniform(0.4, 0.9))
    natural = rng.choice(
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
    hair = natural if rng.random() < 0.55 else vivid(rng, (0.2, 0.9), (0.2, 1.0))
    if rng.random() < 0.12:  # the hair has the color of the skin
        hair = skin
    return Palette(
        skin, line, max(width, 0.012), width > 0.012, hair, rng.random() < style.solid
    )


def outline_colour(palette: Palette) -> Colour | None:
    """Return the color of the outline; None if there is none."""
    return palette.line if palette.outlined else None


def _paint_neck(brush: Brush, turn: Turn, palette: Palette, rng: random.Random) -> None:
    half = rng.uniform(0.2, 0.6)
    low = rng.uniform(1.2, 1.7)
    x = -0.25 * math.sin(turn.side)
    for side in (-1, 1):
        edge = polygon((x, 0.4), (x + side * half, 0.4), (x + side * half, low))
        brush.fill(np.concatenate([edge, polygon((x, low + 0.1))]), palette.skin)
        if palette.outlined:
            brush.line(edge[1:], palette.line, palette.width)


def paint_ears(
    brush: Brush, turn: Turn, palette: Palette, rng: random.Random
) -> Points:
    """Paint the visible ears; return their outer ends."""
    ends = np.zeros((0, 2), np.float32)
    if rng.random() < 0.25:
        return ends
    size = rng.uniform(0.1, 0.3)
    y = rng.uniform(-0.1, 0.25)
    for side in (-1, 1):
        x = side * math.cos(turn.side) * 1.02 - 0.15 * math.sin(turn.side)
        if side * math.sin(turn.side) > 0.35:
            continue
        brush.fill(
            oval(x, y, size * 0.8, size),
            palette.skin,
            outline_colour(palette),
            palette.width,
        )
        inner = mix(palette.skin, INK, 0.25)
        brush.line(arc(x, y, size * 0.4, -size * 0.4), inner, palette.width)
        ends = np.concatenate([ends, polygon((x + side * size * 0.8, y))])
    return ends


def shade_skin(
    brush: Brush,
    outline: Points,
    palette: Palette,
    light: tuple[float, float],
    rng: random.Random,
) -> None:
    """Paint light, shadow and blush on the skin."""
    shadow = mix(
        palette.skin, rng.choice(((90, 30, 60), (60, 30, 20), (40, 40, 80))), 0.7
    )
    if palette.solid:
        brush.shade(
            outline, light, rng.uniform(0.25, 0.85), shadow, rng.uniform(0, 0.35)
        )
        if rng.random() < 0.5:  # The side facing away from the light is dark.
            far = oval(-light[0] * 1.6, 0.2, 1.0, 1.8)
            brush.glaze(far, mix(shadow, INK, 0.3), rng.uniform(0.3, 0.8), outline, 0.3)
        if rng.random() < 0.5:
            glow = oval(light[0] * 0.5, -0.4, 0.5, 0.4)
            brush.glaze(
                glow,
                mix(palette.skin, WHITE, 0.7),
                rng.uniform(0.2, 0.6),
                outline,
                0.25,
            )
        for side in (-1, 1):
            brush.glaze(
                oval(side * 0.55, 0.3, 0.3, 0.22),
                mix(palette.skin, (230, 80, 80), 0.5),
                rng.uniform(0, 0.5),
                outline,
                0.15,
            )
    elif rng.random() < 0.4:
        far = polygon((0.5, -2), (2, -2), (2, 2), (0.35, 2)) * np.array(
            [math.copysign(1, -light[0]), 1], np.float32
        )
        brush.glaze(
            far, shadow, rng.uniform(0.2, 0.5), outline, rng.choice((0.0, 0.05))
        )
    if not palette.solid and rng.random() < 0.3:
        for side in (-1, 1):
            brush.glaze(
                oval(side * 0.6, 0.35, 0.2, 0.1),
                mix(palette.skin, (240, 70, 90), 0.6),
                0.5,
                outline,
                0.08,
            )


def visible_eyes(turn: Turn, eyes: EyePlan) -> list[float]:
    """Return the sides (-1, 1) with visible eyes, the far first."""
    near = 1.0 if turn.side < 0 else -1.0
    return [side for side in (-near, near) if turn.is_visible(side * eyes.x)]


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
    palette: Palette,
    eyes: EyePlan,
    outline: Points,
    rng: random.Random,
) -> Points:
    """Paint the parts of the face; return the tip of a nose that sticks out."""
    tip = np.zeros((0, 2), np.float32)
    nose = rng.choice(style.noses)
    beard = rng.choice(BEARDS) if rng.random() < style.beards else ""
    visible = visible_eyes(turn, eyes)
    late = nose if nose in ("ball", "long") else ""
    parts: list[Callable[[], None]] = [
        lambda: _paint_eyes(brush, turn, eyes, palette, late, rng),
    ]
    if abs(turn.side) > rng.uniform(0.25, 0.75) and nose not in ("none", "dot"):
        tip, paint_side_nose = _plan_side_nose(brush, turn, palette, eyes, rng)
        nose = late = ""
        parts.append(paint_side_nose)

    def paint() -> None:
        low = eyes.y + 0.35
        if beard == "muzzle":
            paint_beard(brush, beard, palette, outline, max(low, 0.2), rng)
        if nose and not late:
            low = paint_nose(brush, nose, palette, eyes.y, rng)
        if beard and beard != "muzzle":
            paint_beard(brush, beard, palette, outline, max(low, 0.2), rng)
        paint_mouth(brush, rng.choice(style.mouths), palette, max(low, 0.2), rng)
        _paint_wrinkles(brush, visible, eyes, palette, low, rng)
        rng.shuffle(parts)
        for paint_part in parts:
            paint_part()

    with_warp(brush, turn, paint)
    return tip


def _paint_eyes(
    brush: Brush,
    turn: Turn,
    eyes: EyePlan,
    palette: Palette,
    nose: str,
    rng: random.Random,
) -> None:
    """Paint the visible eyes, a nose overlapping them, brows and glasses."""
    visible = visible_eyes(turn, eyes)
    for side in visible:
        if eyes.kind in RIGID_EYES:
            brush.warp = turn.warp_rigid(side * eyes.x, eyes.y)
        paint_eye(brush, side, eyes, palette, rng)
        brush.warp = turn.warp
    if nose:
        paint_nose(brush, nose, palette, eyes.y, rng)
    for side in visible:
        paint_brows(brush, side, eyes, palette)
    if rng.random() < 0.12 and eyes.ry < 0.5:
        paint_glasses(brush, eyes, palette, rng)


def _plan_side_nose(
    brush: Brush, turn: Turn, palette: Palette, eyes: EyePlan, rng: random.Random
) -> tuple[Points, Callable[[], None]]:
    """Return the tip of a nose that sticks out to the side, and how to paint it."""
    turned = abs(math.sin(turn.side))
    y = max(eyes.y + rng.uniform(0.1, 0.45), -0.05)
    radius = rng.choice((0.05, 0.1, 0.14, 0.2)) * rng.uniform(0.8, 1.2)
    far = turned * (0.85 + rng.uniform(0.1, 0.5))
    root = oval(
        turn.facing * 0.78 * turned,
        y - rng.uniform(0, 0.25),
        radius * 1.3,
        radius * 1.3,
    )
    end = oval(turn.facing * far, y + rng.uniform(-0.05, 0.2), radius * 1.1, radius)
    tone = mix(palette.skin, (230, 60, 60), rng.choice((0, 0, 0, 0.15, 0.5)))

    def paint() -> None:
        warp = brush.warp
        brush.warp = None
        hull = cv2.convexHull(np.concatenate([root, end]))[:, 0]
        brush.fill(hull, tone, outline_colour(palette), palette.width)
        if palette.solid:
            brush.shade(hull, (turn.facing * 0.3, -0.5), 0.5, mix(tone, INK, 0.5))
        backwards = np.float32((-turn.facing * (palette.width + 0.02), 0))
        brush.fill(root + backwards, palette.skin)  # no line where the nose begins
        brush.warp = warp

    return polygon((turn.facing * (far + radius * 0.5), y)), paint


def _paint_side_hair(
    brush: Brush, turn: Turn, palette: Palette, outline: Points, top: float
) -> None:
    """Paint the hair behind the temple of a turned head, from `top` down."""
    ear = -math.cos(turn.side) + 0.1
    edge = [
        (ear + 0.55, top),
        (ear + 0.25, max(top, -0.75)),
        (ear + 0.12, 0.05),
        (ear - 0.2, 0.35),
    ]
    shape = polygon(*edge, (-2, 0.8), (-2, top)) * np.float32((turn.facing, 1))
    brush.glaze(shape, palette.hair, 1.0, outline)
    if palette.outlined:
        brush.line(shape[1:4], mix(palette.hair, INK, 0.6), palette.width)


def _paint_wrinkles(
    brush: Brush,
    visible: list[float],
    eyes: EyePlan,
    palette: Palette,
    nose: float,
    rng: random.Random,
) -> None:
    """Paint bags below the eyes, lines beside the mouth, or freckles, on some faces."""
    if palette.solid or rng.random() < 0.7:
        return
    kind = rng.choice(("bags", "cheeks", "freckles", "chin"))
    for side in visible:
        if kind == "bags":
            y = eyes.y + eyes.ry + 0.06
            brush.line(
                arc(side * eyes.x, y, eyes.rx * 0.8, 0.08),
                palette.line,
                palette.width * 0.7,
            )
        elif kind == "cheeks":
            fold = [
                (side * 0.3, nose - 0.1),
                (side * 0.5, nose + 0.1),
                (side * 0.52, nose + 0.3),
            ]
            brush.line(curve(fold), palette.line, palette.width * 0.7)
        elif kind == "freckles":
            for _ in range(4):
                spot = side * rng.uniform(0.35, 0.7), rng.uniform(0.2, 0.45)
                brush.fill(oval(*spot, 0.03, 0.03), mix(palette.skin, INK, 0.4))
        else:
            brush.line(
                arc(side * 0.1, 0.9, 0.1, -0.05), palette.line, palette.width * 0.7
            )


def _face_box(
    brush: Brush, parts: Points, eyes: EyePlan, proportions: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return the face's upright box in pixels: about square, from the hairline to the chin.

    `parts` are the points that it encloses from eye level down. Annotators draw nearly square
    boxes in all styles; only a low crown or high eyes make them lower or higher. `proportions`: the
    width as a share of that of the parts, and the room below the chin as a share of the width.
    """
    upper_parts = parts[parts[:, 1] >= eyes.y - eyes.ry - 0.1]
    left, right = float(upper_parts[:, 0].min()), float(upper_parts[:, 0].max())
    width = proportions[0] * (right - left)
    low = float(parts[:, 1].max()) + proportions[1] * width
    crown = float(parts[:, 1].min()) - 0.05
    top = min(max(low - 0.97 * width, crown), eyes.y - eyes.ry - 0.1)
    middle = oval((left + right) / 2, (top + low) / 2, width / 2, (low - top) / 2)
    pixels = brush.place(middle)
    # Rotate an ellipse: its upright box is tighter than that of rotated corners.
    (x0, y0), (x1, y1) = pixels.min(0), pixels.max(0)
    return float(x0), float(y0), float(x1), float(y1)
