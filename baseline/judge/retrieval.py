"""Finding pictures of the same class by their embeddings, and telling pairs of one class apart.

The gallery is what would be known: the pictures of train. Pictures of one moment are never
compared with each other, for finding the next frame of the same scene is no achievement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from baseline.judge.intervals import share_interval
from baseline.judge.outputs import Indices, Outputs, Scores
from gleanset.binomial import Interval

_AT_ONCE = 256
"""Queries whose likeness to all of the gallery is in memory at a time."""
_NEVER = -2.0
"""Below every cosine: the likeness of what is not compared."""
_FIRST = 5
PAIRS = 2_000_000
"""More pairs than that are thinned out: the figures would not change in their third digit."""
_POINTS = 60


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embeddings of length 1 (float32, N x D) with class and moment (int64, N each)."""

    unit: Scores
    y: Indices
    moments: Indices

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, slots=True)
class VerificationMetrics:
    """The ROC over `pairs` of pictures, of which `same` are of one class: is it the same, or not?

    `curve` are points (false, true positive rate).
    """

    pairs: int
    same: int
    auc: float
    equal_error_rate: float
    curve: tuple[tuple[float, float], ...]


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
    verification: VerificationMetrics | None = None
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
        verification=verification_metrics(queries, gallery),
    )


def verification_metrics(
    queries: Embeddings, gallery: Embeddings, seed: int = 0
) -> VerificationMetrics | None:
    """Compare every query with every picture of the gallery, but for those of its moment.

    None where all pairs are of one kind.
    """
    from scipy.optimize import brentq
    from sklearn.metrics import auc, roc_curve

    scores, same = _pairs(queries, gallery, seed)
    if same.all() or not same.any():
        return None
    false, true, _ = roc_curve(same, scores, drop_intermediate=False)
    at = np.union1d(
        np.linspace(0, len(false) - 1, _POINTS).round().astype(int),
        np.searchsorted(true, np.linspace(0, 1, _POINTS)),
    )
    return VerificationMetrics(
        pairs=len(same),
        same=int(same.sum()),
        auc=float(auc(false, true)),
        equal_error_rate=float(brentq(lambda x: 1 - x - np.interp(x, false, true), 0, 1)),
        curve=tuple(zip(false[at].tolist(), true[at].tolist(), strict=True)),
    )


def _pairs(
    queries: Embeddings, gallery: Embeddings, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the cosines of pairs, at most about `PAIRS`, and which are of one class."""
    random = np.random.default_rng(seed)
    share = min(1.0, PAIRS / max(1, len(queries) * len(gallery)))
    scores, alike = [np.zeros(0, np.float32)], [np.zeros(0, np.bool_)]
    for _, cosines, same in _likeness(queries, gallery):
        chosen = cosines > _NEVER
        if share < 1:
            chosen &= random.random(cosines.shape, dtype=np.float32) < share
        scores.append(cosines[chosen])
        alike.append(same[chosen])
    return np.concatenate(scores), np.concatenate(alike)
