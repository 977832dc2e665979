"""Allocation of moments to parts: every class comes as near to its shares as whole moments allow.

First the largest moments, each where its classes lack most; then moments are moved and
exchanged as long as that brings the classes closer (sum of squared deviations over classes and
parts; of equals the one whose parts as wholes are closer). Moments of the same make are
interchangeable, so the second step looks at kinds of moments and not at each of them.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

T = TypeVar("T")


def seeded(seed: int, key: str) -> str:
    """Return what to sort by for an order that a seed decides."""
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()


def one_per_moment_first(ordered: Iterable[T], moment: Callable[[T], str]) -> list[T]:
    """Bring one item of each moment before any has two; beyond that the order stays."""
    seen: Counter[str] = Counter()
    turns: list[tuple[int, int, T]] = []
    for place, item in enumerate(ordered):
        name = moment(item)
        turns.append((seen[name], place, item))
        seen[name] += 1
    return [item for *_, item in sorted(turns, key=lambda turn: turn[:2])]


# Class by class counts first; how large the parts are as wholes only settles ties.
_WHOLE = 1e-6
_LEAST_GAIN = 1e-9
# Beyond so many kinds of moments in a class exchanging one for one is close enough.
_FEW_KINDS = 7
# Of more kinds than this the smallest do: they are what closes the last gap.
_MANY_KINDS = 30

Sizes = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class MomentSizes:
    """A moment to place: how many of each class it has, and the parts (indices) open to it."""

    key: str
    sizes: Sizes
    parts: tuple[int, ...]

    @property
    def weight(self) -> int:
        """How many samples it has."""
        return sum(number for _, number in self.sizes)


@dataclass
class PartTable:
    """How many of each class every part has and should have; `have` grows as items are placed."""

    want: Mapping[str, Sequence[float]]
    have: dict[str, list[int]] = field(default_factory=dict)
    _whole: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts = len(next(iter(self.want.values())))
        self._whole = [-sum(row[part] for row in self.want.values()) for part in range(parts)]
        for label in self.want:
            self.have.setdefault(label, [0] * parts)
            for part, number in enumerate(self.have[label]):
                self._whole[part] += number

    def put(self, sizes: Sizes, part: int, times: int = 1) -> None:
        """Place an item, or with -1 take it away."""
        for label, number in sizes:
            self.have[label][part] += times * number
            self._whole[part] += times * number

    def cost(self, change: Mapping[str, int], part: int) -> float:
        """Return how much further from its share a part gets with so many more of each class."""
        total = sum(change.values())
        found = _WHOLE * total * (2 * self._whole[part] + total)
        for label, number in change.items():
            missing = self.have[label][part] - self.want[label][part]
            found += number * (2 * missing + number)
        return found


def allocate(items: Sequence[MomentSizes], table: PartTable, seed: int) -> dict[str, int]:
    """Return the part (index) of each moment; `table` has what is placed already, and is updated.

    The same for the same items in any order.
    """
    shuffled = {item.key: seeded(seed, item.key) for item in items}
    kinds: dict[tuple[Sizes, tuple[int, ...]], dict[int, list[str]]] = {}
    for item in sorted(items, key=lambda item: (-item.weight, shuffled[item.key])):
        change = dict(item.sizes)
        # Of equally needy ones the later part: a class without test cannot be judged.
        part = min(item.parts, key=lambda p: (round(table.cost(change, p), 9), -p * (p > 0)))
        table.put(item.sizes, part)
        kinds.setdefault((item.sizes, item.parts), {}).setdefault(part, []).append(item.key)
    _LocalSearch(table, kinds).run()
    return {key: part for rows in kinds.values() for part, keys in rows.items() for key in keys}


class _LocalSearch:
    def __init__(
        self, table: PartTable, kinds: dict[tuple[Sizes, tuple[int, ...]], dict[int, list[str]]]
    ) -> None:
        self._table = table
        self._kinds = list(kinds.items())
        self._of_class: dict[str, list[int]] = defaultdict(list)
        for number, ((sizes, _), _) in enumerate(self._kinds):
            for label, _ in sizes:
                self._of_class[label].append(number)

    def run(self) -> None:
        """Class by class, again while a class changed something that another one shares."""
        waiting = sorted(self._of_class)
        while waiting:
            label, changed = waiting.pop(), set[str]()
            while touched := self._improve(self._of_class[label]):
                changed |= touched
            waiting += sorted(changed - {label} - set(waiting))

    def _improve(self, numbers: list[int]) -> set[str]:
        """Make the best exchange among these kinds; the classes it touched, none if there is none.

        An exchange takes a handful of moments from one part to another and a handful back.
        """
        numbers = numbers[-_MANY_KINDS:]  # they come from the largest to the smallest
        handfuls = list(_handfuls(numbers, 2 if len(numbers) <= _FEW_KINDS else 1))
        parts = range(len(next(iter(self._table.want.values()))))
        best, least = None, -_LEAST_GAIN
        for a, b in ((a, b) for a in parts for b in parts if a != b):
            there = [h for h in handfuls if self._has(h, a, b)]
            back = [h for h in handfuls if self._has(h, b, a)] if a < b else []
            for out, into in product(there, [(), *back]):
                gain = self._gain(out, into, a, b)
                if gain < least:
                    best, least = (out, into, a, b), gain
        return self._carry_out(*best) if best else set()

    def _has(self, handful: tuple[int, ...], a: int, b: int) -> bool:
        """Return whether part `a` holds these, and all of them may go to `b`."""
        return all(
            len(self._kinds[number][1].get(a, ())) >= count and b in self._kinds[number][0][1]
            for number, count in Counter(handful).items()
        )

    def _gain(self, out: tuple[int, ...], into: tuple[int, ...], a: int, b: int) -> float:
        change: Counter[str] = Counter()
        for handful, sign in ((out, 1), (into, -1)):
            for number in handful:
                for label, count in self._kinds[number][0][0]:
                    change[label] += sign * count
        less = {label: -count for label, count in change.items()}
        return self._table.cost(change, b) + self._table.cost(less, a)

    def _carry_out(self, out: tuple[int, ...], into: tuple[int, ...], a: int, b: int) -> set[str]:
        touched = set()
        for handful, source, target in ((out, a, b), (into, b, a)):
            for number in handful:
                (sizes, _), rows = self._kinds[number]
                self._table.put(sizes, source, -1)
                self._table.put(sizes, target)
                rows.setdefault(target, []).append(rows[source].pop())
                touched |= {label for label, _ in sizes}
        return touched


def _handfuls(numbers: list[int], most: int) -> Iterator[tuple[int, ...]]:
    for place, number in enumerate(numbers):
        yield (number,)
        if most > 1:
            yield from ((number, other) for other in numbers[place:])
