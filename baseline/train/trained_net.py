"""A trained network: backbone, optional projection, and head or gallery, without PyTorch.

Networks of all methods are evaluated, saved, used and exported in this form.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
import safetensors.numpy
from msgspec import UNSET, UnsetType
from safetensors import SafetensorError

from baseline.data.runs import (
    SETTINGS,
    WEIGHTS,
    WEIGHTS_PATTERN,
    decode_versioned,
    write_run_json,
)
from baseline.evaluation.decision_rule import GALLERY_SCALE
from baseline.features.backbone import (
    Backbone,
    FeatureExtractor,
    ImageShape,
    State,
)
from baseline.features.backbones import build_backbone
from baseline.features.graph_backbones import SmallBackbone
from baseline.features.scaling import Scaling
from baseline.settings import Settings, Simple, Triplet, parse_settings
from baseline.train.membership import PREFIX as MEMBERSHIP
from baseline.train.membership import ClassMembership
from gleanset.arrays import Array, Float32Array, FloatArray, IntArray, normalize_rows
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.files.store import hash_bytes

GALLERY = "head.vectors"
# Prefixes of tensor names in the weights. Number 0 of a projection or head is a dropout.
BACKBONE = "backbone."
PROJECTION = "projection.1"
HEAD = "head.1"


class LinearLayer(NamedTuple):
    """x becomes x W' + b: `weight` is out x in, `bias` out."""

    weight: FloatArray
    bias: FloatArray

    def __call__(self, x: Float32Array) -> Float32Array:
        """Return N x out of N x in."""
        return np.asarray(x @ self.weight.T + self.bias)

    def after(self, scaling: Scaling) -> Self:
        """Return the layer (float32) for unscaled features."""
        weight = self.weight.astype(np.float64) / scaling.deviation
        bias = self.bias - weight @ scaling.mean
        return type(self)(
            weight.astype(np.float32),
            bias.astype(np.float32),
        )

    @property
    def classes(self) -> int:
        """Number of classes of a head."""
        return len(self.bias)

    def tensors(self, name: str) -> dict[str, Array]:
        """Return the tensors by name, as saved."""
        return {
            f"{name}.weight": self.weight.astype(np.float32),
            f"{name}.bias": self.bias.astype(np.float32),
        }

    @classmethod
    def from_state(cls, state: State, name: str, width: int) -> Self:
        """Return a layer for `width` inputs. Raises `ValueError` if there is none."""
        weight = state.get(f"{name}.weight", np.zeros(0))
        bias = state.get(f"{name}.bias", np.zeros(0))
        if weight.shape != (bias.size, width):
            raise ValueError(f"{name} is {weight.shape}, but has {width} inputs")
        return cls(weight, bias)


class GalleryHead(NamedTuple):
    """Scores a class by its most similar gallery image.

    `vectors` is classes x K x D, each of length 1; a class with fewer than K images repeats them.
    `keys` are the sample keys of the images by class.
    """

    vectors: Float32Array
    keys: tuple[tuple[str, ...], ...] = ()

    def __call__(self, embeddings: Float32Array) -> Float32Array:
        """Return the largest cosine similarity to each class, scaled (N x classes)."""
        best = self.similarity(embeddings).max(2)
        return np.asarray(np.float32(GALLERY_SCALE) * best)

    def similarity(self, embeddings: Float32Array) -> Float32Array:
        """Return the cosine similarities to gallery images, N x classes x K."""
        # The last axis of both is the embedding.
        return np.tensordot(embeddings, self.vectors, (1, 2))

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.vectors)

    def tensors(self, name: str) -> dict[str, Array]:
        """Return the tensors of the head `name`, as saved."""
        return {GALLERY: self.vectors}


