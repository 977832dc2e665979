"""How likely a sample is of one of the labelled classes, rather than of one without any label.

A model of the labelled classes has a class for every sample, and much confidence in many of them.
Here classes are left out in folds, and a logistic regression learns to distinguish their samples
from left-out samples of the other classes, by the highest ridge score and the similarity to the
nearest labelled sample. How many of the unlabelled samples are of an unlabelled class is estimated
from all of them (EM: Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to
new a priori probabilities", 2002). docs/results.md has its figures.
"""

from typing import Any

import numpy as np

from curation.similarity.ridge import Ridge, TrainingRows
from gleanset.arrays import BoolArray, Float32Array, Float64Array, thin_out

MIN_CLASSES = 3
MIN_GROUPS_PER_CLASS = 5
"""With fewer, leaving a class out says little about samples of other classes: with two classes, 34
wrong suggestions were promised and 84 were wrong (docs/results.md)."""
FOLDS = 10
MAX_REFERENCES = 2000
"""Labelled samples that others are compared with."""
PRIOR_KNOWN = 0.1
"""Weight, as a share of the unlabelled samples, of the assumption that there is no other class."""
REGULARIZATION = 20.0
EM_ROUNDS = 50
PAGE_ROWS = 10_000
"""Rows that are compared at once, to limit memory."""


def estimate_known_odds(
    vectors: Float32Array, training: TrainingRows, scores: Float64Array
) -> Float64Array | None:
    """Return the log odds (N) that a sample is of a labelled class; None for too little data.

    `vectors` are unit vectors (N x D). `scores` (N) are the highest scores of a model of all
    training samples, for these leave-one-group-out (NaN if their class has no other group).
    """
    rows = training.rows
    y = training.y
    groups = training.groups
    classes, counts = np.unique(y, return_counts=True)
    min_groups = MIN_GROUPS_PER_CLASS * len(classes)
    if len(classes) < MIN_CLASSES or len(np.unique(groups)) < min_groups:
        return None

    references = thin_out(np.arange(len(rows)), MAX_REFERENCES)
    reference_vectors = vectors[rows[references]]
    similarity = reference_vectors @ reference_vectors.T

    # Known cases: labelled samples, each compared without its group.
    reference_scores = scores[rows[references]]
    # Those of the own group get -1, the lowest cosine.
    is_other_group = groups[references][:, None] != groups[references]
    nearest = np.where(is_other_group, similarity, -1).max(axis=1)
    has_score = np.isfinite(reference_scores)
    cases_of_known = np.column_stack([reference_scores, nearest])[has_score]

    # Unknown cases: the same samples, each compared without its class.
    cases_of_unknown = np.zeros((len(references), 2))
    for fold in range(min(FOLDS, len(classes))):
        is_left_out = np.isin(y, classes[fold::FOLDS])
        # The fit needs neither groups nor the other facts, which stay as they are.
        other_classes = training._replace(
            rows=rows[~is_left_out],
            y=y[~is_left_out],
        )
        model = Ridge.fit(vectors[other_classes.rows], other_classes)
        in_fold = is_left_out[references]
        left_out_scores = model.score(reference_vectors[in_fold])
        to_others = similarity[np.ix_(in_fold, ~in_fold)]
        cases_of_unknown[in_fold, 0] = left_out_scores.max(axis=1)
        cases_of_unknown[in_fold, 1] = to_others.max(axis=1)

    cases = np.concatenate([cases_of_known, cases_of_unknown])
    mean = cases.mean(axis=0)
    spread = np.maximum(cases.std(axis=0), 1e-9)

    def combine(values: Float64Array) -> Float64Array:
        """Return the mean of score and similarity (N x 2), both standardized."""
        return np.asarray(((values - mean) / spread).mean(axis=1))

    # Every class weighs the same.
    case_classes = y[np.append(references[has_score], references)]
    weights = 1 / counts[np.searchsorted(classes, case_classes)]
    is_known = np.repeat([True, False], [len(cases_of_known), len(cases_of_unknown)])
    slope, intercept = _fit_logistic(
        combine(cases),
        is_known,
        weights,
    )

    # Apply it to all samples. Labelled ones are of a labelled class.
    pages = np.split(vectors, range(PAGE_ROWS, len(vectors), PAGE_ROWS))
    similarities = [(page @ reference_vectors.T).max(axis=1) for page in pages]
    values = np.column_stack([scores, np.concatenate(similarities)])
    odds: Float64Array = slope * combine(values) + intercept
    odds += _estimate_prior_odds(np.delete(odds, rows))
    odds[rows] = np.inf
    return odds


def _fit_logistic(x: Float64Array, is_known: BoolArray, weights: Float64Array) -> Any:
    """Fit a logistic regression to N values; return its slope (regularized) and intercept."""
    from scipy.optimize import minimize

    signs = np.where(is_known, 1.0, -1.0)

    def loss(line: Float64Array) -> float:
        slope, intercept = line
        margins = signs * (slope * x + intercept)
        penalty = slope**2 / (2 * REGULARIZATION)
        return float(weights @ np.logaddexp(0, -margins) + penalty)

    return minimize(loss, np.array([1.0, 0.0])).x


def _estimate_prior_odds(odds: Float64Array) -> float:
    """Return what to add to log odds (N) of "known", which assume that half of the samples are.

    It is the log odds of the share of known samples, estimated by EM.
    """
    share = 0.5
    if not len(odds):
        return 0.0

    for _ in range(EM_ROUNDS):
        prior_odds = np.log(share / (1 - share))
        # Larger numbers would overflow.
        probabilities = 1 / (1 + np.exp(-np.clip(odds + prior_odds, -50, 50)))
        # As if `PRIOR_KNOWN` times as many further samples were all known.
        share = (probabilities.mean() + PRIOR_KNOWN) / (1 + PRIOR_KNOWN)
        share = min(share, 1 - 1e-6)
    return float(np.log(share / (1 - share)))
