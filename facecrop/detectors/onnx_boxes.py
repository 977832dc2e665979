"""From what a YOLO-style network answers to boxes.

Three layouts are known, told apart by their shape:

- YOLOv8 and later: 1 x (4 + classes) x boxes. Centre, size; a score for each class.
- YOLOv5: 1 x boxes x (5 + classes). Centre, size, how likely anything is there; then classes.
- With the suppression inside the network (YOLOv10): 1 x boxes x 6. Two corners, score, class.

Coordinates are pixels of the network's input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from facecrop.detectors.search import Rect, overlap

Array: TypeAlias = npt.NDArray[np.float32]

STRIDES = (8, 16, 32)
"""Pixels between the places at which these networks look for small, middling, large things."""

ANCHORS = 3
"""Boxes at each place in YOLOv5; later ones have one."""

LAYOUTS = ("v8", "v5", "end")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which of `LAYOUTS` a network's answer has, and for how many classes (0: not known)."""

    name: str
    classes: int


def layout_of(shape: tuple[int, ...], width: int, height: int) -> Layout | None:
    """The layout of an answer to an input of that size; None for no layout that we know."""
    if len(shape) != 3 or shape[0] != 1:
        return None
    places = sum((width // stride) * (height // stride) for stride in STRIDES)
    if shape[2] == places and shape[1] > 4:
        return Layout("v8", shape[1] - 4)
    if shape[1] == places * ANCHORS and shape[2] > 5:
        return Layout("v5", shape[2] - 5)
    if shape[2] == 6 and shape[1] < places:
        return Layout("end", 0)
    return None


def decoded(answer: Array, layout: Layout, face: int, threshold: float) -> list[tuple[Rect, float]]:
    """Boxes of the class `face` with their scores, from `threshold` on, in input pixels."""
    rows = answer[0].T if layout.name == "v8" else answer[0]
    if layout.name == "end":
        kept = rows[(rows[:, 4] >= threshold) & (rows[:, 5].round() == face)]
        return [(_from_corners(row), float(row[4])) for row in kept]
    scores = rows[:, 4] * rows[:, 5 + face] if layout.name == "v5" else rows[:, 4 + face]
    sure = scores >= threshold
    return [
        (_from_centre(row), float(score))
        for row, score in zip(rows[sure], scores[sure], strict=True)
    ]


def suppressed(boxes: list[tuple[Rect, float]], most: float) -> list[tuple[Rect, float]]:
    """Keep the surest of boxes that share more than `most` (intersection over union)."""
    kept: list[tuple[Rect, float]] = []
    for rect, score in sorted(boxes, key=lambda box: -box[1]):
        if all(overlap(rect, other) <= most for other, _ in kept):
            kept.append((rect, score))
    return kept


def are_scores(answer: Array, layout: Layout) -> bool:
    """Whether the numbers where scores should be can be scores: all within 0..1."""
    rows = answer[0].T if layout.name == "v8" else answer[0]
    scores = rows[:, 4:5] if layout.name == "end" else rows[:, 4:]
    low, high = (float(scores.min()), float(scores.max())) if scores.size else (0.0, 0.0)
    return bool(np.isfinite(rows).all()) and low >= -0.001 and high <= 1.001


def _from_centre(row: Array) -> Rect:
    x, y, width, height = (float(number) for number in row[:4])
    return Rect(x - width / 2, y - height / 2, width, height)


def _from_corners(row: Array) -> Rect:
    left, top, right, bottom = (float(number) for number in row[:4])
    return Rect(left, top, right - left, bottom - top)
