"""Drawn episode as a video file, with the true position of every face on each frame.

For `episodes.py`; not a script. Characters are painted once in a few poses and expressions, and
their sprites move over backdrops: they talk, blink, walk, pass each other and are briefly hidden by
a passing object, while the camera pans and zooms. Animated on twos and threes at 24 frames per
second, with cuts and cross-fades. Two characters are twins of two others except for one trait.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from generated_films import encode
from PIL import Image

from gleanset.arrays import Float32Array, Pixels
from tools.sample.brush import OVERSAMPLE, Brush, curve, darken, oval
from tools.sample.character import CAST, Character, Expression, random_character
from tools.sample.scene import BACKDROPS, Figure, face_box, paint_backdrop, paint_figure

FPS = 24
STAGE = (1280, 720)
HEAD_SIDE = 400
"""Side of a painted head in pixels; its sprite is `SPRITE_SCALE` times as large."""
SPRITE_SCALE = 1.6
FADE_SECONDS = 0.5
POSES = ((0.0, 0.0), (-2.6, 0.5), (2.6, -0.6))
MOUTHS = ("smile", "flat", "open", "grin")
PEOPLE = 10
ENCODE = (
    "-c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p -threads 1"
    " -vf scale=out_color_matrix=bt709 -colorspace bt709"
)

Pixels = Pixels
Alpha = Float32Array


class TrueFace(NamedTuple):
    """True face box on a frame, in pixels; `visible` is the share in view."""

    name: str
    x: float
    y: float
    side: float
    visible: float


@dataclass(frozen=True, slots=True)
class Walk:
    """Path of a head during a shot: center and side at its start and end, as shares of the stage's
    height. `pose` is an index into `POSES`.
    """

    character: Character
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    pose: int
    talks: bool


@dataclass(frozen=True, slots=True)
class FilmShot:
    """Shot in front of one backdrop. Views are center (x, y) and width, as shares of the stage."""

    seconds: float
    backdrop: int
    walks: tuple[Walk, ...]
    views: tuple[tuple[float, float, float], tuple[float, float, float]]
    hidden_by: float | None
    fades: bool
    frames_per_drawing: int


def make_cast() -> list[Character]:
    """Return the cast: the sample's four, random characters, and two near-identical twins."""
    others = [random_character(seed) for seed in range(PEOPLE - len(CAST) - 2)]
    first = replace(CAST[0], name="hana-twin", eyes=(60, 110, 214))
    second = replace(
        others[0], name=f"{others[0].name}-twin", hair=darken(others[0].hair, 0.62)
    )
    return [*CAST, *others, first, second]


def plan_film(seconds: float, seed: int, without: tuple[str, ...]) -> list[FilmShot]:
    """Plan shots of about `seconds` in total, without the named characters."""
    rng = random.Random(f"film {seed}")
    people = [character for character in make_cast() if character.name not in without]
    shots = []
    total = 0.0
    while total < seconds:
        shots.append(_plan_shot(people, rng))
        total += shots[-1].seconds
    return shots


def _plan_shot(people: list[Character], rng: random.Random) -> FilmShot:
    number = rng.choices((0, 1, 2, 3, 6), (1, 5, 4, 2, 1))[0]
    weights = [1 / (place + 1) ** 0.5 for place in range(len(people))]
    characters: list[Character] = []
    while len(characters) < number:
        characters += [
            choice
            for choice in rng.choices(people, weights)
            if choice not in characters
        ]
    side = {0: 0.0, 1: 0.6, 2: 0.48, 3: 0.4, 6: 0.2}[number] * rng.uniform(0.8, 1.15)
    walks = tuple(
        _plan_walk(character, n, number, side, rng)
        for n, character in enumerate(characters)
    )
    if number == 2 and rng.random() < 0.3:
        # They change places, one slightly behind the other.
        a, b = walks
        walks = (
            replace(a, end=(*b.start[:2], a.end[2])),
            replace(b, end=(*a.start[:2], b.end[2])),
        )
    view = (rng.uniform(0.44, 0.56), rng.uniform(0.47, 0.53), rng.uniform(0.8, 0.98))
    moves = rng.random() < 0.55
    other = (rng.uniform(0.38, 0.62), rng.uniform(0.46, 0.54), rng.uniform(0.7, 0.98))
    return FilmShot(
        seconds=rng.choice((1.2, 2.0, 2.8, 3.5, 4.5, 6.0, 9.0)),
        backdrop=rng.randrange(24),
        walks=walks,
        views=(view, other if moves else view),
        hidden_by=rng.uniform(0.2, 0.5) if rng.random() < 0.12 else None,
        fades=rng.random() < 0.15,
        frames_per_drawing=rng.choice((2, 2, 3)),
    )


