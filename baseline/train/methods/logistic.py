"""Multinomial logistic regression with within-class covariance normalization.

On small sets it beats a head trained by stochastic gradient descent by 4 to 5 points. With C the
covariance within classes and c its mean variance, the penalty of weights w is w' (C / c + 1) w
(Hatch, Kajarekar and Stolcke, "Within-class covariance normalization for SVM-based speaker
recognition", 2006). On whitened features this is the |w|^2 of scikit-learn's `LogisticRegression`.
Each layer of a network has its own C and c: covariances between layers are noise on few images
(one C for all layers cost 1.2 points on five characters of shows; docs/experiments.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from baseline.data.samples import split_stratified_groups
from baseline.features.backbone import FeaturePart
from baseline.features.scaling import limit_threads
from baseline.features.texture import PartWeights
from gleanset.errors import UsageError

Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]
Folds = list[tuple[Classes, Classes]]

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Candidates for scikit-learn's C; on images those from 1 are equivalent (docs/experiments.md)."""
DEFAULT_STRENGTH = 1.0
FOLDS = 4
MAX_SAMPLES = 1000
"""Samples, or views of them, that choices are made on: more is slow and changes little."""
MAX_SINGLE_THREAD_VALUES = 5_000_000
"""Size of a matrix up to which several threads are slower than one."""
MAX_ITERATIONS = 2000
UNSEEN_CLASS_PROBABILITY = 1e-4
"""Probability of a class that is missing from a fold, equal for each strength."""


class TrainRows(NamedTuple):
    """Training samples: features `x` (N x V x D with V views, or N x D), class numbers `y` (N),
    `weights` (N) and group numbers (N).
    """

    x: npt.NDArray[Any]
    y: Classes
    weights: Floats
    groups: Classes

    def at(self, rows: Classes) -> TrainRows:
        """Return some rows."""
        return TrainRows(
            self.x[rows], self.y[rows], self.weights[rows], self.groups[rows]
        )

    def subsample(self, seed: int) -> TrainRows:
        """Return at most `MAX_SAMPLES` random rows, in order."""
        rows = np.random.default_rng(seed).permutation(len(self.y))[:MAX_SAMPLES]
        return self.at(np.sort(rows))

    def folds(self, seed: int) -> Folds:
        """Return (train rows, test rows) of folds by group; none for too few samples."""
        if len(np.unique(self.y)) < 2:
            return []
        folds = split_stratified_groups(self.y, self.groups, FOLDS, seed)
        return [
            (train, test) for train, test in folds if len(np.unique(self.y[train])) > 1
        ]

    def flatten_views(self) -> TrainRows:
        """Return every view as a row, dividing the weight of the sample."""
        views = self.x.shape[1]
        weights = np.repeat(self.weights / views, views)
        groups = np.repeat(self.groups, views)
        x = self.x.reshape(-1, self.x.shape[2])
        return TrainRows(x, np.repeat(self.y, views), weights, groups)


class LinearHead(NamedTuple):
    """Coefficients (classes x D) and bias (classes) of a linear classifier."""

    coefficients: Floats
    bias: Floats
    converged: bool


class StrengthChoice(NamedTuple):
    """The inverse regularization, how it was chosen, and the log loss of each candidate."""

    strength: float
    by: str
    losses: dict[float, float]


class Whitening(NamedTuple):
    """A whitening matrix for each layer (features x rank)."""

    matrices: tuple[Floats, ...]

    @classmethod
    def fit(cls, rows: TrainRows, layers: Sequence[int]) -> Self:
        """Fit on rows (N x D) with features of layers of these widths."""
        x, weights = rows.x, rows.weights
        members = np.zeros((len(x), int(rows.y.max()) + 1))
        members[np.arange(len(x)), rows.y] = weights
        means = members.T @ x / np.maximum(members.sum(0)[:, None], 1e-300)
        residuals = (x - means[rows.y]) * np.sqrt(weights / weights.sum())[:, None]
        pairs = zip(_split(x, layers), _split(residuals, layers), strict=True)
        return cls(tuple(_whitening_matrix(part, residual) for part, residual in pairs))

    def transform(self, x: Floats) -> Floats:
        """Return whitened features (N x sum of ranks) of features (N x D)."""
        parts = zip(
            _split(x, [len(matrix) for matrix in self.matrices]),
            self.matrices,
            strict=True,
        )
        return np.concatenate([part @ matrix for part, matrix in parts], 1)

    def transform_coefficients(self, coefficients: Floats) -> Floats:
        """Return coefficients of features, given those of whitened features (classes x ranks)."""
        parts = _split(coefficients, [matrix.shape[1] for matrix in self.matrices])
        pairs = zip(parts, self.matrices, strict=True)
        return np.concatenate([part @ matrix.T for part, matrix in pairs], 1)


