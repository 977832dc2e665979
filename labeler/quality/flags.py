"""Quality flags with their thresholds, and the samples to measure, without loading OpenCV.

The flags say where to look first; how good they are: docs/quality.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gleanset import Dataset
from gleanset.db.duplicates import ImageHashes
from gleanset.db.regions import Quality, QualityFlag, SampleRegion

if TYPE_CHECKING:
    from labeler.sample_pixels import SampleFile

FLAGS: tuple[QualityFlag, ...] = (
    QualityFlag("blurred", "blur", 0.6),
    QualityFlag("black", "lightest", 40, is_minimum=False),
    QualityFlag("white", "darkest", 225),
    QualityFlag("tiny", "size", 63, is_minimum=False),
)


def flags_of(quality: Quality) -> list[str]:
    """Return the names of the flags that a sample has."""
    return [flag.name for flag in FLAGS if flag.matches(quality)]


VERSION = 6
"""Increment with any change of a measure: then all samples are measured again."""


def due_samples(dataset: Dataset, rows: Sequence[int]) -> Iterator[tuple[SampleRegion, SampleFile]]:
    """Yield samples (rows) to measure, and where their pixels are."""
    from labeler.sample_pixels import sample_file  # slow: not needed to start a window

    originals = dataset.originals(dataset.cache)
    for region in ImageHashes(dataset.db).get_regions(rows).values():
        yield region, sample_file(region, originals)
