"""A quick classifier on features, whose confidence is calibrated on pictures it had not learnt.

Logistic regression with an L2 penalty. Its strength and the temperature of its scores are chosen
by cross-validation whose folds keep copies and moments together.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from baseline.evaluation.calibration import fit_temperature
from baseline.evaluation.probabilities import Floats, softmax

Vectors = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

STRENGTHS = (0.1, 1.0, 10.0)
"""Inverse penalties that are tried, for features of length 1 times `GAIN`."""
GAIN = 10.0
FOLDS = 5
MOST_FOLDED = 4000
"""Labelled samples that cross-validation takes at most; more would change its choice little."""
STEPS = 200
_ABSENT = -30.0
"""The score of a class that a fold had no picture of."""
_CAUTIOUS = 2.0
"""The temperature where there is too little to choose one by."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was learnt. `scores` are N x classes of all samples, to be divided by `temperature`.

    `held_out` are the scores of the labelled samples that were folded (rows `folded` of them), by
    models that had not learnt them; `accuracy` is theirs, None where there was nothing to fold.
    """

    scores: Vectors
    held_out: Vectors
    folded: Indices
    temperature: float
    strength: float
    accuracy: float | None

    def probabilities(self) -> Floats:
        """Calibrated, N x classes."""
        return softmax(self.scores, self.temperature)


def learn(
    vectors: Vectors, rows: Indices, y: Indices, groups: Sequence[str], classes: int, seed: int
) -> Learnt:
    """Learn from `rows` of `vectors` (N x D, of length 1), which are of classes `y`.

    `groups` names, for each of the rows, what must not straddle a fold.
    """
    known = vectors[rows]
    some = _folded(len(rows), seed)
    folds = _folds(y[some], [groups[i] for i in some], seed)
    tried = [_held_out(known[some], y[some], folds, classes, strength) for strength in STRENGTHS]
    usable = _usable(tried[0], y[some])
    if usable.sum() < 2 * classes or len(np.unique(y[some][usable])) < 2:
        scores = _scores(known, y, vectors, classes, STRENGTHS[1])
        return Learnt(scores, tried[1][:0], some[:0], _CAUTIOUS, STRENGTHS[1], None)
    best, temperature = _choice([one[usable] for one in tried], y[some][usable])
    held_out = tried[best][usable]
    scores = _scores(known, y, vectors, classes, STRENGTHS[best])
    right = float((held_out.argmax(1) == y[some][usable]).mean())
    return Learnt(scores, held_out, some[usable], temperature, STRENGTHS[best], right)


def _folded(count: int, seed: int) -> Indices:
    order = np.random.default_rng(seed).permutation(count)[:MOST_FOLDED]
    return np.sort(order).astype(np.int64)


def _folds(y: Indices, groups: Sequence[str], seed: int) -> list[tuple[Indices, Indices]]:
    """(the rest, a fold) of the rows, classes alike in each; none where that cannot be."""
    parts = min(FOLDS, len(set(groups)), int(np.bincount(y).max()))
    if parts < 2:
        return []
    with warnings.catch_warnings():
        # Classes rarer than there are folds are usual here.
        warnings.simplefilter("ignore", UserWarning)
        made = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        return list(made.split(y, y, list(groups)))


def _held_out(
    known: Vectors, y: Indices, folds: Sequence[tuple[Indices, Indices]], classes: int,
    strength: float,
) -> Vectors:  # fmt: skip
    """Scores of every row by a model that learnt from the other folds; NaN where that fails."""
    found = np.full((len(y), classes), np.nan, np.float32)
    for rest, out in folds:
        if len(np.unique(y[rest])) > 1:
            found[out] = _scores(known[rest], y[rest], known[out], classes, strength)
    return found


def _usable(held_out: Vectors, y: Indices) -> npt.NDArray[np.bool_]:
    """Rows whose own class was among those that their fold's model knew."""
    own = held_out[np.arange(len(y)), y]
    return np.isfinite(own) & (own > _ABSENT / 2)


def _choice(tried: Sequence[Vectors], y: Indices) -> tuple[int, float]:
    """Which strength gives the lowest log loss at its best temperature, and that temperature."""
    temperatures = [fit_temperature(scores, y) for scores in tried]
    losses = [
        -float(np.log(softmax(scores, warmth)[np.arange(len(y)), y] + 1e-12).mean())
        for scores, warmth in zip(tried, temperatures, strict=True)
    ]
    best = int(np.argmin(losses))
    return best, temperatures[best]


def _scores(known: Vectors, y: Indices, of: Vectors, classes: int, strength: float) -> Vectors:
    """Scores N x classes of the rows `of`, classes that `y` lacks far below all others."""
    present = np.unique(y)
    scores = np.full((len(of), classes), _ABSENT, np.float32)
    if len(present) == 1:
        scores[:, present[0]] = 0
        return scores
    model = LogisticRegression(C=strength, max_iter=STEPS, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(known * GAIN, y)
    found = model.decision_function(of * GAIN)
    if found.ndim == 1:
        found = np.stack([-found / 2, found / 2], axis=1)
    scores[:, present] = found
    return scores
