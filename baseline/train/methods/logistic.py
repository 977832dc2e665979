"""Multinomial logistic regression whose weights cost the more, the more what they weigh differs
within classes.

On small sets it beats a head trained by stochastic gradient descent by 4 to 5 points. What tells
classes apart in a few pictures by chance is mostly what differs among pictures of one class, too.
With C the covariance within classes and c its mean variance, weights w cost w' (C / c + 1) w
(within-class covariance normalisation: Hatch, Kajarekar and Stolcke, "Within-class covariance
normalization for SVM-based speaker recognition", 2006). Features that are whitened so make of that
the |w|^2 of scikit-learn's `LogisticRegression`. Each layer of a network has its own C and c: of
how its features vary with those of others few pictures tell nothing but chance (one C for all
layers cost 1.2 points on five characters of shows; docs/experiments.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from baseline.data.samples import split_stratified_groups
from baseline.features.backbone import FeaturePart
from baseline.features.scaling import one_thread
from baseline.features.texture import PartWeights
from gleanset.errors import UsageError

Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]
Folds = list[tuple[Classes, Classes]]

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""What is chosen from; on pictures those from 1 on are alike (docs/experiments.md)."""
DEFAULT = 1.0
FOLDS = 4
MOST = 1000
"""Samples that a choice is made with, and views of them: more would change little and take
long."""
SMALL = 5_000_000
"""Values of a matrix up to which more threads only wait for each other."""
ITERATIONS = 2000
UNSEEN = 1e-4
"""The probability of a class that a fold has not seen: it is the same for each strength."""


@dataclass(frozen=True, slots=True)
class TrainRows:
    """Samples of train: features `x` (N x V x D, V views of each, or N x D), classes `y`, weights.

    `groups` (N) number what must not be learnt from and judged by at once.
    """

    x: npt.NDArray[Any]
    y: Classes
    weights: Floats
    groups: Classes

    def at(self, rows: Classes) -> TrainRows:
        """Return some of them."""
        return TrainRows(self.x[rows], self.y[rows], self.weights[rows], self.groups[rows])

    def some(self, seed: int) -> TrainRows:
        """Return as many as a choice is made with, in order."""
        return self.at(np.sort(np.random.default_rng(seed).permutation(len(self.y))[:MOST]))

    def folds(self, seed: int) -> Folds:
        """Return rows to learn from and to judge by, groups kept whole; none for too few."""
        if len(np.unique(self.y)) < 2:
            return []
        folds = split_stratified_groups(self.y, self.groups, FOLDS, seed)
        return [(learnt, held) for learnt, held in folds if len(np.unique(self.y[learnt])) > 1]

    def each_view(self) -> TrainRows:
        """Return every view as a row, with its part of the weight of its sample."""
        views = self.x.shape[1]
        weights, groups = np.repeat(self.weights / views, views), np.repeat(self.groups, views)
        x = self.x.reshape(-1, self.x.shape[2])
        return TrainRows(x, np.repeat(self.y, views), weights, groups)


class LinearHead(NamedTuple):
    """Scores are `x @ coefficients.T + bias`: classes x D, and classes."""

    coefficients: Floats
    bias: Floats
    converged: bool


class Chosen(NamedTuple):
    """The inverse of the penalty, how it came about, and the log loss of each that was tried."""

    strength: float
    by: str
    losses: dict[float, float]


class Whitening(NamedTuple):
    """A matrix for each layer, its features x rank; features times it are evened.

    On evened features weights w cost |w|^2.
    """

    matrices: tuple[Floats, ...]

    @classmethod
    def of(cls, rows: TrainRows, layers: Sequence[int]) -> Self:
        """Return the one of rows N x D, whose features are of layers of these widths."""
        x, weights = rows.x, rows.weights
        members = np.zeros((len(x), int(rows.y.max()) + 1))
        members[np.arange(len(x)), rows.y] = weights
        means = members.T @ x / np.maximum(members.sum(0)[:, None], 1e-300)
        apart = (x - means[rows.y]) * np.sqrt(weights / weights.sum())[:, None]
        pairs = zip(_split(x, layers), _split(apart, layers), strict=True)
        return cls(tuple(_whitening(seen, off) for seen, off in pairs))

    def evened(self, x: Floats) -> Floats:
        """Return features (N x D) evened: N x the sum of the ranks."""
        parts = zip(
            _split(x, [len(matrix) for matrix in self.matrices]), self.matrices, strict=True
        )
        return np.concatenate([part @ matrix for part, matrix in parts], 1)

    def restored(self, coefficients: Floats) -> Floats:
        """Return coefficients of evened features (classes x ranks) as those of the features."""
        parts = _split(coefficients, [matrix.shape[1] for matrix in self.matrices])
        pairs = zip(parts, self.matrices, strict=True)
        return np.concatenate([part @ matrix.T for part, matrix in pairs], 1)


