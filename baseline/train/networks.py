"""The networks that learn by gradients: pictures to an embedding, and that to class scores.

A picture is float32, C x size x size, in 0..1; whatever else a network wants of pixels it does
itself. What has learnt goes on as a `TrainedNet`, whose tensors have the same names.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from baseline.evaluation.decision_rule import GALLERY_SCALE
from baseline.features.backbone import Backbone
from baseline.features.backbones import SideBySide, bare_backbone
from baseline.features.shipped_backbones import (
    DEVIATION,
    MEAN,
    IdentityBackbone,
    LastMaps,
    SmallBackbone,
)
from baseline.features.timm_backbone import LearningBackbone, TimmBackbone, TimmNetwork, take_state
from baseline.settings import Finetune, Settings, Simple, Transfer, Triplet
from baseline.train.callbacks import TrainingCallback
from baseline.train.trained_net import TrainedNet, assemble_net
from curation.similarity import color_layout as formula


class ColourLayout(LearningBackbone):
    """Pictures (float N x 1 or 3 x height x width in 0..1) to colour layouts, N x `WIDTH`.

    These are the numbers of `curation/similarity/color_layout.py`, for networks that learn.
    """

    cells: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        cells = torch.from_numpy(formula.compute_cell_weights().copy())
        self.register_buffer("cells", cells, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Describe pictures by `formula.WIDTH` numbers of 0 to 1 each."""
        layout: torch.Tensor = formula.compute_layout(_averaged(x).flatten(2), self.cells, torch)
        return layout.flatten(1)


def _averaged(x: torch.Tensor) -> torch.Tensor:
    rows, columns = (
        torch.from_numpy(formula.compute_area_weights(n)).to(x.device) for n in x.shape[2:]
    )
    return (rows @ x.float() @ columns.T).expand(-1, 3, -1, -1)


