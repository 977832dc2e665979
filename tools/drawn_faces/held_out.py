"""Generate validation sets, in styles not used for training, to choose weights and threshold.

    python tools/drawn_faces/held_out.py --flowers DIR --out DIR

Writes one set for each style held out, `photo` (all of them over photos of sunflowers), `sample`
(characters in the style of the bundled sample) and `sample2` (the same over sunflowers, every third
image without a face), for `evaluate.py`.
"""

import argparse
import json
import random
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scenes import SIDE, Canvas, Row, write_set
from styles import HELD_OUT

from tools.sample.brush import OVERSAMPLE
from tools.sample.scene import (
    draw_scene,
    face_box,
    paint_figure,
    plan_scene,
    random_character,
)


def read_sunflowers(folder: Path) -> list[Canvas]:
    """Return the photos not used for training, RGB."""
    return [
        cv2.imread(str(file))[..., ::-1]
        for file in sorted(folder.glob("sunflowers/*.jpg"))
    ]


def draw_on_grey(number: int) -> tuple[Canvas, list[Row]]:
    """Draw a scene like the bundled sample's, between gray bars."""
    rng = random.Random(number)
    cast = [random_character(number * 3 + k) for k in range(rng.choice((1, 2)))]
    image, boxes = draw_scene(cast, number, (512, 384))
    canvas = np.full((SIDE, SIDE, 3), 114, np.uint8)
    canvas[48:336] = np.asarray(image.resize((384, 288), Image.Resampling.BOX))
    part = 0.75
    return canvas, [
        (
            box.x * part,
            box.y * part + 48,
            (box.x + box.width) * part,
            (box.y + box.height) * part + 48,
            1,
        )
        for box in boxes
    ]


def draw_on_photo(number: int, photos: list[Canvas]) -> tuple[Canvas, list[Row]]:
    """Draw sample characters over a photo, or return the photo alone."""
    rng = random.Random(f"s{number}")
    photo = photos[number % len(photos)]
    scale = SIDE / min(photo.shape[:2]) * rng.uniform(1, 1.5)
    large = cv2.resize(photo, None, fx=scale, fy=scale)
    top, left = (rng.randint(0, length - SIDE) for length in large.shape[:2])
    ground = np.ascontiguousarray(large[top : top + SIDE, left : left + SIDE])
    if not number % 3:
        return ground, []
    cast = [random_character(1000 + number * 3 + k) for k in range(rng.choice((1, 2)))]
    scene = plan_scene(cast, 5000 + number, (SIDE, SIDE))
    big = Image.fromarray(ground).resize((SIDE * OVERSAMPLE, SIDE * OVERSAMPLE))
    for figure in scene.figures:
        paint_figure(big, figure)
    image = np.asarray(big.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    boxes = [face_box(figure) for figure in scene.figures]
    return image, [(b.x, b.y, b.x + b.width, b.y + b.height, 1) for b in boxes]


def write_scenes(out: Path, scenes: list[tuple[Canvas, list[Row]]]) -> None:
    """Write scenes in the format of `scenes.py`."""
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "images.npy", np.stack([image for image, _ in scenes]))
    (out / "boxes.json").write_text(json.dumps([rows for _, rows in scenes]))


def main() -> None:
    """Write the sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flowers", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    photos = read_sunflowers(arguments.flowers)
    for style in HELD_OUT:
        write_set(arguments.out / style, 75, 9, {style: 1.0}, [])
    grounds = [cv2.resize(photo, (512, 384)) for photo in photos]
    write_set(
        arguments.out / "photo", 120, 77, dict.fromkeys(HELD_OUT, 1.0), grounds, 1.0
    )
    write_scenes(
        arguments.out / "sample", [draw_on_grey(number) for number in range(100)]
    )
    write_scenes(
        arguments.out / "sample2",
        [draw_on_photo(number, photos) for number in range(72)],
    )


if __name__ == "__main__":
    main()
