"""Allocating groups to parts so that each class comes close to its shares.

A greedy pass places the largest groups first, each where its classes lack most. A local search then
moves and exchanges groups while that reduces the sum of squared deviations over classes and parts
(ties: over whole parts). Groups with equal class counts are interchangeable, so the search works on
kinds of groups.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

T = TypeVar("T")


def shuffle_key(seed: int, key: str) -> str:
    """Return a sort key for a shuffled order that depends on the seed."""
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()


def spread_groups(ordered: Iterable[T], group_of: Callable[[T], str]) -> list[T]:
    """Move the first item of each group before the second items, and so on; otherwise stable."""
    counts: Counter[str] = Counter()
    ranks: list[tuple[int, int, T]] = []
    for position, item in enumerate(ordered):
        group = group_of(item)
        ranks.append((counts[group], position, item))
        counts[group] += 1
    return [item for *_, item in sorted(ranks, key=lambda rank: rank[:2])]


# The sizes of whole parts only break ties between classes.
_TIE_WEIGHT = 1e-6
_MIN_GAIN = 1e-9
# With more kinds of groups in a class, only single groups are exchanged.
_MAX_KINDS_FOR_PAIRS = 7
# Of more kinds, only the smallest are exchanged, because they close the last gap.
_MAX_KINDS = 30

Sizes = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class PlaceableGroup:
    """A group to place, with its class counts and the parts (indices) it may go to."""

    key: str
    sizes: Sizes
    parts: tuple[int, ...]

    @property
    def weight(self) -> int:
        """How many samples it has."""
        return sum(number for _, number in self.sizes)


@dataclass
class PartTable:
    """Target and current samples of each class (key) in each part (index)."""

    want: Mapping[str, Sequence[float]]
    have: dict[str, list[int]] = field(default_factory=dict)
    _excess: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts = len(next(iter(self.want.values())))
        self._excess = [-sum(row[part] for row in self.want.values()) for part in range(parts)]
        for label in self.want:
            self.have.setdefault(label, [0] * parts)
            for part, number in enumerate(self.have[label]):
                self._excess[part] += number

    def add(self, sizes: Sizes, part: int, times: int = 1) -> None:
        """Add a group to a part, or remove it with `times=-1`."""
        for label, number in sizes:
            self.have[label][part] += times * number
            self._excess[part] += times * number

    def cost(self, change: Mapping[str, int], part: int) -> float:
        """Return the increase of squared deviation for a change of the class counts of a part."""
        total = sum(change.values())
        cost = _TIE_WEIGHT * total * (2 * self._excess[part] + total)
        for label, number in change.items():
            excess = self.have[label][part] - self.want[label][part]
            cost += number * (2 * excess + number)
        return cost


def allocate(items: Sequence[PlaceableGroup], table: PartTable, seed: int) -> dict[str, int]:
    """Return the part (index) of each group; `table` has the groups placed before and is updated.

    The result does not depend on the order of items.
    """
    shuffled = {item.key: shuffle_key(seed, item.key) for item in items}
    kinds: dict[tuple[Sizes, tuple[int, ...]], dict[int, list[str]]] = {}
    for item in sorted(items, key=lambda item: (-item.weight, shuffled[item.key])):
        change = dict(item.sizes)
        # Ties go to the later part, because a class without test samples cannot be evaluated.
        part = min(item.parts, key=lambda p: (round(table.cost(change, p), 9), -p * (p > 0)))
        table.add(item.sizes, part)
        kinds.setdefault((item.sizes, item.parts), {}).setdefault(part, []).append(item.key)
    _LocalSearch(table, kinds).run()
    return {key: part for rows in kinds.values() for part, keys in rows.items() for key in keys}


class _LocalSearch:
    def __init__(
        self, table: PartTable, kinds: dict[tuple[Sizes, tuple[int, ...]], dict[int, list[str]]]
    ) -> None:
        self._table = table
        self._kinds = list(kinds.items())
        self._kinds_of_class: dict[str, list[int]] = defaultdict(list)
        for number, ((sizes, _), _) in enumerate(self._kinds):
            for label, _ in sizes:
                self._kinds_of_class[label].append(number)

    def run(self) -> None:
        """Improve class by class, and again the classes that share a changed group."""
        pending = sorted(self._kinds_of_class)
        while pending:
            label, changed = pending.pop(), set[str]()
            while touched := self._improve(self._kinds_of_class[label]):
                changed |= touched
            pending += sorted(changed - {label} - set(pending))

    def _improve(self, numbers: list[int]) -> set[str]:
        """Make the best exchange of up to two groups of these kinds between two parts.

        Return the classes that changed.
        """
        numbers = numbers[-_MAX_KINDS:]  # sorted from the largest to the smallest
        subsets = list(_subsets(numbers, 2 if len(numbers) <= _MAX_KINDS_FOR_PAIRS else 1))
        parts = range(len(next(iter(self._table.want.values()))))
        best, min_cost = None, -_MIN_GAIN
        for a, b in ((a, b) for a in parts for b in parts if a != b):
            movable = [subset for subset in subsets if self._can_move(subset, a, b)]
            returnable = [s for s in subsets if self._can_move(s, b, a)] if a < b else []
            for out, into in product(movable, [(), *returnable]):
                cost = self._cost(out, into, a, b)
                if cost < min_cost:
                    best, min_cost = (out, into, a, b), cost
        return self._exchange(*best) if best else set()

    def _can_move(self, subset: tuple[int, ...], a: int, b: int) -> bool:
        """Return whether part `a` has these groups and all of them may go to `b`."""
        return all(
            len(self._kinds[number][1].get(a, ())) >= count and b in self._kinds[number][0][1]
            for number, count in Counter(subset).items()
        )

    def _cost(self, out: tuple[int, ...], into: tuple[int, ...], a: int, b: int) -> float:
        change: Counter[str] = Counter()
        for subset, sign in ((out, 1), (into, -1)):
            for number in subset:
                for label, count in self._kinds[number][0][0]:
                    change[label] += sign * count
        reverse = {label: -count for label, count in change.items()}
        return self._table.cost(change, b) + self._table.cost(reverse, a)

    def _exchange(self, out: tuple[int, ...], into: tuple[int, ...], a: int, b: int) -> set[str]:
        touched = set()
        for subset, source, target in ((out, a, b), (into, b, a)):
            for number in subset:
                (sizes, _), rows = self._kinds[number]
                self._table.add(sizes, source, -1)
                self._table.add(sizes, target)
                rows.setdefault(target, []).append(rows[source].pop())
                touched |= {label for label, _ in sizes}
        return touched


def _subsets(numbers: list[int], max_size: int) -> Iterator[tuple[int, ...]]:
    for position, number in enumerate(numbers):
        yield (number,)
        if max_size > 1:
            yield from ((number, other) for other in numbers[position:])
