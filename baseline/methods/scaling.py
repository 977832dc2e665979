"""Features brought to one scale while learning; the layer that learnt on them takes it over."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

FLOOR = 0.1
"""Of the median deviation: a feature that hardly varies in train must not shout elsewhere."""


class Scaling(NamedTuple):
    """x becomes (x - mean) / deviation; both float64, D."""

    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls, vectors: npt.NDArray[np.float32], emphasis: npt.NDArray[np.float64] | float = 1.0
    ) -> Scaling:
        """Return the one that standardises `vectors` (...

        x D), then multiplies by `emphasis` (D).
        """
        flat = vectors.reshape(-1, vectors.shape[-1])
        spread = flat.std(0, dtype=np.float64)
        floor = FLOOR * float(np.median(spread)) or 1e-6
        return cls(flat.mean(0, dtype=np.float64), np.maximum(spread, floor) / emphasis)

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
