"""Multinomial logistic regression with within-class covariance normalization.

On small sets it beats a head trained by stochastic gradient descent by 4 to 5 points. With C the
covariance within classes and c its mean variance, the penalty of weights w is w' (C / c + 1) w
(Hatch, Kajarekar and Stolcke, "Within-class covariance normalization for SVM-based speaker
recognition", 2006). On whitened features this is the |w|^2 of scikit-learn's `LogisticRegression`.
Each layer of a network has its own C and c: covariances between layers are noise on few images
(one C for all layers cost 1.2 points on five characters of shows; docs/experiments.md).
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from baseline.data.samples import split_stratified_groups
from baseline.features.backbone import FeaturePart
from baseline.features.texture import PartWeights
from gleanset.arrays import (
    Array,
    Float32Array,
    Float64Array,
    FloatArray,
    IntArray,
    limit_threads,
    split_columns,
)

Folds = list[tuple[IntArray, IntArray]]

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Candidates for scikit-learn's C; on images those from 1 are equivalent (docs/experiments.md)."""
DEFAULT_STRENGTH = 1.0
FOLDS = 4
MAX_SAMPLES = 1000
"""Samples, or views of them, that choices are made on: more is slow and changes little."""
MAX_ITERATIONS = 2000
TOLERANCE = 3e-5
"""scikit-learn's `tol`. On 1,000 generated samples the log loss is within 0.0006 of the exact one:
with the default 1e-4 within 0.005, and 1e-5 takes over half more CPU time."""
UNSEEN_CLASS_PROBABILITY = 1e-4
"""Probability of a class that is missing from a fold, equal for each strength."""


class TrainRows(NamedTuple):
    """Training samples: features `x` (N x V x D with V views, or N x D), class numbers `y` (N),
    `weights` (N) and group numbers (N).
    """

    x: Array
    y: IntArray
    weights: Float64Array
    groups: IntArray

    def at(self, rows: IntArray) -> Self:
        """Return some rows."""
        return type(self)(
            self.x[rows], self.y[rows], self.weights[rows], self.groups[rows]
        )

    def subsample(self, seed: int) -> Self:
        """Return at most `MAX_SAMPLES` random rows, in order."""
        order = np.random.default_rng(seed).permutation(len(self.y))
        return self.at(np.sort(order[:MAX_SAMPLES]))

    def folds(self, seed: int) -> Folds:
        """Return (train rows, test rows) of folds by group; none for too few samples."""
        if len(np.unique(self.y)) < 2:
            return []
        folds = split_stratified_groups(self.y, self.groups, FOLDS, seed)
        return [
            (train, test) for train, test in folds if len(np.unique(self.y[train])) > 1
        ]

    def flatten_views(self) -> Self:
        """Return every view as a row, dividing the weight of the sample."""
        views = self.x.shape[1]
        return type(self)(
            x=self.x.reshape(-1, self.x.shape[2]),
            y=np.repeat(self.y, views),
            # Views share the weight, so that their number does not change the penalty.
            weights=np.repeat(self.weights / views, views),
            groups=np.repeat(self.groups, views),
        )


class LinearHead(NamedTuple):
    """Coefficients (classes x D) and bias (classes) of a linear classifier."""

    coefficients: Float64Array
    bias: Float64Array
    converged: bool


class StrengthChoice(NamedTuple):
    """The inverse regularization, and how it was chosen."""

    strength: float
    by: str


class Whitening(NamedTuple):
    """A whitening matrix for each layer (features x features)."""

    matrices: tuple[FloatArray, ...]

    @classmethod
    def fit(cls, rows: TrainRows, layers: Sequence[int]) -> Self:
        """Fit on rows (N x D) with features of layers of these widths."""
        x = rows.x
        weights = rows.weights
        members = np.zeros((len(x), int(rows.y.max()) + 1), x.dtype)  # N x classes
        members[np.arange(len(x)), rows.y] = weights
        # A fold may have no row of a class.
        totals = np.maximum(members.sum(0), 1e-30)
        means = members.T @ x / totals[:, None]

        factors = np.sqrt(weights / weights.sum()).astype(x.dtype)
        residuals = (x - means[rows.y]) * factors[:, None]

        return cls(tuple(map(_whitening_matrix, split_columns(residuals, layers))))

    def transform(self, x: FloatArray) -> FloatArray:
        """Return whitened features of features (N x D)."""
        layers = zip(self._split(x), self.matrices, strict=True)
        return np.concatenate([layer @ matrix for layer, matrix in layers], 1)

    def transform_coefficients(self, coefficients: FloatArray) -> FloatArray:
        """Return coefficients of features, given those of whitened features (classes x D)."""
        layers = zip(self._split(coefficients), self.matrices, strict=True)
        return np.concatenate([layer @ matrix.T for layer, matrix in layers], 1)

    def _split(self, x: FloatArray) -> list[FloatArray]:
        return split_columns(
            x,
            [len(matrix) for matrix in self.matrices],
        )


