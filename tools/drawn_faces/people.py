"""Fictional people with a seed for their identity and a separate seed for each image.

A person has one seed for each of its `TRAITS`. The random values of a trait are the same in every
image of the person, except for a small variation (`Habit`), as in real drawings. Everything else
belongs to the image: pose, expression, line, light, background, foreground and file artefacts.

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
from brush import Brush, Canvas, Colour, mix, oval, through
from eyes import INK, WHITE, EyePlan, Look, paint_brows, paint_eye, paint_glasses, plan_eyes, vivid
from features import BEARDS, paint_beard, paint_mouth, paint_nose
from hair import HATS, paint_back, paint_front, paint_hat
from heads import Turn, outline_colour, paint_ears, shade_skin, visible_eyes, with_warp
from samples import degrade
from scenery import any_colour, paint_backdrop
from styles import SKINS, STYLES, Style, read_contour
from things import paint_thing

T = TypeVar("T")

SIDE = 128
"""Side of the canvas in pixels."""
TRAITS = (
    "style", "head", "skin", "hair", "cut", "locks", "eyes", "iris", "brows", "nose", "worn",
    "marks", "clothes", "beard",
)  # fmt: skip
DISTINCTIVE_TRAITS = ("hair", "hair", "cut", "iris", "skin")
"""Siblings differ in at least one of these, and sometimes in other traits."""
HAND_TRAITS = ("style", "head", "eyes", "brows", "nose")
"""Traits that change with the artist; all other traits of a person stay."""
OTHER_HAND_RATE = 0.4
"""Probability that another artist draws a person."""
FAMILY_SIZE = 3
"""Number of consecutive people who are siblings."""
STYLE_WEIGHTS = {"anime": 6.5, "film": 0.8, "comic": 1.0, "round": 0.6, "cutout": 0.4, "mixed": 0.9}
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


class Habit(random.Random):
    """Random generator of one trait: a person's values with a small variation per image.

    If `free`, `random` (yes or no) depends on the image instead of the person.
    """

    def __init__(
        self, seed: str, picture: random.Random, wobble: float = 0.06, free: bool = False
    ) -> None:
        super().__init__()
        self._own, self._picture = random.Random(seed), picture
        self._wobble, self._free = wobble, free

    def random(self) -> float:
        """Return a value of the person, or of the image if `free`."""
        return (self._picture if self._free else self._own).random()

    def uniform(self, a: float, b: float) -> float:
        """Return a value that is nearly the same in every image."""
        moved = self._own.uniform(a, b) + self._picture.gauss(0, self._wobble) * (b - a)
        return min(max(moved, min(a, b)), max(a, b))

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        """Return a value that is nearly the same in every image."""
        return self._own.gauss(mu, sigma) + self._picture.gauss(0, self._wobble * sigma)

    def choice(self, seq: Sequence[T]) -> T:  # type: ignore[override]
        """Return the same element in every image."""
        return self._own.choice(seq)

    def randint(self, a: int, b: int) -> int:
        """Return the same integer in every image."""
        return self._own.randint(a, b)


@dataclass(frozen=True)
class Person:
    """Person: the random seed of each trait."""

    seeds: dict[str, str]

    @classmethod
    def numbered(cls, number: int, seed: int) -> Person:
        """Create person `number`; each `FAMILY` consecutive people are siblings."""
        family, place = divmod(number, FAMILY_SIZE)
        seeds = {trait: f"{seed} {family} {trait}" for trait in TRAITS}
        if place:
            dice = random.Random(f"{seed} {number}")
            changed = {
                dice.choice(DISTINCTIVE_TRAITS),
                *dice.sample(TRAITS[1:], dice.choice((0, 0, 1, 2, 4))),
            }
            seeds |= {trait: f"{seed} {family} {trait} {place}" for trait in changed}
        return cls(seeds)

    def by_another_hand(self, picture: random.Random) -> Person:
        """Return the person as drawn by another artist."""
        hand = picture.getrandbits(40)
        return Person(self.seeds | {trait: f"{hand} {trait}" for trait in HAND_TRAITS})

    @property
    def style(self) -> str:
        """The name of the drawing style."""
        dice = random.Random(self.seeds["style"])
        return dice.choices(list(STYLE_WEIGHTS), list(STYLE_WEIGHTS.values()))[0]

    def dice(
        self, trait: str, picture: random.Random, wobble: float = 0.06, free: bool = False
    ) -> Habit:
        """Return the random generator of a trait for one image."""
        return Habit(self.seeds[trait], picture, wobble, free)


@dataclass(frozen=True)
class Portrait:
    """Plan of one portrait: appearance in this image, and direction of the light."""

    person: Person
    style: Style
    own: Style
    look: Look
    eyes: EyePlan
    turn: Turn
    lamp: tuple[float, float]


def draw_person(person: Person, picture: random.Random) -> Canvas:
    """Draw a person as a face crop: RGB, `SIDE` x `SIDE` pixels."""
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    owner = np.zeros((SIDE, SIDE), np.int16)
    paint_backdrop(canvas, picture, [], 0)
    for _ in range(picture.choice((0, 0, 0, 1, 3))):
        spot = (picture.uniform(0, SIDE), picture.uniform(0, SIDE))
        paint_thing(Brush(canvas, owner, spot, picture.uniform(8, 40)), picture)
    scale = SIDE * min(max(picture.gauss(0.33, 0.045), 0.23), 0.47)
    place = (
        SIDE * (0.5 + picture.gauss(0, 0.04)),
        SIDE * (0.54 + picture.gauss(0, 0.04)),
    )
    if picture.random() < 0.12:
        _paint_neighbour(canvas, owner, place, scale, picture)
    lean = picture.gauss(0, 0.13) if picture.random() < 0.92 else picture.uniform(-0.7, 0.7)
    brush = Brush(canvas, owner, place, scale, lean, -1.0 if picture.random() < 0.3 else 1.0)
    _paint_body_of(brush, person, picture)
    _paint_portrait(brush, plan_portrait(person, picture), picture)
    if picture.random() < 0.1:
        turn = picture.uniform(0, 2 * math.pi)
        far = picture.uniform(0.8, 1.3) * scale
        spot = (place[0] + far * math.cos(turn), place[1] + far * abs(math.sin(turn)))
        paint_thing(Brush(canvas, owner, spot, scale * picture.uniform(0.2, 0.5)), picture)
    return _relight(canvas, picture)


def _paint_neighbour(
    canvas: Canvas,
    owner: np.ndarray,
    place: tuple[float, float],
    scale: float,
    picture: random.Random,
) -> None:
    """Paint another person, partly visible."""
    other = Person.numbered(picture.getrandbits(40), -1)
    side = picture.choice((-1, 1))
    spot = (
        place[0] + side * scale * picture.uniform(1.5, 2.2),
        place[1] + scale * picture.gauss(0, 0.6),
    )
    size = scale * picture.uniform(0.6, 1.1)
    brush = Brush(canvas, owner, spot, size, picture.gauss(0, 0.2))
    _paint_portrait(brush, plan_portrait(other, picture), picture)


def _paint_body_of(brush: Brush, person: Person, picture: random.Random) -> None:
    if picture.random() < 0.12:
        return
    upright = replace(brush, tilt=brush.tilt * 0.3)
    usual = picture.random() < 0.6
    paint_body(upright, person.dice("clothes", picture) if usual else picture)


def plan_portrait(person: Person, picture: random.Random) -> Portrait:
    """Choose how a person is drawn in this image."""
    own = STYLES[person.style]
    if picture.random() < OTHER_HAND_RATE:
        person = person.by_another_hand(picture)
    name, style = person.style, STYLES[person.style]
    skin_dice = person.dice("skin", picture)
    skin = skin_dice.choice(SKINS[skin_dice.choice(own.skins)])
    skin = mix(skin, vivid(skin_dice, (0.1, 0.6), (0.5, 1.0)), skin_dice.choice((0, 0.05, 0.12)))
    width = picture.uniform(*style.outline) * picture.uniform(0.4, 1.0)
    line = INK if picture.random() < 0.45 else mix(skin, INK, picture.uniform(0.4, 0.9))
    solid = picture.random() < max(style.solid, 0.18)
    outlined = width > 0.008 and picture.random() < 0.93
    look = Look(skin, line, max(width, 0.01), outlined, _draw_hair_colour(person, picture), solid)
    turn = Turn(
        max(min(picture.gauss(0, 0.38), 1.2), -1.2),
        picture.gauss(0, 0.1),
        0.5 if name == "cutout" or picture.random() < 0.1 else 0.85,
    )
    lamp = (picture.uniform(-0.8, 0.8), picture.uniform(-0.9, 0.2))
    eyes = _plan_eyes(person, style, picture)
    return Portrait(person, style, own, look, eyes, turn, lamp)


def _draw_hair_colour(person: Person, picture: random.Random) -> Colour:
    dice = person.dice("hair", picture, 0.05)
    if dice.random() < 0.5:
        tone = mix(dice.choice(NATURAL), any_colour(dice), dice.uniform(0, 0.15))
    else:
        tone = vivid(dice, (0.15, 0.8), (0.3, 1.0))
    return mix(tone, picture.choice((INK, WHITE)), abs(picture.gauss(0, 0.07)))


def _plan_eyes(person: Person, style: Style, picture: random.Random) -> EyePlan:
    dice = person.dice("eyes", picture, 0.08)
    kinds = [kind for kind in style.eyes if kind not in ("closed", "dot")] or ["plain"]
    plan = plan_eyes(dice, dice.choice(kinds))
    hue = person.dice("iris", picture, 0.04)
    iris = hue.choice(BROWNS) if hue.random() < 0.25 else vivid(hue, (0.35, 1.0), (0.35, 0.95))
    if plan.kind in ("round", "cutout") and hue.random() < 0.6:
        iris = INK
    if plan.kind in ("anime", "plain"):
        plan = replace(plan, pupil=dice.uniform(0.65, 0.95), rx=plan.rx * dice.uniform(0.95, 1.2))
    brow = person.dice("brows", picture)
    mood = picture.random()
    size = math.exp(picture.gauss(0, 0.09))
    return replace(
        plan,
        kind="closed" if mood < 0.13 else plan.kind,
        rx=plan.rx * size,
        ry=plan.ry * size * (0.75 if mood > 0.9 else 1.0),
        iris=iris,
        gaze=(picture.gauss(0, 0.35), picture.gauss(0, 0.25)),
        lid=picture.uniform(0.15, 0.5) if picture.random() < 0.15 else 0.0,
        brow=brow.choice(("line", "line", "thick", "thick", "none", "joined")),
        brow_bend=picture.uniform(-0.15, 0.05),
        brow_angle=picture.gauss(0, 0.25),
        brow_width=brow.uniform(0.04, 0.14),
        brow_up=picture.uniform(0.05, 0.25),
    )


def _paint_portrait(brush: Brush, portrait: Portrait, picture: random.Random) -> None:
    person, style, look, turn = portrait.person, portrait.style, portrait.look, portrait.turn
    head = person.dice("head", picture)
    outline = turn.outline(read_contour(head.choice(style.shapes), head))
    cut = person.dice("cut", picture)
    back, front = cut.choice(portrait.own.backs), cut.choice(portrait.own.fronts)
    if abs(turn.side) > 0.4:
        skull = oval(-0.45 * math.sin(turn.side), -0.35, 1.0, 0.95)
        brush.fill(
            skull, look.skin if back == "none" else look.hair, outline_colour(look), look.width
        )
    paint_back(brush, back, look, person.dice("cut", picture))
    paint_ears(brush, turn, look, person.dice("nose", picture))
    brush.fill(outline, look.skin, outline_colour(look), look.width)
    shade_skin(brush, outline, look, portrait.lamp, picture)
    with_warp(brush, turn, lambda: _paint_face(brush, portrait, outline, picture))
    paint_front(
        brush,
        turn.warp,
        front,
        look,
        outline,
        portrait.lamp,
        person.dice("cut", picture, 0.09, free=True),
    )
    if portrait.own is STYLES["anime"] or cut.random() < 0.2:
        _paint_locks(brush, portrait, picture)
    _paint_accessory(brush, portrait, outline, picture)
    if picture.random() < 0.5:  # Brows show through the hair.
        with_warp(
            brush,
            turn,
            lambda: [
                paint_brows(brush, side, portrait.eyes, look)
                for side in visible_eyes(turn, portrait.eyes)
            ],
        )


def _paint_face(
    brush: Brush, portrait: Portrait, outline: np.ndarray, picture: random.Random
) -> None:
    """Paint everything on the skin: marks, nose, beard, mouth, eyes, glasses."""
    person, style, look, eyes = portrait.person, portrait.style, portrait.look, portrait.eyes
    _paint_marks(brush, portrait, picture)
    nose = person.dice("nose", picture)
    low = paint_nose(brush, nose.choice(style.noses), look, eyes.y, nose)
    beard = person.dice("beard", picture)
    if beard.random() < portrait.own.beards:
        paint_beard(brush, beard.choice(BEARDS), look, outline, max(low, 0.2), beard)
    paint_mouth(brush, picture.choice(style.mouths), look, max(low, 0.2), picture)
    visible = visible_eyes(portrait.turn, eyes)
    for side in visible:
        paint_eye(brush, side, eyes, look, picture)
        paint_brows(brush, side, eyes, look)
    glasses = person.dice("worn", picture)
    wears = glasses.random() < 0.16
    if (picture.random() < (0.9 if wears else 0.03)) and eyes.ry < 0.6:
        paint_glasses(brush, eyes, look, glasses)


def _paint_marks(brush: Brush, portrait: Portrait, picture: random.Random) -> None:
    """Paint the person's moles, freckles, scars or painted cheeks, if any."""
    dice = portrait.person.dice("marks", picture, 0.02)
    paint = dice.choice((None,) * 7 + (_mole, _freckles, _scar, _stripes, _rouge))
    side = dice.choice((-1, 1))
    if paint is not None:
        paint(brush, portrait.look.skin, side, dice)


