"""How likely a sample is of none of the classes, learnt by leaving classes out.

Of what is labelled each class is left out once: what the others' model says of it is what it will
say of strangers. What it says of known ones is known from samples that were held out with their
moments: they are served as those that wait. How familiar both look, by the score that runs go by
(`baseline.evaluation.familiarity`), becomes a likelihood ratio by a logistic curve; and how many
strangers there are is what the samples that wait surely show, and no more than what was decided so
far allows: who labels begins with what is easy, so what is left looks stranger than it is, and only
rejected samples tell that some are of no class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from baseline.evaluation.familiarity import familiarity_of, fit_feature_scale
from baseline.evaluation.outputs import Floats, Scores
from baseline.presort.classify import (
    FeatureRows,
    FitOptions,
    Indices,
    LearntScores,
    fitted_scores,
)

PARTS = 5
"""Models that are fitted, each without another part of the classes."""
LEAST = 10
"""Moments of strangers, and of known samples, without which nothing is said."""
DOUBT = 10.0
"""The share of strangers is the smallest whose likelihood is within so many nats of the best: few
labels know the curve but roughly, and must not doubt known samples where nobody is strange. Chosen
on two sets (docs/experiments.md)."""
SHARES = 400
"""Shares that are tried."""
_EDGE = 1e-6


class TaughtRows(NamedTuple):
    """What a model learns from: rows of the samples, their classes' numbers and their moments."""

    rows: Indices
    y: Indices
    moments: Sequence[str]


def stranger_probabilities(
    vectors: FeatureRows,
    learnt: LearntScores,
    taught: TaughtRows,
    waiting: npt.NDArray[np.bool_],
    most: float,
    seed: int,
) -> Floats:
    """Return the probability (N) that a sample is of no class, by its looks.

    At most the share `most` of what waits is taken for strangers.

    It is 0 for what does not wait, and for all where too little is labelled to tell. `learnt` is
    what was learnt of vectors N x D from what is `taught`.
    """
    found = np.zeros(len(vectors))
    known, moments = vectors[taught.rows], np.array(taught.moments, dtype=np.str_)
    held = learnt.alone
    away = familiarity_of_strangers(known, taught, learnt.options, seed)
    if not waiting.any() or min(len(np.unique(moments[held.rows])), away.moments) < LEAST:
        return found
    of_class = familiarities(known, held.scores, known[held.rows])
    told = familiarities(known, learnt.scores[waiting], vectors[waiting])
    ratio = likelihood_ratio(of_class, away.familiarity, told)
    found[waiting] = posterior(ratio, stranger_share(ratio), most)
    return found


def posterior(ratio: Floats, share: float, most: float) -> Floats:
    """Return the probability that each sample (N) is a stranger, where this share of them is.

    The share is taken smaller where more than the part `most` of all would come to be strangers.
    """

    def at(prior: float) -> Floats:
        found: Floats = prior * ratio / (prior * ratio + 1 - prior)
        return found

    if at(share).mean() <= most:
        return at(share)
    low, high = 0.0, share
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle).mean() <= most else (low, middle)
    return at(low)


def likelihood_ratio(of_class: Floats, strange: Floats, told: Floats) -> Floats:
    """Return how much likelier pictures of the familiarity `told` (N) are as strangers.

    By a logistic curve through those of known pictures and of strangers. Among the known its mean
    is 1, as that of a likelihood ratio is. The more familiar is never the stranger: where it seems
    so, familiarity says nothing.
    """
    curve = LogisticRegression(class_weight="balanced")
    both = np.repeat((0, 1), (len(of_class), len(strange)))
    curve.fit(_log_odds(np.append(of_class, strange)), both)
    slope = min(float(curve.coef_[0, 0]), 0.0)
    known = np.exp(slope * _log_odds(of_class)[:, 0])
    ratio: Floats = np.exp(slope * _log_odds(told)[:, 0]) / known.mean()
    return ratio


class StrangersSeen(NamedTuple):
    """How familiar samples look to models that met nothing of their class; of so many moments."""

    familiarity: Floats
    moments: int


def familiarity_of_strangers(
    known: FeatureRows, taught: TaughtRows, options: FitOptions, seed: int
) -> StrangersSeen:
    """Return what models say of `known` samples (M x D) of classes that they had not learnt.

    A part of the classes is left out at a time; with fewer than three of them, nothing is told.
    """
    kinds, names = np.unique(taught.y), np.array(taught.moments, dtype=np.str_)
    told: list[Floats] = [np.zeros(0)]
    seen: set[str] = set()
    shuffled = np.random.default_rng(seed).permutation(kinds)
    for out in np.array_split(shuffled, max(min(PARTS, len(kinds)), 1)):
        strange = np.isin(taught.y, out)
        if len(kinds) - len(out) < 2:
            break
        # A stranger of a moment that was learnt from would be no stranger.
        away = strange & ~np.isin(names, names[~strange])
        if not away.any():
            continue
        scores = fitted_scores(
            known[~strange], taught.y[~strange], known[away], int(taught.y.max()) + 1, options
        )
        told.append(familiarities(known[~strange], scores, known[away]))
        seen.update(names[away].tolist())
    return StrangersSeen(np.concatenate(told), len(seen))


def familiarities(known: FeatureRows, scores: Scores, vectors: FeatureRows) -> Floats:
    """Return how familiar `vectors` (N x D) with these scores look beside the `known` (M x D)."""
    return familiarity_of(scores, fit_feature_scale(known).distances(vectors))


def stranger_share(ratio: Floats) -> float:
    """Return the share of strangers that samples surely show, each being so much likelier as one.

    The lower end of the interval of a likelihood ratio for the mixture of both kinds.
    """
    shares = np.linspace(0, 1, SHARES, endpoint=False)
    likelihoods = [float(np.log1p(share * (ratio - 1)).sum()) for share in shares]
    return float(shares[int(np.argmax(np.array(likelihoods) >= max(likelihoods) - DOUBT))])


def _log_odds(familiarity: Floats) -> Floats:
    """Return the logarithm of the odds of familiarities, N x 1."""
    inside = np.clip(familiarity, _EDGE, 1 - _EDGE)
    odds: Floats = np.log(inside / (1 - inside))[:, None]
    return odds
