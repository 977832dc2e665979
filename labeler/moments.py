"""Moments: samples that must not straddle a split.

Two samples are of one moment when they come from the same image, the same scene of a
video or frames less than a second apart, the same post, or look alike. Ties are chained:
it is better to keep too much together than to leak a test picture into training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from gleanset.db.samples import Tie

LOOK_ALIKE = 6
NEIGHBOUR_SECONDS = 1.0
# Rows compared at a time: 0.1 GB for 20,000 samples.
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Member:
    """A sample as the splitter sees it."""

    key: str
    label: str
    split: str | None


@dataclass(frozen=True, slots=True)
class Moment:
    """Samples that stay together. `key` is the smallest key among them."""

    key: str
    members: tuple[Member, ...]


class Forest:
    """Disjoint sets with path halving (Tarjan and van Leeuwen, 1984)."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def root(self, item: int) -> int:
        """The smallest item of the set that `item` is in."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, a: int, b: int) -> None:
        """Put the sets of `a` and `b` together."""
        a, b = self.root(a), self.root(b)
        self._parent[max(a, b)] = min(a, b)


def find_moments(ties: Iterable[Tie]) -> list[Moment]:
    """The moments among all samples that `ties` speak of, ordered by key.

    Comparing looks takes time that grows with the square of the number of samples.
    """
    rows = list(ties)
    members = {tie.key: Member(tie.key, tie.label, tie.split) for tie in rows}
    number = {key: index for index, key in enumerate(sorted(members))}
    hashes = np.zeros(len(number), dtype=np.uint64)
    for tie in rows:
        hashes[number[tie.key]] = tie.phash
    forest = Forest(len(number))
    for together in _provenance(rows):
        for key in together[1:]:
            forest.join(number[together[0]], number[key])
    for a, b in look_alikes(hashes, LOOK_ALIKE):
        forest.join(a, b)
    found: dict[int, list[Member]] = defaultdict(list)
    for key, index in number.items():
        found[forest.root(index)].append(members[key])
    return [Moment(group[0].key, tuple(group)) for group in found.values()]


def _provenance(rows: list[Tie]) -> Iterator[list[str]]:
    """Keys that belong together by where they come from."""
    groups: dict[Hashable, list[str]] = defaultdict(list)
    videos: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for tie in rows:
        groups["image", tie.image].append(tie.key)
        if tie.post is not None:
            groups["post", tie.post].append(tie.key)
        if tie.video is not None and tie.scene is not None:
            groups["scene", tie.video, tie.scene].append(tie.key)
            videos[tie.video].append((tie.time or 0.0, tie.key))
    yield from groups.values()
    for frames in videos.values():
        frames.sort()
        for (before, a), (after, b) in pairwise(frames):
            if after - before < NEIGHBOUR_SECONDS:
                yield [a, b]


def look_alikes(hashes: npt.NDArray[np.uint64], distance: int) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of hashes that differ in at most `distance` bits."""
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        apart = np.bitwise_count(block[:, None] ^ hashes[None, start:])
        for i, j in np.argwhere(apart <= distance):
            if i < j:
                yield int(start + i), int(start + j)
