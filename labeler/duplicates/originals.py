"""The original of some copies of an image, by their full pixels.

The largest copy that is not an enlargement of a smaller one has all the detail there is. Of several
of that size each altered copy differs from all others by its own alteration, and the original from
each only by that one's: it is nearest to the median of all. Of two to four copies there is no such
majority; they are compared with each other (`image_detail`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from gleanset.db.duplicates import EVEN, SECOND
from labeler.duplicates.image_detail import Copy, choose_original, is_enlarged, read_copy
from labeler.sample_pixels import SampleFile

# So many copies of one size have a majority.
_MAJORITY = 5
# Sizes that differ by less (linear) are equal.
_EQUAL_SIZE = 1.04
# Pixels that are compared with the median. Distances that differ by less are equal.
_PIXELS, _EQUAL_DISTANCE = 20_000, 1.1
# Smaller images have too few edges.
_SMALLEST = 48


def find_originals(files: Sequence[SampleFile], mirrored: Sequence[bool]) -> list[int]:
    """Return the place of the original, then those of copies that are as good.

    `files` begin with those that are preferred where nothing else is known. Raises `Unreadable`.
    """
    copies = [read_copy(file, mirror) for file, mirror in zip(files, mirrored, strict=True)]
    if min(side for copy in copies for side in copy.size) < _SMALLEST:
        return list(range(len(copies)))
    levels = _by_size(copies)
    best = _originals(copies, levels[0])
    for level in levels[1:]:
        smaller = _originals(copies, level)
        if is_enlarged(copies[best[0]], copies[smaller[0]]):
            best = smaller
    return best


def _by_size(copies: Sequence[Copy]) -> list[list[int]]:
    """Return the places of copies of each size, the largest size first."""
    levels: list[list[int]] = []
    for place in sorted(range(len(copies)), key=lambda place: -copies[place].side):
        if levels and copies[levels[-1][0]].side < _EQUAL_SIZE * copies[place].side:
            levels[-1].append(place)
        else:
            levels.append([place])
    return [sorted(level) for level in levels]


def _originals(copies: Sequence[Copy], places: Sequence[int]) -> list[int]:
    """Return the original among copies (places) of nearly one size, and those as good."""
    size, number = Counter(copies[place].size for place in places).most_common(1)[0]
    if number >= _MAJORITY:
        places = _nearest_to_median(copies, [p for p in places if copies[p].size == size])
    best, equals = places[0], list[int]()
    for place in places[1:]:
        verdict = choose_original(copies[best], copies[place])
        if verdict == SECOND:
            best, equals = place, []
        elif verdict == EVEN:
            equals.append(place)
    return [best, *equals]


def _nearest_to_median(copies: Sequence[Copy], places: Sequence[int]) -> list[int]:
    """Return the copies (places) of one size that are nearest to the median of all of them."""
    pixels = np.prod(copies[places[0]].middle.size)
    chosen = np.random.RandomState(0).randint(0, pixels, _PIXELS)
    colours = np.stack(
        [np.asarray(copies[p].middle).reshape(-1, 3)[chosen] for p in places]
    ).astype(np.float32)
    distances = np.sqrt(((colours - np.median(colours, axis=0)) ** 2).mean(axis=(1, 2)))
    limit = _EQUAL_DISTANCE * float(distances.min())
    return [place for place, distance in zip(places, distances, strict=True) if distance <= limit]
