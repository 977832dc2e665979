"""Measuring samples that have no descriptor yet, a few at a time, so that they can be compared.

Very many are measured in a process of its own: Python's lock would keep a window waiting.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice

from gleanset import Dataset
from gleanset.db.regions import PixelMeasures, QualityMeasures, SampleRegion
from gleanset.errors import Unreadable
from gleanset.work.pool import Processes, run_over
from labeler.quality.due import VERSION, DueSample, due_samples

A_FEW = 16
POOL = 3000
"""So many samples are looked at for one page, and measured before all others."""
ON_THIS_THREAD = 400
"""Up to so many are measured at once on the thread that asks: a process begins no sooner."""

_Measured = list[tuple[SampleRegion, PixelMeasures]]


def count_unmeasured(dataset: Dataset) -> int:
    """Return how many samples have no descriptor of their present region."""
    return QualityMeasures(dataset.db).count_missing(VERSION)


def measured_by_parts(dataset: Dataset) -> Generator[int, None, None]:
    """Measure what has no descriptor, a fair sample of it first; yield how many after each few.

    What cannot be read is passed over, and tried again by the next run. Who has enough closes it.
    """
    qualities = QualityMeasures(dataset.db)
    number = count_unmeasured(dataset)
    due = _parts(dataset, chain.from_iterable(qualities.iter_missing(VERSION, POOL)))
    for some, found in _here(due) if number <= ON_THIS_THREAD else _apart(due):
        qualities.save(found, VERSION)
        yield some


def _parts(dataset: Dataset, rows: Iterable[int]) -> Iterator[list[DueSample]]:
    left = iter(rows)
    while some := list(islice(left, A_FEW)):
        yield list(due_samples(dataset, some))


def _here(due: Iterable[list[DueSample]]) -> Iterator[tuple[int, _Measured]]:
    for some in due:
        yield len(some), measure_readable(some)


def _apart(due: Iterable[list[DueSample]]) -> Iterator[tuple[int, _Measured]]:
    for outcome in run_over(measure_readable, due, Processes(1)):
        yield len(outcome.item), outcome.result or []


def measure_readable(some: Sequence[DueSample]) -> _Measured:
    """Return the measures of those samples that can be read, in whatever process."""
    # OpenCV and the measures take a while to load: nobody waits for them at the start.
    from labeler.quality.assessment import measure_sample

    found = []
    for due in some:
        with suppress(Unreadable):
            found.append((due.seen, measure_sample(due)))
    return found
