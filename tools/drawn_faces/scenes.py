"""Generate scenes of drawn heads with the true boxes of their faces.

    python tools/drawn_faces/scenes.py --out DIR [--count 1000] [--seed 0] [--sheet FILE]

Writes `pictures.npy` (count x side x side x 3 bytes) and `boxes.json` (for each image rows of x0,
y0, x1, y1 in pixels, then 1 for a face or 0 for a region to ignore).
"""

from __future__ import annotations

import argparse
import json
import math
import random
from pathlib import Path

import cv2
import numpy as np
from bodies import paint_body
from brush import Brush, Canvas, Colour, mix
from eyes import vivid
from heads import DrawnHead, paint_head
from scenery import any_colour, paint_backdrop
from styles import TRAINED
from things import paint_thing

SIDE = 384
Row = tuple[float, float, float, float, int]

MIN_VISIBLE_SHARE = 0.45
"""Minimum visible share of a face; others are marked "ignore"."""


def draw_scene(
    dice: random.Random,
    styles: dict[str, float],
    photos: list[Canvas],
    share: float | None = None,
) -> tuple[Canvas, list[Row]]:
    """Draw an image and its boxes; `share`: probability of photo backgrounds."""
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    owner = np.zeros((SIDE, SIDE), np.int16)
    name = dice.choices(list(styles), list(styles.values()))[0]
    usual = 0.45 if name == "film" else 0.15
    paint_backdrop(canvas, dice, photos, usual if share is None else share)
    for _ in range(dice.choice((0, 0, 1, 2, 4, 8))):
        place = (dice.uniform(0, SIDE), dice.uniform(0, SIDE))
        paint_thing(_brush(canvas, owner, place, math.exp(dice.uniform(1.6, 4.3)), 0, dice), dice)
    if dice.random() < 0.15:
        canvas[:] = cv2.GaussianBlur(canvas, (0, 0), dice.uniform(1, 5))
    found: list[tuple[int, DrawnHead]] = []
    for number, (place, scale) in enumerate(_plan_places(dice), 1):
        brush = _brush(canvas, owner, place, scale, number, dice)
        if dice.random() < 0.75:
            upright = _brush(canvas, owner, place, scale, number, dice)
            upright.tilt, upright.flip = brush.tilt * 0.3, brush.flip
            paint_body(upright, dice)
        head = paint_head(brush, name if dice.random() < 0.9 else dice.choice(list(styles)), dice)
        found.append((number, head))
    for _ in range(dice.choice((0, 0, 0, 1, 2))):
        place = (dice.uniform(0, SIDE), dice.uniform(0, SIDE))
        brush = _brush(canvas, owner, place, math.exp(dice.uniform(1.6, 3.8)), 999, dice)
        paint_thing(brush, dice)
        brush.mark(np.array([(-1, -0.8), (1, -0.8), (1, 0.8), (-1, 0.8)], np.float32))
    rows = [row for number, head in found if (row := _row(owner, number, head))]
    return _apply_effects(canvas, dice), rows


def _plan_places(dice: random.Random) -> list[tuple[tuple[float, float], float]]:
    """Choose positions and sizes in pixels, far heads first."""
    kind = dice.random()
    if kind < 0.08:
        return []
    if kind < 0.4:
        count, low, high = 1, 14, dice.choice((130, 130, 210))
    elif kind < 0.8:
        count, low, high = dice.randint(2, 4), 10, 70
    else:
        count, low, high = dice.randint(4, 9), 6, 34
    places: list[tuple[tuple[float, float], float]] = []
    for _ in range(count * 3):
        scale = math.exp(dice.uniform(math.log(low), math.log(high)))
        spot = (dice.uniform(0, SIDE), dice.uniform(0.05 * SIDE, SIDE))
        if all(
            math.hypot(spot[0] - x, spot[1] - y) > 1.35 * (scale + other)
            for (x, y), other in places
        ):
            places.append((spot, scale))
        if len(places) == count:
            break
    return sorted(places, key=lambda one: one[1])


