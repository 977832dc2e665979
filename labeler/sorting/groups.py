"""The overview: faces nobody knows, in groups that look alike, several of them on one page.

Groups come from likeness alone. Whoever is decided already is clustered along: a group in which
nobody is decided is of somebody not known yet, as far as looks tell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from curation.similarity.clustering import MEAN_SIZE, cluster_rows
from labeler.likeness import Vectors
from labeler.sorting.page_layout import (
    HEADING,
    ClassPage,
    PageKind,
    PageTile,
    Stack,
    in_order,
)
from labeler.sorting.proposals import NO_IDEA

FEWEST = 3
"""A smaller group waits until there are proposals; one more name costs as much as a correction."""
FEWEST_LATER = 7
"""The same once somebody is named: what is alike in smaller groups is sorted by proposals."""
SURELY, LIKE_NONE = 0.9, 0.3
"""Who is proposed so surely is not asked about, but in a group that is less like every class than
that: of two or three classes everybody is surely one (docs/experiments.md)."""
LARGEST = 40
MOST, MOST_DECIDED = 800, 400
"""So many stacks are clustered, beside so many decided samples: time grows with the square. Of more
every so manieth is.
"""
HARDLY = 0.1
"""A group is of nobody known, or of somebody of whom hardly any was met, where there are at most so
many decided samples for each stack: what is proposed for it was learnt from others.
"""


class LikenessGroup(NamedTuple):
    """Stacks that look alike, the most typical first; so many of the decided are with them."""

    stacks: tuple[Stack, ...]
    decided: int

    @property
    def hardly_met(self) -> bool:
        """Whether nobody, or next to nobody, of it is decided."""
        return self.decided <= HARDLY * len(self.stacks)


def likeness_groups(
    stacks: Sequence[Stack],
    vectors: Vectors,
    decided: Vectors,
    beside: Collection[tuple[int, int]] = (),
) -> list[LikenessGroup]:
    """Return clusters of what can be compared, the largest first.

    `vectors` are those of the pool, `decided` (M x D) those of samples that have a class. Stacks
    (by number) that were seen `beside` each other are mostly two people.
    """
    some = [stack for stack in stacks if vectors[stack.number].any()]
    if not some:
        return []
    some = some[:: -(-len(some) // MOST)]
    own = vectors[[stack.number for stack in some]]
    known = decided[decided.any(axis=1)]
    rows = np.concatenate([own, known[:: max(1, -(-len(known) // MOST_DECIDED))]])
    wanted = max(1, len(rows) // MEAN_SIZE)
    place = {stack.number: n for n, stack in enumerate(some)}
    apart = [(place[a], place[b]) for a, b in beside if a in place and b in place]
    clusters = cluster_rows(rows, wanted, apart)
    groups = []
    for cluster in clusters:
        mine = [n for n in cluster if n < len(some)]
        alike = own[mine] @ own[mine].sum(axis=0)
        typical_first = [mine[int(n)] for n in np.argsort(-alike, kind="stable")]
        ordered = tuple(some[n] for n in typical_first)
        groups.append(LikenessGroup(ordered, len(cluster) - len(mine)))
    return sorted(
        (g for g in groups if g.stacks), key=lambda g: (-len(g.stacks), g.stacks[0].number)
    )


def like_no_class(
    groups: Sequence[LikenessGroup], vectors: Vectors, decided: Vectors, labels: Sequence[int]
) -> set[int]:
    """Return the stacks (by number) of groups that are unlike each decided class."""
    of = np.array(labels)
    classes = [decided[of == label] for label in {*labels}]
    known = [mine for rows in classes if len(mine := rows[rows.any(axis=1)])]
    members = [vectors[[stack.number for stack in group.stacks]] for group in groups]
    alike = _alike_between([*members, *known])[: len(members), len(members) :]
    nearest = alike.max(axis=1, initial=-1.0)
    return {
        stack.number
        for group, most in zip(groups, nearest, strict=True)
        if most < LIKE_NONE
        for stack in group.stacks
    }


def _alike_between(members: Sequence[Vectors]) -> Vectors:
    """Return the mean similarity between several sets (N x N), relative to that within each."""
    if not members:
        return np.zeros((0, 0), np.float32)
    sizes = np.array([len(rows) for rows in members])
    middles = np.array([rows.mean(axis=0) for rows in members])
    between = middles @ middles.T
    # Of the mean over all pairs each row's likeness to itself is taken out.
    within = np.maximum((np.diag(between) * sizes - 1) / np.maximum(sizes - 1, 1), 0.05)
    several = sizes > 1
    within = np.where(several, within, within[several].mean() if several.any() else 1)
    alike: Vectors = (between / np.sqrt(np.outer(within, within))).astype(np.float32)
    np.fill_diagonal(alike, 1)
    return alike


def overview(
    groups: Sequence[LikenessGroup], vectors: Vectors, room: int, fewest: int = FEWEST
) -> ClassPage | None:
    """Return the largest groups without decided samples; None where there are none."""
    unknown = [g.stacks[:LARGEST] for g in groups if g.hardly_met and len(g.stacks) >= fewest]
    taken: list[Sequence[Stack]] = []
    left = room
    for group in unknown:
        if not taken or len(group) + HEADING <= left:
            left -= len(group) + HEADING
            taken.append(group)
    of = sum(len(group) for group in unknown)
    if not taken:
        return None
    side_by_side = _side_by_side(taken, vectors)
    shown = (stack for group in side_by_side for stack in in_order(group, vectors))
    tiles = tuple(PageTile(stack.rows, NO_IDEA) for stack in shown)
    return ClassPage(PageKind.GROUPS, None, tiles, 0, of, tuple(map(len, side_by_side)))


def _side_by_side(groups: Sequence[Sequence[Stack]], vectors: Vectors) -> list[Sequence[Stack]]:
    """Return the groups so that each is followed by the one most like it, the largest first."""
    middles = [vectors[[s.number for s in group]].mean(axis=0) for group in groups]
    order, rest = [0][: len(groups)], list(range(1, len(groups)))
    while rest:
        rest.sort(key=lambda n: float(middles[n] @ middles[order[-1]]))
        order.append(rest.pop())
    return [groups[n] for n in order]


def moved(page: ClassPage, numbers: Collection[int], onto: int) -> ClassPage:
    """Return an overview with some tiles (by number) in the group that has the tile `onto`."""
    groups: list[list[PageTile]] = []
    first = 0
    for size in page.groups:
        mine = range(first, first + size)
        first += size
        kept = [page.tiles[n] for n in mine if n not in numbers or onto in mine]
        kept += [page.tiles[n] for n in numbers if n not in mine] if onto in mine else []
        groups.append(kept)
    return page._replace(
        tiles=tuple(tile for tiles in groups for tile in tiles),
        groups=tuple(len(tiles) for tiles in groups if tiles),
    )


def divided(page: ClassPage, number: int, vectors: Vectors) -> ClassPage:
    """Return an overview with one group in two; `vectors` are those of its tiles."""
    first, size = sum(page.groups[:number]), page.groups[number]
    parts = sorted(cluster_rows(vectors, 2), key=len, reverse=True)
    tiles = [page.tiles[first + n] for part in parts for n in sorted(part)]
    return page._replace(
        tiles=(*page.tiles[:first], *tiles, *page.tiles[first + size :]),
        groups=(*page.groups[:number], *map(len, parts), *page.groups[number + 1 :]),
    )
