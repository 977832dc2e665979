"""Descriptors of samples as vectors, and measuring those that have none yet, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from gleanset import Dataset
from gleanset.db.measures import ImageHashes, QualityMeasures
from gleanset.db.proposals import SampleFeatures
from gleanset.errors import Unreadable

Vectors = npt.NDArray[np.float32]
LENGTH = 320


def vectors_of(likes: Sequence[SampleFeatures]) -> tuple[Vectors, npt.NDArray[np.bool_]]:
    """Descriptors of unit length as rows, and which samples have one; the others are zeros."""
    found = np.zeros((len(likes), LENGTH), np.float32)
    there = np.zeros(len(likes), np.bool_)
    for number, like in enumerate(likes):
        if like.traits is not None and len(like.traits) == LENGTH:
            found[number] = np.frombuffer(like.traits, np.uint8)
            there[number] = True
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
    return found, there


def count_unmeasured(dataset: Dataset) -> int:
    """Return how many samples have no descriptor of their present region."""
    from labeler.quality.assessment import VERSION

    return QualityMeasures(dataset.db).count_missing(VERSION)


def measure_some(dataset: Dataset, most: int = 32, after: int = 0) -> int:
    """Measure a few samples after a row, on this thread; the last one looked at, 0 at the end.

    What cannot be read is passed over, and tried again by the next run.
    """
    # OpenCV and the measures take a while to load: nobody waits for them at the start.
    from labeler.quality.assessment import VERSION, measure_sample
    from labeler.sample_pixels import sample_file

    qualities = QualityMeasures(dataset.db)
    page = next((p for p in qualities.missing(VERSION, after)), [])[:most]
    found = []
    for seen in ImageHashes(dataset.db).seen(page).values():
        with suppress(Unreadable):
            found.append(
                (seen, measure_sample((seen, sample_file(seen, dataset.originals(dataset.cache)))))
            )
    if found:
        qualities.put(found, VERSION)
    return page[-1] if page else 0
