"""Descriptors of samples that have none yet, computed in small batches.

Many are measured in a process of their own, because Python's lock would block a window.
"""

from collections.abc import Generator, Sequence
from contextlib import suppress
from itertools import chain, islice

from gleanset import Dataset
from gleanset.db.regions import PixelMeasures, QualityMeasures, SampleRegion
from gleanset.errors import Unreadable
from gleanset.work.pool import Processes, run_over
from labeler.quality.due_samples import VERSION, DueSample, iter_due_samples

BATCH_SIZE = 16
POOL_SIZE = 3000
"""Samples considered for one page, which are measured before all others."""

MAX_IN_THREAD = 400
"""Up to this number the calling thread is faster than starting a process."""


def count_unmeasured(dataset: Dataset) -> int:
    """Return how many samples have no descriptor of their present region."""
    return QualityMeasures(dataset.db).count_missing(VERSION)


def measure_in_batches(dataset: Dataset) -> Generator[int, None, None]:
    """Measure samples without a descriptor, a fair sample first; yield the size of each batch.

    Unreadable samples are skipped and tried again by the next run.
    """
    qualities = QualityMeasures(dataset.db)
    rows = chain.from_iterable(qualities.iter_missing(VERSION, POOL_SIZE))
    # Parts of `BATCH_SIZE` rows, up to an empty one.
    parts = iter(lambda: list(islice(rows, BATCH_SIZE)), [])
    batches = (list(iter_due_samples(dataset, part)) for part in parts)
    if count_unmeasured(dataset) <= MAX_IN_THREAD:
        for batch in batches:
            qualities.save(measure_readable(batch), VERSION)
            yield len(batch)
        return

    for outcome in run_over(measure_readable, batches, Processes(1)):
        qualities.save(outcome.result or [], VERSION)
        yield len(outcome.item)


def measure_readable(
    batch: Sequence[DueSample],
) -> list[tuple[SampleRegion, PixelMeasures]]:
    """Return the measures of those samples that can be read."""
    # Imported here, because OpenCV is slow to load and not needed to start a window.
    from labeler.quality.assessment import measure_sample

    measures = []
    for sample in batch:
        with suppress(Unreadable):
            measures.append((sample.region, measure_sample(sample)))
    return measures
