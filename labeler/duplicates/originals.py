"""Finding the original among copies of an image: the largest one that is not an enlargement.

Scaling and sharpening are linear filters, so an enlarged image is explained by a filter of the
smaller one, however it was sharpened, except where a mark was added; the original has detail that
no filter makes of a smaller copy. Copies of one size are ranked by their metadata, also those whose
only detail are artifacts of compression.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from gleanset.arrays import Float32Array, FloatArray, Pixels
from labeler.duplicates.alignment import MAX_ASPECT_DIFFERENCE
from labeler.duplicates.filters import blur, measure_slopes
from labeler.duplicates.hashes import find_content
from labeler.duplicates.motions import scale_positions
from labeler.sample_pixels import SampleFile, read_pixels

# Sides that differ by a smaller factor are equal.
_EQUAL_SIDE_FACTOR = 1.04
# Few people enlarge an image: if more copies of one size than this multiple of the number of
# smaller ones seem to be enlarged, they are copies of a soft original.
_MAX_ENLARGED_FACTOR = 2
# Smaller images have too few edges.
_MIN_COMPARED_SIDE = 48
# Pixels per side of the compared part, and the number of its edge pixels that are fitted.
_COMPARED_SIDE = 400
_EDGE_PIXELS = 2000
# The middle of an image that is read, in pixels per side.
_MAX_MIDDLE_SIDE = 1024
# An image is enlarged by one of these factors if the sum of two numbers is below a limit: the part
# of its edges that the smaller one lacks, and the same divided by what the smaller one has beyond
# its own reduction. At twice the size enlargements have up to 1.5, originals 1.6 and more.
_FACTORS = (1.5, 2.0, 3.0)
_MAX_DETAIL_SUMS = (1.25, 1.52, 1.9)
# Of a soft image that loses less when reduced, artifacts of compression would be the larger part.
_MIN_REFERENCE = 0.2
# The limit is lower without the edges that may be a mark.
_UNMARKED_FACTOR = 0.92
# The part of the edge pixels that are fitted again.
_UNMARKED_PART = 0.95
_MIN_REDUCED_SIDE = 24
# The part of the contrast of fine details that compression leaves: of JPEGs and WebPs of quality 20
# nine in ten have more. Originals have less of the contrast of most sharpened enlargements.
_MIN_COMPRESSED_CONTRAST = 0.75
_DETAIL_SIGMA = 1.5
# Pixels from the border whose surroundings are not whole.
_RIM = 3
_MIN_EDGE_DEVIATION = 1.0


class UnrankedCopies(NamedTuple):
    """Copies of one image, by row of the sample, whether it is mirrored, and file.

    Those are first that are preferred if the pixels do not decide.
    """

    rows: Sequence[int]
    mirrored: Sequence[bool]
    files: Sequence[SampleFile]


class Copy(NamedTuple):
    """The size (width, height) of a copy without borders, and its middle in grey."""

    size: tuple[int, int]
    middle: Pixels

    @property
    def side(self) -> float:
        """The side of a square with the same number of pixels."""
        return float((self.size[0] * self.size[1]) ** 0.5)

    @property
    def corner(self) -> tuple[int, int]:
        """The top left corner of the middle, x and y in the whole image."""
        height, width = self.middle.shape
        return (self.size[0] - width) // 2, (self.size[1] - height) // 2


def read_copy(file: SampleFile, mirrored: bool) -> Copy:
    """Read a copy at full size without uniform borders. Raises `Unreadable`."""
    pixels = np.asarray(read_pixels(file, min_side=2**20, mode="L"))
    content = find_content(pixels, _MIN_COMPARED_SIDE)
    if content is not None:
        pixels = pixels[content]
    if mirrored:
        pixels = pixels[:, ::-1]

    top, left = (max(0, side - _MAX_MIDDLE_SIDE) // 2 for side in pixels.shape)
    middle = pixels[top : top + _MAX_MIDDLE_SIDE, left : left + _MAX_MIDDLE_SIDE]
    # Copied, so that the rest of a large image is not kept in memory.
    return Copy(pixels.shape[::-1], middle.copy())


def find_originals(unranked: UnrankedCopies) -> list[int]:
    """Return the position of an original, then those of other copies that may be it as well.

    Runs in a worker process. Raises `Unreadable`.
    """
    copies = list(map(read_copy, unranked.files, unranked.mirrored))
    # From the largest size to the smallest. A copy that is not enlarged from a smaller one may be
    # the original.
    best, *smaller_levels = _group_by_size(copies)
    for level in smaller_levels:
        originals = [
            position
            for position in best
            if not any(is_enlarged(copies[position], copies[small]) for small in level)
        ]
        # What a copy of equal size has beyond another may be artifacts of compression only.
        originals = [
            position
            for position in best
            if position in originals
            or any(is_recompressed(copies[at], copies[position]) for at in originals)
        ]
        # Few people enlarge an image: all these copies only seem enlarged, the image is soft.
        if len(best) - len(originals) > _MAX_ENLARGED_FACTOR * len(level):
            continue
        # If all of them are enlarged, this size is that of the original, or it is smaller still.
        best = originals or level
    return best


def _group_by_size(copies: Sequence[Copy]) -> list[list[int]]:
    """Return the positions of copies of one size, the largest size first."""
    levels: list[list[int]] = []
    level_side = 0.0
    for position in sorted(range(len(copies)), key=lambda at: -copies[at].side):
        side = copies[position].side
        if level_side < _EQUAL_SIDE_FACTOR * side and levels:
            levels[-1].append(position)
        else:
            levels.append([position])
            level_side = side
    return [sorted(level) for level in levels]


def is_enlarged(large: Copy, small: Copy) -> bool:
    """Return whether the larger of two copies has no detail that the smaller one lacks.

    The reference is what the smaller one loses when it is reduced by the same factor. A squeezed
    copy lost detail in one direction only: by these, 6 of 10 originals were taken for enlargements
    (docs/experiments.md). A thumbnail has too few edges to judge.
    """
    if min(small.size) < _MIN_COMPARED_SIDE:
        return False

    # The aspect ratio of the smaller one divided by that of the larger one.
    stretch = small.size[0] * large.size[1] / (small.size[1] * large.size[0])
    if abs(stretch - 1) > MAX_ASPECT_DIFFERENCE:
        return False

    factor = large.side / small.side
    height, width = small.middle.shape
    reduced_size = (
        max(_MIN_REDUCED_SIDE, round(width / factor)),
        max(_MIN_REDUCED_SIDE, round(height / factor)),
    )
    reduced = cv2.resize(small.middle, reduced_size, interpolation=cv2.INTER_AREA)
    references = _measure_detail(
        Copy((width, height), small.middle),
        Copy(reduced_size, reduced.astype(np.uint8)),
    )
    details = _measure_detail(large, small)

    # Two numbers each: of all edges, and without those that may be a mark.
    sums = details + details / np.maximum(references, _MIN_REFERENCE)
    limit = np.interp(factor, _FACTORS, _MAX_DETAIL_SUMS)
    return bool(sums[0] < limit or sums[1] < _UNMARKED_FACTOR * limit)


def is_recompressed(copy: Copy, source: Copy) -> bool:
    """Return whether a copy of equal size has no sharper details than its possible source.

    Compression removes some of the contrast of fine details, however many artifacts it adds. The
    original of an enlargement has more of it, or much less than one that was sharpened.
    """
    image, smooth, _ = _align_middles(source, copy)
    details = image - blur(image, _DETAIL_SIGMA)
    copied_details = smooth - blur(smooth, _DETAIL_SIGMA)
    contrast = float((details * copied_details).sum() / max(1.0, (details**2).sum()))
    return _MIN_COMPRESSED_CONTRAST < contrast < 1


class _AlignedMiddles(NamedTuple):
    """The middle of a larger image, and a smaller one warped onto it, in grey.

    The smaller one was interpolated (`smooth`), and its pixels were `repeated`.
    """

    large: Float32Array
    smooth: Float32Array
    repeated: Float32Array


def _align_middles(large: Copy, small: Copy) -> _AlignedMiddles:
    """Crop the middle of the larger copy, and warp the smaller copy onto it."""
    # Width and height, x and y.
    size = np.array(large.size)
    width, height = np.minimum(size, _COMPARED_SIDE).tolist()
    start = (size - (width, height)) // 2
    x, y = start - large.corner
    part = large.middle[y : y + height, x : x + width].astype(np.float32)

    # From the middle of the smaller image to the compared part of the larger one.
    across, down = size / small.size
    motion = scale_positions(across, down, *small.corner)
    motion[:, 2] -= start
    smooth, repeated = (
        cv2.warpAffine(
            small.middle.astype(np.float32),
            motion,
            (width, height),
            flags=interpolation,
            borderMode=cv2.BORDER_REPLICATE,
        ).astype(np.float32)
        for interpolation in (cv2.INTER_CUBIC, cv2.INTER_NEAREST)
    )
    return _AlignedMiddles(part, smooth, repeated)


def _measure_detail(large: Copy, small: Copy) -> Float32Array:
    """Return the parts (0..1) of an image's edges that no linear filter makes of a smaller one.

    Least squares over 5 x 5 pixels and their surroundings, without clipped pixels. Two numbers: of
    all edges, and without the most different ones, which may be a mark.
    """
    image, smooth, repeated = _align_middles(large, small)
    rows, columns = _choose_edge_pixels(image)
    background = blur(smooth, 4.0)[rows, columns]

    # One column for each weight of the filter: 5 x 5 pixels, 3 x 3 that are blurred, the repeated
    # pixel, and a constant.
    inputs = []
    for values, reach in ((smooth, 2), (blur(smooth, 2.0), 1)):
        shifts = range(-reach, reach + 1)
        inputs += [values[rows + y, columns + x] for y, x in product(shifts, shifts)]
    inputs.append(repeated[rows, columns])
    differences = [values - background for values in inputs]
    factors = np.stack([*differences, np.ones_like(background)], axis=1)
    target = image[rows, columns] - background
    edges = (image - blur(image, 1.0))[rows, columns]

    # Fitted to all edge pixels, then without those that the first fit explains least.
    details = list[float]()
    is_used = np.ones(len(target), np.bool_)
    for _ in range(2):
        weights = _fit_ridge(factors[is_used], target[is_used])
        squares = (target - factors @ weights) ** 2
        unexplained = float(squares[is_used].mean() ** 0.5)
        strength = float((edges[is_used] ** 2).mean() ** 0.5)
        details.append(unexplained / max(_MIN_EDGE_DEVIATION, strength))
        is_used = squares <= np.quantile(squares, _UNMARKED_PART)
    return np.array(details, np.float32)


def _fit_ridge(factors: Float32Array, target: Float32Array) -> FloatArray:
    """Return the weights (D) by which factors (N x D) give a target (N)."""
    gram = (factors.T @ factors).astype(np.float64)
    # A ridge, because neighbouring pixels are nearly alike.
    gram[np.diag_indices_from(gram)] += 1e-4 * np.trace(gram) / len(gram) + 1e-3
    return np.linalg.solve(gram, (factors.T @ target).astype(np.float64))


def _choose_edge_pixels(
    image: Float32Array,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows and columns (n each) of strong edges; always the same ones."""
    inner = (slice(_RIM, -_RIM), slice(_RIM, -_RIM))
    slopes = measure_slopes(image)[inner]
    values = image[inner]
    # No linear filter explains clipped values.
    is_clipped = (values <= 4) | (values >= 251)
    slopes = np.where(is_clipped, 0, slopes).ravel()

    # The steepest third of random pixels.
    candidates = np.random.RandomState(0).randint(
        0,
        len(slopes),
        3 * _EDGE_PIXELS,
    )
    order = np.argpartition(-slopes[candidates], _EDGE_PIXELS)
    strongest = candidates[order[:_EDGE_PIXELS]]
    rows, columns = np.unravel_index(strongest, values.shape)
    return rows + _RIM, columns + _RIM
