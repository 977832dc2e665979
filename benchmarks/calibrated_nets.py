"""Scores of simulated networks with known true probabilities, for tests of calibration."""

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from baseline.evaluation.outputs import log_softmax, softmax

RARE_SHARE = 0.08
"""Share of the rare class."""


class Net(NamedTuple):
    """Network whose logits are `confidence` times the true ones, which are spread by `skill`.

    1 is a calibrated network, more an overconfident one.
    """

    classes: int
    skill: float
    confidence: float


class ImageScores(NamedTuple):
    """Scores (float32, N x C), classes (N) and groups (N) of images."""

    logits: np.ndarray
    y: np.ndarray
    groups: list[str]

    def loss(self, temperature: float) -> float:
        """Return the log loss at this temperature."""
        return float(
            -log_softmax(self.logits / temperature)[
                np.arange(len(self.y)), self.y
            ].mean()
        )


def draw_scores(net: Net, groups: int, max_size: int, seed: int) -> ImageScores:
    """Draw groups of 1 to `max_size` images, identical within each group."""
    random = np.random.default_rng(seed)
    scores = net.skill * random.normal(size=(groups, net.classes))
    share = softmax(scores).cumsum(1)
    y = (random.random((groups, 1)) > share[:, :-1]).sum(1)
    group = np.repeat(np.arange(groups), random.integers(1, max_size + 1, groups))
    logits = (net.confidence * scores[group]).astype(np.float32)
    return ImageScores(logits, y[group], list(map(str, group)))


class Head(NamedTuple):
    """Logistic head trained with balanced classes, the second of which is rare."""

    model: LogisticRegression
    separation: float
    shift: np.ndarray

    def draw_scores(self, images: int, seed: int) -> ImageScores:
        """Return its scores for new images, each a group of its own."""
        x, y = _draw_features(images, self.model.n_features_in_, self.separation, seed)
        scores = self.model.decision_function(x)
        logits = np.stack((-scores, scores), axis=1) / 2
        return ImageScores(logits.astype(np.float32), y, list(map(str, range(images))))


def train_balanced(dimensions: int, separation: float, images: int, seed: int) -> Head:
    """Train a head on features with class means `separation` standard deviations apart."""
    x, y = _draw_features(images, dimensions, separation, seed)
    y[:2] = (0, 1)
    model = LogisticRegression(class_weight="balanced", max_iter=500).fit(x, y)
    shift = np.log(np.bincount(y) / len(y) * 2)
    return Head(model, separation, shift - shift.mean())


def _draw_features(
    count: int, dimensions: int, separation: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = (random.random(count) < RARE_SHARE).astype(np.int64)
    return random.normal(size=(count, dimensions)) + separation * np.eye(2, dimensions)[
        y
    ], y
