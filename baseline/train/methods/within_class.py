"""A penalty by which a weight costs the more, the more what it weighs differs within classes.

What tells classes apart in a few pictures by chance is mostly what differs among pictures of one
class, too. With C the covariance within classes and c its mean variance times a shrinkage, weights
w cost w' (C / c + 1) w (within-class covariance normalisation: Hatch, Kajarekar and Stolcke,
"Within-class covariance normalization for SVM-based speaker recognition", 2006). Each layer of a
network has its own C and c: that its features vary together with those of others, few pictures
tell by chance alone (docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

from baseline.features.backbone import FeatureLayer

Floats = npt.NDArray[np.float64]


class WithinClassMetric(NamedTuple):
    """A matrix for each layer, its features x rank; features times it are evened.

    On evened features weights w cost |w|^2. Without matrices those are what features are anyway.
    """

    matrices: tuple[Floats, ...] = ()

    @classmethod
    def of(
        cls, x: Floats, y: npt.NDArray[np.int64], weights: Floats, layers: Sequence[FeatureLayer]
    ) -> WithinClassMetric:
        """Return the one of `x` (N x D), of classes `y` from 0 on, with `weights` (N).

        `layers` are those of the D features, in their order.
        """
        members = np.zeros((len(y), int(y.max()) + 1))
        members[np.arange(len(y)), y] = weights
        means = members.T @ x / np.maximum(members.sum(0)[:, None], 1e-300)
        apart = (x - means[y]) * np.sqrt(weights / weights.sum())[:, None]
        widths = [layer.width for layer in layers]
        parts = zip(_split(x, widths), _split(apart, widths), layers, strict=True)
        return cls(tuple(_evening(seen, own, layer.shrinkage) for seen, own, layer in parts))

    def evened(self, x: Floats) -> Floats:
        """Return features (N x D) evened: N x the sum of the ranks."""
        if not self.matrices:
            return x
        layers = [len(matrix) for matrix in self.matrices]
        parts = zip(_split(x, layers), self.matrices, strict=True)
        return np.concatenate([part @ matrix for part, matrix in parts], 1)

    def restored(self, coefficients: Floats) -> Floats:
        """Return coefficients of evened features (classes x ranks) as those of the features."""
        if not self.matrices:
            return coefficients
        ranks = [matrix.shape[1] for matrix in self.matrices]
        parts = zip(_split(coefficients, ranks), self.matrices, strict=True)
        return np.concatenate([part @ matrix.T for part, matrix in parts], 1)


def row_span(x: Floats) -> Floats | None:
    """Return an orthonormal basis of what the rows span, D x rank; None where that is everything.

    Weights that cost |w|^2 are solved for there as well: the cost is blind to rotation, and what
    lies outside of the span would only add to it.
    """
    return np.linalg.qr(x.T)[0] if len(x) < x.shape[1] else None


def _split(x: Floats, widths: Sequence[int]) -> Iterator[Floats]:
    """Yield views of `x` (N x D): the first so many features, the next, and so on."""
    start = 0
    for width in widths:
        yield x[:, start : start + width]
        start += width


def _evening(x: Floats, apart: Floats, shrinkage: float) -> Floats:
    """Return a matrix M, D x rank, so that M M' is (C / c + 1)^-1 in what the rows of `x` span.

    C is apart' apart.
    """
    variance = shrinkage * float(np.square(apart).sum()) / apart.shape[1]
    basis = row_span(x)
    seen = apart if basis is None else apart @ basis
    covariance = seen.T @ seen / (variance or 1.0)
    factor = cholesky(covariance + np.eye(len(covariance)), lower=True)
    found: Floats = solve_triangular(factor, np.eye(len(factor)), lower=True, trans="T")
    return found if basis is None else basis @ found
