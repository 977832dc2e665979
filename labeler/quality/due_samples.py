"""The samples to measure, without loading OpenCV."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gleanset import Dataset
from gleanset.db.duplicates import ImageHashes
from gleanset.db.regions import SampleRegion

if TYPE_CHECKING:
    from labeler.sample_pixels import SampleFile

VERSION = 6
"""Increment with any change of a measure: then all samples are measured again."""


class DueSample(NamedTuple):
    """A sample to measure, and where its pixels are."""

    region: SampleRegion
    file: "SampleFile"


def iter_due_samples(dataset: Dataset, rows: Sequence[int]) -> Iterator[DueSample]:
    """Yield samples (rows) to measure."""
    from labeler.sample_pixels import (
        get_sample_file,  # slow: not needed to start a window
    )

    originals = dataset.originals()
    for region in ImageHashes(dataset.db).get_regions(rows).values():
        yield DueSample(region, get_sample_file(region, originals))
