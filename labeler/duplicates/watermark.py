"""Lettering laid over one of two aligned pictures: watermarks, the name of a site, a signature.

It brightens or darkens, never both; its letters stand in a line that is much longer than it is
high and lies level or aslant; and it adds edges while most of those beneath it stay. A caption in
the place of another one takes edges away, too, and is no mark.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from labeler.duplicates.alignment import SIDE, Common, Mask
from labeler.duplicates.hashes import Floats

# Letters nearer than this (pixels at 256 a side) are of one line.
_GAP = 9
_LONG = 3.0
_HIGHEST = 0.12
_SHORTEST_LINE = 0.125
_LETTERS, _SHORTEST_WITH_LETTERS = 4, 0.09
# In pixels, too: on a small grid a mouth looks like a line of letters.
_LEGIBLE, _LEGIBLE_LETTERS = 24, 16
_STEEPEST = 0.9
_ONE_SIDED = 0.6
_MIXED = 0.3
# Less is asked of light letters: what is drawn of a face in another way is mostly dark.
_LIGHT, _LIGHT_LONG, _SHORTEST_LIGHT, _LEGIBLE_LIGHT = 0.8, 2.0, 0.045, 12
_PURE = 0.05
_FAINTEST = 8.0
# Three and a half standard deviations: as wide as an even stroke is long.
_EXTENT = 3.46

Number = TypeVar("Number", bound="np.generic[Any]")


class Piece(NamedTuple):
    """Pixels that belong together: `mask` of the box `rows`, `columns` of a picture.

    `centre` is x, y; `long` and `short` are its sides, `angle` (radians) that of the long one.
    """

    rows: slice
    columns: slice
    mask: Mask
    centre: tuple[float, float]
    long: float
    short: float
    angle: float

    def of(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return the values of a picture's pixels that are in the piece."""
        return values[self.rows, self.columns][self.mask]

    def grown(self, by: int, shape: tuple[int, ...]) -> Piece:
        """With a seam of `by` pixels around it, within a picture of this shape."""
        top, left = max(0, self.rows.start - by), max(0, self.columns.start - by)
        rows = slice(top, min(shape[0], self.rows.stop + by))
        columns = slice(left, min(shape[1], self.columns.stop + by))
        wide = np.zeros((rows.stop - top, columns.stop - left), np.uint8)
        down, right = self.rows.start - top, self.columns.start - left
        wide[down : down + self.mask.shape[0], right : right + self.mask.shape[1]] = self.mask
        mask = cv2.dilate(wide, np.ones((2 * by + 1, 2 * by + 1), np.uint8)) > 0
        return self._replace(rows=rows, columns=columns, mask=mask)

    def put_on(self, mask: Mask) -> None:
        """Mark the piece on a mask of the whole picture."""
        mask[self.rows, self.columns] |= self.mask


def find_lettering(common: Common, lost_a: Floats, lost_b: Floats) -> Mask:
    """Find where one of two pictures has lettering that the other has not.

    `lost_a` and `lost_b` are the edges (each pixel, 0..1) that only a or only b has.
    """
    brighter, limit = _difference(common)
    lettering: Mask = np.zeros(common.a.shape, np.bool_)
    for change, light, dark in ((brighter, lost_b, lost_a), (-brighter, lost_a, lost_b)):
        drawn, against = (change > limit) & common.where, (-change > limit) & common.where
        for piece in pieces_of(drawn, 12):
            if _is_line(piece, drawn, against, (light, dark)):
                piece.grown(4, lettering.shape).put_on(lettering)
    return lettering


def pieces_of(drawn: Mask, least: int = 3) -> list[Piece]:
    """Find connected pieces of what is drawn: small gaps between pixels do not part them.

    Those of fewer than `least` pixels are left out.
    """
    width = max(5, round(max(drawn.shape) * _GAP / SIDE)) | 1
    round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    closed = cv2.morphologyEx(drawn.astype(np.uint8), cv2.MORPH_CLOSE, round_)
    number, labels, boxes, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    large = [i for i in range(1, number) if boxes[i, cv2.CC_STAT_AREA] >= least]
    return [_piece(labels.astype(np.int32, copy=False), i, boxes[i].tolist()) for i in large]


