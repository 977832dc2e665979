"""A network that has learnt: a backbone, what it makes of the features, and a head. No PyTorch.

Whatever learnt it (`baseline/train/methods/`), it is judged, saved, used and exported in this form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from baseline.features.backbone import (
    Array,
    Backbone,
    FeatureArray,
    FeatureExtractor,
    NetworkLayer,
    PictureShape,
    State,
)
from baseline.features.backbones import bare_backbone
from baseline.features.scaling import Scaling
from baseline.features.small_network import SmallBackbone
from baseline.judge.familiarity import GALLERY_SCALE
from baseline.settings import Settings, Simple, Triplet

GALLERY = "head.vectors"
BACKBONE, PROJECTION, HEAD = "backbone.", "projection.1", "head.{}"
"""What the names of tensors in the weights begin with."""
FIRST, STEP = 1, 3
"""The number of a head's first layer, and from one to the next: between them are a ReLU, and what
drops values while it learns."""

Floats: TypeAlias = FeatureArray


class LinearLayer(NamedTuple):
    """x becomes x W' + b: `weight` is out x in, `bias` out."""

    weight: npt.NDArray[np.floating]
    bias: npt.NDArray[np.floating]

    def __call__(self, x: Floats) -> Floats:
        """Return N x out of N x in."""
        applied: Floats = x @ self.weight.T + self.bias
        return applied

    def after(self, scaling: Scaling) -> LinearLayer:
        """Return the same for features that were not brought to a scale: float32."""
        weight = self.weight.astype(np.float64) / scaling.deviation
        bias = self.bias - weight @ scaling.mean
        return LinearLayer(weight.astype(np.float32), bias.astype(np.float32))

    def tensors(self, name: str) -> dict[str, Array]:
        """Return its numbers as they are kept."""
        return {
            f"{name}.weight": self.weight.astype(np.float32),
            f"{name}.bias": self.bias.astype(np.float32),
        }

    def row(self, name: str) -> NetworkLayer:
        """Return what is told of it."""
        size = self.weight.size
        return NetworkLayer(name, "Linear", self.bias.shape, size + self.bias.size, size)

    @classmethod
    def of(cls, state: State, name: str, width: int) -> LinearLayer:
        """Return the layer of that name, of so many values. Raises `ValueError` for none."""
        weight, bias = (state.get(f"{name}.{part}", np.zeros(0)) for part in cls._fields)
        if weight.shape != (bias.size, width):
            raise ValueError(f"{name} is {weight.shape}, and takes {width} values")
        return cls(weight, bias)


class ClassHead(NamedTuple):
    """Scores by features: one layer, or several with a ReLU between."""

    layers: tuple[LinearLayer, ...]

    def __call__(self, embedded: Floats) -> Floats:
        """Return the scores, N x classes."""
        for layer in self.layers[:-1]:
            embedded = np.maximum(layer(embedded), 0)
        return self.layers[-1](embedded)

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.layers[-1].bias)

    @property
    def state(self) -> State:
        """Its numbers, by the names of their tensors."""
        return {
            name: value
            for number, layer in enumerate(self.layers)
            for name, value in layer.tensors(_head(number)).items()
        }


@dataclass(frozen=True, eq=False)
class GalleryHead:
    """Scores a class by its most similar known picture.

    `vectors` is classes x K x D, each of length 1. A class with fewer than K known pictures
    repeats one of them, which does not change its best. `known` are the keys of the samples behind
    them, by class.
    """

    vectors: Floats
    known: tuple[tuple[str, ...], ...] = ()

    def __call__(self, embedded: Floats) -> Floats:
        """Return the scores, N x classes: the best cosine likeness to each class, scaled."""
        scores: Floats = np.float32(GALLERY_SCALE) * self.likeness(embedded).max(2)
        return scores

    def likeness(self, embedded: Floats) -> Floats:
        """Return the cosine likeness to each known picture, N x classes x K."""
        classes, known, width = self.vectors.shape
        flat = embedded @ self.vectors.reshape(classes * known, width).T
        likeness: Floats = flat.reshape(-1, classes, known)
        return likeness

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.vectors)

    @property
    def state(self) -> State:
        """Its numbers, by the names of their tensors."""
        return {GALLERY: self.vectors}


