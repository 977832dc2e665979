"""What a backbone is: it makes features of pictures, in one or more parts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn


class Weights(NamedTuple):
    """Which weights a run had: 'package …', 'hub …', 'file …' or 'none', and their SHA-256."""

    source: str
    sha256: str | None


class FeaturePart(NamedTuple):
    """Features that are weighed as one: the name of their maker, and the widths of its layers.

    `standardised` says whether each feature is brought to one scale before a head learns on them.
    Square roots of shares are alike already, and rare colours would shout.
    """

    name: str
    standardised: bool
    layers: tuple[int, ...]

    @property
    def width(self) -> int:
        """How many features there are."""
        return sum(self.layers)


class Backbone(nn.Module, ABC):
    """Makes features of pictures in 0..1 (N x 1 or 3 x size x size): N x `width`.

    `emphasis` (one number a feature) is what a head that learns on standardised features should
    multiply them by. With `keeps_norms` batch norms go by their pretrained statistics while it
    learns, too. An `exact` backbone is computed in float32 always.
    """

    name: str
    parts: tuple[FeaturePart, ...]
    emphasis: npt.NDArray[np.float64]
    keeps_norms: bool = False
    exact: ClassVar[bool] = False

    @property
    def width(self) -> int:
        """How many features there are."""
        return sum(part.width for part in self.parts)

    @property
    def layers(self) -> tuple[int, ...]:
        """The widths of the layers of all parts, in their order."""
        return tuple(layer for part in self.parts for layer in part.layers)

    @property
    def members(self) -> tuple[Backbone, ...]:
        """The backbones that stand side by side: itself alone."""
        return (self,)

    @property
    def identity(self) -> tuple[object, ...]:
        """What decides its features besides its weights."""
        return (self.name,)

    @property
    def kept_files(self) -> Mapping[str, bytes]:
        """What a run must keep beside its weights to build the backbone again, by file name."""
        return {}

    @abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features: N x width."""

    def train(self, mode: bool = True) -> Self:
        """To learn, or (False) to predict."""
        super().train(mode)
        for module in self.modules() if self.keeps_norms else ():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self
