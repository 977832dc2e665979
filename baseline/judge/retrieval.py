"""Finding pictures of the same class by their embeddings.

The gallery is what would be known: the pictures of train. Pictures of one moment are never
compared with each other, for finding the next frame of the same scene is no achievement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from baseline.judge.intervals import share_interval
from baseline.judge.outputs import Indices, Outputs, Scores
from gleanset.binomial import Interval

_AT_ONCE = 256
"""Queries whose likeness to all of the gallery is in memory at a time."""
_NEVER = -2.0
"""Below every cosine: the likeness of what is not compared."""
_FIRST = 5


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embeddings of length 1 (float32, N x D) with class and moment (int64, N each)."""

    unit: Scores
    y: Indices
    moments: Indices

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, slots=True)
class RetrievalMetrics:
    """`queries` had a picture of their class in the gallery; others are left out.

    `recall_at_1` and `recall_at_5`: how many have one among their first, and first five;
    `mean_average_precision` is over the whole gallery, ranked by cosine likeness. `interval` is
    that of recall at 1 (95 %, in moments of the queries); None for a single moment. The queries are
    of `split`, the gallery is of `against`.
    """

    queries: int
    gallery: int
    recall_at_1: float
    recall_at_5: float
    mean_average_precision: float
    interval: Interval | None
    split: str = ""
    against: str = ""


def unit_embeddings(outputs: Outputs, moments: Indices) -> Embeddings:
    """Return the embeddings scaled to length 1; one of length 0 stays as it is, like nothing."""
    assert outputs.embeddings is not None
    long = outputs.embeddings.astype(np.float32)
    lengths = np.linalg.norm(long, axis=1, keepdims=True)
    return Embeddings(long / np.maximum(lengths, np.finfo(np.float32).tiny), outputs.y, moments)


def _likeness(queries: Embeddings, gallery: Embeddings) -> Iterator[tuple[slice, Any, Any]]:
    """Yield for some queries at a time their cosines with all of the gallery, and what is of their
    class; `_NEVER` within a moment.
    """
    for start in range(0, len(queries), _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, len(queries)))
        cosines = queries.unit[part] @ gallery.unit.T
        apart = queries.moments[part, None] != gallery.moments
        yield part, np.where(apart, cosines, _NEVER), (queries.y[part, None] == gallery.y) & apart


def retrieval_metrics(queries: Embeddings, gallery: Embeddings) -> RetrievalMetrics | None:
    """Return how well queries find their class; None where none has its class in the gallery."""
    from sklearn.metrics import label_ranking_average_precision_score

    hits, moments, precision = [], [], 0.0
    for part, cosines, same in _likeness(queries, gallery):
        some = same.any(1)
        if some.any():
            first = np.argsort(-cosines[some], axis=1, kind="stable")[:, :_FIRST]
            hits.append(np.take_along_axis(same[some], first, 1))
            moments.append(queries.moments[part][some])
            mean = label_ranking_average_precision_score(same[some], cosines[some])
            precision += float(mean) * len(first)
    if not hits:
        return None
    ranked, groups = np.concatenate(hits), np.concatenate(moments)
    several = bool((groups != groups[0]).any())
    return RetrievalMetrics(
        queries=len(ranked),
        gallery=len(gallery),
        recall_at_1=float(ranked[:, 0].mean()),
        recall_at_5=float(ranked.any(1).mean()),
        mean_average_precision=precision / len(ranked),
        interval=share_interval(ranked[:, 0], groups) if several else None,
    )