def _mole(brush: Brush, skin: Colour, side: int, dice: random.Random) -> None:
    place = (side * 0.5, dice.uniform(0.1, 0.5))
    brush.fill(oval(*place, 0.045, 0.045), mix(skin, (90, 40, 30), 0.7))


def _freckles(brush: Brush, skin: Colour, side: int, dice: random.Random) -> None:
    for _ in range(dice.randint(6, 12)):
        spot = (dice.uniform(-0.7, 0.7), dice.uniform(0.1, 0.4))
        brush.fill(oval(*spot, 0.025, 0.025), mix(skin, (90, 40, 30), 0.7))


def _scar(brush: Brush, skin: Colour, side: int, dice: random.Random) -> None:
    top = (side * dice.uniform(0.3, 0.6), -0.3)
    tail = (side * dice.uniform(0.3, 0.7), 0.5)
    brush.line(np.array([top, tail], np.float32), mix(skin, (170, 60, 60), 0.7), 0.05)


def _stripes(brush: Brush, skin: Colour, side: int, dice: random.Random) -> None:
    tone = vivid(dice, (0.5, 1.0), (0.3, 1.0))
    for level in (0.15, 0.3, 0.45)[: dice.randint(1, 3)]:
        for way in (-1, 1):
            ends = [(way * 0.5, level), (way * 0.85, level + 0.05)]
            brush.line(np.array(ends, np.float32), tone, 0.06)


