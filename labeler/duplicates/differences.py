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
from labeler.duplicates.filters import (
    blur,
    dilate_mask,
    enlarge,
    measure_slopes,
    shrink,
    slice_with_margin,
)

# Lines of letters. Lengths and heights without a unit are parts of the image's longer side.
_MAX_LETTER_GAP_PIXELS = 9  # at 256 pixels per side
_MIN_LINE_RATIO = 3.0
_MAX_LINE_HEIGHT = 0.12
_MIN_LINE_LENGTH = 0.125
_MIN_LETTERS = 4
_MIN_LETTERED_LENGTH = 0.09
# In pixels too: on a small grid a mouth looks like a line of letters.
_MIN_LINE_PIXELS = 24
_MIN_LETTERED_PIXELS = 16
_MAX_LINE_ANGLE = 0.9  # radians
_MAX_OTHER_EDGES = 0.6
_MAX_MIXED = 0.3
# Light letters have lower limits: redrawn parts of a face are mostly dark.
_MAX_DARK_EDGES = 0.8
_MAX_LIGHT_MIXED = 0.05
_MIN_LIGHT_RATIO = 2.0
_MIN_LIGHT_LENGTH = 0.045
_MIN_LIGHT_PIXELS = 12
# From which difference of grey values one image is brighter, and how much of the slope (grey values
# per pixel) is added to it along edges.
_MIN_GREY_DIFFERENCE = 8.0
_EDGE_SLACK = 0.9
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

    def dilate(self, pixels: int) -> "Piece":
        """Return the piece with some pixels around it, at most four."""
        return self._replace(mask=dilate_mask(self.mask, pixels))

    def draw_on(self, mask: BoolArray) -> None:
        """Set the piece in a mask of the whole image."""
        mask[self.rows, self.columns] |= self.mask


def find_lettering(
    common: CommonPart, lost_a: Float32Array, lost_b: Float32Array
) -> BoolArray:
    """Return the mask of lettering that only one of two images has.

    `lost_a` and `lost_b` are the edges (each pixel, 0..1) that only a or only b has.
    """
    difference, limit = _measure_brighter(common)
    is_brighter = (difference > limit) & common.mask
    is_darker = (-difference > limit) & common.mask

    lettering: BoolArray = np.zeros(common.a.shape, np.bool_)
    # Light edges are those of the brighter image: b, then a. Lettering has at least 12 pixels, and
    # its soft edge is up to 4 pixels wide.
    for drawn, opposite, light_edges, dark_edges in (
        (is_brighter, is_darker, lost_b, lost_a),
        (is_darker, is_brighter, lost_a, lost_b),
    ):
        for piece in find_pieces(drawn, 12):
            if _is_line_of_letters(piece, drawn, opposite, light_edges, dark_edges):
                piece.dilate(4).draw_on(lettering)
    return lettering


def find_pieces(mask: BoolArray, min_pixels: int = 3) -> list[Piece]:
    """Return the connected pieces of a mask of at least `min_pixels` pixels.

    Gaps between letters are closed, so that a line of them is one piece.
    """
    gap = round(max(mask.shape) * _MAX_LETTER_GAP_PIXELS / GRID_SIDE)
    width = max(5, gap) | 1  # odd, so that the kernel has a center
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    piece_numbers = labels.astype(np.int32)
    return [
        _measure_piece(piece_numbers, number, boxes[number].tolist())
        for number in range(1, count)  # 0 is what is outside of the mask
        if boxes[number, cv2.CC_STAT_AREA] >= min_pixels
    ]


