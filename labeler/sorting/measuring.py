"""Measuring samples that have no descriptor yet, a few at a time, so that they can be compared."""

from __future__ import annotations

from contextlib import suppress

from gleanset import Dataset
from gleanset.db.measures import QualityMeasures
from gleanset.errors import Unreadable


def count_unmeasured(dataset: Dataset) -> int:
    """Return how many samples have no descriptor of their present region."""
    from labeler.quality.assessment import VERSION

    return QualityMeasures(dataset.db).count_missing(VERSION)


def measure_some(dataset: Dataset, most: int = 32, after: int = 0) -> int:
    """Measure a few samples after a row, on this thread; the last one looked at, 0 at the end.

    What cannot be read is passed over, and tried again by the next run.
    """
    # OpenCV and the measures take a while to load: nobody waits for them at the start.
    from labeler.quality.assessment import VERSION, due_samples, measure_sample

    qualities = QualityMeasures(dataset.db)
    page = next((p for p in qualities.missing(VERSION, after)), [])[:most]
    found = []
    for due in due_samples(dataset, page):
        with suppress(Unreadable):
            found.append((due.seen, measure_sample(due)))
    if found:
        qualities.put(found, VERSION)
    return page[-1] if page else 0
