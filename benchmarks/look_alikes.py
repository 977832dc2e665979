"""Look-alikes that are no copies: `python benchmarks/look_alikes.py --memes DIR --films FILE...`.

Of drawn people on one base the mouth, gaze, brow or turn of the head is redrawn; memes of one
template get other captions; frames of real films a sixth to two thirds of a second apart are
taken as if they came from different places, where something in them moved. Printed is the part
of each kind that the second look calls the same (it should be 0) and the part that it leaves to
a person, at full size and with one of the two at 96 pixels.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "labeler"))
from duplicate_pictures import encoded

from gleanset.images.decode import decode
from labeler.duplicates.prepared import prepare
from labeler.duplicates.verification import compare
from tools.sample.character import MOUTHS, random_character
from tools.sample.scene import face_box, paint_scene, plan_scene

Pair = tuple[str, Image.Image, Image.Image]
WORDS = ("one", "does", "not", "simply", "walk", "into", "work", "nobody", "expects", "this", "cat")
SMALL = 96


def redrawn(seed: int) -> Iterator[Pair]:
    """A drawn face, and the same base with something else in it."""
    dice = random.Random(seed)
    scene = plan_scene([random_character(seed)], seed, (640, 360))
    figure, side = scene.figures[0], dice.uniform(1.3, 1.8)

    def cel(**mood: Any) -> Image.Image:
        still: dict[str, Any] = {
            "turn": (0.0, 0.0),
            "gaze": (0.0, 0.0),
            "mouth": "smile",
            "brow": 0.0,
        } | mood
        changed = replace(figure, mood=replace(figure.mood, **still))
        box = face_box(changed)
        half = side * box.width / 2
        x, y = box.x + box.width / 2, box.y + box.height / 2
        picture = paint_scene(replace(scene, figures=(changed,)))
        return picture.crop((round(x - half), round(y - half), round(x + half), round(y + half)))

    base = cel()
    yield from (("mouth", base, cel(mouth=mouth)) for mouth in MOUTHS if mouth != "smile")
    yield "gaze", base, cel(gaze=(dice.choice((-1.2, 1.2)), dice.uniform(-0.4, 0.5)))
    yield "brow", base, cel(brow=dice.choice((-1.2, 1.2)))
    yield "turn", base, cel(turn=(dice.choice((-1.8, 1.8)), 0.6))


def captioned(path: Path) -> Iterator[Pair]:
    """One template with two different captions, at the top and at the bottom."""
    dice = random.Random(path.name)
    template = decode(path.read_bytes()).pixels.convert("RGB")
    template.thumbnail((700, 700))
    size = max(14, template.width // 14)
    for y in (size, template.height - size):
        pictures = [template.copy() for _ in range(2)]
        for picture in pictures:
            ImageDraw.Draw(picture).text(
                (picture.width / 2, y),
                " ".join(dice.sample(WORDS, 4)).upper(),
                "white",
                font_size=size,
                anchor="mm",
                stroke_width=max(1, size // 12),
                stroke_fill="black",
            )
        yield "caption", pictures[0], pictures[1]


def neighbours(film: Path) -> Iterator[Pair]:
    """Frames in which something moved: four of a thousand pixels differ by more than 30."""
    reader, frames = cv2.VideoCapture(str(film)), []
    while (read := reader.read())[0]:
        scale = 640 / read[1].shape[1]
        frames.append(cv2.resize(read[1], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    for first in range(0, len(frames), 12):
        for second in (first + 4, first + 16):
            if second >= len(frames):
                continue
            pair = [frames[first], frames[second]]
            soft = [cv2.GaussianBlur(frame, (0, 0), 2.5).astype(np.float32) for frame in pair]
            if (np.abs(soft[0] - soft[1]).max(axis=2) > 30).mean() > 0.004:
                a, b = (Image.fromarray(frame[:, :, ::-1].copy()) for frame in pair)
                yield "neighbouring frames", a, b


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--people", type=int, default=12)
    options.add_argument("--memes", type=Path)
    options.add_argument("--films", type=Path, nargs="*", default=[])
    given = options.parse_args()
    cv2.setNumThreads(1)
    pairs = [pair for seed in range(9000, 9000 + given.people) for pair in redrawn(seed)]
    templates = sorted(given.memes.glob("*.jpg")) if given.memes else []
    pairs += [pair for path in templates for pair in captioned(path)]
    pairs += [pair for film in given.films for pair in neighbours(film)]
    joined: dict[tuple[str, str], list[tuple[bool, bool]]] = defaultdict(list)
    for kind, a, b in pairs:
        view = prepare(decode(encoded(a, 90)).pixels)
        small = b.copy()
        small.thumbnail((SMALL, SMALL))
        for size, other in (("full size", b), (f"one at {SMALL} px", small)):
            verdict = compare(view, prepare(decode(encoded(other, 80)).pixels))
            joined[kind, size].append((verdict.same, verdict.doubtful))
    for (kind, size), answers in sorted(joined.items()):
        same, doubtful = np.mean(answers, axis=0)
        print(
            f"{kind:20} {size:12} {len(answers):4} pairs, called the same {same:.3f}, "
            f"left to a person {doubtful:.3f}"
        )


if __name__ == "__main__":
    main()
