"""Samples, batches and objectives of gradient descent."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from baseline.data.samples import Arrays
from baseline.features.compute import to_network
from baseline.train.trained_net import GalleryHead, stack_by_class
from gleanset.arrays import Float32Array, IntArray, split_by_number
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

    def load(self, index: IntArray, random: np.random.Generator | None) -> Tensor:
        """Return uint8 N x C x H x W, channels last."""
        images = self.arrays.pick(index)
        if random is not None:
            images = augment(images, random, self.kind)
        channels_last = torch.from_numpy(images.transpose(0, 2, 3, 1))
        return channels_last.permute(0, 3, 1, 2)


class FeatureSamples(NamedTuple):
    """Cached features (float32, N x V x D) of V views; the first is the plain one."""

    x: Float32Array
    y: IntArray

    def load(self, index: IntArray, random: np.random.Generator | None) -> Tensor:
        """Return one view of each (float32, N x D), the plain one without a generator."""
        if random is None:
            return torch.from_numpy(self.x[index, 0])
        views = random.integers(0, self.x.shape[1], len(index))
        return torch.from_numpy(self.x[index, views])


LabelledSamples = ImageSamples | FeatureSamples


BatchKey = tuple[int, int, IntArray]
"""A batch of a training: epoch, number, and sample indices."""


@dataclass(frozen=True)
class Batches(Dataset[tuple[Tensor, Tensor]]):
    """The batches of a training by key; augmentation depends on seed and key only."""

    samples: LabelledSamples
    seed: int

    def __getitem__(self, key: BatchKey) -> tuple[Tensor, Tensor]:
        epoch, number, index = key
        x = self.samples.load(index, make_generator(self.seed, epoch, number))
        return x, torch.from_numpy(self.samples.y[index])


def make_batch_loader(
    samples: LabelledSamples, seed: int, keys: Sequence[BatchKey], *, on_gpu: bool
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Return a loader of the batches `keys`, a list that may change between epochs.

    Workers are used for images on a GPU only: on the CPU the network needs the cores.
    """
    workers = 0
    if on_gpu and isinstance(samples, ImageSamples):
        workers = min(MAX_WORKERS, count_cores() - 1)
    # Without a batch size: each key of `keys` is already a whole batch.
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
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield all samples in order, not augmented, with their classes, on the device of `net`."""
    device = next(net.parameters()).device
    for index in _split_equally(np.arange(len(samples.y)), batch):
        x = to_network(samples.load(index, random=None), device)
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
    members = split_by_number(y)
    width = min(classes, len(members))  # classes of a batch
    batches = max(1, round(len(y) / (width * images)))

    def draw_batch(numbers: IntArray, random: np.random.Generator) -> IntArray:
        """Draw samples of the classes with these numbers."""
        samples = [
            _repeat_equally(members[number], images, random) for number in numbers
        ]
        return np.concatenate(samples)

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

    loss: Tensor
    weight: Tensor
    correct: Tensor


@dataclass
class CrossEntropyObjective:
    """Cross entropy, weighted by class."""

    weights: Tensor

    def loss_terms(self, net: nn.Module, x: Tensor, y: Tensor) -> LossTerms:
        """Return the weighted cross entropy in nats."""
        logits: Tensor = net(x)
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


MAX_VALIDATION_GALLERY = 2000
"""Training images that validation compares with."""


class BatchHardObjective:
    """Triplet loss with batch-hard mining (Hermans et al., In Defense of the Triplet Loss, 2017).

    The network returns embeddings before normalization. Val is evaluated with `gallery`,
    by cross entropy of the similarities and recall@1.
    """

    def __init__(self, margin: float, gallery: LabelledSamples, classes: int):
        # Imported here, so that using a trained run does not need it.
        from pytorch_metric_learning.losses import TripletMarginLoss
        from pytorch_metric_learning.miners import BatchHardMiner

        self.loss = TripletMarginLoss(margin=margin)
        self.miner = BatchHardMiner()
        self.gallery = gallery
        self.classes = classes

    def loss_terms(self, net: nn.Module, x: Tensor, y: Tensor) -> LossTerms:
        """Return the mean loss of the mined triplets times the images, and hits at rank 1."""
        embeddings = functional.normalize(net(x).float(), dim=1)
        loss: Tensor = self.loss(
            embeddings,
            y,
            self.miner(embeddings, y),
        )

        # The diagonal is lower than any cosine: no image is its own nearest one.
        similarity = embeddings.detach() @ embeddings.detach().T
        similarity.fill_diagonal_(-2.0)
        correct = (y[similarity.argmax(1)] == y).sum()
        count = torch.tensor(float(len(y)), device=y.device)
        return LossTerms(loss * count, count, correct)

    def evaluate(
        self, net: nn.Module, samples: LabelledSamples, batch: int
    ) -> tuple[float, float]:
        """Return cross entropy in nats and recall@1 of `samples` against the known images."""
        with torch.inference_mode():
            gallery, gallery_y = embed_samples(
                net, self.gallery, batch, limit=MAX_VALIDATION_GALLERY
            )
            queries, y = embed_samples(net, samples, batch)
            vectors = stack_by_class(
                gallery.numpy(),
                gallery_y.numpy(),
                self.classes,
            )
            scores = torch.from_numpy(GalleryHead(vectors)(queries.numpy()))

        loss = float(functional.cross_entropy(scores, y))
        return loss, float((scores.argmax(1) == y).float().mean())


def embed_samples(
    net: nn.Module, samples: LabelledSamples, batch: int, limit: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return embeddings of length 1 (N x D) and classes of samples, not augmented.

    With a `limit`, the batches that reach it are the last.
    """
    parts = []
    labels = []
    count = 0

    for x, y in iterate_batches(samples, net, batch):
        parts.append(functional.normalize(net(x).float(), dim=1).cpu())
        labels.append(y.cpu())
        count += len(y)
        if limit is not None and count >= limit:
            break

    return torch.cat(parts), torch.cat(labels)


Objective = CrossEntropyObjective | BatchHardObjective
"""A loss that is summed over samples, and the evaluation of a split."""
