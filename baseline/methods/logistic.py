"""Multinomial logistic regression with an L2 penalty, solved to the end.

On small sets it beats a head trained by stochastic gradient descent by 4 to 5 points. Features
come standardised, so that one penalty suits all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from baseline.grouped_split import stratified_group_folds
from baseline.methods.one_thread import one_thread

Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
"""What is chosen from; on pictures between 1 and 100 are alike (docs/experiments.md)."""
DEFAULT = 1.0
FOLDS = 4
MOST = 3000
"""Samples that the choice is made with: more would change little and take long."""
SMALL = 5_000_000
"""Values of a matrix up to which more threads only wait for each other."""
ITERATIONS = 2000
UNSEEN = 1e-4
"""The probability of a class that a fold has not seen: it is the same for each strength."""


class Solved(NamedTuple):
    """Scores are `x @ coefficients.T + bias`: classes x D, and classes."""

    coefficients: Floats
    bias: Floats
    converged: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """The inverse of the penalty, how it came about, and the log loss of each that was tried."""

    strength: float
    by: str
    losses: dict[float, float]


def solve(x: Floats, y: Classes, weights: Floats, classes: int, strength: float) -> Solved:
    """Return the weights that minimise the sum of weighted losses + |w|^2 / (2 strength).

    `x` is N x D, `weights` N. Every one of `classes` must be in `y`.
    """
    basis = _span(x)
    model, converged = fit_logistic(x @ basis, y, weights, strength)
    coefficients, bias = model.coef_ @ basis.T, model.intercept_
    if classes == 2:
        # Two classes share one row: half of it each, with opposite signs, is the same model.
        coefficients, bias = (
            np.concatenate((-coefficients, coefficients)) / 2,
            np.concatenate((-bias, bias)) / 2,
        )
    return Solved(coefficients, bias, converged)


def choose_strength(
    x: Floats, y: Classes, weights: Floats, groups: Sequence[str], seed: int
) -> Chosen:
    """Choose the strength of least log loss by cross-validation that keeps groups whole."""
    numbers = np.unique(np.array(groups), return_inverse=True)[1]
    if len(y) > MOST:
        some = np.random.default_rng(seed).permutation(len(y))[:MOST]
        x, y, weights, numbers = x[some], y[some], weights[some], numbers[some]
    folds = stratified_group_folds(y, numbers, FOLDS, seed)
    if not folds or len(np.unique(y)) < 2:
        return Chosen(DEFAULT, "default", {})
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for learnt, held in folds:
        if len(np.unique(y[learnt])) < 2:
            continue
        basis = _span(x[learnt])
        for strength in STRENGTHS:
            model, _ = fit_logistic(x[learnt] @ basis, y[learnt], weights[learnt], strength)
            losses[strength] += log_loss(model, x[held] @ basis, y[held], weights[held])
    best = min(losses, key=lambda strength: losses[strength])
    total = float(weights.sum())
    told = {strength: loss / total for strength, loss in losses.items()}
    return Chosen(best, f"{len(folds)}-fold cross-validation by moment within train", told)


def _span(x: Floats) -> Floats:
    """Return an orthonormal basis of what the rows span, D x rank: there the solution lies as well.

    (The penalty is blind to rotation, and weights outside of the span would only add to it.)
    """
    if len(x) >= x.shape[1]:
        return np.eye(x.shape[1])
    with _threads(x):
        return np.linalg.qr(x.T)[0]


def fit_logistic(
    x: Floats, y: Classes, weights: Floats, strength: float
) -> tuple[LogisticRegression, bool]:
    """Return a model of `x` (N x D) with weights (N), and whether it converged."""
    model = LogisticRegression(C=strength, solver="lbfgs", tol=1e-4, max_iter=ITERATIONS)
    with warnings.catch_warnings(), _threads(x):
        # That it did not converge is told as a fact of the run.
        warnings.simplefilter("ignore")
        model.fit(x, y, weights)
    return model, bool((model.n_iter_ < ITERATIONS).all())


def log_loss(model: LogisticRegression, x: Floats, y: Classes, weights: Floats) -> float:
    """Return the weighted sum of -log(probability of the right class) over `x`, N x D."""
    probabilities = np.full((len(y), int(max(y.max(), model.classes_.max())) + 1), UNSEEN)
    probabilities[:, model.classes_] = model.predict_proba(x)
    right = np.maximum(probabilities[np.arange(len(y)), y], UNSEEN)
    return float(-(weights * np.log(right)).sum())


def _threads(x: Floats) -> AbstractContextManager[Any]:
    return one_thread() if x.size <= SMALL else nullcontext()
