"""Fictional people with a seed for their identity and a separate seed for each image.

A person has one seed for each of its `TRAITS`. The random values of a trait are the same in every
image of the person, except for a small variation (`TraitRandom`), as in real drawings. Everything
else belongs to the image: pose, expression, line, light, background, foreground, file artefacts.

Siblings share most traits of a family, so distinguishing them requires looking at hair, eyes and
skin rather than at the drawing style.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
from bodies import paint_body
from brush import Brush, Canvas, Colour, curve, mix, oval, polygon
from eyes import (
    INK,
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
from heads import Turn, outline_colour, paint_ears, shade_skin, visible_eyes, with_warp
from objects import paint_object
from samples import degrade
from scenery import any_colour, paint_backdrop
from styles import SKINS, STYLES, Style, read_contour

T = TypeVar("T")

SIDE = 128
"""Side of the canvas in pixels."""
TRAITS = (
    "style", "head", "skin", "hair", "cut", "locks", "eyes", "iris", "brows", "nose", "worn",
    "marks", "clothes", "beard",
)  # fmt: skip
DISTINCTIVE_TRAITS = ("hair", "hair", "cut", "iris", "skin")
"""Siblings differ in at least one of these, and sometimes in other traits."""
ARTIST_TRAITS = ("style", "head", "eyes", "brows", "nose")
"""Traits that depend on the artist; all other traits of a person stay the same."""
OTHER_ARTIST_RATE = 0.4
"""Probability that another artist draws a person."""
FAMILY_SIZE = 3
"""Number of consecutive people who are siblings."""
STYLE_WEIGHTS = {
    "anime": 6.5,
    "film": 0.8,
    "comic": 1.0,
    "round": 0.6,
    "cutout": 0.4,
    "mixed": 0.9,
}
NATURAL: tuple[Colour, ...] = (
    (34, 28, 34),
    (70, 48, 40),
    (112, 74, 50),
    (160, 112, 74),
    (236, 206, 130),
    (244, 228, 180),
    (196, 96, 48),
    (206, 204, 212),
    (150, 60, 40),
)
BROWNS: tuple[Colour, ...] = ((92, 56, 36), (136, 84, 44), (60, 40, 36), (190, 130, 50))


class TraitRandom(random.Random):
    """Random generator of one trait: a person's values with a small variation per image.

    If `per_image`, `random` (yes or no) depends on the image instead of the person.
    """

    def __init__(
        self,
        seed: str,
        image_rng: random.Random,
        spread: float = 0.06,
        per_image: bool = False,
    ) -> None:
        super().__init__()
        self._person_rng = random.Random(seed)
        self._image_rng = image_rng
        self._spread = spread
        self._per_image = per_image

    def random(self) -> float:
        """Return a value of the person, or of the image if `per_image`."""
        return (self._image_rng if self._per_image else self._person_rng).random()

    def uniform(self, a: float, b: float) -> float:
        """Return a value that is nearly the same in every image."""
        moved = self._person_rng.uniform(a, b) + self._image_rng.gauss(
            0, self._spread
        ) * (b - a)
        return min(max(moved, min(a, b)), max(a, b))

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """Return a value that is nearly the same in every image."""
        return self._person_rng.gauss(mu, sigma) + self._image_rng.gauss(
            0, self._spread * sigma
        )

    def choice(self, seq: Sequence[T]) -> T:  # type: ignore[override]
        """Return the same element in every image."""
        return self._person_rng.choice(seq)

    def randint(self, a: int, b: int) -> int:
        """Return the same integer in every image."""
        return self._person_rng.randint(a, b)


@dataclass(frozen=True)
class Person:
    """Person: the random seed of each trait."""

    seeds: dict[str, str]

    @classmethod
    def numbered(cls, number: int, seed: int) -> Person:
        """Create person `number`; each `FAMILY_SIZE` consecutive people are siblings."""
        family, place = divmod(number, FAMILY_SIZE)
        seeds = {trait: f"{seed} {family} {trait}" for trait in TRAITS}
        if place:
            rng = random.Random(f"{seed} {number}")
            changed = {
                rng.choice(DISTINCTIVE_TRAITS),
                *rng.sample(TRAITS[1:], rng.choice((0, 0, 1, 2, 4))),
            }
            seeds |= {trait: f"{seed} {family} {trait} {place}" for trait in changed}
        return cls(seeds)

    def draw_by_other_artist(self, image_rng: random.Random) -> Person:
        """Return the person as drawn by another artist."""
        hand = image_rng.getrandbits(40)
        return Person(
            self.seeds | {trait: f"{hand} {trait}" for trait in ARTIST_TRAITS}
        )

    @property
    def style(self) -> str:
        """The name of the drawing style."""
        rng = random.Random(self.seeds["style"])
        return rng.choices(list(STYLE_WEIGHTS), list(STYLE_WEIGHTS.values()))[0]

    def trait_rng(
        self,
        trait: str,
        image_rng: random.Random,
        spread: float = 0.06,
        per_image: bool = False,
    ) -> TraitRandom:
        """Return the random generator of a trait for one image."""
        return TraitRandom(self.seeds[trait], image_rng, spread, per_image)


@dataclass(frozen=True)
class Portrait:
    """Plan of one portrait: style, colors, eyes, pose, and direction of the light.

    `style` is the artist's, `person_style` that of most images of the person.
    """

    person: Person
    style: Style
    person_style: Style
    palette: Palette
    eyes: EyePlan
    turn: Turn
    light: tuple[float, float]


def draw_person(person: Person, image_rng: random.Random) -> Canvas:
    """Draw a person as a face crop: RGB, `SIDE` x `SIDE` pixels."""
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    owner = np.zeros((SIDE, SIDE), np.int16)
    paint_backdrop(canvas, image_rng, [], 0)
    for _ in range(image_rng.choice((0, 0, 0, 1, 3))):
        spot = (image_rng.uniform(0, SIDE), image_rng.uniform(0, SIDE))
        paint_object(Brush(canvas, owner, spot, image_rng.uniform(8, 40)), image_rng)
    scale = SIDE * min(max(image_rng.gauss(0.33, 0.045), 0.23), 0.47)
    place = (
        SIDE * (0.5 + image_rng.gauss(0, 0.04)),
        SIDE * (0.54 + image_rng.gauss(0, 0.04)),
    )
    if image_rng.random() < 0.12:
        _paint_neighbor(canvas, owner, place, scale, image_rng)
    lean = (
        image_rng.gauss(0, 0.13)
        if image_rng.random() < 0.92
        else image_rng.uniform(-0.7, 0.7)
    )
    brush = Brush(
        canvas, owner, place, scale, lean, -1.0 if image_rng.random() < 0.3 else 1.0
    )
    _paint_body(brush, person, image_rng)
    _paint_portrait(brush, plan_portrait(person, image_rng), image_rng)
    if image_rng.random() < 0.1:
        turn = image_rng.uniform(0, 2 * math.pi)
        far = image_rng.uniform(0.8, 1.3) * scale
        spot = (place[0] + far * math.cos(turn), place[1] + far * abs(math.sin(turn)))
        paint_object(
            Brush(canvas, owner, spot, scale * image_rng.uniform(0.2, 0.5)), image_rng
        )
    return _relight(canvas, image_rng)


def _paint_neighbor(
    canvas: Canvas,
    owner: np.ndarray,
    place: tuple[float, float],
    scale: float,
    image_rng: random.Random,
) -> None:
    """Paint another person, partly visible."""
    other = Person.numbered(image_rng.getrandbits(40), -1)
    side = image_rng.choice((-1, 1))
    spot = (
        place[0] + side * scale * image_rng.uniform(1.5, 2.2),
        place[1] + scale * image_rng.gauss(0, 0.6),
    )
    size = scale * image_rng.uniform(0.6, 1.1)
    brush = Brush(canvas, owner, spot, size, image_rng.gauss(0, 0.2))
    _paint_portrait(brush, plan_portrait(other, image_rng), image_rng)


def _paint_body(brush: Brush, person: Person, image_rng: random.Random) -> None:
    if image_rng.random() < 0.12:
        return
    upright = replace(brush, tilt=brush.tilt * 0.3)
    usual = image_rng.random() < 0.6
    paint_body(upright, person.trait_rng("clothes", image_rng) if usual else image_rng)


def plan_portrait(person: Person, image_rng: random.Random) -> Portrait:
    """Choose how a person is drawn in this image."""
    person_style = STYLES[person.style]
    if image_rng.random() < OTHER_ARTIST_RATE:
        person = person.draw_by_other_artist(image_rng)
    name = person.style
    style = STYLES[person.style]
    skin_dice = person.trait_rng("skin", image_rng)
    skin = skin_dice.choice(SKINS[skin_dice.choice(person_style.skins)])
    skin = mix(
        skin,
        vivid(skin_dice, (0.1, 0.6), (0.5, 1.0)),
        skin_dice.choice((0, 0.05, 0.12)),
    )
    width = image_rng.uniform(*style.outline) * image_rng.uniform(0.4, 1.0)
    line = (
        INK
        if image_rng.random() < 0.45
        else mix(skin, INK, image_rng.uniform(0.4, 0.9))
    )
    solid = image_rng.random() < max(style.solid, 0.18)
    outlined = width > 0.008 and image_rng.random() < 0.93
    palette = Palette(
        skin,
        line,
        max(width, 0.01),
        outlined,
        _draw_hair_colour(person, image_rng),
        solid,
    )
    turn = Turn(
        max(min(image_rng.gauss(0, 0.38), 1.2), -1.2),
        image_rng.gauss(0, 0.1),
        0.5 if name == "cutout" or image_rng.random() < 0.1 else 0.85,
    )
    light = (image_rng.uniform(-0.8, 0.8), image_rng.uniform(-0.9, 0.2))
    eyes = _plan_eyes(person, style, image_rng)
    return Portrait(person, style, person_style, palette, eyes, turn, light)


def _draw_hair_colour(person: Person, image_rng: random.Random) -> Colour:
    rng = person.trait_rng("hair", image_rng, 0.05)
    if rng.random() < 0.5:
        tone = mix(rng.choice(NATURAL), any_colour(rng), rng.uniform(0, 0.15))
    else:
        tone = vivid(rng, (0.15, 0.8), (0.3, 1.0))
    return mix(tone, image_rng.choice((INK, WHITE)), abs(image_rng.gauss(0, 0.07)))


def _plan_eyes(person: Person, style: Style, image_rng: random.Random) -> EyePlan:
    rng = person.trait_rng("eyes", image_rng, 0.08)
    kinds = [kind for kind in style.eyes if kind not in ("closed", "dot")] or ["plain"]
    plan = plan_eyes(rng, rng.choice(kinds))
    hue = person.trait_rng("iris", image_rng, 0.04)
    iris = (
        hue.choice(BROWNS)
        if hue.random() < 0.25
        else vivid(hue, (0.35, 1.0), (0.35, 0.95))
    )
    if plan.kind in ("round", "cutout") and hue.random() < 0.6:
        iris = INK
    if plan.kind in ("anime", "plain"):
        plan = replace(
            plan, pupil=rng.uniform(0.65, 0.95), rx=plan.rx * rng.uniform(0.95, 1.2)
        )
    brow = person.trait_rng("brows", image_rng)
    mood = image_rng.random()
    size = math.exp(image_rng.gauss(0, 0.09))
    return replace(
        plan,
        kind="closed" if mood < 0.13 else plan.kind,
        rx=plan.rx * size,
        ry=plan.ry * size * (0.75 if mood > 0.9 else 1.0),
        iris=iris,
        gaze=(image_rng.gauss(0, 0.35), image_rng.gauss(0, 0.25)),
        lid=image_rng.uniform(0.15, 0.5) if image_rng.random() < 0.15 else 0.0,
        brow=brow.choice(("line", "line", "thick", "thick", "none", "joined")),
        brow_bend=image_rng.uniform(-0.15, 0.05),
        brow_angle=image_rng.gauss(0, 0.25),
        brow_width=brow.uniform(0.04, 0.14),
        brow_up=image_rng.uniform(0.05, 0.25),
    )


def _paint_portrait(brush: Brush, portrait: Portrait, image_rng: random.Random) -> None:
    person, style, palette, turn = (
        portrait.person,
        portrait.style,
        portrait.palette,
        portrait.turn,
    )
    head = person.trait_rng("head", image_rng)
    outline = turn.outline(read_contour(head.choice(style.shapes), head))
    cut = person.trait_rng("cut", image_rng)
    back, front = (
        cut.choice(portrait.person_style.backs),
        cut.choice(portrait.person_style.fronts),
    )
    if abs(turn.side) > 0.4:
        skull = oval(-0.45 * math.sin(turn.side), -0.35, 1.0, 0.95)
        brush.fill(
            skull,
            palette.skin if back == "none" else palette.hair,
            outline_colour(palette),
            palette.width,
        )
    paint_back(brush, back, palette, person.trait_rng("cut", image_rng))
    paint_ears(brush, turn, palette, person.trait_rng("nose", image_rng))
    brush.fill(outline, palette.skin, outline_colour(palette), palette.width)
    shade_skin(brush, outline, palette, portrait.light, image_rng)
    with_warp(brush, turn, lambda: _paint_face(brush, portrait, outline, image_rng))
    paint_front(
        brush,
        turn.warp,
        front,
        palette,
        outline,
        portrait.light,
        person.trait_rng("cut", image_rng, 0.09, per_image=True),
    )
    if portrait.person_style is STYLES["anime"] or cut.random() < 0.2:
        _paint_locks(brush, portrait, image_rng)
    _paint_accessory(brush, portrait, outline, image_rng)
    if image_rng.random() < 0.5:  # Brows show through the hair.
        with_warp(
            brush,
            turn,
            lambda: [
                paint_brows(brush, side, portrait.eyes, palette)
                for side in visible_eyes(turn, portrait.eyes)
            ],
        )


def _paint_face(
    brush: Brush, portrait: Portrait, outline: np.ndarray, image_rng: random.Random
) -> None:
    """Paint everything on the skin: marks, nose, beard, mouth, eyes, glasses."""
    person, style, palette, eyes = (
        portrait.person,
        portrait.style,
        portrait.palette,
        portrait.eyes,
    )
    _paint_marks(brush, portrait, image_rng)
    nose = person.trait_rng("nose", image_rng)
    low = paint_nose(brush, nose.choice(style.noses), palette, eyes.y, nose)
    beard = person.trait_rng("beard", image_rng)
    if beard.random() < portrait.person_style.beards:
        paint_beard(brush, beard.choice(BEARDS), palette, outline, max(low, 0.2), beard)
    paint_mouth(
        brush, image_rng.choice(style.mouths), palette, max(low, 0.2), image_rng
    )
    visible = visible_eyes(portrait.turn, eyes)
    for side in visible:
        paint_eye(brush, side, eyes, palette, image_rng)
        paint_brows(brush, side, eyes, palette)
    glasses = person.trait_rng("worn", image_rng)
    wears = glasses.random() < 0.16
    if (image_rng.random() < (0.9 if wears else 0.03)) and eyes.ry < 0.6:
        paint_glasses(brush, eyes, palette, glasses)


def _paint_marks(brush: Brush, portrait: Portrait, image_rng: random.Random) -> None:
    """Paint the person's moles, freckles, scars or painted cheeks, if any."""
    rng = portrait.person.trait_rng("marks", image_rng, 0.02)
    paint = rng.choice((None,) * 7 + (_mole, _freckles, _scar, _stripes, _rouge))
    side = rng.choice((-1, 1))
    if paint is not None:
        paint(brush, portrait.palette.skin, side, rng)