def _whitening_matrix(residuals: FloatArray) -> FloatArray:
    """Return M (D x D) with M M' = (C / c + 1)^-1.

    C is `residuals.T @ residuals`, c the mean of its diagonal.
    """
    identity = np.eye(residuals.shape[1], dtype=residuals.dtype)
    variance = float(np.square(residuals).sum()) / len(identity)
    # Without variation within classes the matrix is the identity.
    precision = residuals.T @ residuals / (variance or 1.0) + identity
    factor = cholesky(precision, lower=True)
    inverse = solve_triangular(
        factor,
        identity,
        lower=True,
        trans="T",
    )
    return np.asarray(inverse)


def fit_linear_head(
    rows: TrainRows, strength: float, layers: Sequence[int]
) -> LinearHead:
    """Fit the regression with inverse regularization `strength`.

    `rows` are N x V x D with all classes from 0; `layers` are the widths of their layers.
    """
    views = rows.flatten_views()
    with limit_threads():
        whitening = Whitening.fit(views, layers)
        white = whitening.transform(views.x)
        [model] = fit_path(white, views.y, views.weights, [strength])
        coefficients = whitening.transform_coefficients(model.coef_)
        bias = model.intercept_

    if len(model.classes_) == 2:
        # Two classes share one row: half of it each, with opposite signs, is the same model.
        row = coefficients[0]
        coefficients = np.stack([-row, row]) / 2
        bias = bias * [-0.5, 0.5]

    has_converged = int(model.n_iter_.max()) < MAX_ITERATIONS
    return LinearHead(coefficients.astype(np.float64), bias, has_converged)


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
        return StrengthChoice(DEFAULT_STRENGTH, "default")

    losses = np.zeros(len(STRENGTHS))
    views = max(1, MAX_SAMPLES // len(sample.y))
    sample = sample._replace(x=sample.x[:, :views])
    # Each fit has one view of few images: several threads would wait for each other.
    with limit_threads():
        for train, test in folds:
            whitening = Whitening.fit(
                sample.at(train).flatten_views(),
                layers,
            )
            white = whitening.transform(sample.x[:, 0]).astype(np.float64)
            losses += _measure_losses(
                white @ white.T,
                sample,
                train,
                test,
                STRENGTHS,
            )

    return StrengthChoice(
        strength=STRENGTHS[losses.argmin()],
        by=f"{len(folds)}-fold cross-validation by group in train",
    )


def fit_path(
    x: FloatArray, y: IntArray, weights: Float64Array, strengths: Sequence[float]
) -> Iterator[LogisticRegression]:
    """Yield scikit-learn's model of `x` (N x D), with sample weights (N), for each strength.

    Each fit starts from the one before, in the same object.
    """
    model = LogisticRegression(tol=TOLERANCE, max_iter=MAX_ITERATIONS, warm_start=True)
    for strength in strengths:
        model.C = strength
        with warnings.catch_warnings():
            # Whether the final fit converged is a fact of the run (`LinearHead`).
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y, weights)
        yield model


def log_loss(
    model: LogisticRegression, x: FloatArray, y: IntArray, weights: Float64Array
) -> float:
    """Return the weighted sum of log losses over `x` (N x D)."""
    # The model has the classes of its training rows only.
    classes = int(max(y.max(), model.classes_.max())) + 1
    probabilities = np.full((len(y), classes), UNSEEN_CLASS_PROBABILITY)
    probabilities[:, model.classes_] = model.predict_proba(x)

    of_true_class = probabilities[np.arange(len(y)), y]
    of_true_class = np.maximum(of_true_class, UNSEEN_CLASS_PROBABILITY)
    return float(-(weights * np.log(of_true_class)).sum())


