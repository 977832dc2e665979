"""PyTorch networks that are trained by gradient descent: images to embeddings to class scores.

An image is float32, C x size x size, in 0..1; networks normalize it themselves. A trained network
becomes a `TrainedNet`, whose tensors have the same names.
"""

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from baseline.features.backbone import Backbone
from baseline.features.backbones import JoinedBackbone
from baseline.features.graph_backbones import (
    DEVIATION,
    MEAN,
    IdentityBackbone,
    LastMaps,
)
from baseline.features.timm_backbone import (
    LearningBackbone,
    TimmBackbone,
    TimmNetwork,
    load_state,
)
from baseline.settings import Finetune, Settings, Simple
from baseline.train.trained_net import TrainedNet, assemble_net
from baseline.train.training import TrainingCallback
from curation.similarity import color_layout


class ColourLayout(LearningBackbone):
    """Images (float N x 1 or 3 x height x width in 0..1) to color layouts, N x `WIDTH`.

    The same as `curation/similarity/color_layout.py`, in PyTorch.
    """

    cells: Tensor

    def __init__(self) -> None:
        super().__init__()
        cells = torch.from_numpy(color_layout.compute_cell_weights().copy())
        self.register_buffer("cells", cells, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return color layouts, N x `color_layout.WIDTH`, in 0..1."""
        small = _resize_by_area(x).flatten(2)
        layout: Tensor = color_layout.compute_layout(small, self.cells, torch)
        return layout.flatten(1)


def _resize_by_area(x: Tensor) -> Tensor:
    """Return small images with three channels."""
    rows, columns = (
        torch.from_numpy(color_layout.compute_area_weights(side)).to(x.device)
        for side in x.shape[2:]
    )
    small = rows @ x.float() @ columns.T
    # Grayscale becomes three equal channels.
    return small.expand(-1, 3, -1, -1)


class DrawnIdentity(LearningBackbone):
    """Images (as for `ColourLayout`) to identity embeddings of drawn people.

    The same as `curation/similarity/descriptor.py`, in PyTorch; its weights are not trained.
    """

    def __init__(self, backbone: IdentityBackbone):
        super().__init__()
        layers = backbone.layer_weights
        self._layers = len(layers)
        for number, (weight, bias) in enumerate(layers):
            for kind, values in (("weight", weight), ("bias", bias)):
                tensor = torch.from_numpy(values)
                self.register_buffer(f"{kind}{number}", tensor, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors of length 1: N x `descriptor.IDENTITY`."""
        small = _resize_by_area(x) * 255
        views = torch.cat([small, small.flip(3)])
        upright, mirrored = functional.normalize(self._embed(views)).chunk(2)
        return functional.normalize(upright + mirrored)

    def _embed(self, images: Tensor) -> Tensor:
        """Return the output of the last layer, a row for each image (values in 0..255)."""
        normalized = images / 64 - 2  # as in training
        maps = self._convolve(normalized, 0, stride=2).relu()

        # Blocks of a convolution that halves the maps, and two with a shortcut.
        last = self._layers - 1
        for first in range(1, last, 3):
            maps = self._convolve(maps, first, stride=2).relu()
            inner = self._convolve(maps, first + 1).relu()
            residual = self._convolve(inner, first + 2)
            maps = (maps + residual).relu()

        weight, bias = self._get_layer(last)
        return functional.linear(maps.flatten(1), weight, bias)

    def _convolve(self, maps: Tensor, number: int, stride: int = 1) -> Tensor:
        weight, bias = self._get_layer(number)
        return functional.conv2d(
            maps,
            weight,
            bias,
            stride=stride,
            padding=1,
        )

    def _get_layer(self, number: int) -> tuple[Tensor, Tensor]:
        weight = self.get_buffer(f"weight{number}")
        bias = self.get_buffer(f"bias{number}")
        return weight, bias


SMALL_BATCH = 32
"""Batch size from which batch statistics are better than those of ImageNet."""


class SmallNet(nn.Module):
    """The small convolutional network that is trained from scratch.

    Each block halves the image. The maps are averaged to a coarse grid that keeps positions:
    accuracy on 43 faces of eight characters was 0.8 with the grid and 0.34 with global pooling
    (186 training images).
    """

    def __init__(self, settings: Simple, classes: int):
        super().__init__()
        widths = (settings.channels, *settings.blocks)
        blocks = [_build_block(before, after) for before, after in pairwise(widths)]
        last = LastMaps(settings)
        self.features = nn.Sequential(*blocks, nn.AvgPool2d(last.kernel))
        self.neck = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(last.values, settings.dense),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Dropout(settings.dropout), nn.Linear(settings.dense, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores before softmax: N x classes."""
        features = self.features((x - MEAN) / DEVIATION)
        scores: Tensor = self.head(self.neck(features.flatten(1)))
        return scores


def _build_block(before: int, after: int) -> nn.Sequential:
    # Pooled first, so that the rest has a quarter of the values.
    return nn.Sequential(
        nn.Conv2d(
            before,
            after,
            3,
            padding=1,
            bias=False,
        ),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


class BackboneNet(nn.Module):
    """A backbone and a head on its features."""

    def __init__(self, settings: Finetune, backbone: Backbone, classes: int):
        super().__init__()
        self.backbone = make_trainable_backbone(backbone)
        self.head = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(backbone.width, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores before softmax: N x classes."""
        scores: Tensor = self.head(self.backbone(x))
        return scores


class ConcatenatedNetworks(LearningBackbone):
    """Several networks whose features are concatenated."""

    def __init__(self, members: Sequence[nn.Module]):
        super().__init__()
        self.backbones = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of all members: N x width."""
        return torch.cat([member(x) for member in self.backbones], 1)


def make_trainable_backbone(backbone: Backbone) -> LearningBackbone:
    """Return a PyTorch network with the weights of a backbone."""
    if isinstance(backbone, JoinedBackbone):
        return ConcatenatedNetworks(
            [make_trainable_backbone(member) for member in backbone.members]
        )
    if isinstance(backbone, TimmBackbone):
        return copy.deepcopy(backbone.network)
    if isinstance(backbone, IdentityBackbone):
        return DrawnIdentity(backbone)
    # Colors have no weights. Nor have models of a hub, but the settings refuse to fine-tune them.
    if not backbone.shapes:
        return ColourLayout()

    # The other shipped ones are of timm, with the same names of tensors.
    network = TimmNetwork(backbone.name)
    load_state(network, backbone.state)
    return network


def to_trained_net(
    net: nn.Module, settings: Settings, backbone: Backbone
) -> TrainedNet:
    """Return the trained network without PyTorch; `backbone` takes over its weights."""
    state = {name: value.cpu().numpy() for name, value in net.state_dict().items()}
    return assemble_net(backbone, settings, state)


def configure_batch_norm(
    backbone: LearningBackbone,
    weights: str,
    batch_size: int,
    callback: TrainingCallback,
) -> str:
    """Keep the pretrained statistics of batch norms if batches are small.

    Returns 'kept' or 'learnt' for the metrics.
    """
    # Statistics of small batches are worse than pretrained ones.
    backbone.keeps_norms = weights != "none" and batch_size < SMALL_BATCH
    if backbone.keeps_norms:
        callback.say(
            f"small batches ({batch_size} images): batch norms keep their pretrained statistics"
        )
    return "kept" if backbone.keeps_norms else "learnt"
