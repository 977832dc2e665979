"""Characters: the four of the sample, and any number of random ones for tests."""

import colorsys
import random
from dataclasses import dataclass

from tools.sample.brush import Colour, Point

HAIRSTYLES = ("long", "bob", "spiky", "twintails", "ponytail")
FRINGES = ("jagged", "straight", "parted", "swept")
ACCESSORIES = ("none", "ribbon", "glasses", "clip", "flower")
CLOTHES = ("sailor", "blazer", "hoodie", "scarf")
MOUTHS = ("smile", "flat", "open", "grin")


@dataclass(frozen=True, slots=True)
class Character:
    """Appearance of a person, the same in every image.

    `slant` raises (positive) or lowers the outer corners of the eyes, in units.
    """

    name: str
    hair: Colour
    eyes: Colour
    hairstyle: str
    fringe: str
    accessory: str
    accent: Colour
    clothes: str
    cloth: Colour
    skin: Colour = (255, 228, 206)
    slant: float = 0.0


@dataclass(frozen=True, slots=True)
class Expression:
    """Facial expression, different in every image, in units.

    `turn` is the shift of eyes, nose and mouth over the face when the head is turned.
    """

    mouth: str = "smile"
    gaze: Point = (0.0, 0.0)
    blush: float = 0.35
    brow: float = 0.0
    turn: Point = (0.0, 0.0)


CAST = (
    Character(
        "hana",
        (244, 150, 178),
        (64, 168, 98),
        "long",
        "parted",
        "ribbon",
        (214, 48, 72),
        "sailor",
        (58, 74, 128),
        (255, 230, 212),
        -0.6,
    ),
    Character(
        "rei",
        (58, 70, 122),
        (206, 120, 36),
        "bob",
        "straight",
        "glasses",
        (176, 44, 60),
        "blazer",
        (74, 62, 70),
        (250, 224, 204),
        1.0,
    ),
    Character(
        "sora",
        (246, 186, 76),
        (42, 128, 214),
        "spiky",
        "swept",
        "clip",
        (64, 196, 178),
        "hoodie",
        (70, 140, 120),
        (252, 220, 190),
        0.6,
    ),
    Character(
        "yuki",
        (196, 190, 228),
        (150, 74, 196),
        "twintails",
        "jagged",
        "flower",
        (250, 210, 84),
        "scarf",
        (88, 70, 140),
        (255, 234, 224),
        0.0,
    ),
)
"""The sample's characters. Their names are the sample's class names and keywords."""


def random_character(seed: int) -> Character:
    """Create a character outside the cast, reproducible from the seed."""
    rng = random.Random(f"character {seed}")  # noqa: S311 - drawing, not secrecy
    shade = rng.uniform(0.9, 1.0)
    return Character(
        name=f"{rng.choice(('aki', 'emi', 'kai', 'mio', 'nao', 'ren'))}-{seed}",
        hair=_vivid(rng, (0.3, 0.75), (0.4, 0.95)),
        eyes=_vivid(rng, (0.6, 0.85), (0.6, 0.85)),
        hairstyle=rng.choice(HAIRSTYLES),
        fringe=rng.choice(FRINGES),
        accessory=rng.choice(ACCESSORIES),
        accent=_vivid(rng, (0.6, 0.8), (0.7, 0.95)),
        clothes=rng.choice(CLOTHES),
        cloth=_vivid(rng, (0.3, 0.6), (0.35, 0.7)),
        skin=(round(255 * shade), round(228 * shade), round(206 * shade)),
        slant=rng.uniform(-1, 1),
    )


def random_expression(rng: random.Random) -> Expression:
    """Choose a random expression for one image."""
    return Expression(
        mouth=rng.choice(MOUTHS),
        gaze=(rng.uniform(-1.3, 1.3), rng.uniform(-0.5, 0.6)),
        blush=rng.choice((0.2, 0.35, 0.55)),
        brow=rng.uniform(-1.2, 1.2),
        turn=(rng.uniform(-3, 3), rng.uniform(-1.2, 1.2)),
    )


def _vivid(
    rng: random.Random, saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    )
    return round(red * 255), round(green * 255), round(blue * 255)
