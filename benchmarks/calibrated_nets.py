"""Scores of networks with known true probabilities, on images that come in groups.

Used by tests of calibration; not a script.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from baseline.evaluation.outputs import log_softmax, softmax

RARE = 0.08
"""Share of the rare class."""


class Net(NamedTuple):
    """Network with true scores of spread `skill`, output `loud` times as high (1: calibrated)."""

    classes: int
    skill: float
    loud: float


class Drawn(NamedTuple):
    """Scores (float32, N x C), classes (N) and groups (N) of images."""

    logits: np.ndarray
    y: np.ndarray
    groups: list[str]

    def loss(self, temperature: float) -> float:
        """Return the log loss at this temperature."""
        return float(-log_softmax(self.logits, temperature)[np.arange(len(self.y)), self.y].mean())


def draw(net: Net, groups: int, most: int, seed: int) -> Drawn:
    """Draw groups of 1 to `most` images, identical within each group."""
    random = np.random.default_rng(seed)
    scores = net.skill * random.normal(size=(groups, net.classes))
    share = softmax(scores).cumsum(1)
    y = (random.random((groups, 1)) > share[:, :-1]).sum(1)
    of = np.repeat(np.arange(groups), random.integers(1, most + 1, groups))
    return Drawn((net.loud * scores[of]).astype(np.float32), y[of], [str(one) for one in of])


class Head(NamedTuple):
    """Logistic head trained with balanced classes, the second of which is rare."""

    model: LogisticRegression
    apart: float
    shift: np.ndarray

    def drawn(self, pictures: int, seed: int) -> Drawn:
        """Return its scores for new images, each a group of its own."""
        x, y = _pictures(pictures, self.model.n_features_in_, self.apart, seed)
        scores = self.model.decision_function(x)
        logits = np.stack((-scores, scores), axis=1) / 2
        return Drawn(logits.astype(np.float32), y, [str(one) for one in range(pictures)])


def learn_balanced(dimensions: int, apart: float, pictures: int, seed: int) -> Head:
    """Train a head on features with classes `apart` standard deviations apart."""
    x, y = _pictures(pictures, dimensions, apart, seed)
    y[:2] = (0, 1)
    model = LogisticRegression(class_weight="balanced", max_iter=500).fit(x, y)
    shift = np.log(np.bincount(y) / len(y) * 2)
    return Head(model, apart, shift - shift.mean())


def _pictures(
    count: int, dimensions: int, apart: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = (random.random(count) < RARE).astype(np.int64)
    return random.normal(size=(count, dimensions)) + apart * np.eye(2, dimensions)[y], y