def _mole(brush: Brush, skin: Colour, side: int, rng: random.Random) -> None:
    place = (side * 0.5, rng.uniform(0.1, 0.5))
    brush.fill(oval(*place, 0.045, 0.045), mix(skin, (90, 40, 30), 0.7))


def _freckles(brush: Brush, skin: Colour, side: int, rng: random.Random) -> None:
    for _ in range(rng.randint(6, 12)):
        spot = (rng.uniform(-0.7, 0.7), rng.uniform(0.1, 0.4))
        brush.fill(oval(*spot, 0.025, 0.025), mix(skin, (90, 40, 30), 0.7))


def _scar(brush: Brush, skin: Colour, side: int, rng: random.Random) -> None:
    top = (side * rng.uniform(0.3, 0.6), -0.3)
    tail = (side * rng.uniform(0.3, 0.7), 0.5)
    brush.line(polygon(top, tail), mix(skin, (170, 60, 60), 0.7), 0.05)


def _stripes(brush: Brush, skin: Colour, side: int, rng: random.Random) -> None:
    tone = vivid(rng, (0.5, 1.0), (0.3, 1.0))
    for level in (0.15, 0.3, 0.45)[: rng.randint(1, 3)]:
        for way in (-1, 1):
            ends = [(way * 0.5, level), (way * 0.85, level + 0.05)]
            brush.line(polygon(*ends), tone, 0.06)


