"""Pictures of one split as arrays, and how they are cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch


@dataclass(frozen=True, slots=True)
class Arrays:
    """The pictures of one split.

    `x` is uint8, N x C x H x W, C 1 (grayscale) or 3 (RGB); `y` is int64, N, the index of
    the class; `keys` are the N sample keys.
    """

    x: npt.NDArray[np.uint8]
    y: npt.NDArray[np.int64]
    keys: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.x.ndim != 4 or self.x.dtype != np.uint8:
            raise ValueError(f"x must be uint8 N x C x H x W, not {self.x.dtype} {self.x.shape}")
        if not len(self.x) == len(self.y) == len(self.keys):
            raise ValueError("x, y and keys must be of one length")

    def __len__(self) -> int:
        return len(self.keys)


def batches(order: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """Cut the indices `order` into parts of nearly equal length, none longer than `size`.

    Equal parts, because a last batch of one picture would upset batch normalisation.
    """
    yield from torch.tensor_split(order, max(1, -(-len(order) // size)))


def to_float(x: npt.NDArray[np.uint8], index: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The pictures at `index` as float32 in 0..1, channels last, on `device`."""
    picked = torch.from_numpy(x[index.numpy()]).to(device)
    return picked.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)
