"""Allocating groups to parts so that each class comes close to its shares.

A greedy pass places the largest groups first, each where its classes lack most. A local search then
moves and exchanges groups while that reduces the sum of squared deviations over classes and parts
(ties: over whole parts). Groups with equal class counts are interchangeable, so the search works on
kinds of groups.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product
from typing import NamedTuple

# The sizes of whole parts only break ties between classes.
_TIE_WEIGHT = 1e-6
_MIN_GAIN = 1e-9
# With more kinds of groups in a class, only single groups are exchanged.
_MAX_KINDS_FOR_PAIRS = 7
# Of more kinds, only the smallest are exchanged, because they close the last gap.
_MAX_KINDS = 30

Sizes = tuple[tuple[str, int], ...]


class PlaceableGroup(NamedTuple):
    """A group to place, with its class counts and the parts (indices) it may go to."""

    key: str
    sizes: Sizes
    parts: tuple[int, ...]


class PartTable:
    """Target and current samples of each class (key) in each part (index)."""

    def __init__(self, want: Mapping[str, Sequence[float]]):
        self.want = want
        self._excess: list[float] = [
            -sum(targets) for targets in zip(*want.values(), strict=True)
        ]
        self.have = {label: [0] * len(self._excess) for label in want}

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


@dataclass
class _Kind:
    """Interchangeable groups: the keys of those in each part."""

    sizes: Sizes
    parts: tuple[int, ...]
    keys: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))


def allocate(
    items: Sequence[PlaceableGroup], table: PartTable, seed: int
) -> dict[str, int]:
    """Return the part (index) of each group; `table` has the groups placed before and is updated.

    The result does not depend on the order of items.
    """

    def rank(item: PlaceableGroup) -> tuple[int, str]:
        shuffled = hashlib.sha256(f"{seed}:{item.key}".encode()).hexdigest()
        return -sum(number for _, number in item.sizes), shuffled

    kinds: dict[tuple[Sizes, tuple[int, ...]], _Kind] = {}
    for item in sorted(items, key=rank):
        change = dict(item.sizes)
        # Ties go to the later part, because a class without test samples cannot be evaluated.
        part = min(
            item.parts, key=lambda p: (round(table.cost(change, p), 9), -p * (p > 0))
        )
        table.add(item.sizes, part)
        kind = kinds.setdefault((item.sizes, item.parts), _Kind(item.sizes, item.parts))
        kind.keys[part].append(item.key)
    _exchange_groups(list(kinds.values()), table)
    rows = (row for kind in kinds.values() for row in kind.keys.items())
    return {key: part for part, keys in rows for key in keys}


def _exchange_groups(kinds: Sequence[_Kind], table: PartTable) -> None:
    """Improve class by class, and again the classes that share a changed group."""
    kinds_of_class: dict[str, list[_Kind]] = defaultdict(list)
    for kind in kinds:
        for label, _ in kind.sizes:
            kinds_of_class[label].append(kind)
    pending = sorted(kinds_of_class)
    while pending:
        label = pending.pop()
        changed = set[str]()
        # Kinds are sorted from the largest to the smallest.
        while moves := _find_best_exchange(kinds_of_class[label][-_MAX_KINDS:], table):
            for kind, source, target in moves:
                table.add(kind.sizes, source, -1)
                table.add(kind.sizes, target)
                kind.keys[target].append(kind.keys[source].pop())
                changed |= dict(kind.sizes).keys()
        pending += sorted(changed - {label} - set(pending))


def _find_best_exchange(
    kinds: Sequence[_Kind], table: PartTable
) -> list[tuple[_Kind, int, int]] | None:
    """Return the best moves (kind, from, to) of up to two groups each way between two parts."""
    subsets: list[tuple[_Kind, ...]] = []
    for position, kind in enumerate(kinds):
        others = kinds[position:] if len(kinds) <= _MAX_KINDS_FOR_PAIRS else ()
        subsets += [(kind,), *((kind, other) for other in others)]

    def list_movable(a: int, b: int) -> list[tuple[_Kind, ...]]:
        return [
            subset
            for subset in subsets
            if all(b in k.parts and len(k.keys[a]) >= subset.count(k) for k in subset)
        ]

    best = None
    min_cost = -_MIN_GAIN
    for a, b in permutations(range(len(next(iter(table.want.values())))), 2):
        returnable = list_movable(b, a) if a < b else []
        for out, into in product(list_movable(a, b), [(), *returnable]):
            change: Counter[str] = Counter()
            for kind in out:
                change.update(dict(kind.sizes))
            for kind in into:
                change.subtract(dict(kind.sizes))
            reverse = {label: -number for label, number in change.items()}
            cost = table.cost(change, b) + table.cost(reverse, a)
            if cost < min_cost:
                best = [*((k, a, b) for k in out), *((k, b, a) for k in into)]
                min_cost = cost
    return best
