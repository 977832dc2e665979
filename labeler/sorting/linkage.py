"""Clusters of look-alikes: average linkage, by which nothing but likeness decides how many.

Two clusters are as near as their members are on average (UPGMA; Sokal and Michener, "A statistical
method for evaluating systematic relationships", 1958), and those that are nearest to each other are
joined first, found by chains of nearest neighbours (Murtagh, "A survey of recent advances in
hierarchical clustering algorithms", 1983) in time N².
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from labeler.likeness import Vectors

MayJoin = Callable[[Sequence[int], Sequence[int]], bool]
"""Tells of the members of two clusters whether these may become one."""
Likeness = npt.NDArray[np.float32]


class Join(NamedTuple):
    """Two clusters, by the number of one member of each, that are so much alike."""

    one: int
    other: int
    alike: float


def joins_of(vectors: Vectors) -> list[Join]:
    """Return the joins that make one cluster of N rows of unit length, the most alike first."""
    alike: Likeness = vectors @ vectors.T
    np.fill_diagonal(alike, -np.inf)
    sizes = np.ones(len(vectors))
    chain: list[int] = []
    alive = np.ones(len(vectors), np.bool_)
    found: list[Join] = []
    while len(found) < len(vectors) - 1:
        if not chain:
            chain = [int(np.argmax(alive))]
        here = chain[-1]
        near = int(np.argmax(alike[here]))
        # Of equals the one before it: else a chain could go round for ever.
        before = chain[-2] if len(chain) > 1 else near
        if len(chain) == 1 or alike[here, near] > alike[here, before]:
            chain.append(near)
            continue
        found.append(Join(before, here, float(alike[here, before])))
        _join(alike, sizes, before, here)
        alive[here] = False
        del chain[-2:]
    return sorted(found, key=lambda join: -join.alike)


def _join(alike: Likeness, sizes: npt.NDArray[np.float64], kept: int, gone: int) -> None:
    """Put two clusters together in place (the rule of Lance and Williams for means)."""
    share = sizes[kept] / (sizes[kept] + sizes[gone])
    together = share * alike[kept] + (1 - share) * alike[gone]
    together[[kept, gone]] = -np.inf
    alike[kept], alike[:, kept] = together, together
    alike[gone], alike[:, gone] = -np.inf, -np.inf
    sizes[kept] += sizes[gone]


class _Clusters:
    """Rows in clusters: each alone at first."""

    def __init__(self, count: int) -> None:
        self.members = {row: [row] for row in range(count)}
        self.home = list(range(count))

    def join(self, one: int, other: int) -> None:
        """Make one cluster of two."""
        if one != other:
            for row in self.members[other]:
                self.home[row] = one
            self.members[one] += self.members.pop(other)


def clusters_of(
    count: int,
    joins: Sequence[Join],
    wanted: int,
    may_join: MayJoin | None = None,
    tied: Iterable[Sequence[int]] = (),
) -> list[list[int]]:
    """Return `wanted` clusters of `count` rows, or more where `may_join` forbids (of members).

    Rows that are `tied` are in one cluster, whatever else is said of them.
    """
    found = _Clusters(count)
    home, members = found.home, found.members
    for one, other in (pair for rows in tied for pair in pairwise(rows)):
        found.join(home[one], home[other])
    for join in joins:
        if len(members) <= wanted:
            break
        one, other = home[join.one], home[join.other]
        if one != other and (may_join is None or may_join(members[one], members[other])):
            found.join(one, other)
    return list(members.values())
