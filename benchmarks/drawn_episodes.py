"""Drawn episodes with known identities: frames of panning shots in which characters talk.

Used by `labeler_effort.py`; not a script. Each episode has shots of three to five seconds with one
or two of eight characters, with Zipf-distributed frequencies (exponent 0.8), sampled twice a second
as by `harvest frames --every 500ms`. Faces are cropped at their true boxes.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from drawn_faces import FaceSet, measure
from PIL import Image

from gleanset import Box, Dataset, Face, Origin
from gleanset.images.cropping import CropGeometry, FaceCropper
from gleanset.images.staging import StageBytes
from tools.sample.character import CAST, random_character
from tools.sample.scene import Scene, face_box, paint_scene, plan_scene

STAGE, SIZE = (960, 540), (640, 360)
CHARACTERS, SHOTS, PAIRS = 8, 24, 0.3
"""Characters over all episodes, shots per episode, and share of shots with two characters."""
EVERY = 0.5
MOUTHS = ("flat", "open", "grin")
MOST_OUT = 0.2
"""A face with a larger share outside the frame is left out."""


class DrawnFrame(NamedTuple):
    """Sampled frame: its time in seconds in the episode, and its true faces."""

    picture: Image.Image
    shot: int
    seconds: float
    faces: tuple[tuple[str, Box], ...]


def draw_episodes(root: Path, number: int, seed: int) -> FaceSet:
    """Create a dataset of the faces of `number` episodes."""
    truth: dict[str, str] = {}
    with Dataset.create(root) as dataset, dataset.stage("test") as scratch:
        keep = StageBytes(dataset.originals(scratch))
        cutter = FaceCropper(CropGeometry(), dataset.crops(scratch))
        for episode in range(number):
            for frame in episode_frames(random.Random(f"{seed} {episode}")):
                name = f"episode-{episode + 1}"
                place = f"{name} {frame.seconds:.1f}"
                origin = Origin(
                    "video", place, title=place, video=name, time=frame.seconds, scene=frame.shot
                )
                buffer = io.BytesIO()
                frame.picture.save(buffer, "PNG")
                measured, pixels = keep(buffer.getvalue()), np.asarray(frame.picture)
                with dataset.db.transaction():
                    dataset.take_original(keep.store, measured, origin)
                    cuts = [
                        cutter.crop(measured.sha256, pixels, Face("drawn", box, 0.9))
                        for _, box in frame.faces
                    ]
                    dataset.faces.replace(measured.sha256, "drawn", "test", cuts)
                truth |= {cut.key: who for cut, (who, _) in zip(cuts, frame.faces, strict=True)}
        measure(dataset)
    return FaceSet(root, truth)


def episode_frames(dice: random.Random) -> Iterator[DrawnFrame]:
    """Yield the sampled frames of one episode."""
    cast = [*CAST, *(random_character(seed) for seed in range(CHARACTERS))][:CHARACTERS]
    weights = [1 / (place + 1) ** 0.8 for place in range(CHARACTERS)]
    begun = 0.0
    for shot in range(SHOTS):
        who = dice.choices(cast, weights)
        if dice.random() < PAIRS:
            who.append(dice.choice([one for one in cast if one is not who[0]]))
        scene = plan_scene(who, dice.randrange(10**6), STAGE)
        takes = [paint_scene(_with_mouth(scene, mouth)) for mouth in MOUTHS]
        views = [[dice.uniform(0.46, 0.54), 0.5, dice.uniform(0.88, 1.0)] for _ in range(2)]
        count = round(dice.uniform(3, 5) / EVERY)
        for number in range(count):
            share = number / (count - 1)
            view = [a + (b - a) * share for a, b in zip(*views, strict=True)]
            area = _camera_area(*view)
            yield DrawnFrame(
                dice.choice(takes).resize(SIZE, Image.Resampling.BICUBIC, box=area),
                shot,
                begun + number * EVERY,
                tuple(_iter_faces(scene, area)),
            )
        begun += count * EVERY


def _with_mouth(scene: Scene, mouth: str) -> Scene:
    figures = (replace(f, mood=replace(f.mood, mouth=mouth)) for f in scene.figures)
    return replace(scene, figures=tuple(figures))


def _camera_area(x: float, y: float, share: float) -> tuple[float, float, float, float]:
    """Return the camera's crop of the stage: left, top, right, bottom."""
    width, height = STAGE[0] * share, STAGE[1] * share
    left = min(max(0.0, x * STAGE[0] - width / 2), STAGE[0] - width)
    top = min(max(0.0, y * STAGE[1] - height / 2), STAGE[1] - height)
    return left, top, left + width, top + height


def _iter_faces(scene: Scene, area: tuple[float, float, float, float]) -> Iterator[tuple[str, Box]]:
    """Yield the name and box of each face on a frame."""
    scale = SIZE[0] / (area[2] - area[0])
    for figure in scene.figures:
        box = face_box(figure)
        left, top = (box.x - area[0]) * scale, (box.y - area[1]) * scale
        right, bottom = left + box.width * scale, top + box.height * scale
        inside = (max(left, 0), max(top, 0), min(right, SIZE[0]), min(bottom, SIZE[1]))
        width, height = inside[2] - inside[0], inside[3] - inside[1]
        if (
            min(width, height) > 0
            and width * height >= (1 - MOST_OUT) * box.width * box.height * scale**2
        ):
            yield figure.who.name, Box(*map(round, (*inside[:2], width, height)))
