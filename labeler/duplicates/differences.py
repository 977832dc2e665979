"""Differences between two aligned images: lettering and edges.

Lettering (a watermark, a site name, a signature) brightens or darkens, never both; its letters form
a line that is much longer than high, and it adds edges while most of those beneath stay. A caption
that replaces another one removes edges too, and is not a mark.

An edge of one image is lost where the other one has no such edge. A copy keeps its edges, fainter
or stronger. The coarse comparison counts small windows in which each image lacks edges of the
other. The fine one looks within a pixel: where both images lost edges at one place, and the
brightness of one does not explain that of the other, a line was replaced by another, such as a
mouth, a pupil or a letter. Where only one has more edges that are not lettering, something was
added: an open mouth, a strand of hair.
"""

from itertools import product
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from gleanset.arrays import BoolArray, Float32Array
from gleanset.db.duplicates import Relation
from labeler.duplicates.alignment import GRID_SIDE, CommonPart, Edges
from labeler.duplicates.filters import blur, enlarge, measure_slopes, shrink

# Lines of letters. Lengths and heights without a unit are parts of the image's longer side.
_MAX_LETTER_GAP_PIXELS = 9  # at 256 pixels per side
_MIN_LINE_RATIO = 3.0
_MAX_LINE_HEIGHT = 0.12
_MIN_LINE_LENGTH = 0.125
_MIN_LETTERS, _MIN_LETTERED_LENGTH = 4, 0.09
# In pixels too: on a small grid a mouth looks like a line of letters.
_MIN_LINE_PIXELS, _MIN_LETTERED_PIXELS = 24, 16
_MAX_LINE_ANGLE = 0.9  # radians
_MAX_OTHER_EDGES = 0.6
_MAX_MIXED = 0.3
# Light letters have lower limits: redrawn parts of a face are mostly dark.
_MAX_DARK_EDGES, _MIN_LIGHT_RATIO, _MIN_LIGHT_LENGTH, _MIN_LIGHT_PIXELS = (
    0.8,
    2.0,
    0.045,
    12,
)
_MAX_LIGHT_MIXED = 0.05
_MIN_GREY_DIFFERENCE = 8.0
# The length of an even stroke in standard deviations.
_STROKE_DEVIATIONS = 3.46
# Pixels around a piece that its box includes.
_BOX_MARGIN = 4

Number = TypeVar("Number", bound="np.generic[Any]")