def _plan_walk(
    character: Character, n: int, count: int, side: float, rng: random.Random
) -> Walk:
    width = STAGE[0] / STAGE[1]
    middle = width * (n + 0.5) / count + rng.uniform(-0.03, 0.03)
    start = (middle, rng.uniform(0.42, 0.62), side)
    end = start
    if rng.random() < 0.3:
        end = (middle + rng.uniform(-0.2, 0.2), start[1], side * rng.uniform(0.9, 1.2))
    return Walk(character, start, end, rng.randrange(len(POSES)), rng.random() < 0.6)


class Sprites:
    """Cache of painted heads with alpha masks (0..1), and of backdrops."""

    def __init__(self) -> None:
        self._heads: dict[tuple[str, int, str, bool], tuple[Pixels, Alpha]] = {}
        self._backdrops: dict[int, Pixels] = {}

    def head(
        self, character: Character, pose: int, mouth: str, blinks: bool
    ) -> tuple[Pixels, Alpha]:
        """Return a head's colors (N, N, 3) and alpha (N, N, 1)."""
        key = character.name, pose, mouth, blinks
        if key not in self._heads:
            side = round(HEAD_SIDE * SPRITE_SCALE)
            mood = Expression(mouth, (POSES[pose][0] * 0.4, 0.0), turn=POSES[pose])
            x = (side - HEAD_SIDE) / 2
            figure = Figure(
                character, x, side * 0.06, HEAD_SIDE, POSES[pose][0] * 1.5, mood
            )
            light, black = (
                _paint_head(figure, side, blinks, grey) for grey in (255, 0)
            )
            alpha = (
                1 - (light.astype(np.float32) - black).mean(axis=2, keepdims=True) / 255
            )
            self._heads[key] = black, np.clip(alpha, 0, 1)
        return self._heads[key]

    def backdrop(self, number: int) -> Pixels:
        """Return a backdrop at the size of the stage."""
        if number not in self._backdrops:
            rng = random.Random(f"backdrop {number}")
            canvas = Image.new("RGB", STAGE)
            paint_backdrop(
                Brush(canvas, STAGE[1] / 100), rng.choice(sorted(BACKDROPS)), rng
            )
            self._backdrops[number] = np.asarray(canvas)
        return self._backdrops[number]


def _paint_head(figure: Figure, side: int, blinks: bool, grey: int) -> Pixels:
    canvas = Image.new(
        "RGB", (side * OVERSAMPLE, side * OVERSAMPLE), (grey, grey, grey)
    )
    paint_figure(canvas, figure)
    if blinks:
        head = Brush(
            canvas,
            figure.side * OVERSAMPLE / 100,
            (figure.x * OVERSAMPLE, figure.y * OVERSAMPLE),
            figure.tilt,
        ).shifted(figure.expression.turn)
        for x in (36.4, 63.6):
            head.fill(oval(x, 55.4, 8.4, 9.4), figure.character.skin)
            lid = curve((x - 7.5, 56), (x - 3, 60), (x + 3, 60), (x + 7.5, 56))
            head.line(lid, (52, 40, 48), 1.6)
    return np.asarray(canvas.resize((side, side), Image.Resampling.BOX))


def iter_frames(
    shots: list[FilmShot], size: tuple[int, int]
) -> Iterator[tuple[int, Pixels, list[TrueFace]]]:
    """Yield (shot number, RGB frame, faces) for all frames."""
    sprites = Sprites()
    before: Pixels | None = None
    for number, shot in enumerate(shots):
        frame = None
        faces = []
        count = round(shot.seconds * FPS)
        for at in range(count):
            if at % shot.frames_per_drawing == 0 or frame is None:
                frame, faces = _draw_frame(
                    shot, at / max(count - 1, 1), at, size, sprites
                )
            blended = frame
            share = at / (FADE_SECONDS * FPS)
            if before is not None and shot.fades and share < 1:
                blended = cv2.addWeighted(frame, share, before, 1 - share, 0)
            yield number, blended, faces
        before = frame


