"""Draw two sets of people in styles that no model of Gleanset was trained on.

    python benchmarks/own_sets.py OUT

`flat` has vector portraits without outlines, `ink` drawings in ink and screentone, also in profile:
ten people each, with 24 images in groups of two to four that share scene, clothes and light. Images
are the same at each run. OUT/flat and OUT/ink have a folder per person, OUT/flat_faces and
OUT/ink_faces the faces cropped by their true boxes with the default margin; `sources.json` has the
groups (benchmarks/labelled_tree.py) and OUT/faces.json the boxes (benchmarks/detectors.py). Nothing
may be tuned to these sets. No code is shared with tools/drawn_faces, which drew the training data.
"""

import json
import sys
from collections import namedtuple
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw
from scipy.interpolate import CubicSpline

from gleanset import Box, Face
from gleanset.images.cropping import compute_region
from gleanset.settings import CropGeometry

Points = np.ndarray[Any, Any]

GROUP_SIZES = (2, 4, 3, 3, 2, 4, 3, 3)
SIZE = np.array([384, 480])
ZOOM = 2
INK = "#16141a"
PAPER = "#faf9f5"
# Walls, scenery and clothes.
COLORS = "tomato steelblue goldenrod seagreen rebeccapurple linen #343a4c lightpink skyblue olive"
TONES = "white white dots hatch black light"
LIGHTS = [
    (1, 1, 1),
    (1, 1, 1),
    (1, 0.86, 0.7),
    (0.62, 0.7, 0.98),
    (0.8, 0.78, 0.76),
    (1, 0.9, 1),
]
# How far the eyes are open, and how much the brows and the corners of the mouth rise.
MOODS = [
    (1, 0, 0),
    (0.9, 0.2, 1),
    (0, 0.4, 1),
    (0.8, -1, -0.6),
    (0.7, 1, -1),
    (1.35, 0.8, 0),
]
# Right half of the lower edge of the hair on the forehead; 1 is the side of the face and the chin.
FRONTS = {
    "straight": [(0.97, 0.2), (0.93, -0.22), (0.5, -0.25), (0, -0.22)],
    "side": [(0.97, 0.15), (0.85, -0.4), (0.55, -0.8), (0.2, -0.6), (-0.5, -0.38)],
    "center": [(0.97, 0.45), (0.85, -0.15), (0.4, -0.55), (0, -0.85)],
    "none": [(0.97, 0.1), (0.85, -0.5), (0.45, -0.74), (0, -0.78)],
    "quiff": [(0.97, 0.1), (0.82, -0.55), (0.4, -0.7), (0, -0.6)],
    "spikes": [
        (0.97, 0.2),
        (0.8, -0.5),
        (0.66, -0.1),
        (0.4, -0.55),
        (0.2, -0.1),
        (0, -0.5),
    ],
    "curls": [
        (0.97, 0.1),
        (0.75, -0.3),
        (0.6, -0.6),
        (0.38, -0.35),
        (0.2, -0.6),
        (0, -0.38),
    ],
}
# Right half of the hair behind the head, then what hangs or stands out from it.
BACKS = {
    "short": [
        (0, -1.3),
        (0.65, -1.15),
        (1.02, -0.6),
        (1.0, 0.1),
        (0.75, 0.6),
        (0, 0.7),
    ],
    "bob": [
        (0, -1.35),
        (0.8, -1.15),
        (1.18, -0.4),
        (1.22, 0.4),
        (1.05, 0.98),
        (0, 0.9),
    ],
    "long": [(0, -1.33), (0.75, -1.12), (1.12, -0.4), (1.2, 0.9), (1.3, 2.0), (0, 1.9)],
    "afro": [
        (0, -1.9),
        (0.95, -1.65),
        (1.5, -0.9),
        (1.55, -0.1),
        (1.1, 0.55),
        (0, 0.6),
    ],
    "spiky": [
        (0, -1.4),
        (0.4, -1.75),
        (0.5, -1.25),
        (1.15, -1.3),
        (1, -0.7),
        (1.4, 0),
        (0, 0.7),
    ],
}
LOBES = {
    "tail": [
        (0.6, -0.9),
        (1.3, -0.9),
        (1.75, -0.2),
        (1.6, 1.2),
        (1.25, 0.6),
        (1.1, -0.3),
    ],
    "bun": [
        (0.1, -1.9),
        (0.6, -1.8),
        (0.7, -1.4),
        (0.2, -1.1),
        (-0.3, -1.4),
        (-0.25, -1.75),
    ],
}
PROFILE = [
    (0.1, -1.2),
    (0.6, -0.95),
    (0.82, -0.5),
    (0.8, -0.1),
    (0.84, 0.1),
    (1.02, 0.36),
]
PROFILE += [
    (0.84, 0.46),
    (0.9, 0.56),
    (0.84, 0.64),
    (0.88, 0.72),
    (0.8, 0.82),
    (0.82, 0.96),
]
PROFILE += [
    (0.62, 1.04),
    (0.1, 0.82),
    (-0.3, 0.5),
    (-0.75, 0.5),
    (-1.0, -0.2),
    (-0.6, -1.0),
]