def _split(x: Floats, widths: Sequence[int]) -> list[Floats]:
    return np.split(x, np.cumsum(widths)[:-1], axis=1)


def _span(x: Floats) -> Floats:
    """Return an orthonormal basis of what the rows span, D x rank.

    The cost is blind to rotation, and what lies outside of the span would only add to it.
    """
    return np.linalg.qr(x.T)[0] if len(x) < x.shape[1] else np.eye(x.shape[1])


def _whitening(x: Floats, apart: Floats) -> Floats:
    """Return M, D x rank, so that M M' is (C / c + 1)^-1 in what the rows of `x` span.

    C is apart' apart.
    """
    variance = float(np.square(apart).sum()) / apart.shape[1] or 1.0
    basis = _span(x)
    seen = apart @ basis
    factor = cholesky(seen.T @ seen / variance + np.eye(basis.shape[1]), lower=True)
    matrix: Floats = basis @ solve_triangular(factor, np.eye(len(factor)), lower=True, trans="T")
    return matrix


def solve(rows: TrainRows, strength: float, layers: Sequence[int]) -> LinearHead:
    """Return the weights that minimise the sum of weighted losses + cost / (2 strength).

    `rows` are N x V x D, and have all classes from 0 on; `layers` are the widths of their layers.
    """
    seen = rows.each_view()
    with threads_for(seen.x):
        whitening = Whitening.of(seen, layers)
        even = whitening.evened(seen.x)
        basis = _span(even)
        model = fit_logistic(even @ basis, seen.y, seen.weights, strength)
        coefficients, bias = whitening.restored(model.coef_ @ basis.T), model.intercept_
    if len(model.classes_) == 2:
        coefficients, bias = np.stack([-coefficients[0], coefficients[0]]) / 2, bias * [-0.5, 0.5]
    return LinearHead(coefficients, bias, int(model.n_iter_.max()) < ITERATIONS)


