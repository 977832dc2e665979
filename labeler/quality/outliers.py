"""Outliers: which samples of a class look least like it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from labeler.likeness import Vectors

NEIGHBOURS = 5
FEWEST = 5
"""Samples under which a class has no usual look."""

MOST_OWN, MOST_OTHERS = 1000, 3000
"""So many are compared with; they are taken evenly, so that memory and time stay bounded."""

FAR = 1.2
"""Where no other class is near, an outlier is that much further off than is usual."""

SAME = 1e-5
"""Squared distances under this are what rounding leaves between equal vectors."""

BLOCK = 2000
Rows: TypeAlias = npt.NDArray[np.intp]
VectorsOf: TypeAlias = Callable[[Rows], Vectors]
"""Gives the vectors of unit length of some rows; asked for a block at a time, to save memory."""


def outlier_scores(
    classes: Mapping[str, Rows], vectors: VectorsOf
) -> dict[str, npt.NDArray[np.float64]]:
    """Score the rows of each class; over 1 is nearer to other classes than to its own.

    The mean distance to the five nearest of the class (Ramaswamy, Rastogi and Shim, "Efficient
    algorithms for mining outliers from large data sets", 2000), over that to the five nearest
    of all other classes, or over `FAR` times what is usual in the class where that is
    less. Classes of fewer than five have none and are left out.
    """
    scores: dict[str, npt.NDArray[np.float64]] = {}
    for name, rows in sorted(classes.items()):
        if len(rows) < FEWEST:
            continue
        inside = nearest(rows, _some(rows, MOST_OWN), vectors, itself=True)
        reach = np.full(len(rows), FAR * float(np.median(inside)))
        others = _others(classes, name)
        if len(others):
            reach = np.minimum(reach, nearest(rows, others, vectors, itself=False))
        scores[name] = inside / np.maximum(reach, 1e-6)
    return scores


def _others(classes: Mapping[str, Rows], name: str) -> Rows:
    """Return rows of the other classes, of each a like number."""
    share = max(NEIGHBOURS, MOST_OTHERS // max(len(classes) - 1, 1))
    parts = [_some(rows, share) for other, rows in sorted(classes.items()) if other != name]
    return np.concatenate(parts) if parts else np.empty(0, np.intp)


def _some(rows: Rows, most: int) -> Rows:
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]


def nearest(
    rows: Rows, among: Rows, vectors: VectorsOf, *, itself: bool
) -> npt.NDArray[np.float64]:
    """Return the mean distance of each row to its nearest ones.

    With `itself` a row is not compared with itself, nor with one that has the same vector.
    """
    number = min(NEIGHBOURS, len(among) - 1 if itself else len(among))
    means: list[npt.NDArray[np.float64]] = []
    targets = vectors(among).T
    for start in range(0, len(rows), BLOCK):
        squares = np.maximum(2 - 2 * (vectors(rows[start : start + BLOCK]) @ targets), 0)
        if itself:
            squares[squares < SAME] = np.inf
        few = np.partition(squares, number - 1, axis=1)[:, :number].astype(np.float64)
        means.append(_mean_root(few))
    return np.concatenate(means)


def _mean_root(squares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean of the roots that are numbers; 0 where a row has only copies of itself."""
    there = np.isfinite(squares)
    total = np.sqrt(np.where(there, squares, 0)).sum(axis=1)
    return np.asarray(total / np.maximum(there.sum(axis=1), 1))