class DrawnIdentity(LearningBackbone):
    """Pictures (as for `ColourLayout`) to vectors by which drawn people are told apart.

    These are the numbers of `curation/similarity/identity.py`, for networks that learn; itself it
    learns nothing more.
    """

    def __init__(self, backbone: IdentityBackbone) -> None:
        super().__init__()
        layers = backbone.layers_held
        self._layers = len(layers)
        for number, (weight, bias) in enumerate(layers):
            self.register_buffer(f"weight{number}", torch.from_numpy(weight), persistent=False)
            self.register_buffer(f"bias{number}", torch.from_numpy(bias), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return vectors of length 1: N x `identity.WIDTH`."""
        small = (_averaged(x) * 255).contiguous()
        # LiteRT files come out wrong of channels that are last, and where layers share weights.
        both = functional.normalize(self._answer(torch.cat([small, small.flip(3)])))
        upright, mirrored = both.chunk(2)
        return functional.normalize(upright + mirrored)

    def _answer(self, pictures: torch.Tensor) -> torch.Tensor:
        maps = self._convolved(pictures / 64 - 2, 0, stride=2).relu()
        for first in range(1, self._layers - 1, 3):
            maps = self._convolved(maps, first, stride=2).relu()
            more = self._convolved(maps, first + 1).relu()
            maps = (maps + self._convolved(more, first + 2)).relu()
        return functional.linear(maps.flatten(1), *self._held(self._layers - 1))

    def _convolved(self, maps: torch.Tensor, number: int, stride: int = 1) -> torch.Tensor:
        return functional.conv2d(maps, *self._held(number), stride=stride, padding=1)

    def _held(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.get_buffer(f"weight{number}"), self.get_buffer(f"bias{number}")


SMALL_BATCH = 32
"""Pictures in a batch from which its mean and variance tell more than those of ImageNet."""


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
        last = LastMaps(settings)
        self.features = nn.Sequential(
            *(_block(before, after) for before, after in pairwise(widths)),
            nn.AvgPool2d(last.kernel),
        )
        self.neck = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(last.values, settings.dense),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(settings.dense, classes))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return the dense layer before the classes: N x dense."""
        features = self.features((x - MEAN) / DEVIATION)
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


class BackboneNet(Net):
    """A backbone and a head on its features."""

    def __init__(
        self, settings: Transfer | Finetune, backbone: LearningBackbone, width: int, classes: int
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = build_class_head(settings, width, classes)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features themselves: N x width."""
        features: torch.Tensor = self.backbone(x)
        return features


def build_class_head(settings: Transfer | Finetune, width: int, classes: int) -> nn.Sequential:
    """Build what decides by features (N x width): one layer, or two for an 'mlp' head."""
    drop = nn.Dropout(settings.dropout)
    if isinstance(settings, Transfer) and settings.head == "mlp":
        hidden = (nn.Linear(width, settings.dense), nn.ReLU(), nn.Dropout(settings.dropout))
        return nn.Sequential(drop, *hidden, nn.Linear(settings.dense, classes))
    return nn.Sequential(drop, nn.Linear(width, classes))


class EmbeddingNet(Net):
    """A backbone, a projection to embeddings of length 1, and known pictures to compare with."""

    def __init__(
        self, settings: Triplet, backbone: LearningBackbone, width: int, known: torch.Tensor
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = projection(settings, width)
        self.head = NearestImageHead(known)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """Return embeddings of length 1: N x embedding."""
        return functional.normalize(self.projection(self.backbone(x)), dim=1)


def projection(settings: Triplet, width: int) -> nn.Sequential:
    """Build what maps features (N x width) to embeddings that are not yet of length 1."""
    return nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(width, settings.embedding))


class NearestImageHead(nn.Module):
    """Scores a class by its most similar known picture: `vectors` is classes x K x D."""

    vectors: torch.Tensor

    def __init__(self, vectors: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("vectors", vectors)

    def forward(self, embedded: torch.Tensor) -> torch.Tensor:
        """Scores N x classes: the best cosine likeness to each class, scaled."""
        classes, known, width = self.vectors.shape
        likeness = embedded @ self.vectors.reshape(classes * known, width).T
        return GALLERY_SCALE * likeness.reshape(-1, classes, known).amax(2)


class ConcatenatedNetworks(LearningBackbone):
    """Several networks, the features of which follow each other."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of all members: N x width."""
        return torch.cat([member(x) for member in self.backbones], 1)


def make_trainable_backbone(backbone: Backbone) -> LearningBackbone:
    """Return a network that makes the features of a backbone, with its weights, and can learn."""
    if isinstance(backbone, SideBySide):
        return ConcatenatedNetworks(
            [make_trainable_backbone(member) for member in backbone.members]
        )
    if isinstance(backbone, TimmBackbone):
        return copy.deepcopy(backbone.network)
    if isinstance(backbone, IdentityBackbone):
        return DrawnIdentity(backbone)
    if not backbone.shapes:
        return ColourLayout()
    network = TimmNetwork(backbone.name)
    take_state(network, backbone.state)
    return network


def build_net(settings: Settings, classes: int, backbone: Backbone | None = None) -> Net:
    """Build a fresh network on the CPU, channels last, on a backbone with its weights.

    Without one it is that of the settings, with weights worth nothing.
    """
    net: Net
    if isinstance(settings, Simple):
        return SmallNet(settings, classes).to(memory_format=torch.channels_last)
    made = backbone or bare_backbone(settings.backbone)
    learning = make_trainable_backbone(made)
    if isinstance(settings, Triplet):
        known = torch.zeros(classes, 1, settings.embedding)
        net = EmbeddingNet(settings, learning, made.width, known)
    else:
        net = BackboneNet(settings, learning, made.width, classes)
    return net.to(memory_format=torch.channels_last)


def to_trained_net(net: Net, settings: Settings, backbone: Backbone | None = None) -> TrainedNet:
    """Return what a network has learnt; `backbone` is what it was built on, which takes weights."""
    state = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
    if isinstance(settings, Simple):
        return assemble_net(SmallBackbone(settings), settings, state)
    return assemble_net(backbone or bare_backbone(settings.backbone), settings, state)


def configure_batch_norm(
    backbone: LearningBackbone, weights: str, batch: int, callback: TrainingCallback
) -> str:
    """Let batch norms go on with their pretrained statistics where batches are small.

    The mean and variance of a dozen pictures are noise beside those of a million. Says what was
    done: 'kept' or 'learnt'.
    """
    backbone.keeps_norms = weights != "none" and batch < SMALL_BATCH
    if backbone.keeps_norms:
        callback.say(f"batches of {batch} are small: batch norms keep their pretrained statistics")
    return "kept" if backbone.keeps_norms else "learnt"
