"""What a backbone is: it makes features of pictures, in one or more parts. Nothing here learns.

What learns by gradients is in `networks.py` of `baseline/train/`, whose weights a backbone takes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from baseline.settings import Precision
from gleanset.errors import GleansetError, UsageError
from gleanset.html.words import count

Array = npt.NDArray[Any]
State = Mapping[str, Array]
"""Weights by the names of their tensors."""
Shapes = Mapping[str, tuple[int, ...]]
FeatureArray = npt.NDArray[np.float32]
OPSET = 18
"""Of ONNX's own operators in graphs: onnxruntime and onnxruntime-web know it since 2023."""
GATHERED = 32
"""Pictures that are well given at once: so many are read ahead."""
LAST = 0.5
"""What the last layer's features count beside the earlier ones': there are more of them. Chosen by
cross-validation on two sets (docs/experiments.md)."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""How the names of tensors end that a batch norm counts while it learns."""
TINY = 1e-6
"""A variance that keeps the gradient of a spread finite."""


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


class PictureShape(NamedTuple):
    """Channels (1 or 3) of pictures, and their side in pixels."""

    channels: int
    size: int


FeatureExtractor: TypeAlias = Callable[[Array], FeatureArray]
"""Turns pictures N x C x size x size (uint8, or float32 in 0..1) into features N x D.

Raises `InputUnusable` where the weights give no numbers, `UsageError` where the memory is full.
"""


class Backbone(ABC):
    """Makes features of pictures.

    `emphasis` (one number a feature) is what a head that learns on standardised features should
    multiply them by.
    """

    name: str
    parts: tuple[FeaturePart, ...]
    emphasis: npt.NDArray[np.float64]
    _state: State = MappingProxyType({})

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

    @property
    def shapes(self) -> Shapes:
        """The shapes of its weights by the names of the tensors; nothing where it has none."""
        return {}

    @property
    def state(self) -> State:
        """Its weights; nothing where it has none, or before it has any."""
        return self._state

    @property
    def parameters(self) -> int:
        """How many numbers of it were learnt."""
        return sum(v.size for name, v in self.state.items() if not name.endswith(STATISTICS))

    def fill(self, state: State) -> None:
        """Take weights. Raises `ValueError` where they are those of another network."""
        refuse_misfit(state, self.shapes)
        self._state = state

    def precision(self, wanted: Precision) -> str:
        """Return in what it is computed where a precision is wished for: fp32, bf16 or fp16."""
        return "fp32"

    @abstractmethod
    def extractor(
        self, shape: PictureShape, precision: Precision, *, padded: bool = True
    ) -> FeatureExtractor:
        """Return what makes features of pictures of a shape.

        `padded` says that a vector must not depend on its company to the last digit.
        """


def refuse_misfit(state: State, shapes: Shapes) -> None:
    """Raise `ValueError` where tensors of these shapes are missing, or others are there.

    How many batches a norm has seen (`num_batches_tracked`) is not needed, and may be there.
    """
    there = {name: tensor.shape for name, tensor in state.items() if not is_count(name)}
    missing = [name for name in shapes if name not in there]
    other = [name for name, shape in there.items() if shapes.get(name, shape) != shape]
    unknown = [name for name in there if name not in shapes]
    if missing or other or unknown:
        raise ValueError(
            f"{len(missing)} tensors are missing, {len(other)} have another shape, "
            f"{len(unknown)} are not known"
        )


def is_count(name: str) -> bool:
    """Return whether a tensor counts the batches that a norm has seen while it learnt."""
    return name.endswith("num_batches_tracked")


T = TypeVar("T")

_MEMORY_FULL = (
    "can't allocate memory",
    "out of memory",
    "bad_alloc",
    "could not create a memory",
    "insufficient memory",
    "unable to allocate",
    "cannot allocate memory",
)
# oneDNN's word for it; a primitive descriptor that it cannot create is an error of ours.
_NO_PRIMITIVE = re.compile(r"could not create a primitive(?! descriptor)")


@contextmanager
def full_memory_explained(images: int) -> Iterator[None]:
    """Raise `UsageError` where the memory does not suffice for so many images at once."""
    try:
        yield
    except Exception as error:  # onnxruntime has a kind of its own for each way to fail
        if isinstance(error, GleansetError) or not is_out_of_memory(error):
            raise
        raise UsageError(
            f"out of memory with {count(images, 'image')} at once",
            "take smaller batches (-o batch=…) or images (-o size=…), or a smaller network",
        ) from error


def batches_of(count: int, size: int) -> list[slice]:
    """Return slices of 0..`count` of at most `size` each, in order."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def gathered(
    items: Iterable[T], size: int, pictures: Callable[[T], int] = lambda item: 1
) -> Iterator[list[T]]:
    """Yield the items in lists, each as soon as it holds `size` pictures; the last may hold fewer.

    `pictures` says how many pictures an item has.
    """
    waiting: list[T] = []
    held = 0
    for item in items:
        waiting.append(item)
        held += pictures(item)
        if held >= size:
            yield waiting
            waiting, held = [], 0
    if waiting:
        yield waiting


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python, torch or a library under it says that memory is full."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return any(words in text for words in _MEMORY_FULL) or bool(_NO_PRIMITIVE.search(text))