# Colors or tones, shapes and sizes; `extra` is worn in most scenes.
Person = namedtuple(
    "Person", "name skin hair back front width jaw eyes brow nose extra"
)
PEOPLE = {
    "flat": [
        Person(
            "ada",
            "#eb8",
            "#223",
            "bob",
            "straight",
            0.86,
            0.3,
            "oval",
            0.05,
            0.8,
            "rims",
        ),
        Person(
            "bo",
            "#eb8",
            "#223",
            "short",
            "quiff",
            0.8,
            0.1,
            "almond",
            0.12,
            1.2,
            "beard",
        ),
        Person(
            "cleo",
            "#643",
            "#223",
            "afro",
            "none",
            0.8,
            0.4,
            "almond",
            0.06,
            0.9,
            "hoops",
        ),
        Person(
            "dan",
            "#fdc",
            "#c62",
            "short",
            "curls",
            0.88,
            0.2,
            "oval",
            0.08,
            1,
            "freckles",
        ),
        Person(
            "eve",
            "#fdc",
            "#c62",
            "long",
            "side",
            0.78,
            0.5,
            "almond",
            0.05,
            0.8,
            "mole",
        ),
        Person(
            "finn",
            "#fdc",
            "#ec6",
            "spiky",
            "spikes",
            0.76,
            0.2,
            "lid",
            0.1,
            1.3,
            "moustache",
        ),
        Person(
            "gia", "#a64", "#ec6", "tail", "side", 0.82, 0.45, "lid", 0.06, 0.9, "band"
        ),
        Person(
            "hugo", "#fdc", "#aab", "bald", "bald", 0.86, 0.1, "oval", 0.1, 1.5, "beard"
        ),
        Person(
            "ines",
            "#a64",
            "#742",
            "bun",
            "center",
            0.82,
            0.4,
            "almond",
            0.07,
            1,
            "hoops",
        ),
        Person(
            "jun",
            "#eb8",
            "#742",
            "short",
            "straight",
            0.8,
            0.35,
            "lid",
            0.09,
            0.7,
            "band",
        ),
    ],
    "ink": [
        Person(
            "kai",
            "white",
            "black",
            "spiky",
            "spikes",
            0.78,
            0.4,
            "almond",
            0.07,
            0.9,
            "scar",
        ),
        Person(
            "lena",
            "white",
            "black",
            "long",
            "straight",
            0.8,
            0.5,
            "almond",
            0.04,
            0.7,
            "mole",
        ),
        Person(
            "milo",
            "white",
            "dots",
            "short",
            "side",
            0.78,
            0.35,
            "oval",
            0.06,
            1.1,
            "rims",
        ),
        Person(
            "nora",
            "white",
            "dots",
            "bob",
            "center",
            0.86,
            0.4,
            "oval",
            0.04,
            0.6,
            "freckles",
        ),
        Person(
            "otis",
            "white",
            "shade",
            "bald",
            "bald",
            0.86,
            0.1,
            "lid",
            0.12,
            1.5,
            "beard",
        ),
        Person(
            "pia", "white", "white", "long", "side", 0.8, 0.5, "oval", 0.04, 0.7, "band"
        ),
        Person(
            "quin",
            "white",
            "hatch",
            "tail",
            "center",
            0.76,
            0.45,
            "lid",
            0.04,
            1,
            "hoops",
        ),
        Person(
            "rex",
            "white",
            "hatch",
            "short",
            "quiff",
            0.88,
            0.05,
            "almond",
            0.11,
            1.3,
            "beard",
        ),
        Person(
            "suki",
            "white",
            "black",
            "bun",
            "straight",
            0.84,
            0.5,
            "oval",
            0.05,
            0.6,
            "rims",
        ),
        Person(
            "theo",
            "white",
            "dots",
            "afro",
            "curls",
            0.8,
            0.2,
            "lid",
            0.08,
            1.2,
            "moustache",
        ),
    ],
}