@dataclass(eq=False)
class TrainedNet:
    """Pictures of a `shape` to features, by a `projection` to embeddings of length 1, to scores.

    Without a projection the features themselves are what the head decides by.
    """

    backbone: Backbone
    head: ClassHead | GalleryHead
    shape: PictureShape
    projection: LinearLayer | None = None

    @cached_property
    def extract(self) -> FeatureExtractor:
        """What makes features of pictures, in float32 whatever the precision of training was."""
        return self.backbone.extractor(self.shape, "fp32", padded=False)

    def embed(self, pictures: Array) -> Floats:
        """Return what the head decides by (N x D), of pictures N x C x size x size.

        They are uint8, or float32 in 0..1.
        """
        return self.embed_features(self.features(pictures))

    def features(self, pictures: Array) -> Floats:
        """Return what the backbone makes of them: N x width."""
        if not len(pictures):
            return np.zeros((0, self.backbone.width), np.float32)
        return self.extract(pictures)

    def embed_features(self, features: Floats) -> Floats:
        """Map features (N x width) to embeddings (N x D)."""
        if self.projection is None:
            return features
        return of_length_one(self.projection(features))

    @property
    def width(self) -> int:
        """How many numbers an embedding has."""
        return len(self.projection.bias) if self.projection else self.backbone.width

    @property
    def state(self) -> State:
        """All numbers, by the names of their tensors."""
        backbone = {f"{_prefix(self.backbone)}{k}": v for k, v in self.backbone.state.items()}
        projection = self.projection.tensors(PROJECTION) if self.projection else {}
        return {**backbone, **projection, **self.head.state}

    @property
    def layers(self) -> list[NetworkLayer]:
        """What it consists of, in the order in which a picture passes through."""
        prefix, head = _prefix(self.backbone), self.head
        rows = [
            replace(layer, name=f"{prefix}{layer.name}")
            for layer in self.backbone.network_layers(self.shape)
        ]
        rows += [self.projection.row(PROJECTION)] if self.projection else []
        if isinstance(head, ClassHead):
            return rows + [layer.row(_head(n)) for n, layer in enumerate(head.layers)]
        size = head.vectors.size
        return [*rows, NetworkLayer("head", type(head).__name__, (head.classes,), size, size)]


def trained_net(settings: Settings, state: State, kept: Path | None = None) -> TrainedNet:
    """Return the network of these settings and weights, by the names of their tensors.

    `kept` is the folder of a run that keeps what backbones are built from. Raises `ValueError`
    where the weights are those of another network, and what building a backbone raises.
    """
    if isinstance(settings, Simple):
        backbone: Backbone = SmallBackbone(settings)
    else:
        backbone = bare_backbone(settings.backbone, kept)
    return with_backbone(backbone, settings, state)


def with_backbone(backbone: Backbone, settings: Settings, state: State) -> TrainedNet:
    """Return the network of a backbone, which takes its part of the weights.

    Raises `ValueError` where they are those of another network.
    """
    prefix, behind = _prefix(backbone), ("projection.", "head.")
    own = {name.removeprefix(prefix): v for name, v in state.items() if not name.startswith(behind)}
    backbone.fill(own)
    width, projection = backbone.width, None
    if isinstance(settings, Triplet):
        projection = LinearLayer.of(state, PROJECTION, width)
        width = len(projection.bias)
    shape = PictureShape(settings.channels, settings.size)
    return TrainedNet(backbone, _head_in(state, width), shape, projection)


def _head_in(state: State, width: int) -> ClassHead | GalleryHead:
    if GALLERY in state:
        if state[GALLERY].ndim != 3 or state[GALLERY].shape[2] != width:
            raise ValueError(f"known pictures are {state[GALLERY].shape}, not of {width} values")
        return GalleryHead(state[GALLERY])
    layers: list[LinearLayer] = []
    for number in range(max(1, sum(name.startswith("head.") for name in state) // 2)):
        layers.append(LinearLayer.of(state, _head(number), width))
        width = len(layers[-1].bias)
    return ClassHead(tuple(layers))


def refuse_other_classes(net: TrainedNet, classes: int) -> None:
    """Raise `ValueError` where a network does not tell so many classes apart."""
    if net.head.classes != classes:
        raise ValueError(f"it tells {net.head.classes} classes apart, not {classes}")


def _prefix(backbone: Backbone) -> str:
    return "" if isinstance(backbone, SmallBackbone) else BACKBONE


def _head(number: int) -> str:
    return HEAD.format(FIRST + STEP * number)


def of_length_one(vectors: Floats) -> Floats:
    """Return vectors (N x D) of length 1; one of nothing stays nothing."""
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def by_class(embedded: Floats, y: npt.NDArray[np.int64], classes: int) -> Floats:
    """Return embeddings N x D as classes x K x D; a class with fewer than K repeats its own.

    One without any gets zeros, which are like nothing.
    """
    groups = [embedded[y == name] for name in range(classes)]
    most = max(len(group) for group in groups)
    nothing = np.zeros((most, embedded.shape[1]), np.float32)
    return np.stack(
        [np.resize(group, nothing.shape) if len(group) else nothing for group in groups]
    )