def _measure_piece(
    piece_numbers: npt.NDArray[np.int32], number: int, box: list[int]
) -> Piece:
    """Measure the piece with a number; `box` is left, top, width, height and area."""
    left, top, width, height, _ = box
    rows = slice_with_margin(top, height, _BOX_MARGIN)
    columns = slice_with_margin(left, width, _BOX_MARGIN)
    mask = piece_numbers[rows, columns] == number

    mask_sums = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    pixels = mask_sums["m00"]
    x = columns.start + mask_sums["m10"] / pixels
    y = rows.start + mask_sums["m01"] / pixels

    variance_x, variance_y, covariance = (
        mask_sums[name] / max(1, pixels - 1) for name in ("mu20", "mu02", "mu11")
    )
    # The eigenvalues of the covariance matrix are the variances along the axes of the piece.
    mean = (variance_x + variance_y) / 2
    half = float(np.hypot((variance_x - variance_y) / 2, covariance))
    long = _STROKE_DEVIATIONS * max(0.1, mean + half) ** 0.5
    short = _STROKE_DEVIATIONS * max(0.1, mean - half) ** 0.5
    angle = 0.5 * float(np.arctan2(2 * covariance, variance_x - variance_y))
    return Piece(
        rows,
        columns,
        mask,
        (x, y),
        long,
        short,
        angle,
    )


def _measure_brighter(common: CommonPart) -> tuple[Float32Array, Float32Array]:
    """Return how much brighter b is than a, and the limit from which it counts.

    The limit is higher along edges, which never coincide exactly.
    """
    a = common.a.astype(np.float32)
    b = common.b.astype(np.float32)
    slope, level = fit_brightness(common)
    change = b - np.float32(slope) * a - np.float32(level)

    # Without this, letters tiled over a whole image count as lettering (docs/experiments.md). For a
    # wide blur, a quarter of the size is as good and much faster.
    change -= enlarge(
        blur(shrink(change, 4), max(0.5, max(a.shape) / 64)),
        a.shape,
    )
    edge_slack = _EDGE_SLACK * abs(slope) * measure_slopes(a)
    return change, (_MIN_GREY_DIFFERENCE + edge_slack).astype(np.float32)


def fit_brightness(common: CommonPart) -> tuple[float, float]:
    """Return the slope and level of the line that maps grey values of a to those of b."""
    sparse = (
        slice(None, None, 2),
        slice(None, None, 2),
    )  # enough, and four times as fast
    mask = common.mask[sparse]
    return fit_robust_line(
        common.a[sparse][mask],
        common.b[sparse][mask],
    )


def fit_robust_line(
    source: npt.NDArray[Number], target: npt.NDArray[Number]
) -> tuple[float, float]:
    """Return the slope and level of a line that ignores outliers.

    Least squares, twice; the second time for the 85 % of the points nearest to the first line. Of
    fewer than two points: 0, 0.
    """
    x = source.astype(np.float64)
    y = target.astype(np.float64)
    slope = level = 0.0
    rounds = 2 if len(x) > 1 else 0
    for _ in range(rounds):
        mean_x = x.mean()
        mean_y = y.mean()
        offsets = x - mean_x
        # At least 1 for each point: those of equal values are rounding errors, or 0.
        squares = max(len(x), float(offsets @ offsets))
        slope = float(offsets @ (y - mean_y)) / squares
        level = float(mean_y - slope * mean_x)

        # The points nearest to the first line, for the second one.
        errors = np.abs(y - slope * x - level)
        last = int(0.85 * (len(errors) - 1))
        is_near = errors <= np.partition(errors, last)[last]
        x = x[is_near]
        y = y[is_near]
    return slope, level


