"""Faces drawn by our own program, for `presort_loop.py --drawn`: synthetic."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from tools.sample.character import random_character
from tools.sample.scene import draw_scene

MARGIN = 0.3
"""Of the face's box, as `facecrop run` cuts."""


def faces(count: int, classes: int) -> Iterator[tuple[str, Image.Image]]:
    """(name of the character, a face of it) `count` times, `classes` characters in turn."""
    for number in range(count):
        who = random_character(number % classes)
        scene, [box] = draw_scene([who], 1000 + number, (320, 180))
        left, top = box.x - MARGIN * box.width, box.y - MARGIN * box.height
        side = (1 + 2 * MARGIN) * box.width
        yield who.name, scene.crop((round(left), round(top), round(left + side), round(top + side)))
