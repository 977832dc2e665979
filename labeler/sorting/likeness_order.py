"""An order in which look-alikes are neighbours, from descriptors alone, for any number of samples.

Descriptors are brought down to a few numbers (the main directions of some of them: principal
components), the samples are halved along the direction in which they differ most, again and again,
and the few that are left are walked from nearest to nearest.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from curation.likeness.descriptor import WIDTH, DescriptorSpace
from gleanset import Dataset
from gleanset.db.quality import QualityMeasures

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
SOME = 600
"""So many samples tell the main directions."""
DIRECTIONS = 24
PART = 2000
WALKED = 32
"""So few samples are walked one by one."""


def by_likeness(dataset: Dataset, ids: Sequence[int]) -> array[int]:
    """Return samples (rows) so that look-alikes are neighbours; those unmeasured come last."""
    measures = QualityMeasures(dataset.db)
    some = [one for one in measures.some_descriptors(SOME) if one and len(one) == WIDTH]
    if not some:
        return array("q", ids)
    space = DescriptorSpace(some)
    directions = _main_directions(space.vectors(some)[0])
    known, points = [], []
    for start in range(0, len(ids), PART):
        part = list(ids[start : start + PART])
        stored = measures.descriptors(part)
        vectors, there = space.vectors([stored.get(one) for one in part])
        known.append(there)
        points.append(vectors[there] @ directions)
    rows, measured = np.array(ids, np.int64), np.concatenate(known)
    order = walked(np.concatenate(points))
    return array("q", [*rows[measured][order].tolist(), *rows[~measured].tolist()])


def _main_directions(vectors: Floats) -> Floats:
    _, _, directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    found: Floats = directions[:DIRECTIONS].T
    return found


def walked(points: Floats) -> Rows:
    """Return an order of points (N x D) in which near ones are neighbours."""
    found: list[Rows] = []
    end = points[0] if len(points) else np.zeros(0, np.float32)
    todo = [np.arange(len(points))] if len(points) else []
    while todo:
        rows = todo.pop()
        if len(rows) > WALKED:
            near, far = _halves(points, rows, end)
            todo += [far, near]
        else:
            found.append(np.array(list(_walk(points, rows, end)), np.int64))
            end = points[found[-1][-1]]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def _halves(points: Floats, rows: Rows, end: Floats) -> tuple[Rows, Rows]:
    """Halve points where they differ most; the half that is nearer to `end` comes first."""
    apart = points[rows] - points[rows].mean(axis=0)
    _, directions = np.linalg.eigh(apart.T @ apart)
    order = rows[np.argsort(apart @ directions[:, -1], kind="stable")]
    one, other = order[: len(order) // 2], order[len(order) // 2 :]
    gaps = [float(np.sum((points[half].mean(axis=0) - end) ** 2)) for half in (one, other)]
    return (one, other) if gaps[0] <= gaps[1] else (other, one)


def _walk(points: Floats, rows: Rows, end: Floats) -> Iterator[int]:
    """Yield rows from nearest to nearest, beginning beside `end`."""
    left = list(rows)
    while left:
        gaps = np.sum((points[left] - end) ** 2, axis=1)
        found = int(left.pop(int(np.argmin(gaps))))
        end = points[found]
        yield found
