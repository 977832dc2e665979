"""PyTorch networks that are trained by gradient descent: images to embeddings to class scores.

An image is float32, C x size x size, in 0..1; networks normalize it themselves. A trained network
becomes a `TrainedNet`, whose tensors have the same names.
"""

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from baseline.features.backbone import Backbone, ImageShape
from baseline.features.backbones import JoinedBackbone
from baseline.features.graph_backbones import (
    DEVIATION,
    MEAN,
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


class FrozenGraph(LearningBackbone):
    """Features of a backbone that is not trained, such as color layouts."""

    def __init__(self, backbone: Backbone, shape: ImageShape):
        super().__init__()
        self._extract = backbone.extractor(shape, "fp32")

    def forward(self, x: Tensor) -> Tensor:
        """Return features (N x width) of images (N x C x size x size in 0..1)."""
        images = x.float().cpu().contiguous()
        return torch.from_numpy(self._extract(images.numpy())).to(x.device)


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
        self.features = nn.Sequential(
            *blocks,
            nn.AvgPool2d(last.kernel),
        )
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
        shape = ImageShape(settings.channels, settings.size)
        self.backbone = make_trainable_backbone(backbone, shape)
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


def make_trainable_backbone(backbone: Backbone, shape: ImageShape) -> LearningBackbone:
    """Return a PyTorch network with the weights of a backbone, for images of a shape."""
    if isinstance(backbone, JoinedBackbone):
        return ConcatenatedNetworks(
            [make_trainable_backbone(member, shape) for member in backbone.members]
        )
    if isinstance(backbone, TimmBackbone):
        return copy.deepcopy(backbone.network)
    # Color layouts and identity embeddings, which have no weights to train. Models of a hub have
    # none either, but the settings of fine-tuning refuse them.
    if not backbone.shapes:
        return FrozenGraph(backbone, shape)

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
