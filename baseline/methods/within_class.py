"""A penalty by which a weight costs the more, the more what it weighs differs within classes.

What tells classes apart in a few pictures by chance is mostly what differs among pictures of one
class, too. With C the covariance within classes and c `SHRINKAGE` times its mean variance, weights
w cost w' (C / c + 1) w (within-class covariance normalisation: Hatch, Kajarekar and Stolcke,
"Within-class covariance normalization for SVM-based speaker recognition", 2006).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

Floats = npt.NDArray[np.float64]

SHRINKAGE = 3.0
"""Variance within classes that each feature is taken to have, beside what is seen: so many times
the mean of all features. Between 1 and 10 it is all the same (docs/experiments.md)."""


class WithinClassMetric(NamedTuple):
    """`factor` is L, D x D lower triangular: weights w cost |L'w|^2."""

    factor: Floats

    @classmethod
    def even(cls, width: int) -> WithinClassMetric:
        """Return the one in which so many weights cost |w|^2."""
        return cls(np.eye(width))

    @classmethod
    def of(
        cls, x: Floats, y: npt.NDArray[np.int64], weights: Floats, width: int
    ) -> WithinClassMetric:
        """Return the one of `x` (N x D), of classes `y` from 0 on, with `weights` (N).

        `width` is how many features they were, where they were rotated into the span of the rows.
        Where nothing differs within classes it is even.
        """
        members = np.zeros((len(y), int(y.max()) + 1))
        members[np.arange(len(y)), y] = weights
        means = members.T @ x / np.maximum(members.sum(0)[:, None], 1e-300)
        apart = (x - means[y]) * np.sqrt(weights / weights.sum())[:, None]
        covariance = apart.T @ apart
        shrinkage = SHRINKAGE * float(np.trace(covariance)) / width
        if not shrinkage:
            return cls.even(x.shape[1])
        return cls(cholesky(covariance / shrinkage + np.eye(len(covariance)), lower=True))

    def evened(self, x: Floats) -> Floats:
        """Return features (N x D) in which weights cost |w|^2."""
        found: Floats = solve_triangular(self.factor, x.T, lower=True).T
        return found

    def restored(self, coefficients: Floats) -> Floats:
        """Return coefficients of evened features (classes x D) as those of the features."""
        found: Floats = solve_triangular(self.factor, coefficients.T, lower=True, trans="T").T
        return found