@cache
def draw_tone(tone: str) -> Image.Image:
    """Return the mask of a tone, for the whole canvas."""
    x, y = np.meshgrid(*map(np.arange, SIZE * ZOOM))
    dots = np.cos((x + y) / 2.2) + np.cos((x - y) / 2.2)
    masks = {"white": x < 0, "black": x >= 0, "dots": dots > 0.1, "light": dots > 1.1}
    masks |= {"hatch": (x + 2 * y) % 15 < 6, "shade": (3 * x - 2 * y) % 22 < 4}
    return Image.fromarray(np.uint8(255) * masks[tone])


def ring(
    x: float, y: float, wide: float, high: float, start: float = 0, end: float = 2
) -> Points:
    """Return points of an ellipse; `start` and `end` are angles in half turns, clockwise."""
    angles = np.pi * np.linspace(start, end, 40)
    return np.stack([x + wide * np.cos(angles), y + high * np.sin(angles)], 1)


def bend(points: Any, closed: bool = False) -> Points:
    """Return a smooth curve through points."""
    knots = np.array([*points, points[0]] if closed else points, float)
    spline = CubicSpline(
        range(len(knots)), knots, bc_type="periodic" if closed else "natural"
    )
    return np.asarray(spline(np.linspace(0, len(knots) - 1, 10 * len(knots))))


def mirror(half: Any) -> Points:
    """Complete the right half of a shape, which ends at the middle or beyond it."""
    return np.array(
        [*half, *((-x, y) for x, y in half[::-1] if x > max(0.0, -half[-1][0]))]
    )


# Lines on the face.
MARKS = {
    "rims": [
        ring(-0.4, 0.06, 0.29, 0.25),
        ring(0.4, 0.06, 0.29, 0.25),
        [(-0.1, 0), (0.1, 0)],
    ],
    "freckles": [
        ring(x * s, 0.4 - x / 9, 0.02, 0.02) for x in (0.25, 0.4, 0.55) for s in (-1, 1)
    ],
    "hoops": [ring(-0.96, 0.68, 0.04, 0.14), ring(0.96, 0.68, 0.04, 0.14)],
    "scar": [bend([(0.25, -0.5), (0.4, 0.1), (0.45, 0.5)])],
    "mole": [ring(-0.3, 0.5, 0.02, 0.02)],
}


class Pen:
    """Paints in units of half a head, rotated by `roll`; ink has outlines and tones."""

    def __init__(
        self, canvas: Image.Image, at: Points, unit: float, roll: float = 0
    ) -> None:
        self.canvas = canvas
        self.at = at
        self.unit = unit
        self._rotation = [[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]]

    def place(self, points: Any) -> Points:
        """Return the position of points, in pixels of the canvas."""
        return ZOOM * (np.asarray(points, float) @ self._rotation * self.unit + self.at)

    def fill(
        self, points: Any, paint: str, clip: Any = None, opacity: float = 1
    ) -> None:
        """Fill a shape, or its part within the shape `clip`."""
        mask = self._mask(points, opacity)
        if clip is not None:
            mask = ImageChops.multiply(mask, self._mask(clip, 1))
        box = mask.getbbox() or (0, 0, 0, 0)
        mask = mask.crop(box)
        if self.canvas.mode == "RGB" or paint in (INK, PAPER):
            self.canvas.paste(paint, box, mask)
            return
        if paint != "shade":
            self.canvas.paste(PAPER, box, mask)
        self.canvas.paste(
            INK, box, ImageChops.multiply(mask, draw_tone(paint).crop(box))
        )
        if clip is None:
            self.stroke([*points, points[0]], INK, 0.03)

    def _mask(self, points: Any, opacity: float) -> Image.Image:
        mask = Image.new("L", self.canvas.size)
        ImageDraw.Draw(mask).polygon(
            [*map(tuple, self.place(points))], round(255 * opacity)
        )
        return mask

    def stroke(self, points: Any, paint: str, width: float) -> None:
        """Draw a line, thin at its ends in ink."""
        line = np.asarray(points, float)
        along = np.gradient(line, axis=0)
        normal = along[:, ::-1] * [-1, 1] / (np.hypot(*along.T)[:, None] + 1e-9)
        if is_ink := self.canvas.mode == "L":
            width = width * np.sin(np.linspace(0.3, np.pi - 0.3, len(line)))[:, None]
        side = normal * width / 2
        self.fill([*(line + side), *(line - side)[::-1]], INK if is_ink else paint)


