"""Scores of networks whose true probabilities are known, on pictures that come in moments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from baseline.evaluation.probabilities import log_softmax, softmax


class Net(NamedTuple):
    """`skill` spreads the honest scores, which are given `loud` times as high (1: honest)."""

    classes: int
    skill: float
    loud: float


class Drawn(NamedTuple):
    """Scores (float32, N x C), classes (N) and moments (N) of pictures."""

    logits: np.ndarray
    y: np.ndarray
    moments: list[str]

    def loss(self, temperature: float) -> float:
        """Log loss by this temperature."""
        return float(-log_softmax(self.logits, temperature)[np.arange(len(self.y)), self.y].mean())


def draw(net: Net, moments: int, most: int, seed: int) -> Drawn:
    """So many moments of 1 to `most` pictures, alike within each: right or wrong together."""
    random = np.random.default_rng(seed)
    scores = net.skill * random.normal(size=(moments, net.classes))
    share = softmax(scores).cumsum(1)
    y = (random.random((moments, 1)) > share[:, :-1]).sum(1)
    of = np.repeat(np.arange(moments), random.integers(1, most + 1, moments))
    return Drawn((net.loud * scores[of]).astype(np.float32), y[of], [str(one) for one in of])
