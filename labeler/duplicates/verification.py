"""Verification of candidates: are two pictures the same picture, by their pixels?

The pictures are laid on each other by their common points, so crops, borders, scale, turns and
mirroring drop out. Then the edges are compared in small windows. A copy keeps its edges: they may
be fainter (recoloured, re-encoded), some may be added (a watermark, a border), but nowhere are
edges replaced by others. Another expression of the same face, or the next frame of a film, has
windows in which each picture lacks edges that the other one has. Where only a mouth or a pupil
differs these windows are few: what passes is compared line by line.

A copy whose hue was turned has other grey values: grey edges between colours come and go with the
hue. The largest of red, green and blue, the value of HSV, stays. It shows less than grey does, so
it is compared only where the hues of two pictures are not the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from labeler.duplicates.alignment import (
    SIDE,
    Common,
    Fit,
    align,
    common_part,
    frame_on_frame,
    refined,
)
from labeler.duplicates.edge_difference import replaced_windows, strongest_change
from labeler.duplicates.hashes import (
    GREY_SIZE,
    MIRROR,
    POINTS,
    SIFT_SIZE,
    Grey,
    Points,
    grey_of,
    points_of,
    share_of,
)
from labeler.sample_pixels import SampleFile, read_pixels

# At most so much of the common part (per mille of windows) may have replaced edges.
CHANGED = 8.0
# Where the close look finds nothing, up to so much is left to a person.
MORE_CHANGED = 12.0
# Frames of one film are never watermarked or re-encoded copies of each other.
CHANGED_IN_FILM = 0.5
# The strongest change at one place, at 256 pixels a side; on a smaller grid there are fewer
# pixels to a line and less noise.
SPOT = 1.4
SPOT_POWER = 1.9
# Up to so many times that it may still be a copy: a person has to say.
DOUBT = 3.0
# Below this part of it nothing is gained by laying them more finely.
_PLAIN = 0.2
# One picture is all but contained in the other, and is no mere detail of it.
CONTAINED = 0.85
DETAIL = 0.35
# So much of the colour (0..1) may lie at other hues, in cells of 15 degrees, before they count as
# turned.
_OTHER = 0.4
_CELLS = 24
# Less colour than this (mean of saturation times value, 0..1) is none.
_PALE = 0.04
_SMALL = 48
# Pairs come sorted, so that the pictures of one group are decoded once.
_REMEMBERED = 256


class PreparedImage(NamedTuple):
    """A picture made ready for comparison: grey, trimmed, with its points.

    `colours` gives it in colour when asked, which is seldom; None where there are none. `filled`
    is the part that was left when uniform borders were cut off.
    """

    grey: Grey
    points: Points
    colours: Callable[[], Image.Image] | None = None
    filled: float = 1.0


class FilePair(NamedTuple):
    """Two files to compare, for a worker process; `rows` are the samples' numbers.

    `one_film`: both are frames of one video.
    """

    rows: tuple[int, int]
    a: SampleFile
    b: SampleFile
    one_film: bool = False


class Verdict(NamedTuple):
    """The result of a comparison, `why` as a short text.

    `changed` is the per mille of windows with replaced edges, `overlap` the part of the larger
    picture that both show (0..1), `points` how many points agreed. `doubtful` is one that is not
    called the same for a small place only, and not clearly so: a person has to say.
    """

    same: bool
    changed: float
    overlap: float
    mirrored: bool
    points: int
    why: str
    doubtful: bool = False


def prepare(pixels: Image.Image) -> PreparedImage:
    """Make a picture ready for comparing."""
    grey = grey_of(pixels)
    points = points_of(grey)
    finer = min(2 * SIFT_SIZE, max(grey.shape))
    if len(points.places) < POINTS and finer > SIFT_SIZE:  # a page of text, plain cartoons
        points = points_of(grey, finer)
    colours = None if pixels.mode == "L" else lambda: pixels
    return PreparedImage(grey, points, colours, share_of(pixels, grey))


def compare(a: PreparedImage, b: PreparedImage, *, one_film: bool = False) -> Verdict:
    """Compare two pictures. `one_film` is for two frames of one video: nothing may have moved."""
    verdict = _both_ways(a, b, one_film)
    if verdict.why != _DETAIL or a.colours is None or b.colours is None:
        return verdict
    one, other = a.colours(), b.colours()
    if not hues_differ(one, other):
        return verdict
    by_value = _both_ways(prepare(_value(one)), prepare(_value(other)), one_film)
    return by_value if by_value.same else verdict


def compare_files(pair: FilePair) -> Verdict:
    """Compare two samples, in a worker process. Raises `Unreadable`."""
    cv2.setNumThreads(1)
    return compare(_prepared(pair.a), _prepared(pair.b), one_film=pair.one_film)


@lru_cache(maxsize=_REMEMBERED)
def _prepared(file: SampleFile) -> PreparedImage:
    grey = prepare(read_pixels(file, GREY_SIZE, "L"))
    return grey._replace(colours=lambda: read_pixels(file, GREY_SIZE, "RGB"))


def _both_ways(a: PreparedImage, b: PreparedImage, one_film: bool) -> Verdict:
    straight = _compared(a, b, mirrored=False, one_film=one_film)
    if straight.same or one_film:
        return straight
    other = _compared(a, mirror(b), mirrored=True, one_film=False)
    if other.same or (other.doubtful, other.points) > (straight.doubtful, straight.points):
        return other
    return straight


def _compared(a: PreparedImage, b: PreparedImage, *, mirrored: bool, one_film: bool) -> Verdict:
    fit = align(a.points, b.points)
    fits = ([fit] if fit else []) + frame_on_frame(a.grey, b.grey, fit)
    verdicts = [_judge(a, b, fit, mirrored, one_film) for fit in fits]
    return min(verdicts, key=_rank, default=_NOTHING)


def _rank(verdict: Verdict) -> tuple[bool, bool, float]:
    return not verdict.same, not verdict.doubtful, verdict.changed


_NOTHING = Verdict(False, 1000.0, 0.0, False, 0, "nothing in common")
_DETAIL = "a detail of it is different"


def mirror(image: PreparedImage) -> PreparedImage:
    """Mirror a picture; its points need not be searched for again."""
    grey = np.ascontiguousarray(image.grey[:, ::-1])
    return PreparedImage(grey, mirrored_points(image), filled=image.filled)


def mirrored_points(image: PreparedImage) -> Points:
    """Return the points as they would be found in the mirrored picture."""
    places, sizes, angles, descriptors = image.points
    flipped = np.stack([image.grey.shape[1] - 1 - places[:, 0], places[:, 1]], axis=1)
    return Points(flipped, sizes, (180 - angles) % 360, descriptors[:, MIRROR])


def _judge(a: PreparedImage, b: PreparedImage, fit: Fit, mirrored: bool, one_film: bool) -> Verdict:
    common = common_part(a.grey, b.grey, fit.matrix)
    if common is None:
        return _NOTHING
    overlap = float(min(common.part_a, common.part_b))
    replaced = replaced_windows(common)

    def verdict(same: bool, why: str, doubtful: bool = False) -> Verdict:
        return Verdict(
            same, round(replaced, 2), round(overlap, 3), mirrored, fit.points, why, doubtful
        )

    if max(common.part_a, common.part_b) < CONTAINED:
        return verdict(False, "they only overlap")
    # A page of text loses more with its empty border than was cut off by a crop.
    if min(common.part_a / b.filled, common.part_b / a.filled) < DETAIL:
        return verdict(False, "one is a detail of the other")
    if replaced > (CHANGED_IN_FILM if one_film else MORE_CHANGED):
        return verdict(False, "something else is shown in places")
    different = _different(common)
    if replaced > CHANGED:
        return verdict(False, "something else is shown in places", different <= 1)
    if different > 1:
        return verdict(False, _DETAIL, different <= DOUBT and not one_film)
    return verdict(True, "the same picture, mirrored" if mirrored else "the same picture")


def _different(common: Common) -> float:
    """Return how much of something else a small place shows, 1 being the most that a copy may.

    The alignment is refined where there seems to be something.
    """
    most = float(SPOT * (max(common.a.shape) / SIDE) ** SPOT_POWER)
    coarse = strongest_change(common) / most
    return coarse if coarse <= _PLAIN else strongest_change(refined(common)) / most


def hues_differ(one: Image.Image, other: Image.Image) -> bool:
    """Tell whether two pictures have their colours at different hues."""
    mine, theirs = _hue_histogram(one), _hue_histogram(other)
    if mine.sum() < _PALE or theirs.sum() < _PALE:
        return False
    shared = np.minimum(mine / mine.sum(), theirs / theirs.sum()).sum()
    return bool(shared < 1 - _OTHER)


def _value(colours: Image.Image) -> Image.Image:
    """Return the largest of red, green and blue at each pixel, as a grey picture."""
    return Image.fromarray(np.asarray(colours.convert("RGB")).max(axis=2))


def _hue_histogram(colours: Image.Image) -> npt.NDArray[np.float64]:
    """Return how much colour there is at each hue; the sum is the mean of the picture, 0..1."""
    small = colours.convert("RGB").resize((_SMALL, _SMALL), Image.Resampling.BOX).convert("HSV")
    hue, saturation, value = np.asarray(small).reshape(-1, 3).astype(np.float64).T / 255
    cells = np.minimum((hue * _CELLS).astype(np.int64), _CELLS - 1)
    counts = np.bincount(cells, saturation * value, minlength=_CELLS)
    return np.asarray(counts / len(hue), np.float64)
