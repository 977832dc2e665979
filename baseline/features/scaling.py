"""Scaling features for training a head; does not need torch."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from baseline.features.backbone import Backbone
from gleanset.arrays import Float32Array, Float64Array, FloatArray

FLOOR = 0.1
"""Minimum deviation relative to the median, so that nearly constant features are not amplified."""
MIN_DEVIATION = 1e-6
"""Minimum deviation if most features are constant."""


def floor_deviations(spread: Float64Array) -> Float64Array:
    """Return standard deviations (D) with a lower bound, as divisors."""
    floor = FLOOR * float(np.median(spread))
    return np.maximum(spread, floor or MIN_DEVIATION)


class Scaling(NamedTuple):
    """Linear scaling (x - mean) / deviation; float64, D. Deviations may be infinite."""

    mean: Float64Array
    deviation: Float64Array

    @classmethod
    def fit(
        cls,
        vectors: FloatArray,
        backbone: Backbone,
        weights: Sequence[float] | None = None,
    ) -> Self:
        """Return the scaling for features (... x D) of a backbone.

        Features are standardized and multiplied by their emphasis, except in blocks that are not
        standardized. Then each further block gets the variance of the first, times its squared
        weight. `weights` are those of all blocks; without them each is 1.
        """
        flat = vectors.reshape(-1, vectors.shape[-1])
        mean = flat.mean(0, dtype=np.float64)
        centered = flat - mean.astype(flat.dtype)
        # NumPy's `std` takes seven times longer in double precision.
        squares = np.einsum("nd,nd->d", centered, centered, dtype=np.float64)
        spread = np.sqrt(squares / len(flat))
        deviation = np.ones(len(spread))
        first_variance = 0.0
        start = 0

        # Columns of infinite deviation become 0.
        for number, part in enumerate(backbone.parts):
            columns = slice(start, start + part.width)
            start = columns.stop
            if part.is_standardized:
                divisors = floor_deviations(spread[columns])
                deviation[columns] = divisors / backbone.emphasis[columns]

            variance = float(((spread[columns] / deviation[columns]) ** 2).sum())
            if number == 0:
                first_variance = variance
                continue

            ratio = 1.0
            if first_variance > 0:
                ratio = (variance / first_variance) ** 0.5
            weight = weights[number] if weights else 1.0
            if weight:
                deviation[columns] *= max(ratio, MIN_DEVIATION) / weight
            else:
                deviation[columns] = np.inf

        return cls(mean, deviation)

    def transform(self, vectors: FloatArray) -> Float32Array:
        """Return scaled features."""
        return ((vectors - self.mean) / self.deviation).astype(np.float32)
