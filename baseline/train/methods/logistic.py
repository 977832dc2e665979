"""Multinomial logistic regression with an L2 penalty, solved until the gradient is next to none.

On small sets it beats a head trained by stochastic gradient descent by 4 to 5 points. Features
come standardised, so that one penalty suits all of them; `within_class.py` has the
other penalty.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from baseline.data.grouped_split import stratified_group_folds
from baseline.features.backbone import FeatureLayer
from baseline.judge.outputs import softmax
from baseline.settings import Penalty
from baseline.train.methods.one_thread import one_thread
from baseline.train.methods.within_class import WithinClassMetric, row_span

Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""What is chosen from; on pictures those from 1 on are alike (docs/experiments.md)."""
DEFAULT = 1.0
FOLDS = 4
MOST = 1000
"""Samples that the choice is made with, and views of them: more would change little and take
long."""
SMALL = 5_000_000
"""Values of a matrix up to which more threads only wait for each other."""
ITERATIONS = 2000
TOLERANCE = 1e-4
"""The largest part of the gradient that is none."""
LEVEL = 64 * float(np.finfo(np.float64).eps)
"""By what share of it the objective has to fall for another step."""
UNSEEN = 1e-4
"""The probability of a class that a fold has not seen: it is the same for each strength."""


class Solved(NamedTuple):
    """Scores are `x @ coefficients.T + bias`: classes x D, and classes."""

    coefficients: Floats
    bias: Floats
    converged: bool