class Portrait:
    """Drawing of a person; `scene` and `random` are generators of the group and the image."""

    def __init__(
        self,
        person: Person,
        is_ink: bool,
        scene: np.random.Generator,
        random: np.random.Generator,
    ) -> None:
        self.person = person
        self.is_ink = is_ink
        self.canvas = Image.new("L" if is_ink else "RGB", tuple(SIZE * ZOOM))
        self.paints = scene.permutation((TONES if is_ink else COLORS).split())[
            :3
        ].tolist()
        self.extra = person.extra if scene.random() < 0.75 else ""
        self.light, self.scenery, self.clothes = (
            scene.choice(LIGHTS),
            *scene.integers(0, 60, 2),
        )
        at = scene.uniform((140, 150), (244, 200)) + random.uniform(-14, 14, 2)
        self.pen = Pen(self.canvas, at, scene.uniform(52, 84))
        self.head = Pen(self.canvas, at, self.pen.unit, random.uniform(-0.2, 0.2))
        yaw = scene.choice([-1, -0.5, 0, 0.5, 1]) * (1 if is_ink else 0.8)
        self.yaw = yaw + random.uniform(-0.2, 0.2)
        self.side = 1 if self.yaw > 0 else -1
        self.mood = random.choice(MOODS)
        self.gaze = random.uniform(-0.06, 0.06)
        self.outline = self._make_outline()

    def _make_outline(self) -> Points:
        width, jaw = self.person.width, self.person.jaw
        if self.is_ink and abs(self.yaw) > 0.75:
            return bend(np.array(PROFILE) * [self.side * 1.1 * width, 1], closed=True)
        x, y = ring(0, -0.1, 1, 1.1).T
        low = np.clip(y, 0, 1)
        x = (
            np.sign(x)
            * np.abs(x) ** (0.8 if self.is_ink else 0.65)
            * (1 - jaw * low**1.5)
        )
        return np.stack([width * x + 0.15 * np.sin(self.yaw) * low, y], 1)

    def turn(self, points: Any) -> Points:
        """Move points of the face from the front view to where the turned head has them."""
        x, y = np.asarray(points, float).T
        angles = np.clip(np.arcsin(np.clip(x, -1, 1)) + self.yaw, -1.5, 1.5)
        return np.stack([self.person.width * np.sin(angles), y], 1)

    def draw(self) -> tuple[Image.Image, Box]:
        """Return the image and the box of the face, from the hairline to the chin."""
        self._draw_scenery()
        self._draw_back_hair()
        self._draw_body()
        self.head.fill(self.outline, self.person.skin)
        shadow = self.outline[::-1] * [0.9, 1] + [
            0.38 * self.light[0] * self.side,
            0.05,
        ]
        shade, opacity = ("shade", 1.0) if self.is_ink else (INK, 0.16)
        self.head.fill([*self.outline, *shadow], shade, self.outline, opacity)
        if self.extra == "beard":
            half = [(0, 1.2), (1, 1.2), (1, 0.25), (0.5, 0.5), (0, 0.44)]
            self.head.fill(
                self.turn(mirror(half)) * [1.2, 1], self.person.hair, self.outline
            )
        for x in (-0.4, 0.4):
            if abs(np.arcsin(x) + self.yaw) < 1.1:
                self._draw_eye(x)
        self._draw_nose_and_mouth()
        self._draw_front_hair()
        for mark in MARKS.get(self.extra, ()):
            self.head.stroke(self.turn(mark), INK, 0.06)
        if self.extra == "band":
            arch = ring(0, -0.2, 1.06 * self.person.width, 0.72, 1.05, 1.95)
            self.head.stroke(arch, INK if self.is_ink else self.paints[1], 0.2)
        (x, y) = self.outline.T * [[self.side], [1]]
        (ear, _) = self.turn([(-self.side, 0)])[0]
        face = (
            self.head.place(self.outline[(y > -0.75) & (x > self.side * ear - 0.1)])
            / ZOOM
        )
        low, high = (np.clip(f(face, 0), 0, SIZE).round() for f in (np.min, np.max))
        image = self.canvas.resize(tuple(SIZE), Image.Resampling.LANCZOS).convert("RGB")
        if not self.is_ink:
            image = Image.fromarray((np.asarray(image) * self.light).astype(np.uint8))
        return image, Box(*map(int, (*low, *(high - low))))

    def _draw_scenery(self) -> None:
        (wide, high) = SIZE
        pen = Pen(self.canvas, np.zeros(2), 1)
        page = np.array([(0, 0), (wide, 0), (wide, high), (0, high)])
        pen.fill(page, self.paints[0])
        places = np.random.default_rng(self.scenery)
        for _ in range(places.integers(1, 6)):
            x, y, size = places.uniform((0, 0, 30), (wide, 0.8 * high, 120))
            shapes: list[Any] = [
                ring(x, y, size, size),
                ring(x, high, 3 * size, high - y),
                page * size / 300 + [x, y],
                [(x, 0), (x + size, 0), (x - size, high), (x - 2 * size, high)],
            ]
            pen.fill(shapes[self.scenery % len(shapes)], self.paints[1])

    def _draw_body(self) -> None:
        pen = self.pen
        clothes = self.paints[2]
        skin = self.person.skin
        pen.fill([(-0.3, 0.5), (0.3, 0.5), (0.36, 1.6), (-0.36, 1.6)], skin)
        broad = 1.25 + self.person.width / 2 - self.person.jaw / 2
        half = [
            (0, 6),
            (broad + 0.3, 6),
            (broad + 0.35, 2.3),
            (broad, 1.5),
            (0.3, 1.25),
            (0, 1.25),
        ]
        pen.fill(mirror(half), clothes)
        if self.clothes % 3 == 0:
            for y in np.arange(1.9, 6, 0.7):
                stripe = [(-3, y), (3, y), (3, y + 0.3), (-3, y + 0.3)]
                pen.fill(stripe, self.paints[1], mirror(half))
        if self.clothes % 2:
            elbow = (broad + 0.7, 3.3)
            hand = (broad + 0.3 + self.gaze * 9, 1.2)
            for start, end in (((broad - 0.1, 1.8), elbow), (elbow, hand)):
                pen.stroke(np.linspace(start, end, 30), clothes, 0.6)
            pen.fill(ring(*hand, 0.33, 0.36), skin)

    def _draw_back_hair(self) -> None:
        back, hair = self.person.back, self.person.hair
        if back in LOBES:
            self.head.fill(
                bend(np.array(LOBES[back]) * [-self.side, 1], closed=True), hair
            )
        if back != "bald":
            points = mirror(BACKS.get(back, BACKS["short"])) * [
                1.1 * self.person.width,
                1,
            ]
            points -= [0.15 * np.sin(self.yaw), 0]
            self.head.fill(
                points if back == "spiky" else bend(points, closed=True), hair
            )

    def _draw_front_hair(self) -> None:
        _, skin, hair, _, front, width, *_ = self.person
        side = -self.side
        if abs(self.yaw) > 0.25 or front == "bald":
            temple = self.turn([(0.97 * side, 0)])[0, 0] * side
            patch = [(temple, -0.7), (temple, 0.1), (temple + 0.12, 0.3), (width, 0.5)]
            patch += [(1.14 * width, -0.3), (0.75 * width, -1.0)]
            self.head.fill(bend(np.array(patch) * [side, 1], closed=True), hair)
            self.head.fill(ring((temple + 0.1) * side, 0.2, 0.11, 0.2), skin)
        if front == "bald":
            return
        edge = mirror(FRONTS[front])
        fringe = self.turn(edge if front == "spikes" else bend(edge)) * [1.04, 1]
        crown = ring(0, -0.1, 1.07 * width, 1.5 if front == "quiff" else 1.2, 1, 2)
        self.head.fill([*crown, *fringe], hair)
        for x in (-0.7, -0.3, 0.2, 0.6) if self.is_ink else ():
            line = bend([(x * 0.7, -1.15), (x, -0.9), (x * 1.05, -0.6)]) * [width, 1]
            self.head.stroke(line, INK, 0.05)

    def _draw_eye(self, x: float) -> None:
        (opened, tilt, _) = self.mood
        eyes = self.person.eyes
        head = self.head
        brow = [
            (0.55 * x, -0.28 - 0.1 * tilt),
            (x, -0.34),
            (1.5 * x, -0.26 + 0.05 * tilt),
        ]
        head.stroke(self.turn(bend(brow)), self.person.hair, self.person.brow * 1.4)
        high = opened * {"oval": 0.17, "almond": 0.11, "lid": 0.12}[eyes]
        if not opened:
            head.stroke(self.turn(ring(x, 0.1, 0.17, 0.09, 1, 2)), INK, 0.06)
            return
        if eyes == "oval" and not self.is_ink:
            head.fill(self.turn(ring(x + self.gaze, 0.05, 0.085, high)), INK)
        else:
            white = self.turn(ring(x, 0.05, 0.19, high))
            head.fill(white, PAPER)
            tone = "shade" if self.is_ink and eyes == "oval" else "sienna"
            iris = self.turn(ring(x + self.gaze, 0.05, 0.1, max(high, 0.11)))
            head.fill(iris, INK if self.is_ink and eyes != "oval" else tone, white)
            head.fill(self.turn(ring(x + self.gaze, 0.05, 0.05, 0.06)), INK, white)
        head.fill(self.turn(ring(x + self.gaze + 0.03, 0, 0.025, 0.03)), PAPER)
        if eyes == "lid":
            head.fill(
                self.turn(ring(x, 0.05, 0.2, high * 1.15, 1, 2)), self.person.skin
            )
        if self.is_ink:
            lash = 0.2 * high if eyes == "lid" else high
            head.stroke(self.turn(ring(x, 0.05, 0.2, lash, 1, 2)), INK, 0.08)
            head.stroke(self.turn(ring(x, 0.05, 0.15, high, 0.3, 0.8)), INK, 0.03)

    def _draw_nose_and_mouth(self) -> None:
        head = self.head
        nose = self.person.nose
        (opened, _, rise) = self.mood
        bridge, tip, wing = self.turn(
            [(0, 0), (0, 0.32), (-0.12 * self.side * nose, 0.36)]
        )
        tip += [0.2 * nose * np.sin(self.yaw), 0]
        if not self.is_ink:
            head.fill([bridge, tip, wing], INK, opacity=0.3)
        elif abs(self.yaw) <= 0.75:
            head.stroke(bend([(bridge + tip) / 2, tip, wing]), INK, 0.05)
        if self.extra == "moustache":
            half = [(0, 0.54), (0.2, 0.56), (0.4, 0.6), (0.2, 0.42), (0, 0.42)]
            head.fill(self.turn(bend(mirror(half), closed=True)), self.person.hair)
        corner = 0.66 - 0.08 * rise
        line = bend([(-0.24, corner), (0, 0.68 + 0.06 * rise), (0.24, corner)])
        if opened > 1:
            head.fill(self.turn(ring(0, 0.7, 0.13, 0.15)), INK)
        elif not opened:
            head.fill(self.turn([*line, *ring(0, 0.62, 0.24, 0.26, 0, 1)]), INK)
            head.fill(self.turn([*line, (0.12, 0.76), (-0.12, 0.76)]), PAPER)
        else:
            head.stroke(self.turn(line), INK, 0.06)


