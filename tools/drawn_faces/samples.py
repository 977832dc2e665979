"""Random crops of drawn scenes with typical image degradations, and their targets."""

import json
import math
import random
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from network import STRIDES

from gleanset.arrays import Float32Array, Pixels

Canvas = Pixels
Values = Float32Array

MIN_FACE_SIDE = 9.0
"""Minimum side of a face in a crop, in pixels; smaller faces are ignored."""

FACE_SIDE_RANGES = ((0.0, 56.0), (40.0, 112.0), (84.0, 9999.0))
"""Range of face sides, in pixels, that each stride detects."""

POSITIVE_SHARE = 0.25
"""Cells within this central share of a face are positive."""


class SceneSet:
    """Scenes from one or several folders written by `scenes.py`."""

    def __init__(self, folders: list[Path]) -> None:
        self._images = [
            np.load(folder / "images.npy", mmap_mode="r") for folder in folders
        ]
        self._boxes = [
            json.loads((folder / "boxes.json").read_text()) for folder in folders
        ]
        self._places = [
            (i, j) for i, boxes in enumerate(self._boxes) for j in range(len(boxes))
        ]

    def __len__(self) -> int:
        return len(self._places)

    def batch(
        self, rng: random.Random, count: int, side: int
    ) -> tuple[Values, list[Values]]:
        """Return images (count, 3, side, side) in 0..1, and their targets."""
        crops = [self._crop(rng, side) for _ in range(count)]
        images = np.stack([image for image, _ in crops]).transpose(0, 3, 1, 2)
        marks = [targets(rows, side) for _, rows in crops]
        levels = [np.stack(level) for level in zip(*marks, strict=True)]
        return images.astype(np.float32) / 255, levels

    def _crop(self, rng: random.Random, side: int) -> tuple[Canvas, Values]:
        set_index, index = rng.choice(self._places)
        image = np.asarray(self._images[set_index][index])
        rows = np.array(self._boxes[set_index][index], np.float32).reshape(-1, 5)
        scene_side = image.shape[0]
        part = min(side / math.exp(rng.gauss(0.0, 0.35)), scene_side * 1.3)
        wide, high = part * rng.uniform(0.87, 1.0), part * rng.uniform(0.87, 1.0)
        if len(rows) and rng.random() < 0.8:
            x0, y0, x1, y1 = rows[rng.randrange(len(rows)), :4]
            middle = (x0 + x1) / 2, (y0 + y1) / 2
            left = middle[0] - wide * rng.uniform(0.15, 0.85)
            top = middle[1] - high * rng.uniform(0.15, 0.85)
        else:
            left = rng.uniform(0, scene_side - wide)
            top = rng.uniform(0, scene_side - high)
        # Otherwise the crop crosses the edge, as in a letterbox.
        if rng.random() < 0.85:
            left = min(max(left, 0), max(scene_side - wide, 0))
            top = min(max(top, 0), max(scene_side - high, 0))
        across = side / wide
        down = side / high
        flip = rng.random() < 0.5
        move = np.array(
            [[across, 0, -left * across], [0, down, -top * down]], np.float32
        )
        if flip:
            move[0] = -move[0]
            move[0, 2] += side
        bars = (114, 114, 114) if rng.random() < 0.7 else (0, 0, 0)
        kind = cv2.INTER_AREA if across < 0.8 else cv2.INTER_LINEAR
        crop = cv2.warpAffine(image, move, (side, side), flags=kind, borderValue=bars)
        return degrade(crop, rng), _shift(rows, move, side, flip)


