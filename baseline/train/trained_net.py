"""A network that has learnt: a backbone, what it makes of the features, and a head. No PyTorch.

Whatever learnt it (`baseline/train/methods/`), it is judged, saved, used and exported in this form.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from baseline.data.runs import SETTINGS, WEIGHTS
from baseline.evaluation.decision_rule import GALLERY_SCALE
from baseline.features.backbone import (
    Array,
    Backbone,
    FeatureArray,
    FeatureExtractor,
    PictureShape,
    State,
)
from baseline.features.backbones import bare_backbone
from baseline.features.scaling import Scaling
from baseline.features.shipped_backbones import SmallBackbone
from baseline.settings import Settings, Simple, Triplet, parse_settings
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.installation import update_command

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
        vectors = self.projection(features)
        # One of nothing stays nothing.
        unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return unit

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
    def parameters(self) -> int:
        """How many numbers were learnt, or are known pictures."""
        projection = self.projection.tensors(PROJECTION) if self.projection else {}
        own = {**projection, **self.head.state}
        return self.backbone.parameters + sum(value.size for value in own.values())


def build_trained_net(settings: Settings, state: State, kept: Path | None = None) -> TrainedNet:
    """Return the network of these settings and weights, by the names of their tensors.

    `kept` is the folder of a run that keeps what backbones are built from. Raises `ValueError`
    where the weights are those of another network, and what building a backbone raises.
    """
    if isinstance(settings, Simple):
        backbone: Backbone = SmallBackbone(settings)
    else:
        backbone = bare_backbone(settings.backbone, kept)
    return assemble_net(backbone, settings, state)


def assemble_net(backbone: Backbone, settings: Settings, state: State) -> TrainedNet:
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


def _prefix(backbone: Backbone) -> str:
    return "" if isinstance(backbone, SmallBackbone) else BACKBONE


def _head(number: int) -> str:
    return HEAD.format(FIRST + STEP * number)


def stack_by_class(embedded: Floats, y: npt.NDArray[np.int64], classes: int) -> Floats:
    """Return embeddings N x D as classes x K x D; a class with fewer than K repeats its own.

    One without any gets zeros, which are like nothing.
    """
    groups = [embedded[y == name] for name in range(classes)]
    most = max(len(group) for group in groups)
    nothing = np.zeros((most, embedded.shape[1]), np.float32)
    return np.stack(
        [np.resize(group, nothing.shape) if len(group) else nothing for group in groups]
    )


FORMAT = 3
"""Of `settings.json`, raised when a network comes to be built otherwise; others are refused."""

# Not what somebody keeps beside them, such as weights-best.safetensors.
_OUR_WEIGHTS = re.compile(r"weights(-[0-9a-f]{16})?\.safetensors")
_FIX = "Train again: baseline train"


def save_model(
    folder: Path,
    model: TrainedNet,
    settings: Settings,
    classes: Sequence[str],
    *,
    scratch: Path | None = None,
) -> None:
    """Write the model into `folder`, which is made; each file is whole or not there at all.

    Unfinished files lie in `scratch`, a folder on the same disk. Where another model is there
    already, its weights stay until the settings name the new ones. Raises NotWritable or DiskFull
    where the disk refuses.
    """
    state = {name: np.ascontiguousarray(value) for name, value in model.state.items()}
    weights = safetensors.numpy.save(state)
    digest = hashlib.sha256(weights).hexdigest()
    described = {
        "format": FORMAT,
        "classes": list(classes),
        "settings": settings.to_json(),
        "weights": _name_beside(folder, digest),
        "weights_sha256": digest,
    }
    if isinstance(model.head, GalleryHead):
        described["known"] = model.head.known
    path = folder / str(described["weights"])
    for name, data in model.backbone.kept_files.items():
        # Named by what they hold: one that is there is not written again.
        if not (folder / name).is_file():
            write_atomic(folder / name, data, scratch=scratch)
    write_atomic(path, weights, scratch=scratch)
    # Last, because a folder counts as a model once it has its settings.
    text = json.dumps(described, indent=2, ensure_ascii=False)
    write_atomic(folder / SETTINGS, text.encode(), scratch=scratch)
    for old in folder.glob("weights*.safetensors"):
        if old != path and _OUR_WEIGHTS.fullmatch(old.name):
            old.unlink(missing_ok=True)


def _name_beside(folder: Path, digest: str) -> str:
    """Return a name for weights that leaves alone those of another model in the same folder."""
    try:
        described = json.loads((folder / SETTINGS).read_bytes())
        there = (described.get("weights", WEIGHTS), described["weights_sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return WEIGHTS
    if there[1] == digest:
        return str(there[0])
    return WEIGHTS if there[0] != WEIGHTS else f"weights-{digest[:16]}.safetensors"


def load_model(folder: Path) -> tuple[TrainedNet, Settings, tuple[str, ...]]:
    """Return the model of `folder`, ready to predict, its settings and its classes.

    Raises InputUnusable that says which file is missing or damaged.
    """
    described = _described(folder)
    try:
        # The penalty was a setting once; nothing that predicts goes by it.
        known = {key: value for key, value in described["settings"].items() if key != "penalty"}
        settings = parse_settings(known)
        classes = tuple(str(name) for name in described["classes"])
        digest = described["weights_sha256"]
        path = folder / Path(described.get("weights", WEIGHTS)).name
    except (KeyError, TypeError, AttributeError, UsageError) as error:
        raise _damaged(folder / SETTINGS, error) from error
    weights = _read(path)
    if hashlib.sha256(weights).hexdigest() != digest:
        raise _damaged(path, f"its bytes are not those that {SETTINGS} describes")
    net = _filled(path, settings, len(classes), weights)
    if isinstance(net.head, GalleryHead):
        net.head = replace(net.head, known=_known_samples(folder, described))
    return net, settings, classes


def _known_samples(folder: Path, described: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    try:
        return tuple(tuple(map(str, row)) for row in described["known"])
    except (KeyError, TypeError) as error:
        raise _damaged(folder / SETTINGS, f"its known pictures cannot be read ({error})") from error


def _filled(path: Path, settings: Settings, classes: int, weights: bytes) -> TrainedNet:
    try:
        state = safetensors.numpy.load(weights)
    except (SafetensorError, KeyError) as error:
        raise _damaged(path, error) from error
    # The bytes are those that were saved: it is the network that differs.
    misfit = InputUnusable(
        f"{path} does not fit the network that {SETTINGS} describes: {SETTINGS} was changed, "
        "or this version of timm builds another backbone by that name.",
        _FIX,
    )
    try:
        net = build_trained_net(settings, state, path.parent)
    except ValueError as error:
        raise misfit from error
    if net.head.classes != classes:
        raise misfit
    return net


def _described(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    try:
        described = json.loads(_read(path))
    except ValueError as error:
        raise _damaged(path, error) from error
    if not isinstance(described, dict) or not isinstance(described.get("format"), int):
        raise _damaged(path, "it does not describe a model")
    if described["format"] > FORMAT:
        raise InputUnusable(f"{path} was written by a newer Gleanset.", update_command())
    if described["format"] < FORMAT:
        raise InputUnusable(f"{path} was written by an older Gleanset.", _FIX)
    return described


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputUnusable(f"There is no trained model here: {path} is missing.", _FIX) from None
    except OSError as error:
        raise InputUnusable(f"{path} cannot be read: {error.strerror}.", _FIX) from error


def _damaged(path: Path, why: object) -> InputUnusable:
    return InputUnusable(f"{path} is damaged: {why}.", _FIX)
