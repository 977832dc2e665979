"""Pictures of one split as arrays, and how they are cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Arrays:
    """The pictures of one split.

    `x` is uint8, N x C x H x W, C 1 (grayscale) or 3 (RGB), and may be a file mapped into memory;
    `y` is int64, N, the index of the class; `keys` are the N sample keys.
    """

    x: Pixels
    y: npt.NDArray[np.int64]
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.x.ndim != 4 or self.x.dtype != np.uint8:
            raise ValueError(f"x must be uint8 N x C x H x W, not {self.x.dtype} {self.x.shape}")
        if not len(self.x) == len(self.y) == len(self.keys):
            raise ValueError("x, y and keys must be of one length")

    def __len__(self) -> int:
        return len(self.keys)

    def pick(self, index: npt.NDArray[np.int64]) -> Pixels:
        """A copy of the pictures at `index`, N x C x H x W, channels last in memory."""
        return picked(self.x, index)


def picked(x: Pixels, index: npt.NDArray[np.int64]) -> Pixels:
    """A copy of the pictures of `x` at `index`, channels last in memory as networks want them."""
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)[index])
    return last.transpose(0, 3, 1, 2)


def batches(order: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """Cut the indices `order` into parts of nearly equal length, none longer than `size`.

    Equal parts, because a last batch of one picture would upset batch normalisation.
    """
    yield from torch.tensor_split(order, max(1, -(-len(order) // size)))


def to_float(x: Pixels, index: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The pictures at `index` as float32 in 0..1, channels last, on `device`."""
    here = torch.from_numpy(picked(x, index.numpy())).to(device)
    return here.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)