BLOCK_WEIGHTS = (2.0, 1.4, 1.0, 0.7, 0.5, 0.25, 0.0)
"""Candidates for feature blocks after the first, whose weight is 1. Squares are variances."""
WEIGHT_PRIOR_DEVIATION = 0.4
"""Standard deviation of the normal prior around the expected weights."""
FIRST_BLOCK_VARIANCE = 1000.0
"""As that of a network's standardized features, so that the strengths fit."""
BLOCK_STRENGTH = 10.0
"""scikit-learn's C with which weights are compared: as the best of three in 7 of 8 cases."""


def choose_part_weights(
    rows: TrainRows, parts: Sequence[FeaturePart], prior: PartWeights, seed: int
) -> PartWeights:
    """Choose the weights of feature blocks by cross-validation over groups with a prior.

    `prior` is expected from the texture (`features/texture.py`): a dozen images change it
    little, a hundred a lot. `rows` are N x D, with equal variance of all blocks. Weights are chosen
    one block after the other.
    """
    sample = rows.subsample(seed)
    folds = sample.folds(seed)
    if not folds:
        return prior._replace(by=f"{prior.by}; train is too small to choose")

    groups = len(np.unique(sample.groups))
    weights = [1.0]
    with limit_threads():
        grams = _gram_matrices(sample.x, parts)
        # The weighted sum of the Gram matrices of the blocks whose weights are chosen.
        kernel = grams[0]

        for gram, mean in zip(grams[1:], prior.weights[1:], strict=True):
            # Without the prior, photographs with 3 images a class lose 3.3 points
            # (docs/experiments.md).
            lowest_cost = np.inf
            for weight in BLOCK_WEIGHTS:
                candidate = kernel + weight * weight * gram
                loss = _held_out_loss(candidate, sample, folds)
                deviation = (weight - mean) / WEIGHT_PRIOR_DEVIATION
                # The loss of all groups, and the negative log prior.
                cost = groups * loss + deviation**2 / 2
                # It falls to its minimum, then it rises.
                if cost > lowest_cost:
                    break
                lowest_cost = cost
                best = weight
                best_kernel = candidate

            weights.append(best)
            kernel = best_kernel

    by = f"{len(folds)}-fold cross-validation by group in train"
    return PartWeights(tuple(weights), by)


def _gram_matrices(x: Float64Array, parts: Sequence[FeaturePart]) -> list[Float64Array]:
    """Return the Gram matrix (N x N) of each feature block, with a common scale."""
    blocks = split_columns(x, [part.width for part in parts])
    grams = [block @ block.T for block in blocks]
    variance = float(grams[0].diagonal().mean())
    scale = FIRST_BLOCK_VARIANCE / max(variance, 1e-12)
    return [scale * gram for gram in grams]


def _held_out_loss(kernel: Float64Array, rows: TrainRows, folds: Folds) -> float:
    """Return the mean log loss of left-out rows."""
    losses = [
        _measure_losses(kernel, rows, train, test, [BLOCK_STRENGTH])
        for train, test in folds
    ]
    return float(np.sum(losses) / rows.weights.sum())


def _measure_losses(
    kernel: Float64Array,
    rows: TrainRows,
    train: IntArray,
    test: IntArray,
    strengths: Sequence[float],
) -> Float64Array:
    """Return the log loss of test rows for each strength, fitted on train rows."""
    train_x, test_x = _kernel_coordinates(kernel, train, test)
    models = fit_path(
        train_x,
        rows.y[train],
        rows.weights[train],
        strengths,
    )
    # `rows.at(test)` would copy the features, too.
    y = rows.y[test]
    weights = rows.weights[test]
    return np.array([log_loss(model, test_x, y, weights) for model in models])


def _kernel_coordinates(
    kernel: Float64Array, train: IntArray, test: IntArray
) -> tuple[Float32Array, Float32Array]:
    """Return coordinates of train and test rows whose dot products are those of the kernel.

    Test rows are projected on the span of train, outside of which |w|^2 keeps weights at 0.
    """
    values, vectors = np.linalg.eigh(kernel[np.ix_(train, train)])
    # Directions without variance would be divided by nearly 0.
    is_in_span = values > values.max() * 1e-9
    axes = vectors[:, is_in_span] / np.sqrt(values[is_in_span])
    # Fits take two thirds of the time in single precision, and end at the same losses.
    rows = (kernel[:, train] @ axes).astype(np.float32)
    return rows[train], rows[test]