@dataclass(eq=False)
class TrainedNet:
    """Backbone, optional projection to embeddings of length 1, and head.

    Without a projection, embeddings are the features. `membership` estimates whether an image is
    of one of the classes at all; None for networks without a frozen backbone.
    """

    backbone: Backbone
    head: LinearLayer | GalleryHead
    shape: ImageShape
    projection: LinearLayer | None = None
    membership: ClassMembership | None = None

    @cached_property
    def extract(self) -> FeatureExtractor:
        """The feature extractor, in float32 whatever the precision of training."""
        return self.backbone.extractor(self.shape, "fp32", pad_batches=False)

    def embed(self, images: Array) -> Float32Array:
        """Return embeddings (N x D) of images (N x C x size x size, uint8, or float32 in 0..1)."""
        return self.embed_features(self.features(images))

    def features(self, images: Array) -> Float32Array:
        """Return features (N x width) of images."""
        if not len(images):
            return np.zeros((0, self.backbone.width), np.float32)
        return self.extract(images)

    def embed_features(self, features: Float32Array) -> Float32Array:
        """Map features (N x width) to embeddings (N x D)."""
        if self.projection is None:
            return features
        return normalize_rows(self.projection(features))

    @property
    def width(self) -> int:
        """Dimension of an embedding."""
        if self.projection is None:
            return self.backbone.width
        return len(self.projection.bias)

    @property
    def state(self) -> State:
        """All tensors by name."""
        prefix = _get_prefix(self.backbone)
        tensors = self.backbone.state.items()
        state = {f"{prefix}{name}": tensor for name, tensor in tensors}
        state |= self._head_state
        if self.membership is not None:
            state |= self.membership.state
        return state

    @property
    def _head_state(self) -> dict[str, Array]:
        state: dict[str, Array] = {}
        if self.projection is not None:
            state |= self.projection.tensors(PROJECTION)
        return state | self.head.tensors(HEAD)

    @property
    def parameters(self) -> int:
        """Number of parameters, including the vectors of a gallery."""
        in_head = sum(tensor.size for tensor in self._head_state.values())
        return self.backbone.parameters + in_head


def assemble_net(backbone: Backbone, settings: Settings, state: State) -> TrainedNet:
    """Return the network of a backbone, which takes over its tensors.

    Raises `ValueError` if they are those of another network.
    """
    # What is neither of these is of the backbone.
    prefix = _get_prefix(backbone)
    other_prefixes = ("projection.", "head.", MEMBERSHIP)
    backbone.fill(
        {
            name.removeprefix(prefix): tensor
            for name, tensor in state.items()
            if not name.startswith(other_prefixes)
        }
    )

    width = backbone.width
    projection = None
    if isinstance(settings, Triplet):
        projection = LinearLayer.from_state(state, PROJECTION, width)
        width = len(projection.bias)

    membership = ClassMembership.from_state(
        state, backbone.width, backbone.identity_columns
    )
    return TrainedNet(
        backbone=backbone,
        head=_read_head(state, width),
        shape=ImageShape(settings.channels, settings.size),
        projection=projection,
        membership=membership,
    )


def _read_head(state: State, width: int) -> LinearLayer | GalleryHead:
    if GALLERY not in state:
        return LinearLayer.from_state(state, HEAD, width)
    vectors = state[GALLERY]
    if vectors.ndim != 3 or vectors.shape[2] != width:
        raise ValueError(f"gallery vectors are {vectors.shape}, not of {width} values")
    return GalleryHead(vectors)


def _get_prefix(backbone: Backbone) -> str:
    """Return what precedes the names of its tensors in a run."""
    return "" if isinstance(backbone, SmallBackbone) else BACKBONE


def stack_by_class(embeddings: Float32Array, y: IntArray, classes: int) -> Float32Array:
    """Stack embeddings (N x D) as classes x K x D; small classes are repeated."""
    by_class = [embeddings[y == number] for number in range(classes)]
    largest = max(map(len, by_class))
    stack = np.zeros((classes, largest, embeddings.shape[1]), np.float32)
    for number, vectors in enumerate(by_class):
        if len(vectors):
            # `resize` repeats the vectors until the shape is filled.
            stack[number] = np.resize(vectors, stack[number].shape)
    return stack


FORMAT = 3
"""Format of `settings.json`: to be increased when networks are built differently."""

# Does not match the files of users, such as weights-best.safetensors.
_WEIGHTS_NAME = re.compile(r"weights(-[0-9a-f]{16})?\.safetensors")
_FIX = "train again: baseline train"


