"""How likely a sample is of one of the labelled classes, rather than of one without any label.

A model of the labelled classes has a class for every sample, and much confidence in many of them.
Here classes are left out in folds, and a logistic regression learns to distinguish their samples
from left-out samples of the other classes, by the highest ridge score and the similarity to the
nearest labelled sample. How many of the unlabelled samples are of an unlabelled class is estimated
from all of them (EM: Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to
new a priori probabilities", 2002). docs/results.md has its figures.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.similarity.clustering import Indices, Rows

Floats = npt.NDArray[np.float64]
ScoreLeftOut = Callable[[npt.NDArray[np.bool_]], Floats]
"""Highest scores of left-out labelled samples (a flag for each) by a model of the others."""

MIN_CLASSES, MIN_GROUPS_PER_CLASS = 5, 5
"""With fewer, leaving a class out says little about samples of other classes."""
FOLDS = 10
MAX_REFERENCES = 2000
"""Labelled samples that others are compared with."""
PRIOR_KNOWN = 0.1
"""Weight, as a share of the unlabelled samples, of the assumption that there is no other class."""
REGULARIZATION, EM_ROUNDS = 20.0, 50
PAGE_ROWS = 10_000
"""Rows that are compared at once, to limit memory."""


def estimate_known_odds(
    vectors: Rows,
    rows: Indices,
    y: Indices,
    groups: Indices,
    scores: Floats,
    score_left_out: ScoreLeftOut,
) -> Floats | None:
    """Return the log odds (N) that a sample is of a labelled class; None for too little data.

    `vectors` are unit vectors (N x D), `rows` the labelled ones, `y` their class and `groups` their
    group numbers (M each). `scores` (N) are the highest scores of a model of all labelled samples,
    for these leave-one-group-out (NaN if their class has no other group).
    """
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < MIN_CLASSES or len(
        np.unique(groups)
    ) < MIN_GROUPS_PER_CLASS * len(classes):
        return None
    references = np.arange(len(rows))[:: max(1, -(-len(rows) // MAX_REFERENCES))]
    known = references[np.isfinite(scores[rows[references]])]
    labelled = vectors[rows[references]]
    similarity = labelled @ labelled.T
    other_group = groups[references][:, None] != groups[references]
    nearest = np.where(other_group, similarity, -1).max(1)[np.isin(references, known)]
    inside = np.column_stack([scores[rows[known]], nearest])
    left_out_scores, left_out_nearest = np.zeros(len(rows)), np.zeros(len(references))
    for fold in range(min(FOLDS, len(classes))):
        is_left_out = np.isin(y, classes[fold::FOLDS])
        left_out = is_left_out[references]
        left_out_scores[is_left_out] = score_left_out(is_left_out)
        left_out_nearest[left_out] = similarity[np.ix_(left_out, ~left_out)].max(1)
    outside = np.column_stack([left_out_scores[references], left_out_nearest])
    cases = np.concatenate([inside, outside])
    middle = cases.mean(0)
    spread = np.maximum(cases.std(0), 1e-9)
    weights = 1 / counts[np.searchsorted(classes, y[np.append(known, references)])]
    is_known = np.arange(len(cases)) < len(known)
    slope, constant = _fit_logistic(
        ((cases - middle) / spread).mean(1), is_known, weights
    )
    parts = np.split(vectors, range(PAGE_ROWS, len(vectors), PAGE_ROWS))
    closest = np.concatenate([(part @ labelled.T).max(1) for part in parts])
    values = (np.column_stack([scores, closest]) - middle) / spread
    odds: Floats = slope * values.mean(1) + constant
    odds += _estimate_prior_odds(np.delete(odds, rows))
    odds[rows] = np.inf
    return odds


def _fit_logistic(x: Floats, is_known: npt.NDArray[np.bool_], weights: Floats) -> Any:
    """Fit a logistic regression to N values; return its slope (regularized) and intercept."""
    from scipy.optimize import minimize

    sign = np.where(is_known, 1.0, -1.0)

    def loss(line: Floats) -> float:
        margins = sign * (line[0] * x + line[1])
        return float(
            weights @ np.logaddexp(0, -margins) + line[0] ** 2 / (2 * REGULARIZATION)
        )

    return minimize(loss, np.array([1.0, 0.0])).x


def _estimate_prior_odds(odds: Floats) -> float:
    """Return the log odds of "known" among samples with log odds (N) for a share of one half."""
    share = 0.5
    for _ in range(EM_ROUNDS if len(odds) else 0):
        known = 1 / (1 + np.exp(-np.clip(odds + np.log(share / (1 - share)), -50, 50)))
        share = min((known.mean() + PRIOR_KNOWN) / (1 + PRIOR_KNOWN), 1 - 1e-6)
    return float(np.log(share / (1 - share)))