def _rouge(brush: Brush, skin: Colour, side: int, rng: random.Random) -> None:
    for way in (-1, 1):
        brush.fill(oval(way * 0.6, 0.32, 0.17, 0.12), mix(skin, (240, 80, 90), 0.6))


def _paint_locks(brush: Brush, portrait: Portrait, image_rng: random.Random) -> None:
    """Paint strands beside the cheeks, a cowlick, and a colored streak."""
    palette, turn = portrait.palette, portrait.turn
    rng = portrait.person.trait_rng("locks", image_rng, 0.1)
    edge = mix(palette.hair, INK, 0.6) if palette.outlined else None
    long = rng.uniform(0.1, 1.7)
    wide = rng.uniform(0.1, 0.32)
    inner = rng.uniform(0.72, 0.95)
    if rng.random() < 0.7:
        for side in (-1, 1):
            lean = -0.18 * math.sin(turn.side)
            x = side * inner + lean
            strand = curve(
                [
                    (x, -0.95),
                    (x + side * wide, -0.4),
                    (x + side * wide, long * 0.5),
                    (x + image_rng.gauss(0, 0.08), long),
                    (x - side * wide * 0.4, long * 0.4),
                    (x - side * wide * 0.3, -0.5),
                ],
                True,
                5,
            )
            brush.fill(strand, palette.hair, edge, palette.width)
    if rng.random() < 0.2:
        lean = rng.choice((-1, 1))
        bow = curve(
            [(0, -1.3), (lean * 0.1, -1.75), (lean * 0.5, -1.8), (lean * 0.7, -1.6)]
        )
        brush.line(bow, mix(palette.hair, INK, 0.15), 0.1)
    if rng.random() < 0.12:
        x = rng.uniform(-0.7, 0.7)
        tone = vivid(rng, (0.3, 1.0), (0.3, 1.0))
        brush.line(curve([(x * 0.5, -1.25), (x, -0.8), (x * 1.1, -0.35)]), tone, 0.16)


