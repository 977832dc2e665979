"""What the window counts: classes against their target, time spent, measured error rates."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from gleanset import Dataset
from gleanset.config import read_toml
from gleanset.db.proposals import proposed_by_tenths
from gleanset.db.statistics import Statistics
from gleanset.records import SPLITS
from gleanset.settings import FILE, Settings, write_settings
from labeler.sorting.checks import Checks, ErrorRate
from labeler.sorting.page_layout import TENTHS
from labeler.sorting.session import SortingSession


class Numbers(NamedTuple):
    """`target` samples are wanted of each class, 0 for no target. `kept` is the split in force.

    `proposed` are ten counts for each class: for how many samples that wait the newest presort
    proposes it with 0-10 %, 10-20 % … 90-100 %.
    """

    target: int
    rates: dict[str, ErrorRate]
    kept: dict[str, dict[str, int]]
    proposed: Mapping[str, tuple[int, ...]] = MappingProxyType({})


def numbers_of(session: SortingSession) -> Numbers:
    """Read them."""
    dataset = session.dataset
    kept: dict[str, dict[str, int]] = {}
    for label, by_split in Statistics(dataset.db).labelled().items():
        del by_split[""]
        if by_split:
            kept[label] = dict.fromkeys(SPLITS, 0) | by_split
    tenths = proposed_by_tenths(dataset.db)
    proposed = {
        dataset.classes.name_of(row): tuple(counts.get(tenth, 0) for tenth in range(TENTHS))
        for row, counts in tenths.items()
    }
    return Numbers(target_of(dataset), Checks(session).rates(), kept, proposed)


def target_of(dataset: Dataset) -> int:
    """Return how many samples are wanted of each class."""
    return read_toml(dataset.root / FILE, Settings).target


def set_target(dataset: Dataset, target: int) -> None:
    """Write it into `dataset.toml`; whatever else stands there stays."""
    settings = read_toml(dataset.root / FILE, Settings)
    if settings.target != target:
        write_settings(dataset.root, msgspec.structs.replace(settings, target=target))


def pace(samples: int, seconds: float) -> float:
    """Samples a minute; 0 while nothing was spent."""
    return 60 * samples / seconds if seconds >= 1 else 0.0
