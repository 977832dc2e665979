"""Which of two copies was made of the other, as their full pixels tell.

Whatever is done to an image by scaling, blurring or sharpening is a sum of pixels around each
pixel: the original explains the copy by a linear filter, and the copy does not explain what it has
lost. An enlarged image is explained by the smaller one, however it was sharpened.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from gleanset.db.duplicates import EVEN, FIRST, SECOND
from labeler.duplicates.hashes import Floats
from labeler.duplicates.verification import FilePair
from labeler.sample_pixels import SampleFile, read_pixels

# The part that is compared, in pixels a side, and how many pixels of edges of it.
_SIDE = 400
_SAMPLES = 2000
_SMALLEST = 48
# Sizes that differ by less (linear) are equal.
_EQUAL_SIZE = 1.04
# An enlarged image has less than this unexplained: at 1.04 times the size, and for each time more.
_UNEXPLAINED, _PER_ENLARGEMENT, _MOST_UNEXPLAINED = 0.12, 0.5, 0.5
# A copy of equal size has less than this unexplained, and less than this part of the original's,
# which has more than a little.
_DERIVED, _ASYMMETRY, _LITTLE = 0.3, 0.65, 0.12
# Noise is added where there is more than this many times that of the other, and a little.
_NOISIER, _NOISE = 1.5, 2.0
_SOFTEST_EDGES = 0.5
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
# Files that keep each pixel as it was when they were written.
_LOSSLESS = ("png", "gif", "bmp", "tiff", "tif")

Colours = npt.NDArray[np.int64]


def better_copy(pair: FilePair, *, mirrored: bool) -> str:
    """Return FIRST or SECOND where one was made of the other one, or EVEN. Raises `Unreadable`."""
    a, b = (_pixels(pair.a), _pixels(pair.b))
    if mirrored:
        b = b.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if min(*a.size, *b.size) < _SMALLEST:
        return EVEN
    if a.width * a.height < b.width * b.height:
        return {FIRST: SECOND, SECOND: FIRST, EVEN: EVEN}[_compare(b, a)]
    looks: list[Callable[[Image.Image, Image.Image], str]] = [_compare]
    if a.size == b.size and all(str(file.path).endswith(_LOSSLESS) for file in (pair.a, pair.b)):
        looks = [_before_marking, _compare, _before_recolouring]
    return next((told for look in looks if (told := look(a, b)) != EVEN), EVEN)


def _pixels(file: SampleFile) -> Image.Image:
    return read_pixels(file, 2**20, "RGB")


def _compare(large: Image.Image, small: Image.Image) -> str:
    """Return which is better, the larger one being the first."""
    part, (laid, repeated) = _same_part(large, small)
    enlarged = (large.width * large.height / (small.width * small.height)) ** 0.5
    lost = _unexplained(part, laid, repeated)
    if enlarged > _EQUAL_SIZE:
        limit = min(_MOST_UNEXPLAINED, _UNEXPLAINED + _PER_ENLARGEMENT * (enlarged - _EQUAL_SIZE))
        noisy = _noise(part) > _NOISIER * _noise(_grey(small)) + _NOISE
        return SECOND if lost < limit or noisy else FIRST
    gained = _unexplained(laid, part)
    noise = _noise(part), _noise(laid)
    for better, other, own in ((FIRST, gained, lost), (SECOND, lost, gained)):
        mine, theirs = noise if better == FIRST else noise[::-1]
        if other < _DERIVED and other < _ASYMMETRY * own and own > _LITTLE:
            return better
        if theirs > _NOISIER * mine + _NOISE and own > _DERIVED:
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


def _same_part(large: Image.Image, small: Image.Image) -> tuple[Floats, tuple[Floats, Floats]]:
    """Return the middle of the larger image, and the smaller one laid on it, in grey.

    The latter smoothly, and with its pixels repeated.
    """
    wide, high = min(_SIDE, large.width), min(_SIDE, large.height)
    left, top = (large.width - wide) // 2, (large.height - high) // 2
    part = _grey(large.crop((left, top, left + wide, top + high)))
    across, down = large.width / small.width, large.height / small.height
    # Centres of pixels lie half a pixel from the edge in both.
    lay = np.array([[across, 0, across / 2 - 0.5 - left], [0, down, down / 2 - 0.5 - top]])
    smooth, repeated = (
        cv2.warpAffine(
            _grey(small), lay, (wide, high), flags=how, borderMode=cv2.BORDER_REPLICATE
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
    chosen = np.random.RandomState(0).permutation(len(steep))[: 3 * _SAMPLES]
    strongest = chosen[np.argsort(-steep[chosen], kind="stable")[:_SAMPLES]]
    rows, columns = np.unravel_index(strongest, inner.shape)
    return rows + 3, columns + 3


def _noise(image: Floats) -> float:
    """Return the standard deviation of noise (Immerkaer, "Fast noise variance estimation", 1996).

    By the median, so that edges do not count.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(np.median(np.abs(cv2.filter2D(image, -1, kernel)[1:-1, 1:-1]))) / (6 * 0.6745)
