"""Generate scenes of drawn heads with the true boxes of their faces.

    python tools/drawn_faces/scenes.py --out DIR [--count 1000] [--seed 0] [--sheet FILE]

Writes `images.npy` (count x side x side x 3 bytes) and `boxes.json` (for each image rows of x0,
y0, x1, y1 in pixels, then 1 for a face or 0 for a region to ignore).
"""

import argparse
import json
import math
import random
from pathlib import Path

import cv2
import numpy as np
from bodies import paint_body
from brush import Brush, Canvas, Colour, mix, polygon
from eyes import vivid
from heads import DrawnHead, paint_head
from objects import paint_object
from scenery import any_colour, paint_backdrop
from styles import TRAINING_STYLES

SIDE = 384
Row = tuple[float, float, float, float, int]

MIN_VISIBLE_SHARE = 0.45
"""Minimum visible share of a face; others are marked "ignore"."""


def draw_scene(
    rng: random.Random,
    styles: dict[str, float],
    photos: list[Canvas],
    share: float | None = None,
) -> tuple[Canvas, list[Row]]:
    """Draw an image and its boxes; `share`: probability of photo backgrounds."""
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    owner = np.zeros((SIDE, SIDE), np.int16)
    name = rng.choices(list(styles), list(styles.values()))[0]
    usual = 0.45 if name == "film" else 0.15
    paint_backdrop(canvas, rng, photos, usual if share is None else share)
    for _ in range(rng.choice((0, 0, 1, 2, 4, 8))):
        place = (rng.uniform(0, SIDE), rng.uniform(0, SIDE))
        paint_object(
            _brush(canvas, owner, place, math.exp(rng.uniform(1.6, 4.3)), 0, rng), rng
        )
    if rng.random() < 0.15:
        canvas[:] = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(1, 5))
    heads: list[tuple[int, DrawnHead]] = []
    for number, (place, scale) in enumerate(_plan_places(rng), 1):
        brush = _brush(canvas, owner, place, scale, number, rng)
        if rng.random() < 0.75:
            upright = _brush(canvas, owner, place, scale, number, rng)
            upright.tilt = brush.tilt * 0.3
            upright.flip = brush.flip
            paint_body(upright, rng)
        head = paint_head(
            brush, name if rng.random() < 0.9 else rng.choice(list(styles)), rng
        )
        heads.append((number, head))
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        place = (rng.uniform(0, SIDE), rng.uniform(0, SIDE))
        brush = _brush(canvas, owner, place, math.exp(rng.uniform(1.6, 3.8)), 999, rng)
        paint_object(brush, rng)
        brush.mark(polygon((-1, -0.8), (1, -0.8), (1, 0.8), (-1, 0.8)))
    rows = [row for number, head in heads if (row := _row(owner, number, head))]
    return _apply_effects(canvas, rng), rows


def _plan_places(rng: random.Random) -> list[tuple[tuple[float, float], float]]:
    """Choose positions and sizes in pixels, far heads first."""
    kind = rng.random()
    if kind < 0.08:
        return []
    if kind < 0.4:
        count = 1
        low = 14
        high = rng.choice((130, 130, 210))
    elif kind < 0.8:
        count = rng.randint(2, 4)
        low = 10
        high = 70
    else:
        count = rng.randint(4, 9)
        low = 6
        high = 34
    places: list[tuple[tuple[float, float], float]] = []
    for _ in range(count * 3):
        scale = math.exp(rng.uniform(math.log(low), math.log(high)))
        spot = (rng.uniform(0, SIDE), rng.uniform(0.05 * SIDE, SIDE))
        if all(
            math.hypot(spot[0] - x, spot[1] - y) > 1.35 * (scale + other)
            for (x, y), other in places
        ):
            places.append((spot, scale))
        if len(places) == count:
            break
    return sorted(places, key=lambda place: place[1])


def _brush(
    canvas: Canvas,
    owner: np.ndarray,
    place: tuple[float, float],
    scale: float,
    head_id: int,
    rng: random.Random,
) -> Brush:
    far = rng.choices((0.0, 0.8, 1.8), (0.85, 0.11, 0.04))[0]
    tilt = rng.uniform(-far, far) if far else rng.gauss(0, 0.14)
    return Brush(canvas, owner, place, scale, tilt, rng.choice((-1.0, 1.0)), head_id)


