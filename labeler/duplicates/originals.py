"""Finding the original among copies of an image: the largest one that is not an enlargement.

Scaling and sharpening are linear filters, so an enlarged image is explained by a filter of the
smaller one, however it was sharpened, except where a mark was added; the original has detail that
no filter makes of a smaller copy. Copies of one size are ranked by their metadata.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gleanset.arrays import Float32Array, Pixels
from labeler.duplicates.alignment import MAX_ASPECT_DIFFERENCE
from labeler.duplicates.filters import blur, measure_slopes
from labeler.duplicates.hashes import MAX_BORDER_DEVIATION
from labeler.sample_pixels import SampleFile, read_pixels

# Sides that differ by a smaller factor are equal.
_EQUAL_SIDE_FACTOR = 1.04
# Smaller images have too few edges.
_MIN_COMPARED_SIDE = 48
# Pixels per side of the compared part, and the number of its edge pixels that are fitted.
_COMPARED_SIDE = 400
_EDGE_PIXELS = 2000
# The middle of an image that is read, in pixels per side.
_MAX_MIDDLE_SIDE = 1024
# An enlarged image has less detail beyond the smaller one than this part of what the smaller one
# has beyond its own reduction by the same factor.
_MAX_ENLARGED_DETAIL = 0.57
# Or less than these parts of its own edges, if it is larger by these factors: of drawings and soft
# photographs, the smaller one loses little when it is reduced. Originals have at least 0.67 beyond
# copies of half the size, while JPEG noise adds up to 0.5 to most enlargements.
_FACTORS, _MAX_OWN_DETAIL = (1.5, 2.0), (0.34, 0.5)
# The part of the edge pixels that are fitted again.
_UNMARKED_PART = 0.95
_MIN_REDUCED_SIDE = 24
_MIN_EDGE_DEVIATION = 1.0


class UnrankedCopies(NamedTuple):
    """Copies of one image (rows), those first that are preferred if the pixels do not decide."""

    rows: Sequence[int]
    mirrored: Sequence[bool]
    files: Sequence[SampleFile]


class Copy(NamedTuple):
    """A copy: the size of the whole image, and its middle in grey."""

    size: tuple[int, int]
    middle: Pixels

    @property
    def side(self) -> float:
        """The side of a square with the same number of pixels."""
        return float((self.size[0] * self.size[1]) ** 0.5)

    @property
    def corner(self) -> tuple[int, int]:
        """The top left corner of the middle."""
        high, wide = self.middle.shape
        return (self.size[0] - wide) // 2, (self.size[1] - high) // 2


def read_copy(file: SampleFile, mirrored: bool) -> Copy:
    """Read a copy at full size without uniform borders. Raises `Unreadable`."""
    pixels = _trim(np.asarray(read_pixels(file, 2**20, "L")))
    if mirrored:
        pixels = pixels[:, ::-1]
    top, left = (max(0, side - _MAX_MIDDLE_SIDE) // 2 for side in pixels.shape)
    middle = pixels[top : top + _MAX_MIDDLE_SIDE, left : left + _MAX_MIDDLE_SIDE]
    return Copy(pixels.shape[::-1], middle.copy())


def _trim(pixels: Pixels) -> Pixels:
    """Return an image without uniform rows and columns at its border, if enough is left."""
    rows, columns = (
        np.flatnonzero(pixels.std(axis=axis) > MAX_BORDER_DEVIATION) for axis in (1, 0)
    )
    if min(len(rows), len(columns)) < _MIN_COMPARED_SIDE:
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def find_originals(unranked: UnrankedCopies) -> list[int]:
    """Return the position of the original, then the positions of copies of its size.

    Runs in a worker process. Raises `Unreadable`.
    """
    copies = [
        read_copy(*copy) for copy in zip(unranked.files, unranked.mirrored, strict=True)
    ]
    if min(side for copy in copies for side in copy.size) < _MIN_COMPARED_SIDE:
        return list(range(len(copies)))

    best, *smaller_levels = _by_descending_size(copies)
    for level in smaller_levels:
        originals = [
            position
            for position in best
            if not any(is_enlarged(copies[position], copies[small]) for small in level)
        ]
        best = originals or level
    return best


def _by_descending_size(copies: Sequence[Copy]) -> list[list[int]]:
    levels: list[list[int]] = []
    for position in sorted(
        range(len(copies)), key=lambda position: -copies[position].side
    ):
        if (
            levels
            and copies[levels[-1][0]].side < _EQUAL_SIDE_FACTOR * copies[position].side
        ):
            levels[-1].append(position)
        else:
            levels.append([position])
    return [sorted(level) for level in levels]


def is_enlarged(large: Copy, small: Copy) -> bool:
    """Return whether the larger of two copies has no detail that the smaller one lacks.

    The reference is what the smaller one loses when it is reduced by the same factor. A squeezed
    copy lost detail in one direction only, so it does not tell.
    """
    factor = large.side / small.side
    stretch = small.size[0] * large.size[1] / (small.size[1] * large.size[0])
    if abs(stretch - 1) > MAX_ASPECT_DIFFERENCE:
        return False

    high, wide = (
        max(_MIN_REDUCED_SIDE, round(side / factor)) for side in small.middle.shape
    )
    reduced = cv2.resize(
        small.middle, (wide, high), interpolation=cv2.INTER_AREA
    ).astype(np.uint8)
    middle_copy = small._replace(size=small.middle.shape[::-1])
    smaller = small._replace(size=(wide, high), middle=reduced)
    references = _unexplained_parts(*_align_middles(middle_copy, smaller))
    details = _unexplained_parts(*_align_middles(large, small))

    own_limit = np.interp(factor, _FACTORS, _MAX_OWN_DETAIL)
    return bool(
        np.any(details < np.maximum(_MAX_ENLARGED_DETAIL * references, own_limit))
    )


def _align_middles(
    large: Copy, small: Copy
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return the middle of the larger image in grey, and the smaller one warped onto it.

    The latter both smoothly and with repeated pixels.
    """
    (width, height), (begin, start) = large.size, large.corner
    wide, high = min(_COMPARED_SIDE, width), min(_COMPARED_SIDE, height)
    left, top = (width - wide) // 2, (height - high) // 2
    x, y = left - begin, top - start
    part = large.middle[y : y + high, x : x + wide].astype(np.float32)

    across = width / small.size[0]
    down = height / small.size[1]
    # Centers of pixels are half a pixel from the edge in both images.
    right = across * (small.corner[0] + 0.5) - 0.5
    below = down * (small.corner[1] + 0.5) - 0.5
    motion = np.array([[across, 0, right - left], [0, down, below - top]])
    values = small.middle.astype(np.float32)
    smooth, repeated = (
        cv2.warpAffine(
            values, motion, (wide, high), flags=flags, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.float32)
        for flags in (cv2.INTER_CUBIC, cv2.INTER_NEAREST)
    )
    return part, smooth, repeated


