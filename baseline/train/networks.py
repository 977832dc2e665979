"""The networks: each turns pictures into an embedding, and an embedding into class scores.

A picture is float32, C x size x size, in 0..1; whatever else a network wants of pixels it does
itself, so that an exported model does it, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from baseline.features.backbone import Backbone
from baseline.features.backbones import bare_backbone
from baseline.settings import Finetune, Settings, Simple, Transfer, Triplet

GRID = 4
"""SmallNet's last maps are averaged to a grid of about so many cells a side (4 to 7)."""
SCALE = 20.0
"""What a cosine likeness is multiplied by to become a score; temperature scaling mends the rest."""


class Net(nn.Module, ABC):
    """Pictures (float N x C x size x size in 0..1) to scores (N x classes)."""

    head: nn.Module

    @abstractmethod
    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the head decides by: N x D."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores before softmax: N x classes."""
        scores: torch.Tensor = self.head(self.embed(x))
        return scores


class SmallNet(Net):
    """The small convolutional network that is trained from nothing.

    Each block halves the picture; what is left is averaged to a coarse grid, not to a single
    point, so that the head still sees where in the picture something is: of 43 faces of eight
    characters, 0.8 were right with the grid and 0.34 with global pooling (186 to learn from).
    """

    def __init__(self, settings: Simple, classes: int) -> None:
        super().__init__()
        widths = (settings.channels, *settings.blocks)
        side = settings.size // 2 ** len(settings.blocks)
        # A fixed kernel, for adaptive pooling cannot be exported to every format.
        kernel = max(1, side // GRID)
        self.features = nn.Sequential(
            *(_block(before, after) for before, after in pairwise(widths)), nn.AvgPool2d(kernel)
        )
        self.neck = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(settings.blocks[-1] * (side // kernel) ** 2, settings.dense),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(settings.dense, classes))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return the dense layer before the classes: N x dense."""
        features = self.features((x - 0.5) / 0.25)
        embedded: torch.Tensor = self.neck(features.flatten(1))
        return embedded


def _block(before: int, after: int) -> nn.Sequential:
    """Halve the picture. Pooled first: the rest then has a quarter of the values to go over."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


class FeatureNet(Net):
    """A network whose embedding is made of the features of a backbone of timm."""

    backbone: Backbone

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return the embedding of the pictures' features: N x D."""
        return self.embed_features(self.backbone(x))

    @abstractmethod
    def embed_features(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (N x width) to embeddings (N x D)."""


class BackboneNet(FeatureNet):
    """A backbone and a head on its pooled features."""

    def __init__(
        self, settings: Transfer | Finetune, classes: int, kept: Path | None = None
    ) -> None:
        super().__init__()
        self.backbone = bare_backbone(settings.backbone, kept)
        self.head = class_head(settings, self.backbone.width, classes)

    def embed_features(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features themselves."""
        return features


def class_head(settings: Transfer | Finetune, width: int, classes: int) -> nn.Sequential:
    """Build what decides by features (N x width): one layer, or two for an 'mlp' head."""
    drop = nn.Dropout(settings.dropout)
    if isinstance(settings, Transfer) and settings.head == "mlp":
        hidden = (nn.Linear(width, settings.dense), nn.ReLU(), nn.Dropout(settings.dropout))
        return nn.Sequential(drop, *hidden, nn.Linear(settings.dense, classes))
    return nn.Sequential(drop, nn.Linear(width, classes))


class EmbeddingNet(FeatureNet):
    """A backbone, a projection to embeddings of length 1, and known pictures to compare with."""

    def __init__(
        self, settings: Triplet, classes: int, known: int = 1, kept: Path | None = None
    ) -> None:
        super().__init__()
        self.backbone = bare_backbone(settings.backbone, kept)
        self.projection = projection(settings, self.backbone.width)
        self.head = GalleryHead(torch.zeros(classes, known, settings.embedding))

    def embed_features(self, features: torch.Tensor) -> torch.Tensor:
        """Return embeddings of length 1: N x embedding."""
        return functional.normalize(self.projection(features), dim=1)


def projection(settings: Triplet, width: int) -> nn.Sequential:
    """Build what maps features (N x width) to embeddings that are not yet of length 1."""
    return nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(width, settings.embedding))


class GalleryHead(nn.Module):
    """Scores a class by its most similar known picture.

    `vectors` is classes x K x D, each of length 1. A class with fewer than K known pictures
    repeats one of them, which does not change its best. `known` are the keys of the samples behind
    them, by class.
    """

    vectors: torch.Tensor
    known: tuple[tuple[str, ...], ...] = ()

    def __init__(self, vectors: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)

    def forward(self, embedded: torch.Tensor) -> torch.Tensor:
        """Scores N x classes: the best cosine likeness to each class, scaled."""
        classes, known, width = self.vectors.shape
        likeness = embedded @ self.vectors.reshape(classes * known, width).T
        return SCALE * likeness.reshape(-1, classes, known).amax(2)


def build_net(settings: Settings, classes: int, known: int = 1, kept: Path | None = None) -> Net:
    """Build a fresh network on the CPU, channels last; `known` is K of a gallery.

    `kept` is the folder of a run that keeps what backbones are built from.
    """
    net: Net
    if isinstance(settings, Simple):
        net = SmallNet(settings, classes)
    elif isinstance(settings, Triplet):
        net = EmbeddingNet(settings, classes, known, kept)
    else:
        net = BackboneNet(settings, classes, kept)
    return net.to(memory_format=torch.channels_last)
