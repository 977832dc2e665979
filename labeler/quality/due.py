"""Which samples are to be measured, and what is needed for that: without OpenCV, for who asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from curation.likeness.colour_layout import FacePlace
from gleanset import Dataset
from gleanset.db.duplicates import ImageHashes
from gleanset.db.quality import QualityMeasures
from gleanset.db.sample_places import SampleRegion
from labeler.sample_pixels import SampleFile, sample_file

VERSION = 5
"""Counted up with any change of a measure: then all samples are measured again."""


class DueSample(NamedTuple):
    """A sample to be measured: where its pixels are, and where its face lies, if that is known."""

    seen: SampleRegion
    file: SampleFile
    face: FacePlace | None


def due_samples(dataset: Dataset, rows: Sequence[int]) -> Iterator[DueSample]:
    """Yield what is needed to measure some samples (rows)."""
    originals = dataset.originals(dataset.cache)
    landmarks = QualityMeasures(dataset.db).landmarks(rows)
    for row, seen in ImageHashes(dataset.db).seen(rows).items():
        face = FacePlace.of(landmarks.get(row, ()), seen.region)
        yield DueSample(seen, sample_file(seen, originals), face)
