"""The share of a picture that text covers: captions of memes, subtitles, pages of text.

Letters are what a region-based detector of text in scenes looks for: pieces of one tone and of
a like stroke width and height, many of them side by side in a straight line (Epshtein, Ofek
and Wexler, "Detecting text in natural scenes with stroke width transform", 2010; Neumann and
Matas, "Real-time scene text localization and recognition", 2012). Nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gleanset.images.photo_likeness import Pixels, shrunk

SIDE = 640
LIGHT, DARK = 220, 40
"""Tones of letters with an outline of the other tone, as memes and subtitles have them."""

STROKE, CONTRAST = 17, 90
"""Strokes thinner than that many pixels stand out by so much from what is about them."""

LOWEST, HIGHEST = 6, 100
"""Heights of letters in pixels."""

MOST_LETTERS = 1500
"""In one tone; a page of fine print has its share long before."""

LETTERS = 6
"""In a line, at least: three edges side by side are no text."""

HEIGHT_VARIES, STROKE_VARIES = 0.25, 0.35
"""Standard deviation over mean, within a line, at most."""

# The columns of a table of pieces.
LEFT, TOP, WIDTH, HEIGHT, STROKE_WIDTH, AREA = range(6)
Pieces: TypeAlias = npt.NDArray[np.float64]


def text_share(pixels: Image.Image) -> float:
    """Return the part of the picture, 0..1, that lines of lettering cover."""
    colours = np.asarray(shrunk(pixels, SIDE).convert("RGB"))
    covered = np.zeros(colours.shape[:2], dtype=np.bool_)
    for mask in _masks(colours):
        for line in _lines(_pieces(mask)):
            left, top, right, bottom = _frame(line)
            covered[top:bottom, left:right] = True
    return round(float(covered.mean()), 4)


def _masks(colours: Pixels) -> Iterator[Pixels]:
    """Yield masks of thin places that stand out, and of what is plainly light or dark."""
    brightest, grey = colours.max(axis=2), cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    square = np.ones((STROKE, STROKE), np.uint8)
    # The brightest channel, because subtitles are often yellow.
    yield (cv2.morphologyEx(brightest, cv2.MORPH_TOPHAT, square) >= CONTRAST).astype(np.uint8)
    yield (cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, square) >= CONTRAST).astype(np.uint8)
    yield (brightest >= LIGHT).astype(np.uint8)
    yield (grey <= DARK).astype(np.uint8)


def _pieces(mask: Pixels) -> Pieces:
    """Find connected pieces of the size and stroke of letters, from left to right."""
    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    x, y, width, height, area = stats.T.astype(np.float64)
    fine = (height >= LOWEST) & (height <= HIGHEST) & (width <= 2 * height)
    fine &= (width >= 0.08 * height) & (area >= 10) & (area > 0.15 * width * height)
    fine[0] = False
    if np.count_nonzero(fine) < LETTERS:
        return np.empty((0, 6))
    border = mask - cv2.erode(mask, np.ones((3, 3), np.uint8))
    around = np.bincount(labels[border > 0], minlength=number)
    stroke = 2 * area / np.maximum(around, 1)
    fine &= stroke <= 0.42 * height + 1
    found = np.stack([x, y, width, height, stroke, area], axis=1)[fine]
    return np.asarray(found[np.argsort(found[:, LEFT], kind="stable")][:MOST_LETTERS])


def _lines(pieces: Pieces) -> Iterator[Pieces]:
    if len(pieces) < LETTERS:
        return
    rows = _joined(len(pieces), _neighbours(pieces))
    names, sizes = np.unique(rows, return_counts=True)
    for name in names[sizes >= LETTERS]:
        line = pieces[rows == name]
        if _is_text(line):
            yield line


def _neighbours(pieces: Pieces) -> npt.NDArray[np.intp]:
    """Find pairs (n x 2) that stand side by side, are about as high, and on one level."""
    x, y, width, height = pieces[:, :AREA].T[:4]
    middle = y + height / 2
    higher = np.maximum(height[None], height[:, None])
    lower = np.minimum(height[None], height[:, None])
    gap = x[None] - (x + width)[:, None]
    pairs = (gap > -0.3 * lower) & (gap < 0.8 * higher) & (lower >= 0.55 * higher)
    pairs &= np.abs(middle[None] - middle[:, None]) < 0.3 * higher
    return np.argwhere(np.triu(pairs, 1))


def _joined(number: int, pairs: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Return for each piece the first one of its line: the smallest label, passed on to the end."""
    rows = np.arange(number)
    while len(pairs):
        least = np.minimum(rows[pairs[:, 0]], rows[pairs[:, 1]])
        before = rows.copy()
        np.minimum.at(rows, pairs[:, 0], least)
        np.minimum.at(rows, pairs[:, 1], least)
        rows = rows[rows]
        if np.array_equal(before, rows):
            break
    return rows


def _is_text(line: Pieces) -> bool:
    left, top, right, bottom = _frame(line)
    usual = float(np.median(line[:, HEIGHT]))
    if right - left < 3 * usual or bottom - top > 2 * usual:
        return False
    if line[:, AREA].sum() < 0.15 * (right - left) * (bottom - top):
        return False
    return (
        _varies(line[:, HEIGHT]) <= HEIGHT_VARIES
        and _varies(line[:, STROKE_WIDTH]) <= STROKE_VARIES
    )


def _varies(values: npt.NDArray[np.float64]) -> float:
    return float(np.std(values) / np.mean(values))


def _frame(line: Pieces) -> tuple[int, int, int, int]:
    right, bottom = line[:, LEFT] + line[:, WIDTH], line[:, TOP] + line[:, HEIGHT]
    return (int(line[:, LEFT].min()), int(line[:, TOP].min()), int(right.max()), int(bottom.max()))
