"""The second look: are two pictures the same picture, by their pixels?

The pictures are laid on each other by their common points, so crops, borders, scale, turns and
mirroring drop out. Then the edges are compared in small windows. A copy keeps its edges: they may
be fainter (recoloured, re-encoded), some may be added (a watermark, a border), but nowhere are
edges replaced by others. Another expression of the same face, or the next frame of a film, has
windows in which each picture lacks edges that the other one has. Where only a mouth or a pupil
differs these windows are few: what passes is looked at closely, line by line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from labeler.duplicates.changes import changed
from labeler.duplicates.close_look import strongest_change
from labeler.duplicates.colours import brightest, turned
from labeler.duplicates.hashes import (
    GREY_SIZE,
    MIRROR,
    POINTS,
    SIFT_SIZE,
    Grey,
    Points,
    grey_of,
    points_of,
)
from labeler.duplicates.laying import SIDE, Common, Fit, align, common_part, refined, whole

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


class View(NamedTuple):
    """A picture made ready: grey, trimmed, with its points.

    `colours` gives it in colour when asked, which is seldom; None where there are none. `filled`
    is the part that was left when uniform borders were cut off.
    """

    grey: Grey
    points: Points
    colours: Callable[[], Image.Image] | None = None
    filled: float = 1.0


class Verdict(NamedTuple):
    """What a second look found, `why` as a short text.

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


def view_of(pixels: Image.Image) -> View:
    """Make a picture ready for comparing."""
    grey = grey_of(pixels)
    points = points_of(grey)
    finer = min(2 * SIFT_SIZE, max(grey.shape))
    if len(points.places) < POINTS and finer > SIFT_SIZE:  # a page of text, plain cartoons
        points = points_of(grey, finer)
    shrunk = min(1.0, GREY_SIZE / max(pixels.size))
    filled = min(1.0, grey.size / (shrunk**2 * pixels.width * pixels.height))
    return View(grey, points, None if pixels.mode == "L" else lambda: pixels, filled)


def compare(a: View, b: View, *, one_film: bool = False) -> Verdict:
    """Look at two pictures. `one_film` is for two frames of one video: nothing may have moved."""
    found = _both_ways(a, b, one_film)
    if found.why != _DETAIL or a.colours is None or b.colours is None:
        return found
    one, other = a.colours(), b.colours()
    if not turned(one, other):
        return found
    again = _both_ways(view_of(brightest(one)), view_of(brightest(other)), one_film)
    return again if again.same else found


def _both_ways(a: View, b: View, one_film: bool) -> Verdict:
    straight = _looked(a, b, mirrored=False, one_film=one_film)
    if straight.same or one_film:
        return straight
    other = _looked(a, mirror(b), mirrored=True, one_film=False)
    if other.same or (other.doubtful, other.points) > (straight.doubtful, straight.points):
        return other
    return straight


def _looked(a: View, b: View, *, mirrored: bool, one_film: bool) -> Verdict:
    fit = align(a.points, b.points)
    fits = ([fit] if fit else []) + whole(a.grey, b.grey, fit)
    verdicts = [_judge(a, b, fit, mirrored, one_film) for fit in fits]
    return min(verdicts, key=_rank, default=_NOTHING)


def _rank(verdict: Verdict) -> tuple[bool, bool, float]:
    return not verdict.same, not verdict.doubtful, verdict.changed


_NOTHING = Verdict(False, 1000.0, 0.0, False, 0, "nothing in common")
_DETAIL = "a detail of it is different"


def mirror(view: View) -> View:
    """The view as in a mirror; its points need not be looked for again."""
    grey = np.ascontiguousarray(view.grey[:, ::-1])
    return View(grey, mirrored_points(view), filled=view.filled)


def mirrored_points(view: View) -> Points:
    """The points as they would be found in the mirrored picture."""
    places, sizes, angles, descriptors = view.points
    flipped = np.stack([view.grey.shape[1] - 1 - places[:, 0], places[:, 1]], axis=1)
    return Points(flipped, sizes, (180 - angles) % 360, descriptors[:, MIRROR])


def _judge(a: View, b: View, fit: Fit, mirrored: bool, one_film: bool) -> Verdict:
    common = common_part(a.grey, b.grey, fit.matrix)
    if common is None:
        return _NOTHING
    overlap = float(min(common.part_a, common.part_b))
    replaced = changed(common)

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
    """How much of something else a small place shows, 1 being the most that a copy may.

    Laid more finely where there seems to be something.
    """
    most = float(SPOT * (max(common.a.shape) / SIDE) ** SPOT_POWER)
    coarse = strongest_change(common) / most
    return coarse if coarse <= _PLAIN else strongest_change(refined(common)) / most
