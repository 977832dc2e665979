"""Counts of the window: splits and predictions of each class."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gleanset.db.proposals import count_proposals_by_tenth
from gleanset.db.statistics import Statistics
from gleanset.records import SPLITS
from labeler.sorting.page_layout import TENTHS
from labeler.sorting.session import SortingSession


class LabelStatistics(NamedTuple):
    """Samples of each class in each split, and a histogram of prediction confidences.

    `proposed` has ten counts for each class: queued samples that the latest prelabeling predicts
    with a confidence of 0-10 %, 10-20 % … 90-100 %.
    """

    counts_by_split: dict[str, dict[str, int]]
    proposed: Mapping[str, tuple[int, ...]] = MappingProxyType({})


def get_label_statistics(session: SortingSession) -> LabelStatistics:
    """Count the samples of a session's dataset."""
    dataset = session.dataset
    counts_by_split: dict[str, dict[str, int]] = {}
    for label, by_split in Statistics(dataset.db).count_labelled().items():
        del by_split[""]
        if by_split:
            counts_by_split[label] = dict.fromkeys(SPLITS, 0) | by_split
    tenths = count_proposals_by_tenth(dataset.db)
    proposed = {
        dataset.classes.get_name(row): tuple(counts.get(tenth, 0) for tenth in range(TENTHS))
        for row, counts in tenths.items()
    }
    return LabelStatistics(counts_by_split, proposed)