def _is_line_of_letters(
    piece: Piece,
    drawn: BoolArray,
    opposite: BoolArray,
    light_edges: Float32Array,
    dark_edges: Float32Array,
) -> bool:
    """Return whether a piece is a line of letters, which only brightens or only darkens.

    It is a piece of `drawn`; `opposite` marks where the images differ the other way round.
    `light_edges` are those that only the brighter image has, `dark_edges` those of the other.
    """
    size: int = max(drawn.shape)
    # Letters only brighten or only darken what is beneath.
    mixed = piece.select(opposite).sum() / max(1, piece.select(drawn).sum())
    if (
        mixed > _MAX_MIXED
        or piece.short >= _MAX_LINE_HEIGHT * size
        or abs(piece.angle) >= _MAX_LINE_ANGLE
    ):
        return False

    # The edges of light letters are in the brighter image.
    ratio = piece.long / piece.short
    with_seam = piece.dilate(1)
    light = float(with_seam.select(light_edges).sum())
    dark = float(with_seam.select(dark_edges).sum())
    is_light = mixed < _MAX_LIGHT_MIXED and dark < _MAX_DARK_EDGES * light
    if is_light and ratio >= _MIN_LIGHT_RATIO:
        return piece.long >= max(_MIN_LIGHT_PIXELS, _MIN_LIGHT_LENGTH * size)

    if ratio < _MIN_LINE_RATIO:
        return False
    # A caption that replaces another one removes edges, too.
    if min(light, dark) > _MAX_OTHER_EDGES * max(light, dark):
        return False

    # Several strokes make it more likely that they are letters, so the line may be shorter.
    inside = drawn[piece.rows, piece.columns] & piece.mask
    letters = cv2.connectedComponents(inside.astype(np.uint8))[0] - 1
    if letters >= _MIN_LETTERS:
        return piece.long >= max(_MIN_LETTERED_PIXELS, _MIN_LETTERED_LENGTH * size)
    return piece.long >= max(_MIN_LINE_PIXELS, _MIN_LINE_LENGTH * size)


# The coarse comparison: pixels per side of a window at 256 pixels per side, and at least; the part
# of its edges that has to be lost in either image.
WINDOW_SIDE = 16
MIN_WINDOW_SIDE = 10
_MIN_REPLACED_EDGES = 0.4
_MIN_WINDOW_STRENGTH = 0.05
# The fine one: lost edges are summed with this standard deviation in pixels.
_LOSS_SIGMA = 2.0
_MIN_EDGE = 0.3
_MIN_LOSS = 0.1
# Added edges count a sixth of replaced ones: they are as strong as their own contrast.
_ADDED_DIVISOR = 6.0
_MIN_SUMMED_LOSS = 2.0
_MIN_ADDED_RATIO = 3.5
# The part of the other image's edges in marks from which an image has a mark of its own: words in
# one caption bar have 0.2 or more of those of other words, an image 0.15 of those of its watermark.
_MIN_MARK_PART = 0.18
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

    def average(values: Float32Array) -> Float32Array:
        inside = np.where(common.mask, values, np.float32(0))
        return cv2.blur(inside, (window, window)).astype(np.float32)

    a, b = common.edges
    energy_a = average(a.strength * a.strength)
    energy_b = average(b.strength * b.strength)
    shared = a.x * b.x + a.y * b.y  # scalar product: the gradients that both have
    shared_energy = average(shared * shared)
    is_inside = average(np.ones_like(a.strength)) > 0.5

    # If one image only adds edges, the shared ones are all edges of the other. The 0.02 excludes
    # windows in which one image has hardly any edges (an energy below 0.013).
    has_edges = np.maximum(energy_a, energy_b) > _MIN_WINDOW_STRENGTH
    fewer = np.minimum(energy_a, energy_b)
    is_lacking = shared_energy + 0.02 < (1 - _MIN_REPLACED_EDGES) * (fewer + 0.02)
    replaced = np.count_nonzero(has_edges & is_lacking & is_inside)
    return float(1000 * replaced / max(1, is_inside.sum()))


