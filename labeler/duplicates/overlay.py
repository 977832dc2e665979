"""What was laid over one of two aligned pictures that are the same otherwise: a sticker, a veil.

A sticker covers one compact place, and nothing else differs at all. A veil (a large watermark,
tiled letters) takes whatever it covers the same part of the way to one brightness, so that all
beneath still shows: each pixel lies between its own brightness and the veiled one. A redrawn mouth
is too small or too flat for a sticker, and something that moved changes other places, too.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from labeler.duplicates.alignment import Common, Mask
from labeler.duplicates.hashes import Floats
from labeler.duplicates.watermark import pieces_of, robust_light, robust_line

# Brightness that may differ: anywhere, and of what a pixel's neighbours span.
_NOISE, _OF_NEIGHBOURS = 10.0, 0.6
# More of the picture differs than anything that is laid over it.
_MOST = 0.3
# Sides of a sticker, of the picture's shorter side; its longer one, of its own shorter one.
_SMALLEST, _LARGEST, _LONGEST = 0.12, 0.45, 2.0
_LARGEST_PART = 0.2
# So much of a sticker's hull differs, and so much (of the picture) beside it may.
_FILLED, _BESIDE = 0.45, 0.0005
# How opaque a veil is, how far it reaches, and what part it may leave unexplained.
_SHEER, _OPAQUE = 0.15, 0.85
_WIDE, _UNEXPLAINED = 0.4, 0.0015
_FEWEST = 50


class _Change(NamedTuple):
    """How b differs from a lit as b is, `clean`; `slack` is what says nothing; `off` exceeds it."""

    clean: Floats
    by: Floats
    slack: Floats
    off: Mask


def is_laid_over(common: Common) -> bool:
    """Tell whether one picture is the other with a sticker or a veil on it, whichever it is."""
    return _is_on_b(common) or _is_on_b(common._replace(a=common.b, b=common.a))


def _is_on_b(common: Common) -> bool:
    change = _change(common)
    if change.off.sum() > _MOST * common.where.sum():
        return False
    return _is_sticker(change, common.where) or _is_veil(change, common)


def _change(common: Common) -> _Change:
    a, b = common.a.astype(np.float32), common.b.astype(np.float32)
    slope, level = robust_light(common)
    clean = (np.float32(slope) * a + np.float32(level)).astype(np.float32)
    around = np.ones((3, 3), np.uint8)
    span = cv2.dilate(clean, around) - cv2.erode(clean, around)
    slack = (np.float32(_NOISE) + np.float32(_OF_NEIGHBOURS) * span).astype(np.float32)
    by = b - clean
    return _Change(clean, by, slack, (np.abs(by) > slack) & common.where)


def _is_sticker(change: _Change, where: Mask) -> bool:
    # Single pixels and thin lines are the rims of what was scaled.
    drawn = _without(change.off, cv2.MORPH_OPEN)
    piece = max(pieces_of(drawn, 12), key=lambda one: one.mask.sum(), default=None)
    if piece is None:
        return False
    high, wide = (part / min(where.shape) for part in piece.mask.shape)
    short, long = min(high, wide), max(high, wide)
    if short < _SMALLEST or long > min(_LARGEST, _LONGEST * short):
        return False
    hull = float(cv2.contourArea(cv2.convexHull(cv2.findNonZero(piece.mask.astype(np.uint8)))))
    inside = float(piece.of(change.off).sum())
    if hull > _LARGEST_PART * where.sum() or inside < _FILLED * hull:
        return False
    piece.grown(4, where.shape).put_on(near := np.zeros(where.shape, np.bool_))
    return bool((drawn & ~near).sum() <= _BESIDE * where.sum())


def _is_veil(change: _Change, common: Common) -> bool:
    core = _without(change.off, cv2.MORPH_ERODE)
    light = core & (change.by > 0)
    veiled = max(light, core & ~light, key=np.sum)
    rows, columns = np.nonzero(veiled)
    if len(rows) < _FEWEST or max(map(_reach, (rows, columns), veiled.shape)) < _WIDE:
        return False
    slope, level = robust_line(change.clean[veiled], common.b[veiled])
    # Thin letters cover half of most of their pixels: those that are covered more tell.
    more = veiled & (np.abs(change.by) >= np.abs((slope - 1) * change.clean + level))
    slope, level = robust_line(change.clean[more], common.b[more])
    if not _SHEER <= 1 - slope <= _OPAQUE:
        return False
    under = np.float32(slope) * change.clean + np.float32(level)
    off = common.b - np.clip(
        common.b, np.minimum(under, change.clean), np.maximum(under, change.clean)
    )
    unexplained = (np.abs(off) > change.slack) & common.where
    return bool(unexplained.sum() <= _UNEXPLAINED * common.where.sum())


def _without(mask: Mask, how: int) -> Mask:
    square = np.ones((2, 2), np.uint8)
    return cv2.morphologyEx(mask.astype(np.uint8), how, square) > 0


def _reach(places: npt.NDArray[np.int64], side: int) -> float:
    """Return what part of a side nine of ten places span."""
    first, last = np.quantile(places, (0.05, 0.95))
    return float(last - first) / side
