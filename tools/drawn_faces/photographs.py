"""Real photos and film frames, as backgrounds and as images without faces.

    python tools/drawn_faces/photographs.py --videos DIR --out FILE.npy
    python tools/drawn_faces/photographs.py --out FILE.npy --flowers DIR --into SCENES

The first writes backgrounds for `scenes.py` from parts of Big Buck Bunny ((c) Blender Foundation,
CC BY 3.0) without characters. The second replaces the scenes without faces by crops of these and of
photos of daisies and tulips (CC BY 2.0, authors in FLOWERS_LICENSE.txt).
"""

import argparse
import json
import random
from pathlib import Path

import cv2
import numpy as np
from brush import Canvas

PARTS = {
    "big_buck_bunny_0_30.webm": ((60, 370, 0.0, 1.0), (460, 710, 0.0, 1.0)),
    "bigbuckbunny.mp4": ((0, 130, 0.58, 1.0),),
    "big_buck_bunny_432_433.webm": ((0, 24, 0.0, 0.3), (0, 24, 0.62, 1.0)),
}
"""For each video: first and last frame, and the strip (shares of the width) without a character."""

FLOWERS = ("daisy", "tulips")
"""Kinds used for training; `sunflowers` are reserved for choosing the threshold."""

SIZE = (512, 384)


def read_backgrounds(video: Path) -> list[Canvas]:
    """Return some RGB frames of a video, cropped and resized."""
    reader = cv2.VideoCapture(str(video))
    frames = []
    while True:
        is_read, frame = reader.read()
        if not is_read:
            break
        frames.append(frame[..., ::-1])
    crops = []
    for first, last, left, right in PARTS[video.name]:
        for frame in frames[first : last : max((last - first) // 20, 1)]:
            width = frame.shape[1]
            part = frame[:, int(width * left) : int(width * right)]
            crops.append(
                cv2.resize(
                    np.ascontiguousarray(part), SIZE, interpolation=cv2.INTER_AREA
                )
            )
    return crops


def read_flowers(folder: Path) -> list[Canvas]:
    """Return the photos of the kinds used for training, RGB."""
    files = [file for kind in FLOWERS for file in sorted((folder / kind).glob("*.jpg"))]
    return [cv2.imread(str(file))[..., ::-1] for file in files]


def paste_into(scenes: Path, photos: list[Canvas], frames: list[Canvas]) -> int:
    """Replace the scenes without faces by crops; return their number."""
    boxes = json.loads((scenes / "boxes.json").read_text())
    images = np.load(scenes / "images.npy", mmap_mode="r+")
    empty = [index for index, rows in enumerate(boxes) if not rows]
    for index in empty:
        rng = random.Random(f"{scenes.name} {index}")
        side = images.shape[1]
        if rng.random() >= 0.55:
            side //= 2
        for top in range(0, images.shape[1], side):
            for left in range(0, images.shape[1], side):
                part = _draw_part(rng, side, photos, frames)
                images[index, top : top + side, left : left + side] = part
    images.flush()
    return len(empty)


def _draw_part(
    rng: random.Random, side: int, photos: list[Canvas], frames: list[Canvas]
) -> Canvas:
    source = rng.choice(photos) if rng.random() < 0.75 else rng.choice(frames)
    scale = side / min(source.shape[:2]) * rng.uniform(1, 1.8)
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    large = cv2.resize(source, None, fx=scale, fy=scale, interpolation=kind)
    top, left = (rng.randint(0, length - side) for length in large.shape[:2])
    part = large[top : top + side, left : left + side]
    return part[:, ::-1] if rng.random() < 0.5 else part


def main() -> None:
    """Write backgrounds, or replace scenes without faces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--flowers", type=Path)
    parser.add_argument("--into", type=Path)
    arguments = parser.parse_args()
    if arguments.videos:
        frames = [
            image
            for name in PARTS
            for image in read_backgrounds(arguments.videos / name)
        ]
        np.save(arguments.out, np.stack(frames))
    if arguments.into:
        frames = list(np.load(arguments.out))
        print(
            arguments.into,
            paste_into(arguments.into, read_flowers(arguments.flowers), frames),
        )


if __name__ == "__main__":
    main()
