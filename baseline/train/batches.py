"""What a network learns from (samples, and the batches of an epoch), and the loss of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from baseline.data.augmentation import Kind, augment
from baseline.data.samples import Arrays
from baseline.features.compute import to_network
from gleanset.platform import cores

Index = npt.NDArray[np.int64]
BatchSampler = Callable[[np.random.Generator], list[Index]]
"""Draws the batches of an epoch, of nearly equal length, because a last batch of one picture would
upset batch normalisation. Every epoch has the same number of them."""

MAX_WORKERS = 8
"""Processes that prepare the batches of a GPU."""
STEPS_AN_EPOCH = 12
"""Small sets take smaller batches to come to about so many steps, but none under 8 samples."""


class LabelledSamples(Protocol):
    """The labelled samples of one split; `y` is int64, N, the index of the class."""

    @property
    def y(self) -> npt.NDArray[np.int64]:
        """The classes."""

    def take(self, index: Index, random: np.random.Generator | None) -> torch.Tensor:
        """Return the samples at `index`, on the CPU: uint8 for pixels 0..255, else as they are.

        Changed at random where a generator is given.
        """


@dataclass(frozen=True, slots=True)
class ImageSamples:
    """Pictures as uint8 arrays, augmented as they are taken."""

    arrays: Arrays
    kind: Kind = "none"

    @property
    def y(self) -> npt.NDArray[np.int64]:
        """The classes."""
        return self.arrays.y

    def take(self, index: Index, random: np.random.Generator | None) -> torch.Tensor:
        """Return uint8 N x C x H x W, channels last."""
        picked = self.arrays.pick(index)
        if random is not None:
            picked = augment(picked, random, self.kind)
        return torch.from_numpy(picked.transpose(0, 2, 3, 1)).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class FeatureSamples:
    """Cached features, float32 N x V x D: V views of each sample, of which the first is plain."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]

    def take(self, index: Index, random: np.random.Generator | None) -> torch.Tensor:
        """Return float32 N x D: one view of each, the plain one without a generator."""
        views = 0 if random is None else random.integers(0, self.x.shape[1], len(index))
        return torch.from_numpy(self.x[index, views])


BatchKey = tuple[int, int, Index]
"""A batch of a training: its epoch, its number there, and its samples."""


@dataclass(frozen=True, slots=True)
class Batches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The batches of a training by their places; each is changed at random by seed and place."""

    samples: LabelledSamples
    seed: int

    def __getitem__(self, place: BatchKey) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, number, index = place
        x = self.samples.take(index, make_generator(self.seed, epoch, number))
        return x, torch.from_numpy(self.samples.y[index])


def batch_loader(
    samples: LabelledSamples, seed: int, places: Sequence[BatchKey], *, on_gpu: bool
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """Return what loads the batches at `places`, which may be others in each epoch.

    On the CPU the network needs the cores itself; features are ready at once.
    """
    workers = min(MAX_WORKERS, cores() - 1) if on_gpu and isinstance(samples, ImageSamples) else 0
    return DataLoader(
        Batches(samples, seed),
        batch_size=None,
        sampler=places,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=on_gpu,
    )


def make_generator(*place: int) -> np.random.Generator:
    """Return a generator for `place`, such as (seed, epoch, step)."""
    return np.random.default_rng(place)


def iterate_batches(
    samples: LabelledSamples, net: nn.Module, batch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield all samples in their order, unchanged, with their classes, on the device of `net`."""
    device = next(net.parameters()).device
    count = len(samples.y)
    for index in np.array_split(np.arange(count), max(1, -(-count // batch))):
        x = to_network(samples.take(index, None), device)
        yield x, torch.from_numpy(samples.y[index]).to(device)


def shuffled_batches(count: int, batch: int) -> BatchSampler:
    """Return a sampler that gives every sample once an epoch."""

    def plan(random: np.random.Generator) -> list[Index]:
        return _cut(random.permutation(count), batch)

    return plan


def balanced_batches(y: npt.NDArray[np.int64], batch: int) -> BatchSampler:
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


def class_batches(y: npt.NDArray[np.int64], classes: int, pictures: int) -> BatchSampler:
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


def choose_sampler(y: np.ndarray, balance: str, batch: int) -> BatchSampler:
    """Return a sampler of about `batch` samples, fewer in a small set; balanced if asked."""
    size = choose_batch_size(len(y), batch)
    return balanced_batches(y, size) if balance == "sampling" else shuffled_batches(len(y), size)


def choose_batch_size(count: int, batch: int) -> int:
    """Return how many of `count` samples a batch takes where it may have `batch`."""
    return min(batch, max(8, count // STEPS_AN_EPOCH))


def _repeated(members: Index, count: int, random: np.random.Generator) -> Index:
    """Return `count` of `members` in random order, each as often as any other, give or take one."""
    rounds = -(-count // len(members))
    return np.concatenate([random.permutation(members) for _ in range(rounds)])[:count]


def _cut(order: Index, batch: int) -> list[Index]:
    return np.array_split(order, max(1, -(-len(order) // batch)))


class Objective(Protocol):
    """A loss that can be summed over the parts of a batch, and its judgement of a whole split."""

    def weigh(self, y: torch.Tensor) -> torch.Tensor:
        """Return what the summed loss of samples of the classes `y` is divided by: a scalar."""

    def terms(
        self, net: nn.Module, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss summed over the samples, and how many are right: two scalars."""

    def judge(self, net: nn.Module, samples: LabelledSamples, batch: int) -> tuple[float, float]:
        """Return loss (lower is better) and accuracy on samples not learnt from."""


@dataclass(slots=True)
class CrossEntropyObjective:
    """Cross entropy, weighted by class."""

    weights: torch.Tensor

    def weigh(self, y: torch.Tensor) -> torch.Tensor:
        """Return the sum of the weights of the classes."""
        return self._beside(y)[y].sum()

    def terms(
        self, net: nn.Module, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weighted cross entropy in nats, summed, and how many were right."""
        logits: torch.Tensor = net(x)
        weights = self._beside(y)
        loss = functional.cross_entropy(logits.float(), y, weights, reduction="sum")
        return loss, (logits.detach().argmax(1) == y).sum()

    def judge(self, net: nn.Module, samples: LabelledSamples, batch: int) -> tuple[float, float]:
        """Return mean weighted cross entropy and accuracy, in float32 whatever training runs in."""
        loss = weight = right = 0.0
        with torch.inference_mode():
            for x, y in iterate_batches(samples, net, batch):
                summed, hits = self.terms(net, x, y)
                loss, weight = loss + float(summed), weight + float(self.weigh(y))
                right += int(hits)
        return loss / weight, right / len(samples.y)

    def _beside(self, y: torch.Tensor) -> torch.Tensor:
        """Return the weights where `y` is; moved once, for a GPU would wait in every step."""
        self.weights = self.weights.to(y.device)
        return self.weights
