"""Finding pictures of the same class by their embeddings: recall and mean average precision.

The gallery is what would be known: the pictures of train. Pictures of one moment are never
compared with each other, for finding the next frame of the same scene is no achievement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from baseline.judge.intervals import share_interval
from baseline.judge.outputs import Indices, Outputs, Scores
from gleanset.binomial import Interval

_AT_ONCE = 256
"""Queries whose likeness to all of the gallery is in memory at a time."""


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
    that of recall at 1 (95 %, in moments of the queries); None for a single moment.
    """

    queries: int
    gallery: int
    recall_at_1: float
    recall_at_5: float
    mean_average_precision: float
    interval: Interval | None

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return asdict(self) | {"interval": self.interval and list(self.interval)}


def unit_embeddings(outputs: Outputs, moments: Indices) -> Embeddings:
    """Return the embeddings scaled to length 1; one of length 0 stays as it is, like nothing."""
    assert outputs.embeddings is not None
    long = outputs.embeddings.astype(np.float32)
    lengths = np.linalg.norm(long, axis=1, keepdims=True)
    return Embeddings(long / np.maximum(lengths, np.finfo(np.float32).tiny), outputs.y, moments)


def cosine_similarities(
    queries: Embeddings, gallery: Embeddings
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield the cosines of some queries with all of the gallery at a time; -inf within a moment."""
    for start in range(0, len(queries), _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, len(queries)))
        cosines = queries.unit[part] @ gallery.unit.T
        cosines[queries.moments[part, None] == gallery.moments] = -np.inf
        yield part, cosines


def retrieval_metrics(queries: Embeddings, gallery: Embeddings) -> RetrievalMetrics | None:
    """Return how well queries find their class; None where none has its class in the gallery."""
    found: list[npt.NDArray[np.float64]] = []
    moments: list[Indices] = []
    for part, cosines in cosine_similarities(queries, gallery):
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
    return RetrievalMetrics(len(figures), len(gallery), first, fifth, mean, interval)


def _of_ranking(same: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Recall at 1, at 5 and average precision for rankings (best first, each with a hit)."""
    hits = same.cumsum(1)
    precision = hits / np.arange(1, same.shape[1] + 1)
    average = (precision * same).sum(1) / hits[:, -1]
    return np.stack((same[:, 0], same[:, :5].any(1), average), 1).astype(np.float64)


PAIRS = 2_000_000
"""More pairs than that are thinned out: the figures would not change in their third digit."""
RATES = (1e-2, 1e-3)
_POINTS = 60


@dataclass(frozen=True, slots=True)
class RocCurve:
    """A receiver operating characteristic: both rates (false, true positive) rise from 0 to 1."""

    false: npt.NDArray[np.float64]
    true: npt.NDArray[np.float64]

    @property
    def area(self) -> float:
        """Return the area under the curve: the chance that a true case scores above a false one."""
        from sklearn.metrics import auc

        return float(auc(self.false, self.true))

    def true_at(self, false: float) -> float:
        """Return the greatest true positive rate with at most this false positive rate."""
        return float(self.true[np.searchsorted(self.false, false, side="right") - 1])

    def equal_error(self) -> float:
        """Return the rate at which as many true cases are refused as false ones are taken.

        Between two points of the curve it is on the line that joins them.
        """
        refused = 1 - self.true
        after = int(np.argmax(self.false >= refused))
        if after == 0:
            return float(self.false[0])
        a, b = after - 1, after
        gap_a, gap_b = refused[a] - self.false[a], self.false[b] - refused[b]
        share = gap_a / (gap_a + gap_b) if gap_a + gap_b else 0.0
        return float(self.false[a] + share * (self.false[b] - self.false[a]))

    def points(self) -> list[tuple[float, float]]:
        """Return some points of the curve, for a drawing."""
        at = np.unique(np.linspace(0, len(self.false) - 1, _POINTS).round().astype(int))
        at = np.union1d(at, np.searchsorted(self.true, np.linspace(0, 1, _POINTS)))
        at = at[at < len(self.false)]
        return [(float(self.false[i]), float(self.true[i])) for i in at]


def roc_curve_of(
    scores: npt.NDArray[np.floating], positive: npt.NDArray[np.bool_]
) -> RocCurve | None:
    """Return the curve of `scores` (higher means positive); None where there is one kind only."""
    from sklearn.metrics import roc_curve

    if positive.all() or not positive.any():
        return None
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
    return RocCurve(false, true)


@dataclass(frozen=True, slots=True)
class VerificationMetrics:
    """The ROC over pairs of pictures.

    `true_positive_rate` is by false positive rate; None where there are too few pairs of moments
    of different classes to tell so small a rate. `curve` are points (false, true).
    """

    pairs: int
    same: int
    auc: float
    equal_error_rate: float
    true_positive_rate: dict[str, float | None]
    curve: list[tuple[float, float]]

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return asdict(self)


def verification_metrics(
    queries: Embeddings, gallery: Embeddings, rates: Sequence[float] = RATES, seed: int = 0
) -> VerificationMetrics | None:
    """Compare every query with every picture of the gallery, but for those of its moment.

    None where all pairs are of one kind.
    """
    scores, same = _pairs(queries, gallery, seed)
    curve = roc_curve_of(scores, same)
    if curve is None:
        return None
    others = _apart(queries, gallery)
    return VerificationMetrics(
        pairs=len(same),
        same=int(same.sum()),
        auc=curve.area,
        equal_error_rate=curve.equal_error(),
        true_positive_rate={
            f"{rate:g}": curve.true_at(rate) if others * rate >= 1 else None for rate in rates
        },
        curve=curve.points(),
    )


def _apart(queries: Embeddings, gallery: Embeddings) -> int:
    """Return how many pairs of moments there are that differ in class: frames of one are no more
    pairs.
    """
    one, two = (set(zip(v.moments.tolist(), v.y.tolist(), strict=True)) for v in (queries, gallery))
    alike = 0
    for at in (0, 1):
        ours, theirs = (Counter(pair[at] for pair in pairs) for pairs in (one, two))
        alike += sum(number * theirs[key] for key, number in ours.items())
    return len(one) * len(two) - alike + len(one & two)


def _pairs(
    queries: Embeddings, gallery: Embeddings, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    random = np.random.default_rng(seed)
    share = min(1.0, PAIRS / max(1, len(queries) * len(gallery)))
    scores, same = [np.zeros(0, np.float32)], [np.zeros(0, np.bool_)]
    for part, cosines in cosine_similarities(queries, gallery):
        taken = cosines > -np.inf
        if share < 1:
            taken &= random.random(cosines.shape, dtype=np.float32) < share
        scores.append(cosines[taken])
        same.append((queries.y[part, None] == gallery.y)[taken])
    return np.concatenate(scores), np.concatenate(same)


ROUNDS = 5
ACCEPT = 0.05
"""The share of unknown pictures that may be named by mistake."""


@dataclass(frozen=True, slots=True)
class OpenSetMetrics:
    """Means over the rounds.

    `auroc` is the chance that a picture of a known class is more like the gallery than one of
    an unknown class; `named` the share of known pictures that are named, and rightly, when at
    most `false_accept_rate` of the unknown are named at all; `threshold` is that likeness.
    """

    rounds: int
    auroc: float
    false_accept_rate: float
    named: float
    threshold: float

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return asdict(self)


def open_set_metrics(
    queries: Embeddings,
    gallery: Embeddings,
    rounds: int = ROUNDS,
    accept: float = ACCEPT,
    seed: int = 0,
) -> OpenSetMetrics | None:
    """Hold the classes out in `rounds` parts. None with fewer than three classes."""
    classes = np.unique(gallery.y)
    if len(classes) < 3:
        return None
    shuffled = np.random.default_rng(seed).permutation(classes)
    parts = np.array_split(shuffled, min(rounds, len(classes)))
    told = [one for part in parts if (one := _round(queries, gallery, part, accept)) is not None]
    if not told:
        return None
    auroc, named, threshold = (float(value) for value in np.mean(told, axis=0))
    return OpenSetMetrics(len(told), auroc, accept, named, threshold)


def _round(
    queries: Embeddings, gallery: Embeddings, unknown: npt.NDArray[np.int64], accept: float
) -> tuple[float, float, float] | None:
    """AUROC, share named rightly and threshold with these classes held out."""
    known = ~np.isin(gallery.y, unknown)
    left = Embeddings(gallery.unit[known], gallery.y[known], gallery.moments[known])
    best, names = _nearest(queries, left)
    strange = np.isin(queries.y, unknown)
    curve = roc_curve_of(best, ~strange)
    if curve is None:
        return None
    # One more than may be accepted: what lies above that likeness is named.
    ranked = np.sort(best[strange])[::-1]
    threshold = ranked[min(int(accept * len(ranked)), len(ranked) - 1)]
    right = (best > threshold) & (names == queries.y)
    return curve.area, float(right[~strange].mean()), float(threshold)


def _nearest(
    queries: Embeddings, gallery: Embeddings
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the likeness of the most similar picture, and its class."""
    best, names = np.zeros(len(queries), np.float32), np.zeros(len(queries), np.int64)
    for part, cosines in cosine_similarities(queries, gallery):
        at = cosines.argmax(1)
        best[part], names[part] = cosines[np.arange(len(at)), at], gallery.y[at]
    # Nothing to compare with, but its own moment: as unlike as can be.
    return np.maximum(best, -1), names
