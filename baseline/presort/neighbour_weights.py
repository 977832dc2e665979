"""How much each part of the features counts where samples are compared by their cosine.

What suits a linear head need not suit nearest neighbours: where a coat is shared and the ground
changes, a head learns which colours to overlook, a cosine cannot. So the evidence is the vote of
the neighbours from other moments, each by exp(cosine / temperature), as in neighbourhood components
analysis (Goldberger et al. 2004); the prior is that of `baseline/features/texture.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from baseline.features.backbone import FeaturePart
from baseline.features.texture import ExpectedWeights
from baseline.train.methods.part_weights import (
    Classes,
    Floats,
    PartWeights,
    likeliest_weights,
    some_samples,
)

Pairs: TypeAlias = npt.NDArray[np.bool_]

TEMPERATURE = 0.05
"""Of the vote: a cosine greater by so much counts e times as much (docs/experiments.md)."""
ASTRAY = 0.02
"""The share of the vote that goes to all classes alike, so that one stray sample costs little."""


def choose_neighbour_weights(
    x: Floats,
    parts: Sequence[FeaturePart],
    y: Classes,
    weights: Floats,
    groups: Sequence[str],
    seed: int,
    expected: ExpectedWeights,
) -> PartWeights:
    """Choose the likeliest weights by the neighbours' vote, leaving one group out, and a prior.

    `x` is N x D, scaled so that all parts have the same variance; `weights` (N) are those of the
    samples. Where no class has two groups, the weights are those that are expected.
    """
    some = some_samples(len(y), seed)
    x, y, weights = x[some], y[some], weights[some]
    numbers = np.unique(np.array(groups)[some], return_inverse=True)[1]
    others = numbers[:, None] != numbers[None]
    alike = y[:, None] == y[None]
    if not (alike & others).any():
        return PartWeights(expected.weights, f"{expected.why}, and no class has two moments", {})
    return likeliest_weights(
        x,
        parts,
        expected,
        int(numbers.max()) + 1,
        lambda kernel: _vote_loss(kernel, others, alike, weights, int(y.max()) + 1),
        "the neighbours' vote, leaving one moment out",
    )


def _vote_loss(kernel: Floats, others: Pairs, alike: Pairs, weights: Floats, classes: int) -> float:
    """Return the mean log loss of what `others` (N x N) of each sample vote for its class.

    `kernel` has the products of all pairs, `alike` which are of one class.
    """
    length = np.sqrt(np.maximum(kernel.diagonal(), 1e-12))
    cosine = np.where(others, kernel / length[:, None] / length, -np.inf)
    votes = np.exp((cosine - cosine.max(axis=1, keepdims=True)) / TEMPERATURE)
    right = (votes * alike).sum(axis=1) / votes.sum(axis=1)
    told = (1 - ASTRAY) * right + ASTRAY / classes
    return -float(weights @ np.log(told) / weights.sum())
