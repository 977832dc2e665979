"""What a network learns from: labelled samples, and the loader that makes batches of them ahead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from baseline.data.augmentation import Kind, augment
from baseline.data.samples import Arrays
from baseline.train.loop.samplers import Index

T = TypeVar("T")
AHEAD = 2
"""Batches that each thread has ready: more would only cost memory."""


class LabelledSamples(Protocol):
    """The labelled samples of one split; `y` is int64, N, the index of the class."""

    @property
    def y(self) -> npt.NDArray[np.int64]:
        """The classes."""

    def take(self, index: Index, random: np.random.Generator | None) -> torch.Tensor:
        """Return the samples at `index`, on the CPU: uint8 for pixels 0..255, else as they are.

        Changed at random where a generator is given. Called in threads.
        """


@dataclass(frozen=True, slots=True)
class PictureSamples:
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


def to_network(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a batch as networks take it: float32, pixels 0..1 and channels last, on `device`."""
    moved = x.to(device, non_blocking=True)
    if moved.dtype == torch.uint8:
        moved = moved.to(torch.float32).div_(255)
    return moved.contiguous(memory_format=torch.channels_last) if moved.ndim == 4 else moved


def plain_batches(
    material: LabelledSamples, net: nn.Module, batch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield all samples in their order, unchanged, with their classes, on the device of `net`."""
    device = next(net.parameters()).device
    count = len(material.y)
    for index in np.array_split(np.arange(count), max(1, -(-count // batch))):
        x = to_network(material.take(index, None), device)
        yield x, torch.from_numpy(material.y[index]).to(device)


class BatchLoader(Generic[T]):
    """Gives `make(i)` for each `i` of `numbers`, in order, made in `threads` threads.

    `take_waited` says how many seconds the taker stood still for it.
    """

    def __init__(self, make: Callable[[int], T], numbers: range, threads: int = 1) -> None:
        self._make, self._numbers, self._threads = make, numbers, threads
        self._waited = 0.0

    def __iter__(self) -> Generator[tuple[int, T], None, None]:
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="batches")
        ahead: deque[tuple[int, Future[T]]] = deque()
        rest = iter(self._numbers)
        try:
            while True:
                while len(ahead) < AHEAD * self._threads and (n := next(rest, None)) is not None:
                    ahead.append((n, pool.submit(self._make, n)))
                if not ahead:
                    return
                yield self._taken(*ahead.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def take_waited(self) -> float:
        """Return seconds of waiting since this was last asked."""
        waited, self._waited = self._waited, 0.0
        return waited

    def _taken(self, number: int, future: Future[T]) -> tuple[int, T]:
        start = time.perf_counter()
        made = future.result()
        self._waited += time.perf_counter() - start
        return number, made