def _brush(
    canvas: Canvas,
    owner: np.ndarray,
    place: tuple[float, float],
    scale: float,
    me: int,
    dice: random.Random,
) -> Brush:
    far = dice.choices((0.0, 0.8, 1.8), (0.85, 0.11, 0.04))[0]
    tilt = dice.uniform(-far, far) if far else dice.gauss(0, 0.14)
    return Brush(canvas, owner, place, scale, tilt, dice.choice((-1.0, 1.0)), me)


def _row(owner: np.ndarray, number: int, head: DrawnHead) -> Row | None:
    """Return the box within the image; None if hardly visible."""
    x0, y0, x1, y1 = head.box
    whole = (x1 - x0) * (y1 - y0)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, SIDE), min(y1, SIDE)
    inside = max(right - left, 0) * max(bottom - top, 0) / max(whole, 1)
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


def _apply_effects(canvas: Canvas, dice: random.Random) -> Canvas:
    """Add tint, light and typical artefacts of cameras and files."""
    if dice.random() < 0.3:
        tint = np.array(any_colour(dice), np.float32)
        canvas = (canvas + (tint - canvas) * dice.uniform(0.05, 0.4)).astype(np.uint8)
    if dice.random() < 0.15:  # night, water, firelight
        light = np.array(vivid(dice, (0.2, 0.8), (0.3, 0.8)), np.float32) / 255
        canvas = (canvas * light).astype(np.uint8)
    if dice.random() < 0.25:
        canvas = _vignette(canvas, dice)
    if dice.random() < 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), dice.uniform(0.4, 1.6))
    if dice.random() < 0.06:
        grey = canvas.mean(2, keepdims=True)
        canvas = np.repeat(grey, 3, 2).astype(np.uint8)
    return np.ascontiguousarray(canvas)


def _vignette(canvas: Canvas, dice: random.Random) -> Canvas:
    """Darken the image away from a random point."""
    x, y = np.meshgrid(
        np.linspace(-1, 1, SIDE, dtype=np.float32), np.linspace(-1, 1, SIDE, dtype=np.float32)
    )
    far = (x - dice.uniform(-1, 1)) ** 2 + (y - dice.uniform(-1, 1)) ** 2
    shade: Colour = mix((0, 0, 0), any_colour(dice), 0.3)
    share = np.clip(far * dice.uniform(0.1, 0.4), 0, 0.85)[..., None]
    return np.asarray(canvas + (np.array(shade, np.float32) - canvas) * share).astype(np.uint8)


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
    pictures = np.lib.format.open_memmap(
        out / "pictures.npy", mode="w+", dtype=np.uint8, shape=(count, SIDE, SIDE, 3)
    )
    boxes = []
    for index in range(count):
        dice = random.Random(f"{seed} {index}")
        pictures[index], rows = draw_scene(dice, styles, photos, share)
        boxes.append([[round(edge, 2) for edge in row] for row in rows])
    pictures.flush()
    (out / "boxes.json").write_text(json.dumps(boxes))


def contact_sheet(pictures: np.ndarray, boxes: list[list[list[float]]], columns: int = 6) -> Canvas:
    """Return a grid of images with their boxes (red: to be ignored)."""
    tiles = []
    for picture, rows in zip(pictures, boxes, strict=True):
        tile = picture.copy()
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
        np.hstack(tiles[at : at + columns]) for at in range(0, len(tiles) - columns + 1, columns)
    ]
    return np.vstack(lines)


def read_photos(path: Path | None) -> list[Canvas]:
    """Return the backgrounds from a file written by `photographs.py`."""
    return list(np.load(path)) if path else []


def main() -> None:
    """Generate a set of scenes."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--style", action="append", default=[])
    options.add_argument("--photos", type=Path)
    options.add_argument("--sheet", type=Path)
    arguments = options.parse_args()
    styles = dict.fromkeys(arguments.style, 1.0) or TRAINED
    cv2.setNumThreads(1)
    write_set(arguments.out, arguments.count, arguments.seed, styles, read_photos(arguments.photos))
    if arguments.sheet:
        pictures = np.load(arguments.out / "pictures.npy", mmap_mode="r")[:30]
        boxes = json.loads((arguments.out / "boxes.json").read_text())[:30]
        cv2.imwrite(str(arguments.sheet), contact_sheet(pictures, boxes)[..., ::-1])


if __name__ == "__main__":
    main()