def _unexplained_parts(
    image: Float32Array, other: Float32Array, repeated: Float32Array
) -> Float32Array:
    """Return the part (0..1) of an image's edges that no linear filter makes of the other image.

    Least squares over 5 x 5 pixels and their surroundings, without clipped pixels; once more
    without the most different ones, which may be a mark.
    """
    blurred = blur(other, 2.0)
    background = blur(other, 4.0)
    rows, columns = _choose_edge_pixels(image)

    around = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]
    inputs = [other[rows + y, columns + x] for y, x in around]
    inputs += [
        blurred[rows + y, columns + x] for y, x in around if max(abs(y), abs(x)) < 2
    ]
    inputs.append(repeated[rows, columns])

    middle = background[rows, columns]
    factors = np.stack(
        [*(values - middle for values in inputs), np.ones_like(middle)], axis=1
    )
    target = image[rows, columns] - middle
    edges = (image - blur(image, 1.0))[rows, columns]

    parts = list[float]()
    used = np.ones(len(target), np.bool_)
    for _ in range(2):
        gram = (factors[used].T @ factors[used]).astype(np.float64)
        gram[np.diag_indices_from(gram)] += 1e-4 * np.trace(gram) / len(gram) + 1e-3
        weights = np.linalg.solve(
            gram, (factors[used].T @ target[used]).astype(np.float64)
        )
        squares = (target - factors @ weights) ** 2
        residual, deviation = (
            float(v[used].mean() ** 0.5) for v in (squares, edges**2)
        )
        parts.append(residual / max(_MIN_EDGE_DEVIATION, deviation))
        used = squares <= np.quantile(squares, _UNMARKED_PART)
    return np.array(parts, np.float32)


def _choose_edge_pixels(
    image: Float32Array,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows and columns of strong edges; always the same ones."""
    steep = measure_slopes(image)[3:-3, 3:-3]
    inner = image[3:-3, 3:-3]
    steep = np.where((inner > 4) & (inner < 251), steep, 0).ravel()
    candidates = np.random.RandomState(0).randint(0, len(steep), 3 * _EDGE_PIXELS)
    strongest = candidates[
        np.argpartition(-steep[candidates], _EDGE_PIXELS)[:_EDGE_PIXELS]
    ]
    rows, columns = np.unravel_index(strongest, inner.shape)
    return rows + 3, columns + 3
