"""A quick classifier on features, and what it says of pictures that it had not learnt.

Logistic regression with an L2 penalty. Its strength is chosen by cross-validation whose folds keep
moments whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from baseline.data.grouped_split import stratified_group_folds
from baseline.judge.calibration import fit_temperature
from baseline.judge.outputs import log_softmax

FeatureRows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

STRENGTHS = (0.1, 1.0, 10.0)
"""Inverse penalties that are tried, for features of length 1 times `GAIN`."""
BALANCES = ("balanced", None)
"""Class weights that are tried: with few labels classes of equal weight are told apart better, with
more of them classes as frequent as they are keep what a probability promises."""
GAIN = 10.0
FOLDS = 5
MOST_FOLDED = 4000
"""Labelled samples that cross-validation takes at most; more would change its choice little."""
STEPS = 200
_ABSENT = -30.0
"""The score of a class that a fold had no picture of."""


class FitOptions(NamedTuple):
    """How a model is fitted: its inverse penalty, and the weights of its classes."""

    strength: float
    balance: str | None


FIT_OPTIONS = tuple(FitOptions(strength, balance) for balance in BALANCES for strength in STRENGTHS)
DEFAULT_OPTIONS = FitOptions(1.0, "balanced")


class HeldOutScores(NamedTuple):
    """Scores M x classes of the learnt samples `rows` (M), by models that had not learnt them."""

    rows: Indices
    scores: FeatureRows


@dataclass(frozen=True, slots=True)
class LearntScores:
    """What was learnt: `scores` N x classes of all samples.

    `alone` are held out with all of their moment, as a sample is whose moment has no label.
    `beside` are held out by themselves, as a sample is beside labelled ones of its moment; only
    samples of moments with several are there. Either is empty where there was too little.
    """

    scores: FeatureRows
    alone: HeldOutScores
    beside: HeldOutScores
    options: FitOptions
    folds: Mapping[str, int] = field(default_factory=dict)


class UsualFit(NamedTuple):
    """How models were fitted before: their options, and the fold that each moment was held out
    in.
    """

    options: FitOptions
    folds: Mapping[str, int]


def learn_scores(
    vectors: FeatureRows,
    rows: Indices,
    y: Indices,
    moments: Sequence[str],
    classes: int,
    seed: int,
    *,
    beside: bool = True,
    usual: UsualFit | None = None,
) -> LearntScores:
    """Learn from `rows` of `vectors` (N x D, of length 1), which are of classes `y`.

    `moments` names, for each of the rows, what must not straddle a fold. Nothing is held out
    `beside` others of its moment where that is not asked for. The options are chosen, or are the
    `usual` ones.
    """
    known = vectors[rows]
    some = _folded(len(rows), seed)
    names = np.unique(np.array(moments), return_inverse=True)[1][some]
    some_vectors, labels = known[some], y[some]
    chosen = [moments[row] for row in some.tolist()]
    if usual is None:
        folds = stratified_group_folds(labels, names, FOLDS, seed)
        options: Sequence[FitOptions] = FIT_OPTIONS
    else:
        folds, options = _dealt_on(chosen, labels, usual.folds), (usual.options,)
    tried = [_held_out(some_vectors, labels, folds, classes, one) for one in options]
    usable = _usable(tried[0], labels)
    if usable.sum() < 2 * classes or len(np.unique(labels[usable])) < 2:
        scores = fitted_scores(known, y, vectors, classes, DEFAULT_OPTIONS)
        nothing = HeldOutScores(some[:0], scores[:0])
        return LearntScores(scores, nothing, nothing, DEFAULT_OPTIONS)
    best = _choice([one[usable] for one in tried], labels[usable])
    held_beside = HeldOutScores(some[:0], tried[best][:0])
    if beside and (np.bincount(names) > 1).any():
        sample_folds = stratified_group_folds(labels, np.arange(len(labels)), FOLDS, seed)
        held = _held_out(some_vectors, labels, sample_folds, classes, options[best])
        several = (np.bincount(names)[names] > 1) & _usable(held, labels)
        held_beside = HeldOutScores(some[several], held[several])
    return LearntScores(
        fitted_scores(known, y, vectors, classes, options[best]),
        HeldOutScores(some[usable], tried[best][usable]),
        held_beside,
        options[best],
        {chosen[row]: fold for fold, (_, out) in enumerate(folds) for row in out.tolist()},
    )


def _dealt_on(
    moments: Sequence[str], y: Indices, before: Mapping[str, int]
) -> list[tuple[Indices, Indices]]:
    """Return folds (the rest, a fold) in which moments are where they were before.

    A new one goes where there are fewest of its class, and of all.
    """
    count = max(before.values()) + 1
    held = np.zeros((count, int(y.max()) + 1), np.int64)
    fold = np.array([before.get(name, -1) for name in moments], np.int64)
    np.add.at(held, (fold[fold >= 0], y[fold >= 0]), 1)
    new: dict[str, int] = {}
    for row in np.flatnonzero(fold < 0).tolist():
        at = new.setdefault(moments[row], int(np.lexsort((held.sum(1), held[:, y[row]]))[0]))
        fold[row] = at
        held[at, y[row]] += 1
    parts = ((np.flatnonzero(fold != at), np.flatnonzero(fold == at)) for at in range(count))
    return [(rest, out) for rest, out in parts if len(rest) and len(out)]


def _folded(count: int, seed: int) -> Indices:
    order = np.random.default_rng(seed).permutation(count)[:MOST_FOLDED]
    return np.sort(order).astype(np.int64)


def _held_out(
    known: FeatureRows,
    y: Indices,
    folds: Sequence[tuple[Indices, Indices]],
    classes: int,
    options: FitOptions,
) -> FeatureRows:
    """Scores of every row by a model that learnt from the other folds; NaN where that fails."""
    found = np.full((len(y), classes), np.nan, np.float32)
    for rest, out in folds:
        if len(np.unique(y[rest])) > 1:
            found[out] = fitted_scores(known[rest], y[rest], known[out], classes, options)
    return found


def _usable(held_out: FeatureRows, y: Indices) -> npt.NDArray[np.bool_]:
    """Rows whose own class was among those that their fold's model knew."""
    own = held_out[np.arange(len(y)), y]
    return np.isfinite(own) & (own > _ABSENT / 2)


def _choice(tried: Sequence[FeatureRows], y: Indices) -> int:
    """Return which options give the lowest log loss at its temperature."""
    at = np.arange(len(y))
    losses = [-float(log_softmax(one, fit_temperature(one, y))[at, y].mean()) for one in tried]
    return int(np.argmin(losses))


def fitted_scores(
    known: FeatureRows, y: Indices, of: FeatureRows, classes: int, options: FitOptions
) -> FeatureRows:
    """Scores N x classes of the rows `of`, classes that `y` lacks far below all others."""
    present = np.unique(y)
    scores = np.full((len(of), classes), _ABSENT, np.float32)
    if len(present) == 1:
        scores[:, present[0]] = 0
        return scores
    model = LogisticRegression(C=options.strength, class_weight=options.balance, max_iter=STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(known * GAIN, y)
    found = model.decision_function(of * GAIN)
    if found.ndim == 1:
        found = np.stack([-found / 2, found / 2], axis=1)
    scores[:, present] = found
    return scores
