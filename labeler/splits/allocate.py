"""Placing groups into parts so that each class comes close to its shares.

A greedy pass places the largest groups first, each where its classes lack most. A local search then
moves and exchanges groups while that reduces the sum of squared deviations over classes and parts
(ties: over whole parts). Groups with equal class counts are interchangeable, so the search works on
kinds of groups.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from itertools import permutations, product
from typing import NamedTuple

from gleanset.records import SPLITS
from labeler.splits.split_spec import SplitSpec

_TIE_WEIGHT = 1e-6
"""Weight of the sizes of whole parts, which only break ties between classes."""
_MIN_GAIN = 1e-9
_MAX_KINDS_FOR_PAIRS = 7
"""With more kinds of groups in a class, only single groups are exchanged."""
_MAX_KINDS = 30
"""Of more kinds, only the smallest are exchanged, because they close the last gap."""

Sizes = tuple[tuple[str, int], ...]
"""Classes of a group with their numbers of samples."""


class PlaceableGroup(NamedTuple):
    """A group to place, with its class counts and the parts (indices) it may go to."""

    key: str
    sizes: Sizes
    parts: tuple[int, ...]


class PartTable:
    """Target and current samples of each class (key) in each part (index)."""

    def __init__(self, targets: Mapping[str, Sequence[float]]):
        self.targets = targets
        # Of each part: its samples, none yet, minus the sum of its targets.
        by_part = zip(*targets.values(), strict=True)
        self._excess: list[float] = [-sum(part_targets) for part_targets in by_part]
        self.part_count = len(self._excess)
        self.sizes = {label: [0] * self.part_count for label in targets}

    def add(self, sizes: Sizes, part: int, times: int = 1) -> None:
        """Add a group to a part, or remove it with `times=-1`."""
        for label, number in sizes:
            self.sizes[label][part] += times * number
            self._excess[part] += times * number

    def cost(self, change: Mapping[str, int], part: int) -> float:
        """Return the increase of squared deviation for a change of the class counts of a part.

        With an excess e of a class and n more samples it is (e + n)^2 - e^2 = n (2 e + n).
        """
        total = sum(change.values())
        cost = _TIE_WEIGHT * total * (2 * self._excess[part] + total)
        for label, number in change.items():
            excess = self.sizes[label][part] - self.targets[label][part]
            cost += number * (2 * excess + number)
        return cost


class _Kind(NamedTuple):
    """Interchangeable groups, with equal sizes and parts: `keys` has those in each part."""

    sizes: Sizes
    parts: tuple[int, ...]
    keys: dict[int, list[str]]


class _Move(NamedTuple):
    """One group of a kind that goes from a part to another one."""

    kind: _Kind
    source: int
    target: int


def allocate(
    items: Sequence[PlaceableGroup], table: PartTable, seed: int
) -> dict[str, int]:
    """Return the part (index) of each group; `table` has the groups placed before and is updated.

    The result does not depend on the order of items.
    """

    def rank(item: PlaceableGroup) -> tuple[int, str]:
        # The largest first; those of one size in a random order, the same for each seed.
        digest = hashlib.sha256(f"{seed}:{item.key}".encode()).hexdigest()
        return -sum(number for _, number in item.sizes), digest

    kinds: dict[tuple[Sizes, tuple[int, ...]], _Kind] = {}
    for item in sorted(items, key=rank):
        part = _choose_part(item, table)
        table.add(item.sizes, part)
        new_kind = _Kind(item.sizes, item.parts, defaultdict(list))
        kind = kinds.setdefault((item.sizes, item.parts), new_kind)
        kind.keys[part].append(item.key)

    # Moves keys between the parts of `kind.keys`.
    _exchange_groups(list(kinds.values()), table)
    parts_by_key: dict[str, int] = {}
    for kind in kinds.values():
        for part, keys in kind.keys.items():
            parts_by_key |= dict.fromkeys(keys, part)
    return parts_by_key


def _choose_part(item: PlaceableGroup, table: PartTable) -> int:
    """Return the part in which a group costs least."""
    change = dict(item.sizes)

    def cost(part: int) -> tuple[float, int]:
        # Ties go to the later part, because a class without test samples cannot be evaluated.
        return round(table.cost(change, part), 9), -part

    return min(item.parts, key=cost)


def _exchange_groups(kinds: Sequence[_Kind], table: PartTable) -> None:
    """Improve class by class, and again the classes that share a changed group.

    Changes `table`, and in which part the groups of `kinds` are.
    """
    kinds_of_class: dict[str, list[_Kind]] = defaultdict(list)
    for kind in kinds:
        for label, _ in kind.sizes:
            kinds_of_class[label].append(kind)

    # It ends, because each exchange reduces the cost by `_MIN_GAIN` or more.
    pending = sorted(kinds_of_class)
    while pending:
        label = pending.pop()
        changed_labels = set[str]()
        # Kinds are sorted from the largest to the smallest.
        while moves := _find_best_exchange(kinds_of_class[label][-_MAX_KINDS:], table):
            for kind, source, target in moves:
                table.add(kind.sizes, source, -1)
                table.add(kind.sizes, target)
                kind.keys[target].append(kind.keys[source].pop())
                changed_labels |= dict(kind.sizes).keys()

        pending += sorted(changed_labels - {label} - set(pending))


def _find_best_exchange(kinds: Sequence[_Kind], table: PartTable) -> list[_Move]:
    """Return the best moves of up to two groups each way between two parts; none if none helps."""
    # One group alone misses the best split in 12 of 300 small sets (docs/experiments.md).
    subsets: list[tuple[_Kind, ...]] = []
    for position, kind in enumerate(kinds):
        subsets.append((kind,))
        if len(kinds) <= _MAX_KINDS_FOR_PAIRS:
            subsets += [(kind, other) for other in kinds[position:]]

    best_moves = []
    best_cost = -_MIN_GAIN
    for a, b in permutations(range(table.part_count), 2):
        # Groups go from a to b, and nothing or other groups come back. Both orders of two parts
        # are tried for moves, but for exchanges only a < b: the other order has the same ones.
        back_subsets: list[tuple[_Kind, ...]] = [()]
        if a < b:
            back_subsets += _list_movable(subsets, b, a)

        for out, back in product(_list_movable(subsets, a, b), back_subsets):
            cost = _exchange_cost(table, out, back, a, b)
            if cost < best_cost:
                best_cost = cost
                best_moves = [_Move(kind, a, b) for kind in out]
                best_moves += [_Move(kind, b, a) for kind in back]
    return best_moves


def _list_movable(
    subsets: Sequence[tuple[_Kind, ...]], source: int, target: int
) -> list[tuple[_Kind, ...]]:
    """Return the subsets that have their groups in `source` and may go to `target`."""

    def is_movable(subset: tuple[_Kind, ...]) -> bool:
        # A subset may have two groups of one kind.
        return all(
            target in kind.parts and len(kind.keys[source]) >= subset.count(kind)
            for kind in subset
        )

    return list(filter(is_movable, subsets))


def _exchange_cost(
    table: PartTable, out: Sequence[_Kind], back: Sequence[_Kind], a: int, b: int
) -> float:
    """Return the cost of moving groups `out` of part a into b, and others `back`.

    Negative if the parts come closer to their targets.
    """
    change = Counter[str]()
    for kind in out:
        change.update(dict(kind.sizes))
    for kind in back:
        change.subtract(dict(kind.sizes))
    reverse = {label: -number for label, number in change.items()}
    return table.cost(change, b) + table.cost(reverse, a)


GroupSizes = Mapping[str, Counter[str]]
"""Samples of each class in each group (key)."""

REMAINDER: tuple[str, ...] = ("train", "val")
"""The parts of all samples that are not in test."""


def place_groups(
    sizes: GroupSizes,
    spec: SplitSpec,
    only_train: Collection[str],
    parts_by_key: dict[str, str],
) -> None:
    """Place the groups that are not in `parts_by_key`, and add them to it.

    Groups (keys) in `only_train` go into train.
    """
    parts: tuple[str, ...] = SPLITS
    shares = spec.shares
    per_class = spec.settings.test_per_class
    if per_class is not None:
        # First: a compromise with the shares of train and val would change its size.
        _place_test(sizes, spec, per_class, only_train, parts_by_key)
        sizes = {
            key: counts
            for key, counts in sizes.items()
            if parts_by_key.get(key) != "test"
        }
        parts = REMAINDER
        shares = divide_remainder(spec)

    targets = {
        label: tuple(float(size * share) for share in shares)
        for label, size in sorted(count_classes(sizes).items())
    }
    _allocate_parts(
        sizes,
        parts,
        targets,
        only_train,
        parts_by_key,
        spec.settings.seed,
    )


def count_classes(sizes: GroupSizes) -> Counter[str]:
    """Return the number of samples in each class."""
    return sum(sizes.values(), Counter[str]())


def divide_remainder(spec: SplitSpec) -> tuple[Fraction, ...]:
    """Return the shares of train and val in what is not in test."""
    train, val, _ = spec.shares
    return train / (train + val), val / (train + val)


def _place_test(
    sizes: GroupSizes,
    spec: SplitSpec,
    per_class: int,
    only_train: Collection[str],
    parts_by_key: dict[str, str],
) -> None:
    """Place groups into test until each class has `per_class` samples there.

    Classes that are too small for it get their share. Adds the groups to `parts_by_key`.
    """
    targets = {}  # of all others, and of test
    for label, size in sorted(count_classes(sizes).items()):
        number = float(size * spec.shares[2]) if size <= per_class else per_class
        targets[label] = size - number, number

    # The same allocation with two parts: test, and all others.
    halves = {
        key: "test" if part == "test" else "other" for key, part in parts_by_key.items()
    }
    _allocate_parts(
        sizes,
        ("other", "test"),
        targets,
        only_train,
        halves,
        spec.settings.seed,
    )

    for label in targets:
        keys = [key for key, counts in sizes.items() if label in counts]
        free_keys = [key for key in keys if key not in parts_by_key]
        if free_keys and all(halves[key] == "test" for key in keys):
            # Nothing is left to train on: the smallest group returns.
            smallest = min(free_keys, key=lambda key: (sizes[key].total(), key))
            halves[smallest] = "other"

    parts_by_key.update((key, "test") for key, half in halves.items() if half == "test")


def _allocate_parts(
    sizes: GroupSizes,
    parts: Sequence[str],
    targets: Mapping[str, Sequence[float]],
    only_first: Collection[str],
    parts_by_key: dict[str, str],
    seed: int,
) -> None:
    """Place the groups that are not in `parts_by_key`, and add them to it.

    Groups (keys) in `only_first` go into the first part.
    """
    table = PartTable(targets)
    free_groups = []
    for key, counts in sizes.items():
        group_sizes = tuple(sorted(counts.items()))
        if key in parts_by_key:
            table.add(group_sizes, parts.index(parts_by_key[key]))
        elif group_sizes:
            part_count = 1 if key in only_first else len(parts)
            # Without a share of any of its classes, a part is not for this group.
            indices = tuple(
                index
                for index in range(part_count)
                if any(targets[label][index] > 0 for label in counts)
            )
            free_groups.append(PlaceableGroup(key, group_sizes, indices))

    for key, index in allocate(free_groups, table, seed).items():
        parts_by_key[key] = parts[index]
