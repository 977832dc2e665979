"""The samples to measure, without loading OpenCV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gleanset import Dataset
from gleanset.db.duplicates import ImageHashes
from gleanset.db.regions import SampleRegion

if TYPE_CHECKING:
    from labeler.sample_pixels import SampleFile

VERSION = 6
"""Increment with any change of a measure: then all samples are measured again."""


def due_samples(
    dataset: Dataset, rows: Sequence[int]
) -> Iterator[tuple[SampleRegion, SampleFile]]:
    """Yield samples (rows) to measure, and where their pixels are."""
    from labeler.sample_pixels import sample_file  # slow: not needed to start a window

    originals = dataset.originals(dataset.cache)
    for region in ImageHashes(dataset.db).get_regions(rows).values():
        yield region, sample_file(region, originals)