def save_with_face(
    image: Image.Image, box: Box, name: str, folders: tuple[Path, Path]
) -> None:
    """Save an image, and its face with the default margin, as `name` in the two folders."""
    region = compute_region(Face("", box, 1.0), CropGeometry(), *image.size).box
    right = region.x + region.width
    bottom = region.y + region.height
    face = image.crop((region.x, region.y, right, bottom))
    for folder, content in zip(folders, (image, face), strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content.save(path)


def draw_set(out: Path, style: str) -> list[dict[str, Any]]:
    """Draw a set and the crops of its faces; return the annotations."""
    annotations = []
    sources = []
    for number, person in enumerate(PEOPLE[style]):
        for index, group in enumerate(
            np.repeat(np.arange(len(GROUP_SIZES)), GROUP_SIZES).tolist()
        ):
            seeds = [number, len(style), group]
            randoms = (
                np.random.default_rng(seeds),
                np.random.default_rng([*seeds, index]),
            )
            image, box = Portrait(person, style == "ink", *randoms).draw()
            name = f"{person.name}/{style}_{index:02}.png"
            save_with_face(image, box, name, (out / style, out / f"{style}_faces"))
            annotations.append({"file": f"{style}/{name}", "boxes": [list(box)]})
            sources.append({"file": name, "source_image": f"{person.name} {group}"})
    for folder in (style, f"{style}_faces"):
        (out / folder / "sources.json").write_text(json.dumps(sources))
    return annotations


if __name__ == "__main__":
    out = Path(sys.argv[1])
    annotations = [row for style in PEOPLE for row in draw_set(out, style)]
    (out / "faces.json").write_text(json.dumps(annotations))