def _rouge(brush: Brush, skin: Colour, side: int, dice: random.Random) -> None:
    for way in (-1, 1):
        brush.fill(oval(way * 0.6, 0.32, 0.17, 0.12), mix(skin, (240, 80, 90), 0.6))


def _paint_locks(brush: Brush, portrait: Portrait, picture: random.Random) -> None:
    """Paint strands beside the cheeks, a cowlick, and a colored streak."""
    look, turn = portrait.look, portrait.turn
    dice = portrait.person.dice("locks", picture, 0.1)
    edge = mix(look.hair, INK, 0.6) if look.outlined else None
    long, wide = dice.uniform(0.1, 1.7), dice.uniform(0.1, 0.32)
    inner = dice.uniform(0.72, 0.95)
    if dice.random() < 0.7:
        for side in (-1, 1):
            lean = -0.18 * math.sin(turn.side)
            x = side * inner + lean
            strand = through(
                [
                    (x, -0.95),
                    (x + side * wide, -0.4),
                    (x + side * wide, long * 0.5),
                    (x + picture.gauss(0, 0.08), long),
                    (x - side * wide * 0.4, long * 0.4),
                    (x - side * wide * 0.3, -0.5),
                ],
                True,
                5,
            )
            brush.fill(strand, look.hair, edge, look.width)
    if dice.random() < 0.2:
        lean = dice.choice((-1, 1))
        bow = through([(0, -1.3), (lean * 0.1, -1.75), (lean * 0.5, -1.8), (lean * 0.7, -1.6)])
        brush.line(bow, mix(look.hair, INK, 0.15), 0.1)
    if dice.random() < 0.12:
        x, tone = dice.uniform(-0.7, 0.7), vivid(dice, (0.3, 1.0), (0.3, 1.0))
        brush.line(through([(x * 0.5, -1.25), (x, -0.8), (x * 1.1, -0.35)]), tone, 0.16)


