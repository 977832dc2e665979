"""Which samples make the batches of an epoch: a plan draws them from a generator.

A plan gives int64 index arrays of nearly equal length, because a last batch of one picture would
upset batch normalisation. Every epoch has the same number of batches.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]
BatchSampler = Callable[[np.random.Generator], list[Index]]

STEPS_AN_EPOCH = 12
"""Small sets take smaller batches to come to about so many steps, but none under 8 samples."""


def shuffled(count: int, batch: int) -> BatchSampler:
    """Return a sampler that gives every sample once an epoch."""

    def plan(random: np.random.Generator) -> list[Index]:
        return _cut(random.permutation(count), batch)

    return plan


def balanced(y: npt.NDArray[np.int64], batch: int) -> BatchSampler:
    """Return a sampler of as many samples an epoch as there are, (nearly) as many of each class.

    A rare class is gone through again and again, each time in a new order, so that none of its
    samples is drawn twice more often than another.
    """
    classes = [np.flatnonzero(y == name) for name in np.unique(y)]

    def plan(random: np.random.Generator) -> list[Index]:
        quotas = np.diff(np.linspace(0, len(y), len(classes) + 1).astype(int))
        drawn = [
            _repeated(members, int(quota), random)
            for members, quota in zip(classes, random.permutation(quotas), strict=True)
        ]
        return _cut(random.permutation(np.concatenate(drawn)), batch)

    return plan


def classes_by_pictures(y: npt.NDArray[np.int64], classes: int, pictures: int) -> BatchSampler:
    """Return a sampler of batches of `classes` classes with `pictures` samples of each, in turn.

    For losses over pairs or triplets (P x K sampling; Hermans et al., In Defense of the Triplet
    Loss, 2017). With fewer classes a batch has them all; small classes repeat their samples.
    """
    members = [np.flatnonzero(y == name) for name in np.unique(y)]
    wide = min(classes, len(members))
    number = max(1, round(len(y) / (wide * pictures)))

    def plan(random: np.random.Generator) -> list[Index]:
        order = _repeated(np.arange(len(members)), number * wide, random)
        return [
            np.concatenate([_repeated(members[i], pictures, random) for i in part])
            for part in order.reshape(number, wide)
        ]

    return plan


def sampler_for(y: np.ndarray, balance: str, batch: int) -> BatchSampler:
    """Return a sampler of about `batch` samples, fewer in a small set; balanced if asked."""
    size = batch_size_for(len(y), batch)
    return balanced(y, size) if balance == "sampling" else shuffled(len(y), size)


def batch_size_for(count: int, batch: int) -> int:
    """Return how many of `count` samples a batch takes where it may have `batch`."""
    return min(batch, max(8, count // STEPS_AN_EPOCH))


def _repeated(members: Index, count: int, random: np.random.Generator) -> Index:
    """Return `count` of `members` in random order, each as often as any other, give or take one."""
    rounds = -(-count // len(members))
    return np.concatenate([random.permutation(members) for _ in range(rounds)])[:count]


def _cut(order: Index, batch: int) -> list[Index]:
    return np.array_split(order, max(1, -(-len(order) // batch)))
