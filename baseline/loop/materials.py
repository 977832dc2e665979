"""What a network learns from: something that gives a batch of it as a tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from baseline.augmentation import Kind, augment
from baseline.data import Arrays
from baseline.loop.plans import Index


class Material(Protocol):
    """The labelled samples of one split; `y` is int64, N, the index of the class."""

    @property
    def y(self) -> npt.NDArray[np.int64]:
        """The classes."""

    def take(self, index: Index, random: np.random.Generator | None) -> torch.Tensor:
        """The samples at `index`, on the CPU: uint8 for pixels 0..255, else as they are.

        Changed at random where a generator is given. Called in threads.
        """


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures as uint8 arrays, augmented as they are taken."""

    arrays: Arrays
    kind: Kind = "none"

    @property
    def y(self) -> npt.NDArray[np.int64]:
        """The classes."""
        return self.arrays.y

    def take(self, index: Index, random: np.random.Generator | None) -> torch.Tensor:
        """uint8 N x C x H x W, channels last."""
        picked = self.arrays.pick(index)
        if random is not None:
            picked = augment(picked, random, self.kind)
        return torch.from_numpy(picked.transpose(0, 2, 3, 1)).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Vectors:
    """Cached features, float32 N x V x D: V views of each sample, of which the first is plain."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.int64]

    def take(self, index: Index, random: np.random.Generator | None) -> torch.Tensor:
        """float32 N x D: one view of each, the plain one without a generator."""
        views = 0 if random is None else random.integers(0, self.x.shape[1], len(index))
        return torch.from_numpy(self.x[index, views])


def to_network(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A batch as networks take it: float32, pixels in 0..1 and channels last, on `device`."""
    moved = x.to(device, non_blocking=True)
    if moved.dtype == torch.uint8:
        moved = moved.to(torch.float32).div_(255)
    return moved.contiguous(memory_format=torch.channels_last) if moved.ndim == 4 else moved


def plain_batches(
    material: Material, net: nn.Module, batch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """All samples in their order, unchanged, with their classes, where `net` is."""
    device = next(net.parameters()).device
    count = len(material.y)
    for index in np.array_split(np.arange(count), max(1, -(-count // batch))):
        x = to_network(material.take(index, None), device)
        yield x, torch.from_numpy(material.y[index]).to(device)