def _shift(rows: Values, move: Values, side: int, flip: bool) -> Values:
    """Map boxes to the crop; faces that are half outside become "ignore"."""
    x = rows[:, [0, 2]] * move[0, 0] + move[0, 2]
    y = rows[:, [1, 3]] * move[1, 1] + move[1, 2]
    if flip:
        x = x[:, ::-1]
    area = (x[:, 1] - x[:, 0]) * (y[:, 1] - y[:, 0])
    x = x.clip(0, side)
    y = y.clip(0, side)
    visible = (x[:, 1] - x[:, 0]) * (y[:, 1] - y[:, 0])
    share = visible / np.maximum(area, 1e-3)
    small = np.sqrt(visible) < MIN_FACE_SIDE
    face = np.where((share < 0.5) | small, 0.0, rows[:, 4])
    boxes = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1], face], 1)
    return np.asarray(boxes[share > 0.1], np.float32)


def degrade(crop: Canvas, rng: random.Random) -> Canvas:
    """Change colors and add blur, noise and JPEG artefacts at random."""
    noise_rng = np.random.default_rng(rng.getrandbits(32))
    if rng.random() < 0.3:
        hsv = cv2.cvtColor(crop, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + rng.randint(-12, 12)) % 180
        hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.3, 1.2), 0, 255).astype(
            np.uint8
        )
        crop = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if rng.random() < 0.5:
        gain = rng.uniform(0.6, 1.3)
        lift = rng.uniform(-30, 30)
        bend = math.exp(rng.gauss(0, 0.3))
        curve = np.clip(
            255 * (np.arange(256) / 255) ** bend * gain + lift, 0, 255
        ).astype(np.uint8)
        crop = cv2.LUT(crop, curve)
    if rng.random() < 0.25:
        small = rng.uniform(0.3, 0.8)
        side = crop.shape[0]
        smaller = cv2.resize(
            crop, None, fx=small, fy=small, interpolation=cv2.INTER_AREA
        )
        crop = cv2.resize(smaller, (side, side), interpolation=rng.choice((0, 1, 2)))
    elif rng.random() < 0.2:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.4, 2.0))
    if rng.random() < 0.2:
        noise = noise_rng.normal(0, rng.uniform(2, 12), (*crop.shape[:2], 1))
        crop = np.clip(crop + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        encoded = cv2.imencode(
            ".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, rng.randint(25, 95)]
        )[1]
        crop = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return crop


def targets(rows: Values, side: int) -> list[Values]:
    """Return targets of shape (5, rows, columns) per stride, as `face_loss` expects."""
    levels = []
    for stride, (low, high) in zip(STRIDES, FACE_SIDE_RANGES, strict=True):
        cells = side // stride
        level = np.zeros((5, cells, cells), np.float32)
        spots = (np.arange(cells, dtype=np.float32) + 0.5) * stride
        sizes = np.sqrt((rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1]))
        for index in np.argsort(-sizes):
            _write_target(level, rows[index], spots, low <= sizes[index] < high)
        levels.append(level)
    return levels


def _write_target(
    level: Values, row: Values, spots: Values, is_own_stride: bool
) -> None:
    """Write one face into a stride's target, or ignore its cells."""
    x0, y0, x1, y1, face = (float(number) for number in row)
    if not face:
        inside = (spots >= x0) & (spots < x1), (spots >= y0) & (spots < y1)
        hidden = np.ix_(np.flatnonzero(inside[1]), np.flatnonzero(inside[0]))
        level[0][hidden] = np.where(level[0][hidden] > 0, level[0][hidden], -1)
        return
    x = (x0 + x1) / 2
    y = (y0 + y1) / 2
    columns = _cells_near(spots, x, x1 - x0)
    lines = _cells_near(spots, y, y1 - y0)
    place = np.ix_(lines, columns)
    if is_own_stride:
        level[0][place] = 1
        for channel, edge in enumerate((x0, y0, x1, y1), 1):
            level[channel][place] = edge
    else:  # The face belongs to another stride: ignore its cells here.
        level[0][place] = np.where(level[0][place] > 0, level[0][place], -1)


def _cells_near(spots: Values, middle: float, length: float) -> npt.NDArray[np.intp]:
    indices = np.flatnonzero(np.abs(spots - middle) <= length * POSITIVE_SHARE / 2)
    return indices if len(indices) else np.array([np.abs(spots - middle).argmin()])
