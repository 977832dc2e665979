"""What the window counts: classes against their target, time spent, measured error rates."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from gleanset import Dataset
from gleanset.config import read_toml
from gleanset.settings import FILE, Settings, write_settings
from labeler.sorting.checks import Checks, ErrorRate
from labeler.sorting.session import SortingSession

PARTS = ("train", "val", "test")


class Numbers(NamedTuple):
    """`target` samples are wanted of each class, 0 for no target. `kept` is the split in force."""

    target: int
    rates: dict[str, ErrorRate]
    kept: dict[str, dict[str, int]]


def numbers_of(session: SortingSession) -> Numbers:
    """Read them."""
    dataset = session.dataset
    kept: dict[str, dict[str, int]] = {}
    for (label, split, status), count in dataset.samples.counts("label", "split", "status").items():
        if label is not None and split is not None and status == "labelled":
            kept.setdefault(label, dict.fromkeys(PARTS, 0))[split] = count
    return Numbers(target_of(dataset), Checks(session).rates(), kept)


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
