"""Which of two copies was made of the other, as their full pixels tell.

Whatever is done to an image by scaling, blurring or sharpening is a sum of pixels around each
pixel: the original explains the copy by a linear filter, and the copy does not explain what it has
lost. An enlarged image is explained by the smaller one, however it was sharpened.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gleanset.db.duplicates import EVEN, FIRST, SECOND
from gleanset.files.store import bytes_of
from labeler.duplicates.hashes import Floats
from labeler.sample_pixels import SampleFile, decode_region

# The part that is compared, in pixels a side, and how many pixels of edges of it.
_SIDE = 400
_SAMPLES = 2000
# Of larger images the middle is read.
_MIDDLE = 1024
# What an enlarged image has beyond the smaller one is less than this part of what that has beyond
# one that is smaller by the same factor.
_ENLARGED = 0.57
# Nothing is made smaller than this many pixels a side.
_LEAST_SIDE = 24
# A copy of equal size has less than this unexplained, and less than this part of the original's,
# which has more than a little.
_DERIVED, _ASYMMETRY, _LITTLE = 0.3, 0.65, 0.12
# Noise is added where there is more than this many times that of the other, and a little.
_NOISIER, _NOISE = 1.5, 2.0
_SOFTEST_EDGES = 1.0
# Colours of so many pixels are counted.
_PIXELS = 50_000
# Of so many levels beside another (three channels), stretched brightness keeps less than this part.
# Of few colours that were made darker it is the copy that has more.
_NEIGHBOURS, _FEWER = 20, 0.9
# A drawing has at most so many colours, and keeps them in this part of its pixels.
_FEW_COLOURS, _SHARED = 128, 0.5
# A mark changes less than this part of the edges, of so steep ones, and adds so many times those
# that it covers.
_LOCAL, _EDGE, _MARK_EDGES = 0.4, 40.0, 1.2
_LOSSLESS = ("png", "gif", "bmp", "tiff", "tif")

_SWAPPED = {FIRST: SECOND, SECOND: FIRST, EVEN: EVEN}

Colours = npt.NDArray[np.int64]


class Copy(NamedTuple):
    """A copy: the size of the whole, the middle of it in colour, and its file.

    `stored` are the bytes of the file, 0 where they say nothing.
    """

    size: tuple[int, int]
    middle: Image.Image
    format: str
    stored: int = 0

    @property
    def lossless(self) -> bool:
        """Whether the file keeps each pixel as it was when it was written."""
        return self.format in _LOSSLESS

    @property
    def side(self) -> float:
        """The side of a square of as many pixels."""
        return float((self.size[0] * self.size[1]) ** 0.5)

    @property
    def corner(self) -> tuple[int, int]:
        """Where the middle begins."""
        return _corner(self.size, self.middle.size)


def _corner(size: tuple[int, int], middle: tuple[int, int]) -> tuple[int, int]:
    return (size[0] - middle[0]) // 2, (size[1] - middle[1]) // 2


def read_copy(file: SampleFile, mirrored: bool) -> Copy:
    """Read a copy at its full size. Raises `Unreadable`."""
    data = bytes_of(file.path)
    pixels = decode_region(data, file, 2**20, "RGB")
    if mirrored:
        pixels = pixels.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    wide, high = min(_MIDDLE, pixels.width), min(_MIDDLE, pixels.height)
    left, top = _corner(pixels.size, (wide, high))
    middle = pixels.crop((left, top, left + wide, top + high))
    return Copy(
        pixels.size, middle, str(file.path).rpartition(".")[2], 0 if mirrored else len(data)
    )


def is_enlarged(large: Copy, small: Copy) -> bool:
    """Tell whether the larger one of two copies has no detail that the smaller one lacks.

    An image that was made smaller by the same factor once more says how much that loses here.
    """
    factor = large.side / small.side
    whole = small._replace(size=small.middle.size)
    wide, high = (max(_LEAST_SIDE, round(side / factor)) for side in whole.size)
    reduced = whole.middle.resize((wide, high), Image.Resampling.BOX)
    smaller = whole._replace(size=reduced.size, middle=reduced)
    if _lost(large, small) < _ENLARGED * _lost(whole, smaller):
        return True
    noise = _noise(_grey(large.middle)), _noise(_grey(small.middle))
    return noise[0] > _NOISIER * factor * noise[1] + _NOISE


def _lost(large: Copy, small: Copy) -> float:
    part, (laid, repeated) = _same_part(large, small)
    return _unexplained(part, laid, repeated)


def choose_original(a: Copy, b: Copy) -> str:
    """Return FIRST or SECOND where one of two copies of one size was made of the other, or EVEN.

    Of equal pixels the larger file: a palette, or what a program made smaller, came later.
    """
    if a.size == b.size and a.middle.tobytes() == b.middle.tobytes():
        if a.format != b.format or not (a.stored and b.stored) or a.stored == b.stored:
            return EVEN
        return FIRST if a.stored > b.stored else SECOND
    if a.size != b.size or not (a.lossless and b.lossless):
        return _before_filtering(a, b) if a.side >= b.side else _SWAPPED[_before_filtering(b, a)]
    for verdict in (
        _before_marking(a.middle, b.middle),
        _before_filtering(a, b),
        _before_recolouring(a.middle, b.middle),
    ):
        if verdict != EVEN:
            return verdict
    return EVEN


def _before_filtering(a: Copy, b: Copy) -> str:
    """Return which of two images was blurred, sharpened or made noisy to give the other."""
    part, (laid, repeated) = _same_part(a, b)
    lost = _unexplained(part, laid, repeated)
    gained = _unexplained(laid, part)
    for better, other, own in ((FIRST, gained, lost), (SECOND, lost, gained)):
        if other < _DERIVED and other < _ASYMMETRY * own and own > _LITTLE:
            return better
        if own > _DERIVED:
            mine, theirs = (part, laid) if better == FIRST else (laid, part)
            if _noise(theirs) > _NOISIER * _noise(mine) + _NOISE:
                return better
    return EVEN


def _before_marking(a: Image.Image, b: Image.Image) -> str:
    """Return which of two images of equal size has something laid over it in the other, or EVEN.

    Edges elsewhere are the same to the pixel, and where they are not, a mark adds some.
    """
    first, second = _grey(a), _grey(b)
    slopes = [
        cv2.magnitude(cv2.Sobel(g, cv2.CV_32F, 1, 0), cv2.Sobel(g, cv2.CV_32F, 0, 1))
        for g in (first, second)
    ]
    changed = np.abs(first - second) > 1
    edges = np.minimum(slopes[0], slopes[1]) > _EDGE
    if not changed.any() or not edges.any() or changed[edges].mean() > _LOCAL:
        return EVEN
    of_a, of_b = (float(slope[changed].sum()) for slope in slopes)
    if max(of_a, of_b) < _MARK_EDGES * min(of_a, of_b):
        return EVEN
    return FIRST if of_a < of_b else SECOND


def _before_recolouring(a: Image.Image, b: Image.Image) -> str:
    """Return which of two images of equal size the other is a recolouring of, or EVEN.

    What makes one colour of each (brighter, more vivid, grey, a palette) may make one of two, and
    never two of one: the original has more colours. Where it has as many, brightness that was
    stretched has gaps between its levels. To a drawing of few colours a filter adds some, at its
    edges, and so does noise.
    """
    first, second = _colours(a), _colours(b)
    both, of_a, of_b = (len(np.unique(some)) for some in (first << 24 | second, first, second))
    if min(of_a, of_b) <= _FEW_COLOURS < max(of_a, of_b):
        few, drawn, other, colours = (FIRST, a, b, first) if of_a < of_b else (SECOND, b, a, second)
        if _noise(_grey(other)) > _NOISIER * _noise(_grey(drawn)) + _NOISE:
            return few
        if both > max(of_a, of_b):
            return few if _keeps_colours(first << 24 | second, colours) else EVEN
    if both > max(of_a, of_b):
        return EVEN
    if of_a == of_b:
        of_a, of_b = _neighbours(a), _neighbours(b)
        if max(of_a, of_b) < _NEIGHBOURS or min(of_a, of_b) > _FEWER * max(of_a, of_b):
            return EVEN
    return FIRST if of_a > of_b else SECOND


def _keeps_colours(joint: Colours, drawn: Colours) -> bool:
    """Tell whether most pixels of each colour that is drawn have one colour in the other image."""
    pairs, places, counts = np.unique(joint, return_index=True, return_counts=True)
    _, which = np.unique(drawn[places], return_inverse=True)
    most = np.zeros(len(pairs), np.int64)
    np.maximum.at(most, which, counts)
    return bool(most.sum() > _SHARED * len(drawn))


def _neighbours(image: Image.Image) -> int:
    """Return how many levels of the channels are followed by one that occurs as well."""
    used = np.array(image.histogram()).reshape(3, 256) > 0
    return int((used[:, 1:] & used[:, :-1]).sum())


def _colours(image: Image.Image) -> Colours:
    """Return the colours of some pixels of every part of an image."""
    red, green, blue = np.moveaxis(np.asarray(image), 2, 0).reshape(3, -1).astype(np.int64)
    every = max(1, len(red) // _PIXELS)
    return (red << 16 | green << 8 | blue)[::every]


def _same_part(large: Copy, small: Copy) -> tuple[Floats, tuple[Floats, Floats]]:
    """Return the middle of the larger image, and the smaller one laid on it, in grey.

    The latter smoothly, and with its pixels repeated.
    """
    (width, height), (begin, start) = large.size, large.corner
    wide, high = min(_SIDE, width), min(_SIDE, height)
    left, top = (width - wide) // 2, (height - high) // 2
    x, y = left - begin, top - start
    part = _grey(large.middle.crop((x, y, x + wide, y + high)))
    across, down = width / small.size[0], height / small.size[1]
    # Centres of pixels lie half a pixel from the edge in both.
    right, below = (across * (small.corner[0] + 0.5) - 0.5, down * (small.corner[1] + 0.5) - 0.5)
    lay = np.array([[across, 0, right - left], [0, down, below - top]])
    smooth, repeated = (
        cv2.warpAffine(
            _grey(small.middle), lay, (wide, high), flags=how, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.float32)
        for how in (cv2.INTER_CUBIC, cv2.INTER_NEAREST)
    )
    return part, (smooth, repeated)


def _grey(image: Image.Image) -> Floats:
    return np.asarray(image.convert("L"), np.float32)


def _unexplained(image: Floats, other: Floats, repeated: Floats | None = None) -> float:
    """Return what part of an image's edges no linear filter makes of the other one, 0..1.

    By least squares over 5 x 5 pixels and their surroundings, of pixels that are not clipped.
    """
    soft, softer = (
        cv2.GaussianBlur(other, (0, 0), width).astype(np.float32, copy=False)
        for width in (2.0, 4.0)
    )
    rows, columns = _edge_pixels(image)
    around = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]
    given = [other[rows + y, columns + x] for y, x in around]
    given += [soft[rows + y, columns + x] for y, x in around if max(abs(y), abs(x)) < 2]
    given += [] if repeated is None else [repeated[rows, columns]]
    middle = softer[rows, columns]
    factors = np.stack([*(values - middle for values in given), np.ones_like(middle)], axis=1)
    wanted = image[rows, columns] - middle
    square = (factors.T @ factors).astype(np.float64)
    square[np.diag_indices_from(square)] += 1e-4 * np.trace(square) / len(square) + 1e-3
    weights = np.linalg.solve(square, (factors.T @ wanted).astype(np.float64))
    left = float(np.sqrt(np.mean((wanted - factors @ weights) ** 2)))
    edges = image[rows, columns] - cv2.GaussianBlur(image, (0, 0), 1.0)[rows, columns]
    return left / max(_SOFTEST_EDGES, float(np.sqrt(np.mean(edges**2))))


def _edge_pixels(image: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows and columns of pixels at strong edges, always the same ones."""
    slopes = (cv2.Sobel(image, cv2.CV_32F, *way) for way in ((1, 0), (0, 1)))
    steep = cv2.magnitude(*slopes)[3:-3, 3:-3]
    inner = image[3:-3, 3:-3]
    steep = np.where((inner > 4) & (inner < 251), steep, 0).ravel()
    chosen = np.random.RandomState(0).randint(0, len(steep), 3 * _SAMPLES)
    strongest = chosen[np.argpartition(-steep[chosen], _SAMPLES)[:_SAMPLES]]
    rows, columns = np.unravel_index(strongest, inner.shape)
    return rows + 3, columns + 3


def _noise(image: Floats) -> float:
    """Return the standard deviation of noise (Immerkaer, "Fast noise variance estimation", 1996).

    By the median, so that edges do not count.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    some = cv2.filter2D(image, -1, kernel)[1:-1:3, 1:-1:3]
    return float(np.median(np.abs(some))) / (6 * 0.6745)
