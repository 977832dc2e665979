"""What differs between two aligned pictures: lettering, what was laid over, and edges.

Lettering (a watermark, the name of a site, a signature) brightens or darkens, never both; its
letters stand in a line that is much longer than it is high and lies level or aslant; and it adds
edges while most of those beneath it stay. A caption in the place of another one takes edges away,
too, and is not a mark.

A sticker covers one compact place, and nothing else differs at all. A veil (a large watermark,
tiled letters) takes whatever it covers the same part of the way to one brightness, so that all
beneath still shows: each pixel lies between its own brightness and the veiled one. A redrawn mouth
is too small or too flat for a sticker, and something that moved changes other places, too.

An edge of one picture is lost where the other one has no edge like it. A copy keeps its edges,
fainter or stronger. The coarse comparison counts small windows in which each picture lacks edges
of the other. The fine one looks within a pixel: where both pictures lost edges at one place, and
the brightness of the one does not explain that of the other there, a line was replaced by another,
such as a mouth, a pupil, a letter. Where only one has more edges and they are not lettering,
something was added: an open mouth, a strand of hair.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from labeler.duplicates.alignment import SIDE, Common, Mask
from labeler.duplicates.hashes import Floats, Grey

# Letters nearer than this (pixels at 256 a side) are of one line.
_GAP = 9
_LONG = 3.0
_HIGHEST = 0.12
_SHORTEST_LINE = 0.125
_LETTERS, _SHORTEST_WITH_LETTERS = 4, 0.09
# In pixels, too: on a small grid a mouth looks like a line of letters.
_LEGIBLE, _LEGIBLE_LETTERS = 24, 16
_STEEPEST = 0.9
_ONE_SIDED_LINE = 0.6
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
        for piece in find_pieces(drawn, 12):
            if _is_line(piece, drawn, against, (light, dark)):
                piece.grown(4, lettering.shape).put_on(lettering)
    return lettering


def find_pieces(drawn: Mask, least: int = 3) -> list[Piece]:
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
    slope, level = fit_brightness(common)
    change = b - np.float32(slope) * a - np.float32(level)
    change -= _far_blurred(change, max(a.shape) / 16)
    steep = cv2.magnitude(
        *(cv2.Sobel(a, cv2.CV_32F, *way, scale=1 / 8) for way in ((1, 0), (0, 1)))
    )
    return change, (np.float32(_FAINTEST) + np.float32(0.9 * abs(slope)) * steep).astype(np.float32)


def fit_brightness(common: Common) -> tuple[float, float]:
    """Return the slope and level that make b of a, as `robust_line` finds them.

    Every other row and column tells it as well as all.
    """
    every = slice(None, None, 2), slice(None, None, 2)
    where = common.where[every]
    return fit_robust_line(common.a[every][where], common.b[every][where])


def fit_robust_line(
    source: npt.NDArray[Number], wanted: npt.NDArray[Number]
) -> tuple[float, float]:
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
    if piece.long < _LONG * piece.short or min(light, dark) > _ONE_SIDED_LINE * max(light, dark):
        return False
    inside = drawn[piece.rows, piece.columns] & piece.mask
    many = cv2.connectedComponents(inside.astype(np.uint8))[0] > _LETTERS
    part, pixels = (
        (_SHORTEST_WITH_LETTERS, _LEGIBLE_LETTERS) if many else (_SHORTEST_LINE, _LEGIBLE)
    )
    return bool(piece.long >= max(pixels, part * size))


# Brightness that may differ: anywhere, and of what a pixel's neighbours span.
_LEVEL_NOISE, _OF_NEIGHBOURS = 10.0, 0.6
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


def is_overlaid(common: Common) -> bool:
    """Tell whether one picture is the other with a sticker or a veil on it, whichever it is."""
    return _is_on_b(common) or _is_on_b(common._replace(a=common.b, b=common.a))


def _is_on_b(common: Common) -> bool:
    change = _change(common)
    if change.off.sum() > _MOST * common.where.sum():
        return False
    return _is_sticker(change, common.where) or _is_veil(change, common)


def _change(common: Common) -> _Change:
    a, b = common.a.astype(np.float32), common.b.astype(np.float32)
    slope, level = fit_brightness(common)
    clean = (np.float32(slope) * a + np.float32(level)).astype(np.float32)
    around = np.ones((3, 3), np.uint8)
    span = cv2.dilate(clean, around) - cv2.erode(clean, around)
    slack = (np.float32(_LEVEL_NOISE) + np.float32(_OF_NEIGHBOURS) * span).astype(np.float32)
    by = b - clean
    return _Change(clean, by, slack, (np.abs(by) > slack) & common.where)


def _is_sticker(change: _Change, where: Mask) -> bool:
    # Single pixels and thin lines are the rims of what was scaled.
    drawn = _without(change.off, cv2.MORPH_OPEN)
    piece = max(find_pieces(drawn, 12), key=lambda one: one.mask.sum(), default=None)
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
    slope, level = fit_robust_line(change.clean[veiled], common.b[veiled])
    # Thin letters cover half of most of their pixels: those that are covered more tell.
    more = veiled & (np.abs(change.by) >= np.abs((slope - 1) * change.clean + level))
    slope, level = fit_robust_line(change.clean[more], common.b[more])
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


def compute_edge_pair(common: Common) -> tuple[Edges, Edges]:
    """Return the edges of two aligned pictures."""
    return compute_edges(common.a, common.where), compute_edges(common.b, common.where)


def measure_replaced_windows(common: Common, edges: tuple[Edges, Edges]) -> float:
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


def find_strongest_change(common: Common, edges: tuple[Edges, Edges]) -> StrongestChange:
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


def compute_edges(grey: Grey, where: Mask) -> Edges:
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
    rows, columns = values.shape
    half = cv2.resize(values, (-(-columns // 2), -(-rows // 2)), interpolation=cv2.INTER_AREA)
    return _blurred(half.astype(np.float32, copy=False), _WINDOW / 2)


def _added(mine: _Lost, other: _Lost) -> Iterator[Piece]:
    """Find the places where one has edges and the other has none to put in their stead."""
    for piece in find_pieces(mine.summed > _DENSE):
        if piece.of(mine.plain).sum() >= _ONE_SIDED * piece.of(other.plain).sum():
            yield piece


def _at_rim(piece: Piece, shape: tuple[int, ...]) -> bool:
    """Return whether it is near an edge of the picture, where marks and logos are."""
    x, y = piece.centre[0] / shape[1], piece.centre[1] / shape[0]
    return min(x, 1 - x, y, 1 - y) < _RIM


def _blurred(values: Floats, width: float) -> Floats:
    return cv2.GaussianBlur(values, (0, 0), width).astype(np.float32, copy=False)
