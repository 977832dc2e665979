"""Placing groups into train, val and test so that classes come close to their shares."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

from gleanset.records import SPLITS
from labeler.splits.allocate import PartTable, PlaceableGroup, allocate
from labeler.splits.split_spec import SplitSpec

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
    """Place the groups that are not in `parts_by_key`, those of `only_train` into train."""
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
    _allocate_parts(sizes, parts, targets, only_train, parts_by_key, spec.settings.seed)


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

    Classes that are too small for it get their share.
    """
    targets: dict[str, tuple[float, ...]] = {}
    for label, size in sorted(count_classes(sizes).items()):
        is_too_small = size <= per_class
        number = float(size * spec.shares[2]) if is_too_small else per_class
        targets[label] = size - number, number

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
    """Place the groups that are not in `parts_by_key`, some only into the first part."""
    table = PartTable(targets)
    free_groups = []
    for key, counts in sizes.items():
        row = tuple(sorted(counts.items()))
        if key in parts_by_key:
            table.add(row, parts.index(parts_by_key[key]))
        elif row:
            allowed_parts = parts[:1] if key in only_first else parts
            # Without a share of any of its classes, a part is not for this group.
            numbers = tuple(
                number
                for number in range(len(allowed_parts))
                if any(targets[label][number] > 0 for label in counts)
            )
            free_groups.append(PlaceableGroup(key, row, numbers))

    for key, number in allocate(free_groups, table, seed).items():
        parts_by_key[key] = parts[number]