def _split(x: Floats, widths: Sequence[int]) -> list[Floats]:
    return np.split(x, np.cumsum(widths)[:-1], axis=1)


def _row_space(x: Floats) -> Floats:
    """Return an orthonormal basis (D x rank) of the row space.

    The penalty is invariant to rotation, and components outside of this space are 0.
    """
    return np.linalg.qr(x.T)[0] if len(x) < x.shape[1] else np.eye(x.shape[1])


def _whitening_matrix(x: Floats, residuals: Floats) -> Floats:
    """Return M (D x rank) with M M' = (C / c + 1)^-1 in the row space of `x`.

    C is residuals' residuals.
    """
    variance = float(np.square(residuals).sum()) / residuals.shape[1] or 1.0
    basis = _row_space(x)
    projected = residuals @ basis
    factor = cholesky(
        projected.T @ projected / variance + np.eye(basis.shape[1]), lower=True
    )
    matrix: Floats = basis @ solve_triangular(
        factor, np.eye(len(factor)), lower=True, trans="T"
    )
    return matrix


def fit_linear_head(
    rows: TrainRows, strength: float, layers: Sequence[int]
) -> LinearHead:
    """Fit the regression with inverse regularization `strength`.

    `rows` are N x V x D with all classes from 0; `layers` are the widths of their layers.
    """
    views = rows.flatten_views()
    with threads_for(views.x):
        whitening = Whitening.fit(views, layers)
        white = whitening.transform(views.x)
        basis = _row_space(white)
        model = fit_logistic(white @ basis, views.y, views.weights, strength)
        coefficients = whitening.transform_coefficients(model.coef_ @ basis.T)
        bias = model.intercept_
    if len(model.classes_) == 2:
        coefficients, bias = (
            np.stack([-coefficients[0], coefficients[0]]) / 2,
            bias * [-0.5, 0.5],
        )
    return LinearHead(coefficients, bias, int(model.n_iter_.max()) < MAX_ITERATIONS)


def choose_strength(
    rows: TrainRows, layers: Sequence[int], seed: int
) -> StrengthChoice:
    """Choose the strength of least log loss by cross-validation over groups.

    `rows` are N x V x D, of layers of these widths. Models are fitted and evaluated on the plain
    views; the whitening uses augmented views too, at most `MAX_SAMPLES` in total.
    """
    sample = rows.subsample(seed)
    folds = sample.folds(seed)
    if not folds:
        return StrengthChoice(DEFAULT_STRENGTH, "default", {})
    losses = dict.fromkeys(STRENGTHS, 0.0)
    views = max(1, MAX_SAMPLES // len(sample.y))
    with threads_for(sample.x):
        for train, test in folds:
            part = sample.at(train)
            flat = part._replace(x=part.x[:, :views]).flatten_views()
            plain = Whitening.fit(flat, layers).transform(sample.x[:, 0])
            plain = plain @ _row_space(plain[train])
            for strength in STRENGTHS:
                model = fit_logistic(plain[train], part.y, part.weights, strength)
                losses[strength] += log_loss(
                    model, plain[test], sample.y[test], sample.weights[test]
                )
    best = min(losses, key=lambda strength: losses[strength])
    total = float(sample.weights.sum())
    means = {strength: loss / total for strength, loss in losses.items()}
    return StrengthChoice(
        best, f"{len(folds)}-fold cross-validation by group in train", means
    )


def fit_logistic(
    x: Floats, y: Classes, weights: Floats, strength: float
) -> LogisticRegression:
    """Fit scikit-learn's model on `x` (N x D) with sample weights (N)."""
    model = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y, weights)


def log_loss(
    model: LogisticRegression, x: Floats, y: Classes, weights: Floats
) -> float:
    """Return the weighted sum of log losses over `x` (N x D)."""
    shape = (len(y), int(max(y.max(), model.classes_.max())) + 1)
    probabilities = np.full(shape, UNSEEN_CLASS_PROBABILITY)
    probabilities[:, model.classes_] = model.predict_proba(x)
    true_class = np.maximum(
        probabilities[np.arange(len(y)), y], UNSEEN_CLASS_PROBABILITY
    )
    return float(-(weights * np.log(true_class)).sum())


def threads_for(x: Floats) -> AbstractContextManager[Any]:
    """Limit linear algebra on a small matrix to one thread."""
    return limit_threads() if x.size <= MAX_SINGLE_THREAD_VALUES else nullcontext()


