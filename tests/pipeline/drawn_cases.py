"""Drawn search results of the five use cases: cats, owls, memes, photos, cartoons, people.

Simple but varied: sizes, positions, colors and backgrounds depend on the seed, so that a network
has something to learn.
"""

import random
import zlib
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tools.sample.character import CAST
from tools.sample.scene import draw_scene, random_character

SIZE = (240, 180)
Colour = tuple[int, int, int]


def drawn_case(kind: str, seed: int) -> Image.Image:
    """Draw an image of a kind or person, 240 x 180 pixels."""
    if kind in _KINDS:
        return _KINDS[kind](random.Random(f"{kind} {seed}"))
    person = _CAST.get(kind) or random_character(zlib.crc32(kind.encode()))
    scene, _ = draw_scene([person], seed, SIZE)
    return scene.convert("RGB")


def _cat(dice: random.Random) -> Image.Image:
    scene, draw, x, y, r = _animal(dice)
    fur = dice.choice([(196, 140, 82), (70, 70, 74), (228, 222, 212), (150, 112, 80)])
    for side in (-1, 1):
        ear = [
            (x + side * r, y - r * 0.2),
            (x + side * r * 0.9, y - r * 1.4),
            (x, y - r * 0.8),
        ]
        draw.polygon(ear, fill=fur)
    _disc(draw, x, y, r, fur)
    for side in (-1, 1):
        _disc(draw, x + side * r * 0.4, y - r * 0.1, r * 0.17, (190, 205, 90))
        slit = x + side * r * 0.4
        draw.line(
            [(slit, y - r * 0.24), (slit, y + r * 0.04)], fill=(20, 20, 20), width=3
        )
        for tilt in (-0.12, 0, 0.12):
            far = (x + side * r * 1.3, y + r * (0.35 + tilt * 2))
            draw.line(
                [(x + side * r * 0.3, y + r * (0.3 + tilt)), far], fill=(240, 240, 240)
            )
    draw.polygon(
        [(x - 6, y + r * 0.2), (x + 6, y + r * 0.2), (x, y + r * 0.32)], fill="pink"
    )
    return scene


def _owl(dice: random.Random) -> Image.Image:
    scene, draw, x, y, r = _animal(dice)
    plumage = dice.choice(
        [(122, 92, 62), (160, 140, 118), (92, 78, 70), (206, 196, 180)]
    )
    draw.ellipse([x - r * 0.9, y - r, x + r * 0.9, y + r * 1.5], fill=plumage)
    for row in range(4):
        for column in range(-2, 3):
            at = x + column * r * 0.28
            down = y + r * (0.6 + row * 0.2)
            draw.arc(
                [at - 5, down - 5, at + 5, down + 5], 0, 180, fill=(60, 46, 34), width=2
            )
    iris = dice.choice([(240, 180, 30), (226, 120, 30)])
    for side in (-1, 1):
        eye = x + side * r * 0.42
        _disc(draw, eye, y - r * 0.3, r * 0.42, (238, 226, 200))
        _disc(draw, eye, y - r * 0.3, r * 0.28, iris)
        _disc(draw, eye, y - r * 0.3, r * 0.14, (10, 10, 10))
    draw.polygon(
        [(x - 7, y - r * 0.1), (x + 7, y - r * 0.1), (x, y + r * 0.2)],
        fill=(220, 160, 40),
    )
    return scene


