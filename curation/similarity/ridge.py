"""Ridge regression from embeddings to classes.

Leave-one-group-out scores follow in closed form (Allen, "The relationship between variable
selection and data augmentation", 1974).
"""

from typing import NamedTuple, Self

import numpy as np

from gleanset.arrays import (
    BoolArray,
    Float32Array,
    Float64Array,
    IntArray,
    split_by_number,
)

PENALTY = 0.3
"""Regularization of the ridge regression, for unit vectors (docs/experiments.md)."""
CLASS_BALANCE = 0.5
"""Class balance: at 1 rare classes are predicted too often, at 0 hardly ever."""


class TrainingRows(NamedTuple):
    """Training samples, as `rows` of the vectors (M each).

    `y` are class numbers below `classes`, `groups` group numbers for leave-one-group-out
    estimates. Only samples that a person has `reviewed` are used for calibration. Labels `by_hint`
    were given by a weak label, or imported with names that may be those of the same folders: they
    do not show how often weak labels are right.
    """

    rows: IntArray
    y: IntArray
    groups: IntArray
    reviewed: BoolArray
    classes: int
    by_hint: BoolArray


def shorten_vectors(vectors: Float32Array) -> Float32Array:
    """Return N vectors of at most N dimensions with the same products as N x D ones.

    Ridge regression depends on products only, and takes time with the cube of the dimensions.
    """
    if len(vectors) >= vectors.shape[1]:
        return vectors
    return np.linalg.qr(vectors.T).R.T


def compute_sample_weights(y: IntArray) -> Float64Array:
    """Return weights of M training samples, higher for rare classes; mean 1."""
    class_sizes = np.bincount(y)[y].astype(np.float64)
    weights = class_sizes**-CLASS_BALANCE
    return np.asarray(weights / weights.mean())


class Ridge(NamedTuple):
    """Ridge regression: `weights` (D x classes), and the means of rows and targets."""

    training: TrainingRows
    weights: Float64Array
    row_mean: Float64Array
    target_mean: Float64Array
    residuals: Float64Array
    hat_left: Float64Array
    """M x (D+1): with `hat_right` (the same shape), the hat matrix is `hat_left @ hat_right.T`."""
    hat_right: Float64Array

    @classmethod
    def fit(
        cls, rows: Float32Array, training: TrainingRows, penalty: float = PENALTY
    ) -> Self:
        """Fit to unit vectors (M x D) of the training samples."""
        from scipy.linalg import cho_factor, cho_solve

        x = rows.astype(np.float64)
        targets = np.eye(training.classes)[training.y]
        sample_weights = compute_sample_weights(training.y)
        total = sample_weights.sum()
        row_mean = sample_weights @ x / total
        target_mean = sample_weights @ targets / total

        x -= row_mean
        targets -= target_mean
        scaled_x = x * sample_weights[:, None]
        factor = cho_factor(scaled_x.T @ x + penalty * np.eye(x.shape[1]))
        weights = cho_solve(factor, scaled_x.T @ targets)
        residuals = targets - x @ weights

        # The last column is the effect of a sample on the means.
        hat_left = np.column_stack([cho_solve(factor, x.T).T, np.ones(len(x))])
        hat_right = np.column_stack([scaled_x, sample_weights / total])
        return cls(
            training,
            weights,
            row_mean,
            target_mean,
            residuals,
            hat_left,
            hat_right,
        )

    def score(self, rows: Float32Array) -> Float64Array:
        """Return scores (N x classes) of rows (N x D)."""
        intercept = self.target_mean - self.row_mean @ self.weights
        return rows @ self.weights.astype(np.float32) + intercept

    def score_held_out(self, groups: IntArray) -> Float64Array:
        """Return leave-one-group-out scores (M x classes), NaN for single-group classes.

        A held-out residual is (1 - H)^-1 times the residual, where H is the group's block of the
        hat matrix.
        """
        y = self.training.y
        targets = np.eye(self.training.classes)[y]
        counts = np.bincount(y, minlength=self.training.classes)
        scores = np.full(targets.shape, np.nan)

        for members in split_by_number(groups):
            others = counts - np.bincount(y[members], minlength=len(counts))
            if np.count_nonzero(others) < 2:
                continue  # one class is left
            hat = self.hat_left[members] @ self.hat_right[members].T
            remaining = np.eye(len(members)) - hat
            residuals = np.linalg.solve(remaining, self.residuals[members])
            group_scores = targets[members] - residuals
            has_others = others[y[members]] > 0
            scores[members[has_others]] = group_scores[has_others]
        return scores
