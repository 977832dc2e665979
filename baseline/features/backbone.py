"""Base class of backbones: frozen extractors of image features in one or more blocks.

Networks that are trained are in `baseline/train/networks.py`, their weights are loaded here.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np

from baseline.features.backbone_names import FACES
from baseline.settings import Precision
from gleanset.arrays import Array, Float32Array, Float64Array
from gleanset.errors import GleansetError, UsageError
from gleanset.html.words import count

State = Mapping[str, Array]
"""Weights by the names of their tensors."""
Shapes = Mapping[str, tuple[int, ...]]

OPSET = 18
"""Opset of the default ONNX domain; supported by onnxruntime and onnxruntime-web since 2023."""
READ_AHEAD_IMAGES = 32
"""Images in a batch that is read ahead."""
LAST_LAYER_WEIGHT = 0.5
"""Weight of the last layer relative to earlier, narrower ones. Chosen by cross-validation on two
datasets (docs/experiments.md)."""
BATCH_NORM_SUFFIXES = ("running_mean", "running_var", "num_batches_tracked")
"""Suffixes of tensors that a batch norm updates in training."""
MIN_VARIANCE = 1e-6
"""Minimum variance, which keeps the gradient of a standard deviation finite."""


class Weights(NamedTuple):
    """Source of weights ('package …', 'hub …', 'file …' or 'none') and their SHA-256."""

    source: str
    sha256: str | None


class FeaturePart(NamedTuple):
    """Feature block with one weight: the name of its backbone, and the widths of its layers.

    `is_standardized` states whether each feature is standardized before a head is trained. Color
    layouts are not, because standardizing would amplify rare colors.
    """

    name: str
    is_standardized: bool
    layers: tuple[int, ...]

    @property
    def width(self) -> int:
        """The number of features."""
        return sum(self.layers)


class ImageShape(NamedTuple):
    """Channels (1 or 3) and side in pixels of images."""

    channels: int
    size: int


FeatureExtractor = Callable[[Array], Float32Array]
"""Computes features (N x D) of images N x C x size x size (uint8, or float32 in 0..1).

Raises `InputUnusable` for features that are not finite, `UsageError` when out of memory.
"""


class Backbone(ABC):
    """Frozen extractor of image features.

    `emphasis` (D) are factors that a head applies to standardized features.
    """

    name: str
    parts: tuple[FeaturePart, ...]
    emphasis: Float64Array
    _state: State = MappingProxyType({})

    def __init__(
        self, name: str, layers: Sequence[int], *, is_standardized: bool = True
    ):
        """Describe a single feature block whose layers have the widths `layers`."""
        self.name = name
        self.parts = (FeaturePart(name, is_standardized, tuple(layers)),)
        # A factor for each feature.
        *early_layers, last_layer = layers
        last_weight = LAST_LAYER_WEIGHT if early_layers else 1.0
        self.emphasis = np.repeat((1.0, last_weight), (sum(early_layers), last_layer))

    @property
    def width(self) -> int:
        """The number of features."""
        return sum(part.width for part in self.parts)

    @property
    def layers(self) -> tuple[int, ...]:
        """The widths of the layers of all blocks."""
        return tuple(layer for part in self.parts for layer in part.layers)

    @property
    def identity_columns(self) -> slice:
        """The columns of the identity embedding of drawn faces; empty without it."""
        start = 0
        for part in self.parts:
            if part.name == FACES:
                return slice(start, start + part.width)
            start += part.width
        return slice(0, 0)

    @property
    def members(self) -> "tuple[Backbone, ...]":
        """The joined backbones: only itself."""
        return (self,)

    @property
    def identity(self) -> tuple[object, ...]:
        """Everything that determines its features, except the weights."""
        return (self.name,)

    @property
    def run_files(self) -> Mapping[str, bytes]:
        """Files that a run stores in addition to weights to rebuild the backbone, by name."""
        return {}

    @property
    def shapes(self) -> Shapes:
        """The shapes of its weights by tensor name; empty if it has none."""
        return {}

    @property
    def state(self) -> State:
        """Its weights by tensor name; empty if it has none or none are loaded."""
        return self._state

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return sum(
            tensor.size
            for name, tensor in self.state.items()
            if not name.endswith(BATCH_NORM_SUFFIXES)
        )

    def fill(self, state: State) -> None:
        """Load weights. Raises `ValueError` if they do not fit."""
        check_state_shapes(state, self.shapes)
        self._state = state

    def precision(self, setting: Precision) -> str:
        """Return the actual precision for a requested one: fp32 or bf16."""
        return "fp32"

    @abstractmethod
    def extractor(
        self, shape: ImageShape, precision: Precision, *, pad_batches: bool = True
    ) -> FeatureExtractor:
        """Return an extractor for images of a shape.

        With `pad_batches`, features do not depend on other images, to the last digit.
        """


def check_state_shapes(state: State, shapes: Shapes) -> None:
    """Raise `ValueError` for missing, unknown or misshapen tensors; batch counters are optional."""
    present = {
        name: tensor.shape
        for name, tensor in state.items()
        if not is_batch_counter(name)
    }
    missing = len(shapes.keys() - present.keys())
    unknown = len(present.keys() - shapes.keys())
    misshapen = sum(shapes.get(name, shape) != shape for name, shape in present.items())
    if missing or misshapen or unknown:
        raise ValueError(
            f"{missing} tensors are missing, {misshapen} have another shape, "
            f"{unknown} are not known"
        )


def is_batch_counter(name: str) -> bool:
    """Return whether a tensor is the batch counter of a batch norm."""
    return name.endswith("num_batches_tracked")


T = TypeVar("T")

# The last are messages of oneDNN; failing to create a primitive descriptor is not a lack of memory.
_MEMORY_FULL = re.compile(
    r"allocate memory|out of memory|bad_alloc|insufficient memory|unable to allocate"
    r"|could not create a (memory|primitive(?! descriptor))"
)


@contextmanager
def explain_out_of_memory(images: int) -> Iterator[None]:
    """Raise `UsageError` with the batch size when out of memory."""
    try:
        yield
    except GleansetError:
        raise
    except Exception as error:  # torch and onnxruntime have many exception classes
        if not _is_out_of_memory(error):
            raise
        raise UsageError(
            f"out of memory with {count(images, 'image')} at once",
            "take smaller batches (-o batch=…) or images (-o size=…), or a smaller network",
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    # By name: torch is not imported here.
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return bool(_MEMORY_FULL.search(str(error).lower()))


def batch_slices(count: int, size: int) -> list[slice]:
    """Return slices of 0..`count` of at most `size` each, in order."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def batch_items(
    items: Iterable[T], size: int, count_images: Callable[[T], int] = lambda item: 1
) -> Iterator[list[T]]:
    """Yield lists of items with at least `size` images each; the last may have fewer.

    `count_images` returns the number of images of an item.
    """
    batch: list[T] = []
    batch_size = 0
    for item in items:
        batch.append(item)
        batch_size += count_images(item)
        if batch_size >= size:
            yield batch
            batch = []
            batch_size = 0

    if batch:
        yield batch