def _paint_accessory(
    brush: Brush, portrait: Portrait, outline: np.ndarray, picture: random.Random
) -> None:
    """Paint hat, clip, ribbons and earrings, mostly those the person always wears."""
    look, dice = portrait.look, portrait.person.dice("worn", picture)
    dice.random()  # Skip the value that decides about glasses.
    usual = picture.random() < 0.8
    hatted = dice.random() < portrait.style.hats
    if (hatted and usual) or picture.random() < 0.04:
        paint_hat(brush, dice.choice(HATS), look, outline, dice)
    paint = dice.choice((None,) * 8 + (_clip, _cross, _flower, _ribbons, _earrings, _beads))
    tone, side = vivid(dice, (0.3, 1.0), (0.3, 1.0)), dice.choice((-1, 1))
    place = (side * dice.uniform(0.45, 0.85), dice.uniform(-1.0, -0.55))
    if usual and paint is not None:
        paint(brush, tone, look, place)


Place = tuple[float, float]


def _clip(brush: Brush, tone: Colour, look: Look, place: Place) -> None:
    lean = math.copysign(0.5, place[0])
    brush.fill(oval(*place, 0.2, 0.07, lean), tone, outline_colour(look), look.width)


def _cross(brush: Brush, tone: Colour, look: Look, place: Place) -> None:
    x, y = place
    for way in (-1, 1):
        ends = [(x - 0.15, y - 0.15 * way), (x + 0.15, y + 0.15 * way)]
        brush.line(np.array(ends, np.float32), tone, 0.07)