def _piece(labels: npt.NDArray[np.int32], number: int, box: list[int]) -> Piece:
    left, top, width, height, _ = box
    rows, columns = slice(top, top + height), slice(left, left + width)
    mask = labels[rows, columns] == number
    y, x = (places.astype(np.float64) for places in np.nonzero(mask))
    at = float(x.mean()), float(y.mean())
    x, y = x - at[0], y - at[1]
    number = max(1, len(x) - 1)
    wide, high, slant = (float(np.dot(*two)) / number for two in ((x, x), (y, y), (x, y)))
    # The eigenvalues of the 2 x 2 covariance are the squares of the deviations along the axes.
    middle, half = (wide + high) / 2, float(np.hypot((wide - high) / 2, slant))
    long, short = (_EXTENT * max(0.1, middle + way * half) ** 0.5 for way in (1, -1))
    angle = 0.5 * float(np.arctan2(2 * slant, wide - high))
    return Piece(rows, columns, mask, (at[0] + left, at[1] + top), long, short, angle)


def _difference(common: Common) -> tuple[Floats, Floats]:
    """Return how much brighter b is than a, lit as a whole, and what counts as a difference.

    Along edges more is allowed, for none lies exactly on the other.
    """
    a, b = common.a.astype(np.float32), common.b.astype(np.float32)
    slope, level = robust_light(common)
    change = b - np.float32(slope) * a - np.float32(level)
    change -= _far_blurred(change, max(a.shape) / 16)
    steep = cv2.magnitude(
        *(cv2.Sobel(a, cv2.CV_32F, *way, scale=1 / 8) for way in ((1, 0), (0, 1)))
    )
    return change, (np.float32(_FAINTEST) + np.float32(0.9 * abs(slope)) * steep).astype(np.float32)


def robust_light(common: Common) -> tuple[float, float]:
    """Return the slope and level that make b of a, as `robust_line` finds them.

    Every other row and column tells it as well as all.
    """
    every = slice(None, None, 2), slice(None, None, 2)
    where = common.where[every]
    return robust_line(common.a[every][where], common.b[every][where])


def robust_line(source: npt.NDArray[Number], wanted: npt.NDArray[Number]) -> tuple[float, float]:
    """Return slope and level of a line through points: of the 72 % that it explains best."""
    x, y = source.astype(np.float64), wanted.astype(np.float64)
    slope = level = 0.0
    for _ in range(2 if len(x) > 1 else 0):
        middle, other = x.mean(), y.mean()
        from_middle = x - middle
        square = max(1.0, float(from_middle @ from_middle) / len(x))
        slope = float(from_middle @ (y - other)) / (len(x) - 1) / square
        level = float(other - slope * middle)
        off = np.abs(y - slope * x - level)
        last = int(0.85 * (len(off) - 1))
        near = off <= np.partition(off, last)[last]
        x, y = x[near], y[near]
    return slope, level


def _far_blurred(values: Floats, width: float) -> Floats:
    """Blur so widely that a quarter of the size tells as much in a fraction of the time."""
    rows, columns = values.shape
    small = cv2.resize(values, (-(-columns // 4), -(-rows // 4)), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), max(0.5, width / 4))
    return cv2.resize(soft, (columns, rows), interpolation=cv2.INTER_LINEAR).astype(np.float32)


def _is_line(piece: Piece, drawn: Mask, against: Mask, lost: tuple[Floats, Floats]) -> bool:
    """Return whether a piece is a line of letters, which only brightens or only darkens.

    `lost` are the edges that only the picture has that is brighter there, and the other's.
    """
    seam, size = piece.grown(1, drawn.shape), max(drawn.shape)
    light, dark = (float(seam.of(edges).sum()) for edges in lost)
    mixed = int(piece.of(against).sum()) / max(1, int(piece.of(drawn).sum()))
    if mixed > _MIXED or piece.short >= _HIGHEST * size or abs(piece.angle) >= _STEEPEST:
        return False
    if mixed < _PURE and dark < _LIGHT * light and piece.long >= _LIGHT_LONG * piece.short:
        return bool(piece.long >= max(_LEGIBLE_LIGHT, _SHORTEST_LIGHT * size))
    if piece.long < _LONG * piece.short or min(light, dark) > _ONE_SIDED * max(light, dark):
        return False
    inside = drawn[piece.rows, piece.columns] & piece.mask
    many = cv2.connectedComponents(inside.astype(np.uint8))[0] > _LETTERS
    part, pixels = (
        (_SHORTEST_WITH_LETTERS, _LEGIBLE_LETTERS) if many else (_SHORTEST_LINE, _LEGIBLE)
    )
    return bool(piece.long >= max(pixels, part * size))