def find_strongest_change(common: CommonPart) -> StrongestChange:
    """Find the strongest local change, and marks, in two finely aligned images.

    Copies stay below 0.5 at 256 pixels per side, another mouth is 1 to 10.
    """
    a, b = common.edges
    unexplained = enlarge(common.windows.unexplained, common.a.shape)
    lost_a = _find_lost_edges(a, b, common.mask, unexplained)
    lost_b = _find_lost_edges(b, a, common.mask, unexplained)
    # A replaced line is lost on both sides, a line that one image adds is not.
    replaced = np.minimum(lost_a.summed, lost_b.summed)
    # No loss is large enough for a mark or an addition.
    if max(lost_a.summed.max(), lost_b.summed.max()) < _MIN_SUMMED_LOSS:
        return StrongestChange(float(replaced.max()))

    marks = find_lettering(common, lost_a.plain, lost_b.plain)
    added_to_a = _find_added(lost_a, lost_b, marks)
    added_to_b = _find_added(lost_b, lost_a, marks)
    strongest = float(replaced[~marks].max(initial=0.0))
    strength = max(strongest, added_to_a, added_to_b)

    # Both images lose edges under a mark, as it hides some of the other image. If each has more
    # than that, each has a mark of its own, with other words.
    on_a = float(lost_a.plain[marks].sum())
    on_b = float(lost_b.plain[marks].sum())
    relation = Relation(0)
    if on_a > _MIN_MARK_PART * on_b:
        relation |= Relation.MARKED_A
    if on_b > _MIN_MARK_PART * on_a:
        relation |= Relation.MARKED_B
    return StrongestChange(strength, relation)


def _find_added(own: _LostEdges, other: _LostEdges, marks: BoolArray) -> float:
    """Return the strength of the strongest piece that an image adds.

    A piece at the rim may be a logo: it is added to the mask `marks`, which this changes. Pieces
    that are mostly on marks are ignored.
    """
    strongest = 0.0
    for piece in find_pieces(own.summed > _MIN_SUMMED_LOSS):
        covered_edges = piece.select(other.plain).sum()
        if piece.select(own.plain).sum() < _MIN_ADDED_RATIO * covered_edges:
            continue

        position = np.divide(piece.centre, marks.shape[::-1])  # x, y: 0..1
        if np.minimum(position, 1 - position).min() < _MAX_RIM_DISTANCE:
            piece.dilate(4).draw_on(marks)
        elif piece.select(marks).mean() < 0.5:
            strength = float(piece.select(own.summed).max()) / _ADDED_DIVISOR
            strongest = max(strongest, strength)
    return strongest


def _find_lost_edges(
    own: Edges, other: Edges, mask: BoolArray, unexplained: Float32Array
) -> _LostEdges:
    """Find edges of `own` that `other` does not have within a pixel, in the same direction.

    `unexplained` (0..1 for each pixel) weighs them: no edge is lost where brightness agrees.
    """
    is_edge = (own.strength > _MIN_EDGE) & mask
    shared = own.x[is_edge] * other.x[is_edge] + own.y[is_edge] * other.y[is_edge]
    # (x, y) is the slope: of an equal slope in `other`, the square of what they share is as large
    # as that of the own strength.
    losses = own.strength[is_edge] ** 2 - shared * shared
    # Only few are left for the slower comparison with all neighbours.
    is_edge[is_edge] = losses > _MIN_LOSS
    rows, columns = np.nonzero(is_edge)
    x = own.x[is_edge]
    y = own.y[is_edge]
    squares = own.strength[is_edge] ** 2

    # Padded by a pixel, so that row r of the image is row r + 1, and its neighbours r and r + 2.
    padded_x = np.pad(other.x, 1)
    padded_y = np.pad(other.y, 1)
    max_shared = np.zeros_like(squares)
    for down, across in product(range(3), repeat=2):
        position = rows + down, columns + across
        shared = x * padded_x[position] + y * padded_y[position]
        np.maximum(max_shared, shared * shared, out=max_shared)

    plain = np.zeros_like(own.strength)
    plain[rows, columns] = np.maximum(squares - max_shared, 0)
    # A blur is a weighted mean; times the area of its Gaussian it is a sum.
    area = np.float32(2 * np.pi * _LOSS_SIGMA**2)
    summed = blur(plain, _LOSS_SIGMA) * area * unexplained
    return _LostEdges(plain * unexplained, summed)