def _flower(brush: Brush, tone: Colour, look: Look, place: Place) -> None:
    for step in range(5):
        turn = step * 2 * math.pi / 5
        middle = (place[0] + 0.13 * math.cos(turn), place[1] + 0.13 * math.sin(turn))
        brush.fill(oval(*middle, 0.11, 0.11), tone, outline_colour(look), look.width)
    brush.fill(oval(*place, 0.07, 0.07), (250, 220, 90))


def _ribbons(brush: Brush, tone: Colour, look: Look, place: Place) -> None:
    for way in (-1, 1):
        for lean in (-1, 1):
            wing = [(way, -0.7), (way + 0.35, -0.7 + lean * 0.3), (way + lean * 0.4, -0.95)]
            brush.fill(np.array(wing, np.float32), tone, outline_colour(look), look.width)


def _earrings(brush: Brush, tone: Colour, look: Look, place: Place) -> None:
    _paint_beside(brush, tone, look, 0.08)


def _beads(brush: Brush, tone: Colour, look: Look, place: Place) -> None:
    _paint_beside(brush, tone, look, 0.15)


def _paint_beside(brush: Brush, tone: Colour, look: Look, size: float) -> None:
    for way in (-1, 1):
        brush.fill(oval(way * 1.02, 0.5, size, size), tone, outline_colour(look), look.width)


def _relight(canvas: Canvas, picture: random.Random) -> Canvas:
    """Apply light, white balance, rarely grayscale, blur and file artefacts."""
    exact = canvas.astype(np.float32)
    if picture.random() < 0.3:
        tint = np.array(any_colour(picture), np.float32)
        exact += (tint - exact) * picture.uniform(0.05, 0.35)
    if picture.random() < 0.35:
        balance = [math.exp(picture.gauss(0, 0.1)) for _ in range(3)]
        exact *= np.array(balance, np.float32)
    if picture.random() < 0.2:
        across, down = picture.uniform(-1, 1), picture.uniform(-1, 1)
        slope = np.linspace(-1, 1, SIDE, dtype=np.float32)
        shade = 1 + 0.35 * (across * slope[None] + down * slope[:, None])
        exact *= shade[..., None]
    if picture.random() < 0.05:
        exact[:] = exact.mean(2, keepdims=True)
    lit = np.clip(exact, 0, 255).astype(np.uint8)
    if picture.random() < 0.15:
        lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), picture.uniform(0.6, 2.2)), np.uint8)
    return degrade(lit, picture) if picture.random() < 0.6 else lit