def _paint_accessory(
    brush: Brush, portrait: Portrait, outline: np.ndarray, image_rng: random.Random
) -> None:
    """Paint hat, clip, ribbons and earrings, mostly those the person always wears."""
    palette = portrait.palette
    rng = portrait.person.trait_rng("worn", image_rng)
    rng.random()  # Skip the value that decides about glasses.
    usual = image_rng.random() < 0.8
    hatted = rng.random() < portrait.style.hats
    if (hatted and usual) or image_rng.random() < 0.04:
        paint_hat(brush, rng.choice(HATS), palette, outline, rng)
    paint = rng.choice(
        (None,) * 8 + (_clip, _cross, _flower, _ribbons, _earrings, _beads)
    )
    tone = vivid(rng, (0.3, 1.0), (0.3, 1.0))
    side = rng.choice((-1, 1))
    place = (side * rng.uniform(0.45, 0.85), rng.uniform(-1.0, -0.55))
    if usual and paint is not None:
        paint(brush, tone, palette, place)


Place = tuple[float, float]


def _clip(brush: Brush, tone: Colour, palette: Palette, place: Place) -> None:
    lean = math.copysign(0.5, place[0])
    brush.fill(
        oval(*place, 0.2, 0.07, lean), tone, outline_colour(palette), palette.width
    )


