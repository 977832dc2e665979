"""Differences between the edges of two aligned pictures: in windows, then at each place.

An edge of one picture is lost where the other one has no edge like it. A copy keeps its edges,
fainter or stronger. The coarse comparison counts small windows in which each picture lacks edges
of the other. The fine one looks within a pixel: where both pictures lost edges at one place, and
the brightness of the one does not explain that of the other there, a line was replaced by another,
such as a mouth, a pupil, a letter. Where only one has more edges and they are no lettering (see
`watermark`), something was added: an open mouth, a strand of hair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from labeler.duplicates.alignment import SIDE, Common, Mask
from labeler.duplicates.hashes import Floats, Grey
from labeler.duplicates.watermark import Piece, find_lettering, pieces_of

# The coarse comparison: windows of 16 pixels at 256 a side, 10 at least; of their edges so much
# has to be lost in either picture.
WINDOW = 16
LEAST_WINDOW = 10
_REPLACED = 0.4
# The fine one: edges are summed over a place of this width (standard deviation, pixels).
_PLACE = 2.0
_EDGE = 0.3
_SLIGHT = 0.1
# The window in which one brightness has to explain the other, and the noise of grey values.
_WINDOW = 3.5
_NOISE = 9.0
# Added edges count a sixth of replaced ones: they are as strong as their own contrast.
_ADDED = 6.0
_DENSE = 2.0
_ONE_SIDED = 3.5
# What is everywhere is noise: so often the change that five of a hundred pixels exceed.
_COMMON = 3.0
_RIM = 0.13
_NEIGHBOURS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]


class Edges(NamedTuple):
    """The normalised gradient (x, y) of each pixel and its square length, 0..1."""

    x: Floats
    y: Floats
    own: Floats


class _Lost(NamedTuple):
    """Edges that only one picture has (each pixel, 0..1), plain and summed over a place."""

    plain: Floats
    summed: Floats


def edges_of_both(common: Common) -> tuple[Edges, Edges]:
    """Return the edges of two aligned pictures."""
    return edges_of(common.a, common.where), edges_of(common.b, common.where)


def replaced_windows(common: Common, edges: tuple[Edges, Edges]) -> float:
    """Return the windows, per mille, in which each picture lacks edges of the other.

    Edges are compared as normalised gradients (Haber and Modersitzki, "Intensity gradient based
    registration and fusion of multi-modal images", 2006), which forgives contrast and inversion.
    """
    window = max(LEAST_WINDOW, round(max(common.a.shape) * WINDOW / SIDE))
    mask = common.where.astype(np.float32)
    (ax, ay, own_a), (bx, by, own_b) = edges

    def gather(values: Floats) -> Floats:
        return cv2.blur(values * mask, (window, window)).astype(np.float32)

    edges_a, edges_b = gather(own_a * own_a), gather(own_b * own_b)
    shared = gather((ax * bx + ay * by) ** 2)
    kept = np.maximum((shared + 0.02) / (edges_a + 0.02), (shared + 0.02) / (edges_b + 0.02))
    inside = gather(np.ones_like(mask)) > 0.5
    replaced = (kept < 1 - _REPLACED) & (np.maximum(edges_a, edges_b) > 0.05) & inside
    return 1000 * float(replaced.sum()) / max(1, int(inside.sum()))


def strongest_change(common: Common, edges: tuple[Edges, Edges]) -> float:
    """Return how much is drawn differently at one place, in pixels of a strong line.

    Copies stay below 0.5 at 256 pixels a side, another mouth is 1 to 10. `common` should be
    laid as finely as can be.
    """
    a, b = edges
    unlike = _unlike(common.a, common.b)
    lost_a, lost_b = _lost(a, b, common.where, unlike), _lost(b, a, common.where, unlike)
    replaced = np.minimum(lost_a.summed, lost_b.summed)
    # On a small grid a mouth is as large as that.
    share = _COMMON * max(common.a.shape) / SIDE
    noise = share * float(np.percentile(replaced[common.where], 95))
    if max(lost_a.summed.max(), lost_b.summed.max()) < _DENSE:  # nothing stands out
        strongest: float = float(replaced.max()) - noise
        return strongest
    marks = find_lettering(common, lost_a.plain, lost_b.plain)
    added = 0.0
    for one, other in ((lost_a, lost_b), (lost_b, lost_a)):
        for piece in _added(one, other):
            if _at_rim(piece, common.a.shape):
                piece.grown(4, marks.shape).put_on(marks)
            elif piece.of(marks).mean() < 0.5:
                added = max(added, float(piece.of(one.summed).max()) / _ADDED)
    left: float = float(replaced[~marks].max(initial=0.0)) - noise
    return max(left, added)


def edges_of(grey: Grey, where: Mask) -> Edges:
    """Return the normalised gradients of a picture; `where` is what its noise is taken from."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    x: Floats = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8).astype(np.float32)
    y: Floats = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8).astype(np.float32)
    squares: Floats = x * x + y * y
    noise = max(1.0, 0.0625 * float(squares[where].mean()))
    length: Floats = np.sqrt(squares + np.float32(noise))
    return Edges(x / length, y / length, squares / (squares + np.float32(noise)))