def _photo(dice: random.Random) -> Image.Image:
    """Draw a landscape with sky, hills and grain, slightly out of focus."""
    scene = Image.new("RGB", SIZE)
    draw = ImageDraw.Draw(scene)
    top = _colour(dice, 120, 250)
    low = _colour(dice, 60, 200)
    for row in range(SIZE[1]):
        part = row / SIZE[1]
        mixed = tuple(int(a + (b - a) * part) for a, b in zip(top, low, strict=True))
        draw.line([(0, row), (SIZE[0], row)], fill=mixed)
    for depth in range(3):
        line = SIZE[1] * (0.5 + depth * 0.15)
        hills = [
            (x, line - dice.random() * 40 / (depth + 1)) for x in range(0, 260, 30)
        ]
        shade = _colour(dice, 20, 130 - depth * 30)
        draw.polygon([(0, 180), *hills, (240, 180)], fill=shade)
    scene = scene.filter(ImageFilter.GaussianBlur(dice.uniform(0.6, 1.6)))
    grain = Image.effect_noise(SIZE, dice.uniform(8, 20)).convert("RGB")
    return Image.blend(scene, grain, 0.12)


def _meme(dice: random.Random) -> Image.Image:
    """Draw one of six templates with two lines of thick text."""
    template = dice.randrange(6)
    scene = _KINDS[("photo", "cat", "owl")[template % 3]](random.Random(template))
    draw = ImageDraw.Draw(scene)
    font = ImageFont.load_default(size=dice.randrange(19, 25))
    for place, anchor in ((8, "ma"), (172, "md")):
        words = dice.choice(_WORDS).upper()
        at = (SIZE[0] / 2, place)
        draw.text(
            at, words, "white", font, anchor=anchor, stroke_width=2, stroke_fill="black"
        )
    return scene


def _cartoon(dice: random.Random) -> Image.Image:
    """Draw a figure with flat colors and thick lines."""
    scene = Image.new("RGB", SIZE, _colour(dice, 120, 255))
    draw = ImageDraw.Draw(scene)
    draw.rectangle([0, 130, 240, 180], fill=_colour(dice, 60, 200))
    x = dice.randrange(70, 170)
    y = dice.randrange(60, 90)
    wide = dice.randrange(28, 52)
    high = dice.randrange(34, 54)
    skin = _colour(dice, 140, 250)
    body = [x - wide * 0.7, y + high * 0.8, x + wide * 0.7, 176]
    draw.rounded_rectangle(body, 14, _colour(dice, 20, 230), "black", 4)
    draw.ellipse([x - wide, y - high, x + wide, y + high], skin, "black", 4)
    for side in (-1, 1):
        eye = x + side * wide * 0.35
        low = y - high * 0.2
        draw.ellipse([eye - 11, low - 13, eye + 11, low + 13], "white", "black", 3)
        _disc(draw, eye + dice.randrange(-4, 5), low, 4, (0, 0, 0))
    draw.arc([x - 16, y, x + 16, y + high * 0.6], 10, 170, fill="black", width=4)
    return scene


def _anime(dice: random.Random) -> Image.Image:
    scene, _ = draw_scene(
        [random_character(dice.randrange(40))], dice.randrange(10**6), SIZE
    )
    return scene.convert("RGB")


def _animal(
    dice: random.Random,
) -> tuple[Image.Image, ImageDraw.ImageDraw, float, float, float]:
    """Return a background, its pen, and the head's x, y and radius."""
    scene = _photo(dice)
    r = dice.uniform(32, 52)
    x = dice.uniform(r * 1.3, 240 - r * 1.3)
    y = dice.uniform(r * 1.4, 178 - r * 1.2)
    return scene, ImageDraw.Draw(scene), x, y, r


def _disc(
    draw: ImageDraw.ImageDraw, x: float, y: float, r: float, colour: Colour
) -> None:
    draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)


def _colour(dice: random.Random, low: int, high: int) -> Colour:
    return (
        dice.randrange(low, high),
        dice.randrange(low, high),
        dice.randrange(low, high),
    )


_WORDS = (
    "when the cat",
    "one does not",
    "simply code",
    "monday again",
    "such wow",
    "nobody",
    "at 3 am",
)
_CAST = {person.name: person for person in CAST}
_KINDS: dict[str, Callable[[random.Random], Image.Image]] = {
    "cat": _cat,
    "owl": _owl,
    "photo": _photo,
    "meme": _meme,
    "cartoon": _cartoon,
    "anime": _anime,
}
