"""Counts of the window: the splits of each class."""

from __future__ import annotations

from gleanset.db.statistics import Statistics
from gleanset.records import SPLITS
from labeler.sorting.session import SortingSession

SplitCounts = dict[str, dict[str, int]]
"""The number of samples of each class in each split."""


def count_by_split(session: SortingSession) -> SplitCounts:
    """Count the samples of a session's dataset that have a split."""
    counts: SplitCounts = {}
    for label, by_split in Statistics(session.dataset.db).count_labelled().items():
        del by_split[""]
        if by_split:
            counts[label] = dict.fromkeys(SPLITS, 0) | by_split
    return counts