def choose_strength(rows: TrainRows, layers: Sequence[int], seed: int) -> Chosen:
    """Choose the strength of least log loss by cross-validation that keeps groups whole.

    `rows` are N x V x D, of layers of these widths. Models of the first view of each sample are
    judged by it; the others say what differs within classes, as many of them as come to `MOST` in
    all.
    """
    some = rows.some(seed)
    folds = some.folds(seed)
    if not folds:
        return Chosen(DEFAULT, "default", {})
    losses = dict.fromkeys(STRENGTHS, 0.0)
    views = max(1, MOST // len(some.y))
    with threads_for(some.x):
        for learnt, held in folds:
            own = some.at(learnt)
            seen = TrainRows(own.x[:, :views], own.y, own.weights, own.groups).each_view()
            plain = Whitening.of(seen, layers).evened(some.x[:, 0])
            plain = plain @ _span(plain[learnt])
            for strength in STRENGTHS:
                model = fit_logistic(plain[learnt], own.y, own.weights, strength)
                losses[strength] += log_loss(model, plain[held], some.y[held], some.weights[held])
    best = min(losses, key=lambda strength: losses[strength])
    total = float(some.weights.sum())
    means = {strength: loss / total for strength, loss in losses.items()}
    return Chosen(best, f"{len(folds)}-fold cross-validation by moment within train", means)


def fit_logistic(x: Floats, y: Classes, weights: Floats, strength: float) -> LogisticRegression:
    """Return a model of `x` (N x D) with weights (N)."""
    model = LogisticRegression(C=strength, max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y, weights)


def log_loss(model: LogisticRegression, x: Floats, y: Classes, weights: Floats) -> float:
    """Return the weighted sum of -log(probability of the right class) over `x`, N x D."""
    probabilities = np.full((len(y), int(max(y.max(), model.classes_.max())) + 1), UNSEEN)
    probabilities[:, model.classes_] = model.predict_proba(x)
    right = np.maximum(probabilities[np.arange(len(y)), y], UNSEEN)
    return float(-(weights * np.log(right)).sum())


def threads_for(x: Floats) -> AbstractContextManager[Any]:
    """Hold linear algebra on a small matrix to one thread."""
    return one_thread() if x.size <= SMALL else nullcontext()


WEIGHTS = (0.0, 0.25, 0.5, 0.7, 1.0, 1.4, 2.0)
"""What is tried for a part beside the first one, whose weight is 1. Squared: shares of variance."""
SPREAD = 0.4
"""How far weights lie from what is expected of them: the standard deviation of a normal prior."""
VARIANCE = 1000.0
"""Of the first part, as a network's standardised features have it; strengths go by it."""
PART_STRENGTHS = (1.0, 10.0, 100.0)


def parse_part_weights(setting: str, parts: Sequence[FeaturePart]) -> PartWeights | None:
    """Return the weights that a setting has: of each part after the first; None for 'auto'.

    Raises `UsageError` where they do not fit the parts.
    """
    if len(parts) == 1:
        return PartWeights((1.0,), "there is one part", {})
    if setting == "auto":
        return None
    weights = tuple(float(weight) for weight in setting.split(","))
    if len(weights) != len(parts) - 1:
        names = ", ".join(part.name for part in parts[1:])
        raise UsageError(
            f"'{setting}' are {len(weights)} weights, and beside {parts[0].name} there is {names}",
            f"give {len(parts) - 1}, with commas between, or -o part_weights=auto",
        )
    return PartWeights((1.0, *weights), "settings", {})


def choose_part_weights(
    rows: TrainRows, parts: Sequence[FeaturePart], expected: PartWeights, seed: int
) -> PartWeights:
    """Choose the likeliest weights by cross-validation that keeps groups whole, and a prior.

    What texture lets expect (`features/texture.py`) is the prior: a dozen pictures change little
    and a hundred much.

    `rows` are N x D, scaled so that all parts have the same variance. Parts are weighed one after
    the other, each beside those weighed before.
    """
    some = rows.some(seed)
    folds = some.folds(seed)
    if not folds:
        return expected._replace(by=f"{expected.by}, and train is too small to choose")
    cases = len(np.unique(some.groups))
    weights = [1.0]
    losses: dict[str, float] = {}
    with threads_for(some.x):
        products = _products(some.x, parts)
        for part, prior in zip(parts[1:], expected.weights[1:], strict=True):
            tried = {}
            for weight in WEIGHTS:
                each = zip([*weights, weight], products, strict=False)
                kernel = np.sum([own * own * gram for own, gram in each], axis=0)
                tried[weight] = _held_out_loss(kernel, some, folds)
            cost = {w: cases * loss + ((w - prior) / SPREAD) ** 2 / 2 for w, loss in tried.items()}
            weights.append(min(cost, key=lambda weight: cost[weight]))
            losses |= {f"{part.name} {weight:g}": loss for weight, loss in tried.items()}
    by = f"{len(folds)}-fold cross-validation by moment within train"
    return PartWeights(tuple(weights), by, losses)


def _products(x: Floats, parts: Sequence[FeaturePart]) -> list[Floats]:
    """Return the products of all pairs of samples, N x N, for each part, on one scale."""
    ends = np.cumsum([part.width for part in parts])[:-1]
    grams = [part @ part.T for part in np.split(x, ends, axis=1)]
    scale = VARIANCE / max(float(grams[0].diagonal().mean()), 1e-12)
    return [scale * gram for gram in grams]


def _held_out_loss(kernel: Floats, rows: TrainRows, folds: Folds) -> float:
    losses = np.zeros(len(PART_STRENGTHS))
    y, weights = rows.y, rows.weights
    for learnt, held in folds:
        known, asked = _coordinates(kernel, learnt, held)
        for number, strength in enumerate(PART_STRENGTHS):
            model = fit_logistic(known, y[learnt], weights[learnt], strength)
            losses[number] += log_loss(model, asked, y[held], weights[held])
    return float(losses.min() / weights.sum())


def _coordinates(kernel: Floats, learnt: Classes, held: Classes) -> tuple[Floats, Floats]:
    """Return coordinates of both parts in the span of `learnt`, in which products are the kernel's.

    A penalty |w|^2 does not look out of that span, so a linear model of them is one of the
    features.
    """
    values, vectors = np.linalg.eigh(kernel[np.ix_(learnt, learnt)])
    keep = values > values.max() * 1e-9
    axes = vectors[:, keep] / np.sqrt(values[keep])
    return kernel[np.ix_(learnt, learnt)] @ axes, kernel[np.ix_(held, learnt)] @ axes
