"""How familiar a picture looks to a network: below a threshold it is called "unknown".

A network was taught to tell its classes apart, not what else there is: a stranger may look more
like one class than like the others, and its probability says no more. What gives it away is that
its features lie farther out than those of the pictures that were learnt from. So its scores are
divided by how much farther they lie, and the probability that its answer is left is its
familiarity (0..1). For a network that answers by known pictures it is the likeness of the nearest.
docs/experiments.md has what that gains, and what else was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from baseline.data.runs import read_part, write_part
from baseline.features.scaling import standardising
from baseline.judge.answers import DecisionRule, rule_scores
from baseline.judge.outputs import Floats, Outputs, Scores, softmax

FILE = "familiarity.json"
GALLERY_SCALE = 20.0
"""Scores of a gallery are so many times the similarity to the nearest known image of a class."""
SOFTER = 2.0
"""By what scores are divided besides: how far the other classes are behind counts for more than in
a probability. Chosen on two sets, confirmed on two others (docs/experiments.md)."""


class FeatureScale(msgspec.Struct, frozen=True, dict=True):
    """Where the embeddings of train lie: the mean and the deviation of each of their D numbers."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def distances(self, embeddings: npt.NDArray[np.floating]) -> Floats:
        """Return how far embeddings (N x D) lie from the middle of train: 1 is as train does."""
        mean, deviation = self._arrays
        far = (embeddings.astype(np.float64) - mean) / deviation
        distances: Floats = np.sqrt(np.einsum("nd,nd->n", far, far) / len(mean))
        return distances

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        """The mean and the deviation as arrays (D), made once: a server asks at each request."""
        return np.array(self.mean), np.array(self.deviation)


def fit_feature_scale(embeddings: Scores) -> FeatureScale:
    """Return where the embeddings of train (N x D) lie; their mean distance is 1."""
    deviation = standardising(embeddings.std(0, dtype=np.float64))
    mean = embeddings.mean(0, dtype=np.float64)
    plain = FeatureScale(tuple(mean.tolist()), tuple(deviation.tolist()))
    far = float(plain.distances(embeddings).mean()) or 1.0
    return FeatureScale(*(tuple(_short(values)) for values in (mean, deviation * far)))


def _short(values: Floats) -> list[float]:
    """Return the values as seven digits tell them: a float32 holds no more."""
    return [float(f"{value:.7g}") for value in values.tolist()]


def familiarity_of(scores: npt.NDArray[np.floating], distances: Floats) -> Floats:
    """Return the familiarity (N, 0..1) of calibrated scores, or log probabilities (N x C)."""
    farther = SOFTER * np.maximum(distances, 1e-6)[:, None]
    familiarity: Floats = softmax(scores.astype(np.float64) / farther).max(1)
    return familiarity


def outputs_familiarity(
    outputs: Outputs, classes: Sequence[str], rule: DecisionRule, *, gallery: bool
) -> Floats | None:
    """Return the familiarity of N images; None without the distances that it is computed from.

    That of a `gallery` is the similarity to the nearest known image, by the scores alone.
    """
    if gallery:
        similarity: Floats = outputs.logits.max(1).astype(np.float64) / GALLERY_SCALE
        return similarity
    if outputs.distances is None:
        return None
    return familiarity_of(rule_scores(outputs.logits, classes, rule), outputs.distances)


def save_feature_scale(folder: Path, scale: FeatureScale, *, scratch: Path | None = None) -> None:
    """Write `familiarity.json` beside the weights. Raises NotWritable or DiskFull."""
    write_part(folder, FILE, scale, scratch=scratch)


def load_feature_scale(folder: Path) -> FeatureScale | None:
    """Return what a run keeps of its train; None for a gallery.

    Raises `InputUnusable` for a damaged file.
    """
    return read_part(folder, FILE, FeatureScale, "train again: baseline train")