@dataclass(frozen=True, slots=True)
class FittedLogistic:
    """What was solved for the `classes` that there were pictures of, sorted."""

    classes: Classes
    solved: Solved

    def probabilities(self, x: Floats) -> Floats:
        """Return the probability of each of `classes`: N x classes."""
        return softmax(x @ self.solved.coefficients.T + self.solved.bias)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The inverse of the penalty, how it came about, and the log loss of each that was tried."""

    strength: float
    by: str
    losses: dict[float, float]


def solve(
    x: Floats,
    y: Classes,
    weights: Floats,
    classes: int,
    strength: float,
    penalty: Penalty,
    layers: Sequence[FeatureLayer] = (),
) -> Solved:
    """Return the weights that minimise the sum of weighted losses + penalty / (2 strength).

    `x` is N x V x D, V views of each sample, `weights` N; the penalty is |w|^2 or that within
    classes (`within_class.py`) of each of `layers`, or of one that has all features.
    Every one of `classes` must be in `y`.
    """
    flat, labels, each = _each_view(x, y, weights)
    with _threads(flat):
        metric = _metric(flat, labels, each, penalty, layers)
        even = metric.evened(flat)
        basis = row_span(even)
        seen = even if basis is None else even @ basis
    found = fit_logistic(seen, labels, each, strength).solved
    rows = found.coefficients if basis is None else found.coefficients @ basis.T
    return found._replace(coefficients=metric.restored(rows))


def choose_strength(
    x: Floats,
    y: Classes,
    weights: Floats,
    groups: Sequence[str],
    seed: int,
    penalty: Penalty,
    layers: Sequence[FeatureLayer] = (),
) -> Chosen:
    """Choose the strength of least log loss by cross-validation that keeps groups whole.

    `x` is N x V x D. Models of the first view of each sample are judged by it; the others say what
    differs within classes, as many of them as come to `MOST` in all.
    """
    numbers = np.unique(np.array(groups), return_inverse=True)[1]
    if len(y) > MOST:
        some = np.random.default_rng(seed).permutation(len(y))[:MOST]
        x, y, weights, numbers = x[some], y[some], weights[some], numbers[some]
    folds = stratified_group_folds(y, numbers, FOLDS, seed)
    if not folds or len(np.unique(y)) < 2:
        return Chosen(DEFAULT, "default", {})
    losses = dict.fromkeys(STRENGTHS, 0.0)
    x = x[:, : max(1, MOST // len(x))]
    for learnt, held in folds:
        if len(np.unique(y[learnt])) < 2:
            continue
        seen = _each_view(x[learnt], y[learnt], weights[learnt])
        with _threads(x):
            plain = _metric(*seen, penalty, layers).evened(x[:, 0])
            basis = row_span(plain[learnt])
            if basis is not None:
                plain = plain @ basis
        for strength in STRENGTHS:
            model = fit_logistic(plain[learnt], y[learnt], weights[learnt], strength)
            losses[strength] += log_loss(model, plain[held], y[held], weights[held])
    best = min(losses, key=lambda strength: losses[strength])
    total = float(weights.sum())
    told = {strength: loss / total for strength, loss in losses.items()}
    return Chosen(best, f"{len(folds)}-fold cross-validation by moment within train", told)


def _each_view(x: Floats, y: Classes, weights: Floats) -> tuple[Floats, Classes, Floats]:
    """Return views N x V x D as rows, with their classes and their parts of the weights."""
    views = x.shape[1]
    return x.reshape(-1, x.shape[2]), np.repeat(y, views), np.repeat(weights / views, views)


def _metric(
    x: Floats, y: Classes, weights: Floats, penalty: Penalty, layers: Sequence[FeatureLayer]
) -> WithinClassMetric:
    if penalty == "l2":
        return WithinClassMetric()
    return WithinClassMetric.of(x, y, weights, layers or (FeatureLayer(x.shape[1]),))


def fit_logistic(x: Floats, y: Classes, weights: Floats, strength: float) -> FittedLogistic:
    """Return a model of `x` (N x D) with weights (N).

    The objective and the stopping rule are those of scikit-learn's `LogisticRegression`, whose
    checks of each step take longer than the steps where pictures are few.
    """
    classes, right = np.unique(y, return_inverse=True)
    # Of two classes it weighs one row of differences, which is twice as much as two rows.
    penalty = (2 if len(classes) == 2 else 1) / (strength * weights.sum())
    objective = _Objective(x, right, weights / weights.sum(), penalty, len(classes))
    stop = {"maxiter": ITERATIONS, "maxls": 50, "gtol": TOLERANCE, "ftol": LEVEL}
    with _threads(x):
        found = minimize(objective, objective.start(), method="L-BFGS-B", jac=True, options=stop)
    rows = found.x.reshape(-1, len(classes))
    solved = Solved(rows[:-1].T, rows[-1], bool(found.nit < ITERATIONS))
    return FittedLogistic(classes, solved)


@dataclass(frozen=True, slots=True)
class _Objective:
    """The mean loss of all samples and the penalty, and its gradient.

    What is solved for are the coefficients (D x classes) and below them the bias. `weights` come
    to 1.
    """

    x: Floats
    right: Classes
    weights: Floats
    penalty: float
    classes: int

    def start(self) -> Floats:
        """Return nothing but zeros."""
        return np.zeros((self.x.shape[1] + 1) * self.classes)

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        """Return the loss, and its gradient as `flat` has it."""
        rows = flat.reshape(-1, self.classes)
        scores = self.x @ rows[:-1] + rows[-1]
        scores -= scores.max(1, keepdims=True)
        samples = np.arange(len(scores))
        own = scores[samples, self.right]
        np.exp(scores, out=scores)
        sums = scores.sum(1)
        loss = self.weights @ (np.log(sums) - own) + self.penalty / 2 * np.vdot(
            rows[:-1], rows[:-1]
        )
        scores *= (self.weights / sums)[:, None]  # weighted probabilities, less what is right
        scores[samples, self.right] -= self.weights
        gradient = np.concatenate((self.x.T @ scores + self.penalty * rows[:-1], [scores.sum(0)]))
        return float(loss), gradient.ravel()


def log_loss(model: FittedLogistic, x: Floats, y: Classes, weights: Floats) -> float:
    """Return the weighted sum of -log(probability of the right class) over `x`, N x D."""
    probabilities = np.full((len(y), int(max(y.max(), model.classes.max())) + 1), UNSEEN)
    probabilities[:, model.classes] = model.probabilities(x)
    right = np.maximum(probabilities[np.arange(len(y)), y], UNSEEN)
    return float(-(weights * np.log(right)).sum())


def _threads(x: Floats) -> AbstractContextManager[Any]:
    return one_thread() if x.size <= SMALL else nullcontext()