class Piece(NamedTuple):
    """Connected pixels: `mask` within the box `rows`, `columns` of an image.

    The box is larger by some pixels. `centre` is x, y; `long` and `short` are the sides, `angle`
    (radians) that of the long side.
    """

    rows: slice
    columns: slice
    mask: BoolArray
    centre: tuple[float, float]
    long: float
    short: float
    angle: float

    def select(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return the values of an image's pixels that are in the piece."""
        return values[self.rows, self.columns][self.mask]

    def dilated(self, by: int) -> "Piece":
        """Return the piece with a seam of `by` pixels around it, at most four."""
        mask = cv2.dilate(
            self.mask.astype(np.uint8), np.ones((2 * by + 1, 2 * by + 1), np.uint8)
        )
        return self._replace(mask=mask > 0)

    def draw_on(self, mask: BoolArray) -> None:
        """Set the piece in a mask of the whole image."""
        mask[self.rows, self.columns] |= self.mask


def find_lettering(
    common: CommonPart, lost_a: Float32Array, lost_b: Float32Array
) -> BoolArray:
    """Return the mask of lettering that only one of two images has.

    `lost_a` and `lost_b` are the edges (each pixel, 0..1) that only a or only b has.
    """
    brighter, limit = _brightness_difference(common)

    lettering: BoolArray = np.zeros(common.a.shape, np.bool_)
    for change, light, dark in (
        (brighter, lost_b, lost_a),
        (-brighter, lost_a, lost_b),
    ):
        changed = (change > limit) & common.mask
        opposite = (-change > limit) & common.mask
        for piece in find_pieces(changed, 12):
            if _is_line_of_letters(piece, changed, opposite, (light, dark)):
                piece.dilated(4).draw_on(lettering)
    return lettering


def find_pieces(mask: BoolArray, min_pixels: int = 3) -> list[Piece]:
    """Return the connected pieces of a mask of at least `min_pixels` pixels, across small gaps."""
    width = max(5, round(max(mask.shape) * _MAX_LETTER_GAP_PIXELS / GRID_SIDE)) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    number, labels, boxes, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    large = [i for i in range(1, number) if boxes[i, cv2.CC_STAT_AREA] >= min_pixels]
    return [_piece(labels.astype(np.int32), i, boxes[i].tolist()) for i in large]


def _piece(labels: npt.NDArray[np.int32], number: int, box: list[int]) -> Piece:
    left, top, width, height, _ = box
    rows = slice(max(0, top - _BOX_MARGIN), top + height + _BOX_MARGIN)
    columns = slice(max(0, left - _BOX_MARGIN), left + width + _BOX_MARGIN)
    mask = labels[rows, columns] == number
    sums = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    pixels = sums["m00"]
    centre = columns.start + sums["m10"] / pixels, rows.start + sums["m01"] / pixels

    wide, high, slant = (
        sums[name] / max(1, pixels - 1) for name in ("mu20", "mu02", "mu11")
    )
    # The eigenvalues of the 2 x 2 covariance are the squared deviations along the axes.
    middle = (wide + high) / 2
    half = float(np.hypot((wide - high) / 2, slant))
    long, short = (
        _STROKE_DEVIATIONS * max(0.1, middle + way * half) ** 0.5 for way in (1, -1)
    )
    angle = 0.5 * float(np.arctan2(2 * slant, wide - high))
    return Piece(rows, columns, mask, centre, long, short, angle)


def _brightness_difference(common: CommonPart) -> tuple[Float32Array, Float32Array]:
    """Return how much brighter b is than a, and the limit from which it counts.

    The limit is higher along edges, which never coincide exactly.
    """
    a, b = common.a.astype(np.float32), common.b.astype(np.float32)
    slope, level = fit_brightness(common)
    change = b - np.float32(slope) * a - np.float32(level)
    # For a wide blur, a quarter of the size is as good and much faster.
    change -= enlarge(blur(shrink(change, 4), max(0.5, max(a.shape) / 64)), a.shape)
    limit = np.float32(_MIN_GREY_DIFFERENCE) + np.float32(
        0.9 * abs(slope)
    ) * measure_slopes(a)
    return change, limit.astype(np.float32)


def fit_brightness(common: CommonPart) -> tuple[float, float]:
    """Return the slope and level that map a to b; every other row and column is enough."""
    sparse = slice(None, None, 2), slice(None, None, 2)
    mask = common.mask[sparse]
    return fit_robust_line(common.a[sparse][mask], common.b[sparse][mask])


def fit_robust_line(
    source: npt.NDArray[Number], target: npt.NDArray[Number]
) -> tuple[float, float]:
    """Return the slope and level of a line through the 72 % of the points that it fits best."""
    x, y = source.astype(np.float64), target.astype(np.float64)
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


def _is_line_of_letters(
    piece: Piece,
    drawn: BoolArray,
    against: BoolArray,
    lost: tuple[Float32Array, Float32Array],
) -> bool:
    """Return whether a piece is a line of letters, which only brightens or only darkens.

    `lost` are the edges that only the brighter image has there, and those of the other.
    """
    seam = piece.dilated(1)
    size = max(drawn.shape)
    light, dark = (float(seam.select(edges).sum()) for edges in lost)
    mixed = int(piece.select(against).sum()) / max(1, int(piece.select(drawn).sum()))
    ratio = piece.long / piece.short

    if (
        mixed > _MAX_MIXED
        or piece.short >= _MAX_LINE_HEIGHT * size
        or abs(piece.angle) >= _MAX_LINE_ANGLE
    ):
        return False
    if (
        mixed < _MAX_LIGHT_MIXED
        and dark < _MAX_DARK_EDGES * light
        and ratio >= _MIN_LIGHT_RATIO
    ):
        part, pixels = _MIN_LIGHT_LENGTH, _MIN_LIGHT_PIXELS
    elif ratio < _MIN_LINE_RATIO or min(light, dark) > _MAX_OTHER_EDGES * max(
        light, dark
    ):
        return False
    else:
        inside = drawn[piece.rows, piece.columns] & piece.mask
        many = cv2.connectedComponents(inside.astype(np.uint8))[0] > _MIN_LETTERS
        part = _MIN_LETTERED_LENGTH if many else _MIN_LINE_LENGTH
        pixels = _MIN_LETTERED_PIXELS if many else _MIN_LINE_PIXELS
    return bool(piece.long >= max(pixels, part * size))


# The coarse comparison: pixels per side of a window at 256 pixels per side, and at least; the part
# of its edges that has to be lost in either image.
WINDOW_SIDE, MIN_WINDOW_SIDE = 16, 10
_MIN_REPLACED_EDGES = 0.4
_MIN_WINDOW_STRENGTH = 0.05
# The fine one: lost edges are summed with this standard deviation in pixels.
_LOSS_SIGMA = 2.0
_MIN_EDGE, _MIN_LOSS = 0.3, 0.1
# Added edges count a sixth of replaced ones: they are as strong as their own contrast.
_ADDED_DIVISOR = 6.0
_MIN_SUMMED_LOSS = 2.0
_MIN_ADDED_RATIO = 3.5
# A mark adds more edges than it covers by this factor.
_MIN_MARK_FACTOR = 1.5
_MAX_RIM_DISTANCE = 0.13


class StrongestChange(NamedTuple):
    """The strongest change between two aligned images, in pixels of a strong line, and marks."""

    strength: float
    marks: Relation = Relation(0)


class _LostEdges(NamedTuple):
    """Edges that only one image has (each pixel, 0..1), plain and summed over a neighbourhood."""

    plain: Float32Array
    summed: Float32Array


def measure_replaced_windows(common: CommonPart) -> float:
    """Return the windows, per mille, in which each image lacks edges of the other.

    Edges are compared as normalized gradients (Haber and Modersitzki, "Intensity gradient based
    registration and fusion of multi-modal images", 2006), which are invariant to contrast and
    inversion.
    """
    window = max(MIN_WINDOW_SIDE, round(max(common.a.shape) * WINDOW_SIDE / GRID_SIDE))
    a, b = common.edges
    shared = a.x * b.x + a.y * b.y
    squares = (a.own * a.own, b.own * b.own, shared * shared, np.ones_like(a.own))
    masked = (np.where(common.mask, square, np.float32(0)) for square in squares)
    of_a, of_b, of_both, covered = (
        cv2.blur(square, (window, window)) for square in masked
    )
    inside = covered > 0.5
    strong = np.maximum(of_a, of_b) > _MIN_WINDOW_STRENGTH
    lacking = of_both + 0.02 < (1 - _MIN_REPLACED_EDGES) * (
        np.minimum(of_a, of_b) + 0.02
    )
    return float(
        1000 * np.count_nonzero(strong & lacking & inside) / max(1, inside.sum())
    )


def find_strongest_change(common: CommonPart) -> StrongestChange:
    """Find the strongest local change, and marks, in two finely aligned images.

    Copies stay below 0.5 at 256 pixels per side, another mouth is 1 to 10.
    """
    a, b = common.edges
    unlike = enlarge(common.windows.unexplained, common.a.shape)
    lost_a = _find_lost_edges(a, b, common.mask, unlike)
    lost_b = _find_lost_edges(b, a, common.mask, unlike)
    replaced = np.minimum(lost_a.summed, lost_b.summed)
    # Nothing stands out.
    if max(lost_a.summed.max(), lost_b.summed.max()) < _MIN_SUMMED_LOSS:
        return StrongestChange(float(replaced.max()))

    marks = find_lettering(common, lost_a.plain, lost_b.plain)
    added = 0.0
    for own, other in ((lost_a, lost_b), (lost_b, lost_a)):
        for piece in find_pieces(own.summed > _MIN_SUMMED_LOSS):
            if (
                piece.select(own.plain).sum()
                < _MIN_ADDED_RATIO * piece.select(other.plain).sum()
            ):
                continue
            x, y = piece.centre[0] / marks.shape[1], piece.centre[1] / marks.shape[0]
            if min(x, 1 - x, y, 1 - y) < _MAX_RIM_DISTANCE:  # where marks and logos are
                piece.dilated(4).draw_on(marks)
            elif piece.select(marks).mean() < 0.5:
                added = max(
                    added, float(piece.select(own.summed).max()) / _ADDED_DIVISOR
                )

    on_a = float(lost_a.plain[marks].sum())
    on_b = float(lost_b.plain[marks].sum())
    strongest = float(replaced[~marks].max(initial=0.0))
    return StrongestChange(max(strongest, added), _tell_marked(on_a, on_b))


def _tell_marked(on_a: float, on_b: float) -> Relation:
    if on_a > _MIN_MARK_FACTOR * on_b:
        return Relation.MARKED_A
    if on_b > _MIN_MARK_FACTOR * on_a:
        return Relation.MARKED_B
    return Relation(0)


def _find_lost_edges(
    own: Edges, other: Edges, mask: BoolArray, unlike: Float32Array
) -> _LostEdges:
    """Find edges of `own` that `other` does not have within a pixel, in the same direction."""
    plain = np.zeros_like(own.own)
    rows, columns = np.nonzero((own.own > _MIN_EDGE) & mask)
    x, y, squares = (part[rows, columns] for part in own)
    squares *= squares
    same = x * other.x[rows, columns] + y * other.y[rows, columns]

    # Only few are left for the comparison with all neighbours.
    remaining = np.flatnonzero(squares - same * same > _MIN_LOSS)
    rows, columns = rows[remaining], columns[remaining]
    x, y, squares = x[remaining], y[remaining], squares[remaining]
    padded_x, padded_y = (np.pad(part, 1) for part in (other.x, other.y))
    best = np.zeros_like(squares)
    for down, across in product(range(3), repeat=2):
        position = rows + down, columns + across
        same = x * padded_x[position] + y * padded_y[position]
        np.maximum(best, same * same, out=best)

    plain[rows, columns] = np.maximum(squares - best, 0)
    summed = blur(plain, _LOSS_SIGMA) * np.float32(2 * np.pi * _LOSS_SIGMA**2) * unlike
    return _LostEdges(plain * unlike, summed)
