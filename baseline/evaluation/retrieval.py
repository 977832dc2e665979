"""Finding pictures of the same class by their embeddings: recall and mean average precision.

The gallery is what would be known: the pictures of train. Pictures of one moment are never
compared with each other, for finding the next frame of the same scene is no achievement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from baseline.evaluation.intervals import share_interval
from baseline.evaluation.outputs import Outputs
from baseline.evaluation.probabilities import Indices, Scores
from gleanset.binomial import Interval

_AT_ONCE = 256
"""Queries whose likeness to all of the gallery is in memory at a time."""


@dataclass(frozen=True, slots=True)
class Vectors:
    """Embeddings of length 1 (float32, N x D) with class and moment (int64, N each)."""

    unit: Scores
    y: Indices
    moments: Indices

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """`queries` had a picture of their class in the gallery; others are left out.

    `recall_at_1` and `recall_at_5`: how many have one among their first, and first five;
    `mean_average_precision` is over the whole gallery, ranked by cosine likeness. `interval` is
    that of recall at 1 (95 %, in moments of the queries); None for a single moment.
    """

    queries: int
    gallery: int
    recall_at_1: float
    recall_at_5: float
    mean_average_precision: float
    interval: Interval | None

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self) | {"interval": self.interval and list(self.interval)}


def vectors_of(outputs: Outputs, moments: Indices) -> Vectors:
    """The embeddings scaled to length 1; one of length 0 stays as it is, like nothing."""
    assert outputs.embeddings is not None
    long = outputs.embeddings.astype(np.float32)
    lengths = np.linalg.norm(long, axis=1, keepdims=True)
    return Vectors(long / np.maximum(lengths, np.finfo(np.float32).tiny), outputs.y, moments)


def likeness(queries: Vectors, gallery: Vectors) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Cosines of some queries with all of the gallery at a time; -inf within a moment."""
    for start in range(0, len(queries), _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, len(queries)))
        cosines = queries.unit[part] @ gallery.unit.T
        cosines[queries.moments[part, None] == gallery.moments] = -np.inf
        yield part, cosines


def retrieval(queries: Vectors, gallery: Vectors) -> Retrieval | None:
    """How well each query finds its class; None where no query has its class in the gallery."""
    found: list[npt.NDArray[np.float64]] = []
    moments: list[Indices] = []
    for part, cosines in likeness(queries, gallery):
        order = np.argsort(-cosines, axis=1, kind="stable")
        same = gallery.y[order] == queries.y[part, None]
        same &= np.take_along_axis(cosines, order, 1) > -np.inf
        found.append(_of_ranking(same[same.any(1)]))
        moments.append(queries.moments[part][same.any(1)])
    figures = np.concatenate(found) if found else np.zeros((0, 3))
    if not len(figures):
        return None
    of = np.concatenate(moments)
    interval = share_interval(figures[:, 0] > 0, of) if (of != of[0]).any() else None
    first, fifth, mean = map(float, figures.mean(0))
    return Retrieval(len(figures), len(gallery), first, fifth, mean, interval)


def _of_ranking(same: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Recall at 1, at 5 and average precision for rankings (best first, each with a hit)."""
    hits = same.cumsum(1)
    precision = hits / np.arange(1, same.shape[1] + 1)
    average = (precision * same).sum(1) / hits[:, -1]
    return np.stack((same[:, 0], same[:, :5].any(1), average), 1).astype(np.float64)