def _lost(own: Edges, other: Edges, where: Mask, unlike: Floats) -> _Lost:
    """Find edges of `own` that `other` does not have within a pixel, in this direction."""
    first = own.own**2 - (own.x * other.x + own.y * other.y) ** 2
    # The most are where they should be; only the others look to their neighbours.
    rows, columns = np.nonzero((own.own > _EDGE) & where & (first > _SLIGHT))
    x, y = own.x[rows, columns], own.y[rows, columns]
    wide_x, wide_y = (np.pad(side, 1) for side in (other.x, other.y))
    best = np.zeros(len(rows), np.float32)
    for down, right in _NEIGHBOURS:
        place = rows + 1 + down, columns + 1 + right
        best = np.maximum(best, (x * wide_x[place] + y * wide_y[place]) ** 2)
    plain = np.zeros_like(own.own)
    plain[rows, columns] = np.maximum(own.own[rows, columns] ** 2 - best, 0)
    summed = _blurred(plain, _PLACE) * np.float32(2 * np.pi * _PLACE**2) * unlike
    return _Lost(plain * unlike, summed)


def _unlike(a: Grey, b: Grey) -> Floats:
    """Return how much of each place the brightness of the other picture does not explain, 0..1.

    It is 1 - r^2 of a small window: contrast, inversion and tints explain, another line does not.
    """
    left, right = (_blurred(grey.astype(np.float32), 0.8) for grey in (a, b))
    mean_a, mean_b = _blurred(left, _WINDOW), _blurred(right, _WINDOW)
    square_a = np.maximum(_blurred(left * left, _WINDOW) - mean_a * mean_a, 0)
    square_b = np.maximum(_blurred(right * right, _WINDOW) - mean_b * mean_b, 0)
    both = _blurred(left * right, _WINDOW) - mean_a * mean_b
    explained = both * both / ((square_a + _NOISE) * (square_b + _NOISE))
    return np.clip(1 - explained, 0, 1).astype(np.float32)


def _added(one: _Lost, other: _Lost) -> Iterator[Piece]:
    """Find the places where one has edges and the other has none to put in their stead."""
    for piece in pieces_of(one.summed > _DENSE):
        if piece.of(one.plain).sum() >= _ONE_SIDED * piece.of(other.plain).sum():
            yield piece


def _at_rim(piece: Piece, shape: tuple[int, ...]) -> bool:
    """Return whether it is near an edge of the picture, where marks and logos are."""
    x, y = piece.centre[0] / shape[1], piece.centre[1] / shape[0]
    return min(x, 1 - x, y, 1 - y) < _RIM


def _blurred(values: Floats, width: float) -> Floats:
    return cv2.GaussianBlur(values, (0, 0), width).astype(np.float32)