class _ModelDescription(msgspec.Struct):
    """The content of `settings.json`; `gallery` has the sample keys of gallery images by class."""

    format: int
    classes: tuple[str, ...]
    settings: dict[str, Any]
    weights_sha256: str
    weights: str = WEIGHTS
    gallery: tuple[tuple[str, ...], ...] | UnsetType = UNSET


def save_model(
    folder: Path,
    model: TrainedNet,
    settings: Settings,
    classes: Sequence[str],
) -> None:
    """Write the model into `folder`, each file atomically.

    The weights of another model there stay until the settings name the new ones. Raises
    NotWritable or DiskFull.
    """
    state = {name: np.ascontiguousarray(value) for name, value in model.state.items()}
    weights = safetensors.numpy.save(state)
    digest = hash_bytes(weights)
    path = folder / _choose_weights_name(folder, digest)
    gallery = model.head.keys if isinstance(model.head, GalleryHead) else UNSET
    description = _ModelDescription(
        FORMAT,
        tuple(classes),
        settings.to_json(),
        digest,
        path.name,
        gallery,
    )

    for name, data in model.backbone.run_files.items():
        # Named by content, so existing ones are not written again.
        if not (folder / name).is_file():
            write_atomic(folder / name, data)

    write_atomic(path, weights)
    # Last, because a folder is a model once it has settings.
    write_run_json(folder, SETTINGS, description)
    for other in folder.glob(WEIGHTS_PATTERN):
        if other != path and _WEIGHTS_NAME.fullmatch(other.name):
            other.unlink(missing_ok=True)


def _choose_weights_name(folder: Path, digest: str) -> str:
    """Return a file name that differs from that of another model in the folder."""
    try:
        old = msgspec.json.decode(
            (folder / SETTINGS).read_bytes(), type=_ModelDescription
        )
    except (OSError, msgspec.DecodeError):
        return WEIGHTS
    if old.weights_sha256 == digest:
        return old.weights
    # The settings still name the old file, so the new one must not replace it. The usual name is
    # used whenever the old file has another.
    return WEIGHTS if old.weights != WEIGHTS else f"weights-{digest[:16]}.safetensors"


def load_model(folder: Path) -> tuple[TrainedNet, Settings, tuple[str, ...]]:
    """Load the model in `folder`, its settings and its classes.

    Raises InputUnusable for a missing or damaged file.
    """
    file = folder / SETTINGS
    data = _read_file(file)
    try:
        description = decode_versioned(
            data,
            file,
            _ModelDescription,
            FORMAT,
            _FIX,
        )
        settings = parse_settings(description.settings)
    except (msgspec.DecodeError, UsageError) as error:
        raise _damage_error(file, error) from error

    # Only the name: the file is in this folder.
    path = folder / Path(description.weights).name
    weights = _read_file(path)
    if hash_bytes(weights) != description.weights_sha256:
        raise _damage_error(path, f"its hash differs from that in {SETTINGS}")
    net = _load_net(
        path,
        settings,
        len(description.classes),
        weights,
    )

    if isinstance(net.head, GalleryHead):
        if description.gallery is UNSET:
            raise _damage_error(file, "the known images are missing")
        net.head = net.head._replace(keys=description.gallery)
    return net, settings, description.classes


def _load_net(
    path: Path, settings: Settings, classes: int, weights: bytes
) -> TrainedNet:
    """Return the network of verified weights, which are the bytes of the file at `path`."""
    try:
        state = safetensors.numpy.load(weights)
    except (SafetensorError, KeyError) as error:
        raise _damage_error(path, error) from error

    # The hash is right, so it is the network that differs.
    misfit = InputUnusable(
        f"{path} does not fit the network in {SETTINGS}: {SETTINGS} was changed, or this version "
        "of timm builds another backbone by that name",
        _FIX,
    )
    backbone = (
        SmallBackbone(settings)
        if isinstance(settings, Simple)
        else build_backbone(settings.backbone, path.parent)
    )
    try:
        net = assemble_net(backbone, settings, state)
    except ValueError as error:
        raise misfit from error

    if net.head.classes != classes:
        raise misfit
    return net


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputUnusable(f"no trained model: {path} is missing", _FIX) from None
    except OSError as error:
        raise InputUnusable(
            f"cannot read {path}: {error.strerror}",
            _FIX,
        ) from error