def _cross(brush: Brush, tone: Colour, palette: Palette, place: Place) -> None:
    x, y = place
    for way in (-1, 1):
        ends = [(x - 0.15, y - 0.15 * way), (x + 0.15, y + 0.15 * way)]
        brush.line(polygon(*ends), tone, 0.07)


def _flower(brush: Brush, tone: Colour, palette: Palette, place: Place) -> None:
    for step in range(5):
        turn = step * 2 * math.pi / 5
        middle = (place[0] + 0.13 * math.cos(turn), place[1] + 0.13 * math.sin(turn))
        brush.fill(
            oval(*middle, 0.11, 0.11), tone, outline_colour(palette), palette.width
        )
    brush.fill(oval(*place, 0.07, 0.07), (250, 220, 90))


def _ribbons(brush: Brush, tone: Colour, palette: Palette, place: Place) -> None:
    for way in (-1, 1):
        for lean in (-1, 1):
            wing = [
                (way, -0.7),
                (way + 0.35, -0.7 + lean * 0.3),
                (way + lean * 0.4, -0.95),
            ]
            brush.fill(polygon(*wing), tone, outline_colour(palette), palette.width)


def _earrings(brush: Brush, tone: Colour, palette: Palette, place: Place) -> None:
    _paint_at_ears(brush, tone, palette, 0.08)