def _draw_frame(
    shot: FilmShot, share: float, at: int, size: tuple[int, int], sprites: Sprites
) -> tuple[Pixels, list[TrueFace]]:
    """Draw frame `at`, which is at the fraction `share` of a shot."""
    stage = sprites.backdrop(shot.backdrop).copy()
    faces = []
    for number, walk in enumerate(shot.walks):
        x, y, side = (
            a + (b - a) * share for a, b in zip(walk.start, walk.end, strict=True)
        )
        mouth = "smile"
        if walk.talks:
            mouth = MOUTHS[
                (at // (shot.frames_per_drawing * 2) + number * 2)
                * 7
                % 11
                % len(MOUTHS)
            ]
        blinks = (at + 17 * number) % 70 in range(5)
        sprite = sprites.head(walk.character, walk.pose, mouth, blinks)
        faces.append(_place_head(stage, sprite, walk, (x, y, side)))
    obstacle = _paint_obstacle(stage, shot, share)
    visible = [
        1.0 - _hidden_share(f, faces[n + 1 :], obstacle) for n, f in enumerate(faces)
    ]
    view = [a + (b - a) * share for a, b in zip(*shot.views, strict=True)]
    width, height = STAGE[0] * view[2], STAGE[1] * view[2]
    left = min(max(view[0] * STAGE[0] - width / 2, 0), STAGE[0] - width)
    top = min(max(view[1] * STAGE[1] - height / 2, 0), STAGE[1] - height)
    scale = size[0] / width
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]], np.float32)
    frame = cv2.warpAffine(stage, matrix, size, flags=cv2.INTER_LINEAR)
    visible_faces = []
    for face, part in zip(faces, visible, strict=True):
        x = (face.x - left) * scale
        y = (face.y - top) * scale
        side = face.side * scale
        across = min(x + side, size[0]) - max(x, 0)
        down = min(y + side, size[1]) - max(y, 0)
        inside = max(across, 0) * max(down, 0) / side**2
        visible_faces.append(
            TrueFace(
                face.name,
                round(x, 1),
                round(y, 1),
                round(side, 1),
                round(part * inside, 2),
            )
        )
    return frame, visible_faces


def _place_head(
    stage: Pixels,
    sprite: tuple[Pixels, Alpha],
    walk: Walk,
    position: tuple[float, float, float],
) -> TrueFace:
    """Paint a head onto the stage; return its face in pixels."""
    colors, alpha = sprite
    head = position[2] * STAGE[1]
    scale = head / HEAD_SIDE
    width = max(round(colors.shape[0] * scale), 2)
    x, y = position[0] * STAGE[1] - width / 2, position[1] * STAGE[1] - width / 2
    left = round(x)
    top = round(y)
    small = cv2.resize(colors, (width, width), interpolation=cv2.INTER_AREA)
    over = cv2.resize(alpha, (width, width), interpolation=cv2.INTER_AREA)[..., None]
    a = max(left, 0)
    b = max(top, 0)
    c = min(left + width, STAGE[0])
    d = min(top + width, STAGE[1])
    if c > a and d > b:
        part = slice(b - top, d - top), slice(a - left, c - left)
        behind = stage[b:d, a:c]
        stage[b:d, a:c] = np.clip(small[part] + behind * (1 - over[part]), 0, 255)
    side = HEAD_SIDE * SPRITE_SCALE
    pose = POSES[walk.pose]
    figure = Figure(
        walk.character,
        (side - HEAD_SIDE) / 2,
        side * 0.06,
        HEAD_SIDE,
        pose[0] * 1.5,
        Expression(),
    )
    box = face_box(figure)
    return TrueFace(
        walk.character.name,
        left + box.x * scale,
        top + box.y * scale,
        box.width * scale,
        1.0,
    )


def _paint_obstacle(
    stage: Pixels, shot: FilmShot, share: float
) -> tuple[int, int] | None:
    """Paint the passing object; return its left and right in pixels."""
    if shot.hidden_by is None:
        return None
    width = shot.hidden_by * STAGE[1] * 1.2
    left = -width + (STAGE[0] + width) * min(share * 1.6, 1.0)
    a = max(round(left), 0)
    b = min(round(left + width), STAGE[0])
    if b > a:
        stage[:, a:b] = (70, 84, 66)
    return a, b


def _hidden_share(
    face: TrueFace, others: list[TrueFace], obstacle: tuple[int, int] | None
) -> float:
    """Return the share of a face that other objects hide."""
    parts = [0.0]
    if obstacle:
        parts.append(
            max(min(face.x + face.side, obstacle[1]) - max(face.x, obstacle[0]), 0)
            / face.side
        )
    for other in others:
        # A head with its hair is larger than its face.
        grown = other.side * 0.35
        left = other.x - grown
        right = other.x + other.side + grown
        across = min(face.x + face.side, right) - max(face.x, left)
        down = min(face.y + face.side, other.y + other.side * 2) - max(
            face.y, other.y - grown
        )
        parts.append(max(across, 0) * max(down, 0) / face.side**2)
    return min(max(parts), 1.0)


def write_film(
    path: Path,
    seconds: float,
    seed: int,
    size: tuple[int, int],
    without: tuple[str, ...],
) -> list[tuple[int, list[TrueFace]]]:
    """Encode an episode as H.264; return (shot, faces) of each frame."""
    truth: list[tuple[int, list[TrueFace]]] = []

    def frames() -> Iterator[Pixels]:
        for shot, frame, faces in iter_frames(plan_film(seconds, seed, without), size):
            truth.append((shot, faces))
            yield frame

    encode(path, frames(), size, FPS, "rgb24", ENCODE.split())
    return truth