BLOCK_WEIGHTS = (0.0, 0.25, 0.5, 0.7, 1.0, 1.4, 2.0)
"""Candidates for feature blocks after the first, whose weight is 1. Squares are variances."""
WEIGHT_PRIOR_DEVIATION = 0.4
"""Standard deviation of the normal prior around the expected weights."""
FIRST_BLOCK_VARIANCE = 1000.0
"""As that of a network's standardized features, so that the strengths fit."""
BLOCK_STRENGTHS = (1.0, 10.0, 100.0)


def parse_part_weights(
    setting: str, parts: Sequence[FeaturePart]
) -> PartWeights | None:
    """Parse the weights of the blocks after the first; None for 'auto'.

    Raises `UsageError` if their number is wrong.
    """
    if len(parts) == 1:
        return PartWeights((1.0,), "single block", {})
    if setting == "auto":
        return None
    weights = tuple(float(weight) for weight in setting.split(","))
    if len(weights) != len(parts) - 1:
        names = ", ".join(part.name for part in parts[1:])
        raise UsageError(
            f"part_weights needs {len(parts) - 1} values, for {names}: '{setting}'",
            "separate them by commas, or use -o part_weights=auto",
        )
    return PartWeights((1.0, *weights), "settings", {})


def choose_part_weights(
    rows: TrainRows, parts: Sequence[FeaturePart], expected: PartWeights, seed: int
) -> PartWeights:
    """Choose the weights of feature blocks by cross-validation over groups with a prior.

    The prior is expected from the texture (`features/texture.py`): a dozen images change it
    little, a hundred a lot. `rows` are N x D, with equal variance of all blocks. Weights are chosen
    one block after the other.
    """
    sample = rows.subsample(seed)
    folds = sample.folds(seed)
    if not folds:
        return expected._replace(by=f"{expected.by}; train is too small to choose")
    groups = len(np.unique(sample.groups))
    weights = [1.0]
    losses: dict[str, float] = {}
    with threads_for(sample.x):
        grams = _gram_matrices(sample.x, parts)
        for part, prior in zip(parts[1:], expected.weights[1:], strict=True):
            losses_by_weight = {}
            for weight in BLOCK_WEIGHTS:
                pairs = zip([*weights, weight], grams, strict=False)
                kernel = np.sum([w * w * gram for w, gram in pairs], axis=0)
                losses_by_weight[weight] = _held_out_loss(kernel, sample, folds)
            cost = {
                w: groups * loss + ((w - prior) / WEIGHT_PRIOR_DEVIATION) ** 2 / 2
                for w, loss in losses_by_weight.items()
            }
            weights.append(min(cost, key=lambda weight: cost[weight]))
            losses |= {
                f"{part.name} {w:g}": loss for w, loss in losses_by_weight.items()
            }
    by = f"{len(folds)}-fold cross-validation by group in train"
    return PartWeights(tuple(weights), by, losses)


def _gram_matrices(x: Floats, parts: Sequence[FeaturePart]) -> list[Floats]:
    """Return the Gram matrix (N x N) of each feature block, with a common scale."""
    grams = [block @ block.T for block in _split(x, [part.width for part in parts])]
    scale = FIRST_BLOCK_VARIANCE / max(float(grams[0].diagonal().mean()), 1e-12)
    return [scale * gram for gram in grams]


def _held_out_loss(kernel: Floats, rows: TrainRows, folds: Folds) -> float:
    losses = np.zeros(len(BLOCK_STRENGTHS))
    y, weights = rows.y, rows.weights
    for train, test in folds:
        train_x, test_x = _kernel_coordinates(kernel, train, test)
        for number, strength in enumerate(BLOCK_STRENGTHS):
            model = fit_logistic(train_x, y[train], weights[train], strength)
            losses[number] += log_loss(model, test_x, y[test], weights[test])
    return float(losses.min() / weights.sum())


def _kernel_coordinates(
    kernel: Floats, train: Classes, test: Classes
) -> tuple[Floats, Floats]:
    """Return coordinates of train and test rows whose dot products are those of the kernel.

    Test rows are projected on the span of train, outside of which |w|^2 keeps weights at 0.
    """
    values, vectors = np.linalg.eigh(kernel[np.ix_(train, train)])
    keep = values > values.max() * 1e-9
    axes = vectors[:, keep] / np.sqrt(values[keep])
    return kernel[np.ix_(train, train)] @ axes, kernel[np.ix_(test, train)] @ axes