def _beads(brush: Brush, tone: Colour, palette: Palette, place: Place) -> None:
    _paint_at_ears(brush, tone, palette, 0.15)


def _paint_at_ears(brush: Brush, tone: Colour, palette: Palette, size: float) -> None:
    for way in (-1, 1):
        brush.fill(
            oval(way * 1.02, 0.5, size, size),
            tone,
            outline_colour(palette),
            palette.width,
        )


def _relight(canvas: Canvas, image_rng: random.Random) -> Canvas:
    """Apply light, white balance, rarely grayscale, blur and file artefacts."""
    exact = canvas.astype(np.float32)
    if image_rng.random() < 0.3:
        tint = np.array(any_colour(image_rng), np.float32)
        exact += (tint - exact) * image_rng.uniform(0.05, 0.35)
    if image_rng.random() < 0.35:
        balance = [math.exp(image_rng.gauss(0, 0.1)) for _ in range(3)]
        exact *= np.array(balance, np.float32)
    if image_rng.random() < 0.2:
        across, down = image_rng.uniform(-1, 1), image_rng.uniform(-1, 1)
        slope = np.linspace(-1, 1, SIDE, dtype=np.float32)
        shade = 1 + 0.35 * (across * slope[None] + down * slope[:, None])
        exact *= shade[..., None]
    if image_rng.random() < 0.05:
        exact[:] = exact.mean(2, keepdims=True)
    lit = np.clip(exact, 0, 255).astype(np.uint8)
    if image_rng.random() < 0.15:
        lit = np.asarray(
            cv2.GaussianBlur(lit, (0, 0), image_rng.uniform(0.6, 2.2)), np.uint8
        )
    return degrade(lit, image_rng) if image_rng.random() < 0.6 else lit
