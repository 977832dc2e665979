"""Stars: which candidates are looked at. Each picture is compared with the best one beside it.

Of fourteen copies of one picture thirteen comparisons tell what all ninety-one would: whoever is
the same as the middle is tied to whoever else is, and a pair whose ends are tied needs no look of
its own. A picture that the middle refuses is still compared with the others that it is a candidate
of. Middles are the pictures that lie near most others as a whole; of equals the best copy.
"""

from __future__ import annotations

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
    """The verdicts of the comparisons of a star; of a `failed` pair one picture cannot be read.

    The pairs that are in neither have their ends tied by others.
    """

    verdicts: list[tuple[FilePair, Verdict]]
    failed: list[FilePair]


def compare_star(star: Star) -> StarVerdicts:
    """Compare pairs whose ends no earlier one has tied, in a worker process."""
    verdicts, failed, sets = [], [], DisjointSets()
    number = {tie: sets.add() for ties in star.tied for tie in ties}
    for pair, (a, b) in zip(star.pairs, star.tied, strict=True):
        if sets.root(number[a]) == sets.root(number[b]):
            continue
        try:
            verdict = compare_files(pair)
        except Unreadable:
            failed.append(pair)
            continue
        verdicts.append((pair, verdict))
        if verdict.same:
            sets.join(number[a], number[b])
    return StarVerdicts(verdicts, failed)


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
        free = [place for place, _ in sorted(beside[middle]) if place not in taken]
        members = {middle, *free[: MOST - 1]}
        taken |= members
        numbers = {
            (middle not in (place, other), min(place, other), max(place, other)): number
            for place in members
            for other, number in beside[place]
            if other in members
        }
        if numbers:
            yield [numbers[key] for key in sorted(numbers)]
