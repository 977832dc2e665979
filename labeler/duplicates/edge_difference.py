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
from itertools import product
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
_LEAST_STRENGTH = 0.05
# The fine one: edges are summed over a place of this width (standard deviation, pixels).
_PLACE = 2.0
# The noise of gradients: so much of their mean square.
_EDGE_NOISE = 0.0625
# Weaker edges, and smaller losses of one, are none.
_LEAST_EDGE, _LEAST_LOSS = 0.3, 0.1
# The window in which one brightness has to explain the other, and the noise of grey values.
_WINDOW = 3.5
_NOISE = 9.0
# Added edges count a sixth of replaced ones: they are as strong as their own contrast.
_ADDED = 6.0
_DENSE = 2.0
_ONE_SIDED = 3.5
# A mark adds so many times the edges that it covers.
_MARK_EDGES = 1.5
_RIM = 0.13


class Edges(NamedTuple):
    """The normalised gradient (x, y) of each pixel and its square length, 0..1."""

    x: Floats
    y: Floats
    own: Floats


class StrongestChange(NamedTuple):
    """The strongest change between two aligned images, and which of them has a mark on it.

    `strength` is in pixels of a strong line.
    """

    strength: float
    marked_a: bool = False
    marked_b: bool = False


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
    a, b = edges
    shared = a.x * b.x + a.y * b.y
    products = cv2.merge([a.own * a.own, b.own * b.own, shared * shared, np.ones_like(a.own)])
    products[~common.where] = 0
    means = cv2.blur(products, (window, window))
    of_a, of_b, of_both, _ = inside = means[means[..., 3] > 0.5].T
    strong = np.maximum(of_a, of_b) > _LEAST_STRENGTH
    lacking = of_both + 0.02 < (1 - _REPLACED) * (np.minimum(of_a, of_b) + 0.02)
    return float(1000 * np.count_nonzero(strong & lacking) / max(1, inside.shape[1]))


def strongest_change(common: Common, edges: tuple[Edges, Edges]) -> StrongestChange:
    """Find what is drawn differently at one place, and marks.

    Copies stay below 0.5 at 256 pixels a side, another mouth is 1 to 10. `common` should be
    laid as finely as can be.
    """
    a, b = edges
    unlike = _unlike(common.a, common.b)
    lost_a, lost_b = _lost(a, b, common.where, unlike), _lost(b, a, common.where, unlike)
    replaced = np.minimum(lost_a.summed, lost_b.summed)
    if max(lost_a.summed.max(), lost_b.summed.max()) < _DENSE:  # nothing stands out
        return StrongestChange(float(replaced.max()))
    marks = find_lettering(common, lost_a.plain, lost_b.plain)
    added = 0.0
    for one, other in ((lost_a, lost_b), (lost_b, lost_a)):
        for piece in _added(one, other):
            if _at_rim(piece, common.a.shape):
                piece.grown(4, marks.shape).put_on(marks)
            elif piece.of(marks).mean() < 0.5:
                added = max(added, float(piece.of(one.summed).max()) / _ADDED)
    on_a, on_b = float(lost_a.plain[marks].sum()), float(lost_b.plain[marks].sum())
    return StrongestChange(
        max(float(replaced[~marks].max(initial=0.0)), added),
        on_a > _MARK_EDGES * on_b,
        on_b > _MARK_EDGES * on_a,
    )


def edges_of(grey: Grey, where: Mask) -> Edges:
    """Return the normalised gradient of a picture; `where` is what its noise is taken from."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    x: Floats = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8).astype(np.float32, copy=False)
    y: Floats = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8).astype(np.float32, copy=False)
    squares = x * x + y * y
    noise = max(1.0, _EDGE_NOISE * float(squares[where].mean())) if where.any() else 1.0
    length: Floats = np.sqrt(squares + np.float32(noise), dtype=np.float32)
    return Edges(x / length, y / length, squares / (length * length))


def _lost(own: Edges, other: Edges, where: Mask, unlike: Floats) -> _Lost:
    """Find edges of `own` that `other` does not have within a pixel, in this direction."""
    plain = np.zeros_like(own.own)
    rows, columns = np.nonzero((own.own > _LEAST_EDGE) & where)
    x, y, squares = (part[rows, columns] for part in own)
    squares *= squares
    same = x * other.x[rows, columns] + y * other.y[rows, columns]
    # Few are left, whose neighbours are looked at.
    left = np.flatnonzero(squares - same * same > _LEAST_LOSS)
    rows, columns = rows[left], columns[left]
    x, y, squares = x[left], y[left], squares[left]
    beside_x, beside_y = (np.pad(part, 1) for part in (other.x, other.y))
    best = np.zeros_like(squares)
    for down, across in product(range(3), repeat=2):
        place = rows + down, columns + across
        same = x * beside_x[place] + y * beside_y[place]
        np.maximum(best, same * same, out=best)
    plain[rows, columns] = np.maximum(squares - best, 0)
    summed = _blurred(plain, _PLACE) * np.float32(2 * np.pi * _PLACE**2) * unlike
    return _Lost(plain * unlike, summed)


def _unlike(a: Grey, b: Grey) -> Floats:
    """Return how much of each place the brightness of the other picture does not explain, 0..1.

    It is 1 - r^2 of a small window: contrast, inversion and tints explain, another line does not.
    The windows are so wide that half the resolution tells the same.
    """
    left, right = (_blurred(grey.astype(np.float32), 0.8) for grey in (a, b))
    mean_a, mean_b = _window(left), _window(right)
    square_a = np.maximum(_window(left * left) - mean_a * mean_a, 0)
    square_b = np.maximum(_window(right * right) - mean_b * mean_b, 0)
    both = _window(left * right) - mean_a * mean_b
    explained = both * both / ((square_a + _NOISE) * (square_b + _NOISE))
    unlike = np.clip(1 - explained, 0, 1)
    return cv2.resize(unlike, a.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(
        np.float32, copy=False
    )


def _window(values: Floats) -> Floats:
    """Return the means of windows around the pixels, at half the resolution."""
    rows, columns = values.shape
    half = cv2.resize(values, (-(-columns // 2), -(-rows // 2)), interpolation=cv2.INTER_AREA)
    return _blurred(half.astype(np.float32, copy=False), _WINDOW / 2)


def _added(mine: _Lost, other: _Lost) -> Iterator[Piece]:
    """Find the places where one has edges and the other has none to put in their stead."""
    for piece in pieces_of(mine.summed > _DENSE):
        if piece.of(mine.plain).sum() >= _ONE_SIDED * piece.of(other.plain).sum():
            yield piece


def _at_rim(piece: Piece, shape: tuple[int, ...]) -> bool:
    """Return whether it is near an edge of the picture, where marks and logos are."""
    x, y = piece.centre[0] / shape[1], piece.centre[1] / shape[0]
    return min(x, 1 - x, y, 1 - y) < _RIM


def _blurred(values: Floats, width: float) -> Floats:
    return cv2.GaussianBlur(values, (0, 0), width).astype(np.float32, copy=False)