def _damage_error(path: Path, reason: object) -> InputUnusable:
    return InputUnusable(f"{path} is damaged: {reason}", _FIX)


MAX_GALLERY_IMAGES = 64
"""Gallery images of a class: more make a model larger and slower, but hardly better."""
MAX_GALLERY_CANDIDATES = 2000
"""Images of a class that the gallery images are chosen from."""


GalleryImages = tuple[tuple[str, ...], Float32Array]
"""Keys and embeddings of the gallery images of a class."""


def build_gallery(
    embeddings: Float32Array, y: IntArray, keys: Sequence[str], classes: int
) -> GalleryHead:
    """Build a head of embeddings (N x D, of length 1), at most `MAX_GALLERY_IMAGES` a class."""
    images: list[GalleryImages] = []
    for number in range(classes):
        members = np.flatnonzero(y == number)[:MAX_GALLERY_CANDIDATES]
        rows = members[choose_representatives(embeddings[members])]
        images.append((tuple(keys[row] for row in rows), embeddings[rows]))
    return build_head(images)


def choose_representatives(embeddings: Float32Array) -> IntArray:
    """Return at most `MAX_GALLERY_IMAGES` representative rows, sorted.

    Greedy facility location by similarity (Nemhauser et al., 1978: at least 63 % of the optimum).
    """
    if len(embeddings) <= MAX_GALLERY_IMAGES:
        return np.arange(len(embeddings))

    # `best` is the similarity of each image to its most similar representative.
    similarity = embeddings @ embeddings.T
    best = np.full(len(embeddings), -1.0, np.float32)
    rows: list[int] = []
    for _ in range(MAX_GALLERY_IMAGES):
        # For each image, the sum of `best` over all images if it became a representative.
        totals = np.maximum(similarity, best).sum(1)
        totals[rows] = -np.inf
        row = int(totals.argmax())
        rows.append(row)
        best = np.maximum(best, similarity[row])

    return np.array(sorted(rows))


def images_by_class(
    net: TrainedNet, classes: Sequence[str]
) -> dict[str, GalleryImages]:
    """Return keys and vectors (n x D) of the n gallery images of each class.

    Raises `UsageError` without a gallery.
    """
    head = net.head
    if not isinstance(head, GalleryHead):
        raise UsageError(
            "this run has no gallery, only the classes it was trained on",
            "train a run with a gallery: baseline train --preset triplet",
        )

    # All classes have K rows of vectors: a class with fewer images repeats them (`stack_by_class`).
    # The rows after its number of keys are these repetitions.
    return {
        name: (keys, vectors[: len(keys)])
        for name, keys, vectors in zip(classes, head.keys, head.vectors, strict=True)
    }


def add_images(
    images: GalleryImages, keys: Sequence[str], embeddings: Float32Array
) -> GalleryImages:
    """Add images that are not there yet; keep at most `MAX_GALLERY_IMAGES` representatives."""
    old_keys, old_vectors = images
    all_keys = list(old_keys)
    new_rows = []
    for row, key in enumerate(keys):
        if key not in all_keys:
            all_keys.append(key)
            new_rows.append(row)

    vectors = np.concatenate((old_vectors, embeddings[new_rows].astype(np.float32)))
    rows = choose_representatives(vectors)
    return tuple(all_keys[row] for row in rows), vectors[rows]


def build_head(images: Sequence[GalleryImages]) -> GalleryHead:
    """Build a head of the gallery images of each class."""
    keys = tuple(class_keys for class_keys, _ in images)
    vectors = np.concatenate([class_vectors for _, class_vectors in images])
    y = np.repeat(np.arange(len(images)), [len(class_keys) for class_keys in keys])
    return GalleryHead(stack_by_class(vectors, y, len(images)), keys)
