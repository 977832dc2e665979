"""An order in which look-alikes are neighbours, by descriptors alone, of any number of samples."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from curation.likeness.descriptor import WIDTH, DescriptorSpace
from curation.likeness.grouping import SOME, main_directions, walked
from gleanset import Dataset
from gleanset.db.quality import QualityMeasures

PART = 2000


def by_likeness(dataset: Dataset, ids: Sequence[int]) -> array[int]:
    """Return samples (rows) so that look-alikes are neighbours; those unmeasured come last."""
    measures = QualityMeasures(dataset.db)
    some = [each for each in measures.some_descriptors(SOME) if each and len(each) == WIDTH]
    if not some:
        return array("q", ids)
    space = DescriptorSpace(some)
    directions = main_directions(space.vectors(some)[0])
    known, points = [], []
    for start in range(0, len(ids), PART):
        part = list(ids[start : start + PART])
        stored = measures.descriptors(part)
        vectors, there = space.vectors([stored.get(row) for row in part])
        known.append(there)
        points.append(vectors[there] @ directions)
    rows, measured = np.array(ids, np.int64), np.concatenate(known)
    order = walked(np.concatenate(points))
    return array("q", [*rows[measured][order].tolist(), *rows[~measured].tolist()])
