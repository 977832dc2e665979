"""Samples, batches and objectives of gradient descent."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from baseline.data.samples import Arrays
from baseline.features.compute import to_network
from gleanset.arrays import Float32Array, IntArray
from gleanset.images.augmentation import Kind, augment
from gleanset.platform import count_cores

BatchSampler = Callable[[np.random.Generator], list[IntArray]]
"""Draws the batches of an epoch. They have nearly equal length, because batch norm fails on a last
batch of one image; every epoch has the same number."""

MAX_WORKERS = 8
"""Worker processes of the data loader for a GPU."""
MIN_STEPS_PER_EPOCH = 12
"""Small sets use smaller batches to have about this many steps, but at least 8 samples each."""


class ImageSamples(NamedTuple):
    """Images of one split as uint8 arrays; `load` augments them if a generator is given."""

    arrays: Arrays
    kind: Kind = "none"

    @property
    def y(self) -> IntArray:
        """The classes."""
        return self.arrays.y

    def load(self, index: IntArray, random: np.random.Generator | None) -> torch.Tensor:
        """Return uint8 N x C x H x W, channels last."""
        images = self.arrays.pick(index)
        if random is not None:
            images = augment(images, random, self.kind)
        return torch.from_numpy(images.transpose(0, 2, 3, 1)).permute(0, 3, 1, 2)


class FeatureSamples(NamedTuple):
    """Cached features (float32, N x V x D) of V views; the first is the plain one."""

    x: Float32Array
    y: IntArray

    def load(self, index: IntArray, random: np.random.Generator | None) -> torch.Tensor:
        """Return one view of each (float32, N x D), the plain one without a generator."""
        if random is None:
            return torch.from_numpy(self.x[index, 0])
        views = random.integers(0, self.x.shape[1], len(index))
        return torch.from_numpy(self.x[index, views])


LabelledSamples = ImageSamples | FeatureSamples


BatchKey = tuple[int, int, IntArray]
"""A batch of a training: epoch, number, and sample indices."""


@dataclass(frozen=True)
class Batches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The batches of a training by key; augmentation depends on seed and key only."""

    samples: LabelledSamples
    seed: int

    def __getitem__(self, key: BatchKey) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, number, index = key
        random = make_generator(self.seed, epoch, number)
        x = self.samples.load(index, random)
        return x, torch.from_numpy(self.samples.y[index])


def make_batch_loader(
    samples: LabelledSamples, seed: int, keys: Sequence[BatchKey], *, on_gpu: bool
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """Return a loader of the batches `keys`, a list that may change between epochs.

    Workers are used for images on a GPU only: on the CPU the network needs the cores.
    """
    workers = 0
    if on_gpu and isinstance(samples, ImageSamples):
        workers = min(MAX_WORKERS, count_cores() - 1)
    return DataLoader(
        Batches(samples, seed),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=on_gpu,
    )


def make_generator(*key: int) -> np.random.Generator:
    """Return a generator seeded by `key`, such as (seed, epoch, step)."""
    return np.random.default_rng(key)


def iterate_batches(
    samples: LabelledSamples, net: nn.Module, batch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield all samples in order, not augmented, with their classes, on the device of `net`."""
    device = next(net.parameters()).device
    for index in _split_equally(np.arange(len(samples.y)), batch):
        x = to_network(samples.load(index, None), device)
        yield x, torch.from_numpy(samples.y[index]).to(device)


def _split_equally(index: IntArray, batch: int) -> list[IntArray]:
    """Split into parts of nearly equal length, at most `batch`."""
    return np.array_split(index, max(1, math.ceil(len(index) / batch)))


def make_shuffled_sampler(count: int, batch: int) -> BatchSampler:
    """Return a sampler that draws every sample once per epoch."""

    def draw(random: np.random.Generator) -> list[IntArray]:
        return _split_equally(random.permutation(count), batch)

    return draw


def make_class_sampler(y: IntArray, classes: int, images: int) -> BatchSampler:
    """Return a sampler of batches of `classes` classes with `images` samples of each.

    For losses over pairs or triplets (P x K sampling; Hermans et al., In Defense of the Triplet
    Loss, 2017). Small classes repeat their samples.
    """
    members = [np.flatnonzero(y == name) for name in np.unique(y)]
    width = min(classes, len(members))
    batches = max(1, round(len(y) / (width * images)))

    def draw_batch(numbers: IntArray, random: np.random.Generator) -> IntArray:
        parts = [_repeat_equally(members[i], images, random) for i in numbers]
        return np.concatenate(parts)

    def draw(random: np.random.Generator) -> list[IntArray]:
        order = _repeat_equally(np.arange(len(members)), batches * width, random)
        return [draw_batch(row, random) for row in order.reshape(batches, width)]

    return draw


def choose_batch_size(count: int, batch: int) -> int:
    """Return the batch size for `count` samples, at most `batch`."""
    return min(batch, max(8, count // MIN_STEPS_PER_EPOCH))


def _repeat_equally(
    members: IntArray, count: int, random: np.random.Generator
) -> IntArray:
    """Return `count` of `members` in random order, each as often as any other, give or take one."""
    rounds = math.ceil(count / len(members))
    return np.concatenate([random.permutation(members) for _ in range(rounds)])[:count]


class LossTerms(NamedTuple):
    """Loss summed over samples, its divisor, and the number of correct samples (scalars)."""

    loss: torch.Tensor
    weight: torch.Tensor
    correct: torch.Tensor


class Objective(Protocol):
    """A loss that is summed over samples, and the evaluation of a split."""

    def loss_terms(self, net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> LossTerms:
        """Return the loss of samples of classes `y`."""

    def evaluate(
        self, net: nn.Module, samples: LabelledSamples, batch: int
    ) -> tuple[float, float]:
        """Return loss (lower is better) and accuracy on validation samples."""


@dataclass
class CrossEntropyObjective:
    """Cross entropy, weighted by class."""

    weights: torch.Tensor

    def loss_terms(self, net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> LossTerms:
        """Return the weighted cross entropy in nats."""
        logits: torch.Tensor = net(x)
        # Moved to the device once: a transfer in every step would synchronize with the GPU.
        self.weights = self.weights.to(y.device)
        loss = functional.cross_entropy(
            logits.float(), y, self.weights, reduction="sum"
        )
        correct = (logits.detach().argmax(1) == y).sum()
        return LossTerms(loss, self.weights[y].sum(), correct)

    def evaluate(
        self, net: nn.Module, samples: LabelledSamples, batch: int
    ) -> tuple[float, float]:
        """Return mean weighted cross entropy and accuracy, computed in float32."""
        loss = 0.0
        weight = 0.0
        correct = 0
        with torch.inference_mode():
            for x, y in iterate_batches(samples, net, batch):
                terms = self.loss_terms(net, x, y)
                loss += float(terms.loss)
                weight += float(terms.weight)
                correct += int(terms.correct)

        return loss / weight, correct / len(samples.y)
