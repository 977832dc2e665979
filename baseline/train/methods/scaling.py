"""Features brought to one scale while learning; the layer that learnt on them takes it over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from baseline.features.backbone import Backbone
from baseline.features.feature_spread import TINY, Floats, standardising


class Scaling(NamedTuple):
    """x becomes (x - mean) / deviation; both float64, D. A deviation may be infinite."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(
        cls,
        vectors: npt.NDArray[np.float32],
        backbone: Backbone,
        weights: Sequence[float] | None = None,
    ) -> Scaling:
        """Return the one for `vectors` (... x D) that `backbone` made.

        Each feature is standardised and multiplied by its emphasis, but for parts that are not to
        be. Each further part is then given the variance of the first, times its weight squared.
        """
        flat = vectors.reshape(-1, vectors.shape[-1])
        spread = flat.std(0, dtype=np.float64)
        deviation = np.empty(len(spread))
        first, start = 0.0, 0
        for number, part in enumerate(backbone.parts):
            own = slice(start, start + part.width)
            start = own.stop
            if part.standardised:
                deviation[own] = standardising(spread[own]) / backbone.emphasis[own]
            else:
                deviation[own] = 1.0
            variance = float(((spread[own] / deviation[own]) ** 2).sum())
            if number == 0:
                first = variance
            else:
                weight = weights[number] if weights else 1.0
                alike = (variance / first) ** 0.5 if first > 0 else 1.0
                deviation[own] *= max(alike, TINY) / weight if weight else np.inf
        return cls(flat.mean(0, dtype=np.float64), deviation)

    def applied(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the same vectors on the common scale."""
        scaled: npt.NDArray[np.float32] = ((vectors - self.mean) / self.deviation).astype(
            np.float32
        )
        return scaled

    def fold_into(self, layer: nn.Linear) -> None:
        """Make a layer that learnt on scaled features take them as they come."""
        mean, deviation = (torch.from_numpy(v).to(layer.weight.device) for v in self)
        with torch.no_grad():
            weight = layer.weight.double() / deviation
            layer.bias.copy_(layer.bias.double() - weight @ mean)
            layer.weight.copy_(weight)
