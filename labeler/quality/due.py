"""Which samples are to be measured, and what is needed for that: without OpenCV, for who asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.duplicates import ImageHashes
from gleanset.db.regions import SampleRegion
from labeler.sample_pixels import SampleFile, sample_file

VERSION = 6
"""Counted up with any change of a measure: then all samples are measured again."""


class DueSample(NamedTuple):
    """A sample to be measured, and where its pixels are."""

    seen: SampleRegion
    file: SampleFile


def due_samples(dataset: Dataset, rows: Sequence[int]) -> Iterator[DueSample]:
    """Yield what is needed to measure some samples (rows)."""
    originals = dataset.originals(dataset.cache)
    for seen in ImageHashes(dataset.db).get_regions(rows).values():
        yield DueSample(seen, sample_file(seen, originals))
