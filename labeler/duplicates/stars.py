"""Stars: which candidates are looked at. Each picture is compared with the best one beside it.

Of fourteen copies of one picture thirteen comparisons tell what all ninety-one would: whoever is
the same as the middle is tied to whoever else is, and a pair whose ends are tied needs no look of
its own. A picture that the middle refuses is still compared with the others that it is a candidate
of. Middles are the pictures that lie near most others as a whole; of equals the best copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.disjoint_sets import DisjointSets
from gleanset.errors import Unreadable
from labeler.duplicates.grouping import Pair
from labeler.duplicates.verification import FilePair, Verdict, compare_files

# Pictures of one star: they are decoded once, by one worker.
MOST = 32

Places = npt.NDArray[np.int64]


class Star(NamedTuple):
    """Comparisons among some pictures, in the order in which they are made; for one worker.

    `tied` has for each pair the sets that its two pictures are in when nothing is compared yet.
    """

    pairs: tuple[FilePair, ...]
    tied: tuple[Pair, ...]


class StarVerdicts(NamedTuple):
    """What the comparisons of a star said; of a `failed` pair one picture cannot be read.

    The pairs that are in neither have their ends tied by others.
    """

    said: list[tuple[FilePair, Verdict]]
    failed: list[FilePair]


def compare_star(star: Star) -> StarVerdicts:
    """Compare pairs whose ends no earlier one has tied, in a worker process.

    Where the middle refuses a picture that others are the same as, another middle is looked for.
    """
    looks, sets = _Looks(star), DisjointSets()
    number = {tie: sets.add() for ties in star.tied for tie in ties}
    for pair, (a, b) in zip(star.pairs, star.tied, strict=True):
        if sets.root(number[a]) != sets.root(number[b]) and looks.same(*pair.rows):
            sets.join(number[a], number[b])
    together: dict[int, dict[int, None]] = {}
    for pair, ties in zip(star.pairs, star.tied, strict=True):
        for row, tie in zip(pair.rows, ties, strict=True):
            together.setdefault(sets.root(number[tie]), {})[row] = None
    for members in together.values():
        looks.find_middle(list(members))
    return StarVerdicts(list(looks.said.values()), looks.failed)


class _Looks:
    """The comparisons of one star, none of which is made twice."""

    def __init__(self, star: Star) -> None:
        self._pairs = {pair.rows: pair for pair in star.pairs}
        self.said: dict[Pair, tuple[FilePair, Verdict]] = {}
        self.failed: list[FilePair] = []

    def same(self, a: int, b: int) -> bool:
        """Return whether two pictures (rows) are the same; not if they are no candidates."""
        rows = (min(a, b), max(a, b))
        if rows in self._pairs:
            pair = self._pairs.pop(rows)
            try:
                self.said[rows] = pair, compare_files(pair)
            except Unreadable:
                self.failed.append(pair)
        return rows in self.said and self.said[rows][1].same

    def find_middle(self, members: list[int]) -> None:
        """Compare until a picture is found that all others of a group are the same as.

        Who is refused by the middle decides who might be a better one.
        """
        count = Counter(row for rows, (_, it) in self.said.items() if it.same for row in rows)
        middle = max(members, key=lambda row: count[row])
        refused = [row for row in members if row != middle and self._refused(middle, row)]
        for other in members if refused else ():
            first = [*refused, *(row for row in members if row not in refused)]
            if other != middle and all(self.same(other, row) for row in first if row != other):
                break

    def _refused(self, a: int, b: int) -> bool:
        said = self.said.get((min(a, b), max(a, b)))
        return said is not None and not said[1].same


class Comparisons:
    """The pairs that are still to be compared, given what is known to be the same.

    `order` are the samples (rows) of `open_` pairs, the best middles first; `same` are pairs, too.
    """

    def __init__(
        self, order: Sequence[int], open_: Collection[Pair], same: Collection[Pair]
    ) -> None:
        self._order = order
        self._sets = DisjointSets()
        self._place = place = {row: self._sets.add() for row in order}
        for pair in same:
            for row in pair:
                if row not in place:
                    place[row] = self._sets.add()
            self.tie(*pair)
        ends = np.array([(place[a], place[b]) for a, b in open_], np.int64).reshape(-1, 2)
        self._ends = np.unique(np.sort(ends, axis=1), axis=0)

    def tie(self, a: int, b: int) -> None:
        """Note that two samples (rows) are the same."""
        self._sets.join(self._place[a], self._place[b])

    def tied(self, a: int, b: int) -> bool:
        """Return whether two samples (rows) are the same, be it by way of others."""
        return self._sets.root(self._place[a]) == self._sets.root(self._place[b])

    def group(self, row: int) -> int:
        """Return the number of the set that a sample (row) is in."""
        return self._sets.root(self._place[row])

    def next_round(self) -> list[list[Pair]]:
        """Return pairs (rows, a < b), star by star, those of the middle first; [] at the end.

        No picture is in two stars. What is noted by `tie` meanwhile counts from the next one on.
        """
        due = self._untied()
        begun = np.zeros(len(due), np.bool_)
        stars = []
        for numbers in _stars(due):
            begun[numbers] = True
            rows = [(self._order[a], self._order[b]) for a, b in due[numbers].tolist()]
            stars.append([(min(pair), max(pair)) for pair in rows])
        self._ends = due[~begun]
        return stars

    def _untied(self) -> Places:
        ends = self._ends
        if not len(ends):
            return ends
        used, where = np.unique(ends, return_inverse=True)
        roots = np.array([self._sets.root(one) for one in used.tolist()], np.int64)
        sides = roots[where].reshape(ends.shape)
        apart: Places = ends[sides[:, 0] != sides[:, 1]]
        return apart


def _stars(ends: Places) -> Iterator[list[int]]:
    """Yield positions in `ends` of the pairs of each star; smaller numbers are better middles."""
    beside: dict[int, list[tuple[int, int]]] = {}
    for number, (a, b) in enumerate(ends.tolist()):
        beside.setdefault(a, []).append((b, number))
        beside.setdefault(b, []).append((a, number))
    taken: set[int] = set()
    for middle in sorted(beside):
        if middle in taken:
            continue
        free = [one for one, _ in sorted(beside[middle]) if one not in taken]
        members = {middle, *free[: MOST - 1]}
        taken |= members
        found = {
            (middle not in (one, other), min(one, other), max(one, other)): number
            for one in members
            for other, number in beside[one]
            if other in members
        }
        if found:
            yield [found[key] for key in sorted(found)]