def _row(owner: np.ndarray, number: int, head: DrawnHead) -> Row | None:
    """Return the box within the image; None if hardly visible."""
    x0, y0, x1, y1 = head.box
    area = (x1 - x0) * (y1 - y0)
    left = max(x0, 0)
    top = max(y0, 0)
    right = min(x1, SIDE)
    bottom = min(y1, SIDE)
    inside = max(right - left, 0) * max(bottom - top, 0) / max(area, 1)
    share = _visible_share(owner, number, head) * inside
    if share < 0.12:
        return None
    return left, top, right, bottom, int(share >= MIN_VISIBLE_SHARE)


def _visible_share(owner: np.ndarray, number: int, head: DrawnHead) -> float:
    """Return the share of a face that nothing else was painted over."""
    mask = np.zeros(owner.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(head.face).astype(np.int32)], 1)
    total = int(mask.sum())
    return float(((owner == number) & (mask > 0)).sum() / total) if total else 0.0


def _apply_effects(canvas: Canvas, rng: random.Random) -> Canvas:
    """Add tint, light and typical artefacts of cameras and files."""
    if rng.random() < 0.3:
        tint = np.array(any_colour(rng), np.float32)
        canvas = (canvas + (tint - canvas) * rng.uniform(0.05, 0.4)).astype(np.uint8)
    if rng.random() < 0.15:  # night, water, firelight
        light = np.array(vivid(rng, (0.2, 0.8), (0.3, 0.8)), np.float32) / 255
        canvas = (canvas * light).astype(np.uint8)
    if rng.random() < 0.25:
        canvas = _vignette(canvas, rng)
    if rng.random() < 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.06:
        grey = canvas.mean(2, keepdims=True)
        canvas = np.repeat(grey, 3, 2).astype(np.uint8)
    return np.ascontiguousarray(canvas)


def _vignette(canvas: Canvas, rng: random.Random) -> Canvas:
    """Darken the image away from a random point."""
    x, y = np.meshgrid(
        np.linspace(-1, 1, SIDE, dtype=np.float32),
        np.linspace(-1, 1, SIDE, dtype=np.float32),
    )
    far = (x - rng.uniform(-1, 1)) ** 2 + (y - rng.uniform(-1, 1)) ** 2
    shade: Colour = mix((0, 0, 0), any_colour(rng), 0.3)
    share = np.clip(far * rng.uniform(0.1, 0.4), 0, 0.85)[..., None]
    return np.asarray(canvas + (np.array(shade, np.float32) - canvas) * share).astype(
        np.uint8
    )


def write_set(
    out: Path,
    count: int,
    seed: int,
    styles: dict[str, float],
    photos: list[Canvas],
    share: float | None = None,
) -> None:
    """Draw `count` scenes and write images and boxes."""
    out.mkdir(parents=True, exist_ok=True)
    images = np.lib.format.open_memmap(
        out / "images.npy", mode="w+", dtype=np.uint8, shape=(count, SIDE, SIDE, 3)
    )
    boxes = []
    for index in range(count):
        rng = random.Random(f"{seed} {index}")
        images[index], rows = draw_scene(rng, styles, photos, share)
        boxes.append([[round(edge, 2) for edge in row] for row in rows])
    images.flush()
    (out / "boxes.json").write_text(json.dumps(boxes))


def contact_sheet(
    images: np.ndarray, boxes: list[list[list[float]]], columns: int = 6
) -> Canvas:
    """Return a grid of images with their boxes (red: to be ignored)."""
    tiles = []
    for image, rows in zip(images, boxes, strict=True):
        tile = image.copy()
        for x0, y0, x1, y1, face in rows:
            cv2.rectangle(
                tile,
                (int(x0), int(y0)),
                (int(x1), int(y1)),
                (0, 255, 0) if face else (255, 0, 0),
                1,
            )
        tiles.append(cv2.resize(tile, (256, 256), interpolation=cv2.INTER_AREA))
    lines = [
        np.hstack(tiles[at : at + columns])
        for at in range(0, len(tiles) - columns + 1, columns)
    ]
    return np.vstack(lines)


def read_photos(path: Path | None) -> list[Canvas]:
    """Return the backgrounds from a file written by `photographs.py`."""
    return list(np.load(path)) if path else []


def main() -> None:
    """Generate a set of scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--style", action="append", default=[])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    styles = dict.fromkeys(arguments.style, 1.0) or TRAINING_STYLES
    cv2.setNumThreads(1)
    write_set(
        arguments.out,
        arguments.count,
        arguments.seed,
        styles,
        read_photos(arguments.photos),
    )
    if arguments.sheet:
        images = np.load(arguments.out / "images.npy", mmap_mode="r")[:30]
        boxes = json.loads((arguments.out / "boxes.json").read_text())[:30]
        cv2.imwrite(str(arguments.sheet), contact_sheet(images, boxes)[..., ::-1])


if __name__ == "__main__":
    main()
