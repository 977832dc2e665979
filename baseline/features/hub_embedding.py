"""Embedding models of a hub as backbones: those that `on_hub.toml` knows, by name.

A name is `hub:OWNER/REPOSITORY/FOLDER`. Its pinned form, which settings keep, has the file, the
commit and the SHA-256: `hub:OWNER/REPOSITORY/FOLDER/FILE.onnx@COMMIT#sha256=…`. What a model takes
and gives is fixed by the list. Nothing here needs torch.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import msgspec
from msgspec import Meta

from baseline.extras import need_graphs
from gleanset.config import TomlTable
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.fetch import Published, fetched
from gleanset.files.hub import HubFile, HubPin, ask_hub, is_on_hub, on_hub, pinned
from gleanset.files.store import sha256_of
from gleanset.work.onnx_session import onnx_session

Ask = Callable[[HubFile], HubPin]
Channels = Annotated[tuple[float, ...], Meta(min_length=3, max_length=3)]
_NOT_OURS = (".onnx", ".toml")


class KnownModel(TomlTable, frozen=True):
    """How the models of a repository take images, as their publisher's own program gives them.

    `file` is what the model is called in each folder. A channel value is (`range` x value in 0..1 -
    `mean`) / `std`, in the order of `colours`. `side` is height and width where the file leaves
    both free, `layout` where the channels stand. The last output is the embedding.
    """

    file: str
    layout: Literal["nchw", "nhwc"]
    side: int = 0
    range: Literal[1, 255] = 1
    mean: Channels | None = None
    std: Channels | None = None
    colours: Literal["rgb", "bgr"] = "rgb"


class EmbeddingSpec(NamedTuple):
    """One model: its file on the hub, the SHA-256 (empty where it is not pinned), and its kind."""

    file: HubFile
    sha256: str
    kind: KnownModel

    @property
    def name(self) -> str:
        """Its name for people: that of its folder."""
        return self.file.key.split("/")[-2]

    @property
    def file_name(self) -> str:
        """The name of its file in a run's folder."""
        return f"embedding-{self.sha256[:16]}.onnx"

    def pinned(self) -> str:
        """Return the name that settings keep."""
        return f"{self.file}#sha256={self.sha256}" if self.sha256 else str(self.file)


def is_embedding(name: str) -> bool:
    """Return whether a backbone's name is that of an embedding model."""
    return is_on_hub(name)


def refuse_own_file(name: str) -> None:
    """Raise `UsageError` where a backbone's name is that of an ONNX file, or a description of one.

    An earlier version took those.
    """
    place = name.partition("#")[0].lower()
    if place.startswith(("http://", "https://")) or place.endswith(_NOT_OURS):
        raise UsageError(
            f"an ONNX file cannot be a backbone any more: {name}",
            "take a network of timm (also hf-hub:OWNER/NAME), or a model that "
            "'baseline backbones' names",
        )


def known_models() -> dict[str, KnownModel]:
    """Return the known repositories of embeddings."""
    listed = on_hub("baseline.features")["repositories"]
    return msgspec.convert(listed, dict[str, KnownModel])


def parse(name: str) -> EmbeddingSpec:
    """Read a name. Raises `UsageError` for a repository that is not known."""
    place, _, fragment = name.partition("#")
    # Runs of an earlier version say there how images are taken, too: the list knows it.
    pairs = dict(pair.partition("=")[::2] for pair in fragment.split("&"))
    repository = HubFile.parse(place).repository
    kind = known_models().get(repository)
    if kind is None:
        raise UsageError(
            f"{repository} is not a known repository of embeddings",
            f"take one of: {', '.join(known_models())}; or a network of timm: hf-hub:OWNER/NAME",
        )
    return EmbeddingSpec(HubFile.parse(place, kind.file), pairs.get("sha256", ""), kind)


def pinned_embedding(name: str, ask: Ask | None = None) -> str:
    """Return the name with the commit and SHA-256 that `ask` says it stands for; fetches nothing.

    Without `ask` they are left open. Raises `UsageError`, and what `ask` raises.
    """
    spec = parse(name)
    if ask is not None:
        whole, sha256 = pinned(str(spec.file), spec.sha256, ask)
        spec = spec._replace(file=HubFile.parse(whole), sha256=sha256)
    return spec.pinned()


@dataclass(frozen=True, eq=False)
class EmbeddingGraph:
    """The graph of a model, which makes `width` numbers of an image. It is never copied.

    `data` is the publisher's file, `model` the part that leads to the embedding; `side` is the
    height and width of its input, `numbers` how many weights it has.
    """

    spec: EmbeddingSpec
    data: bytes
    model: Any
    opset: int
    side: tuple[int, int]
    width: int
    numbers: int

    @classmethod
    def open(cls, name: str, kept: Path | None = None) -> Self:
        """Return the graph of a pinned name, from `kept` (a run's folder) if it is there.

        Raises `InputUnusable` for a file that cannot serve, `MissingComponent` without onnx or
        where the file cannot be fetched.
        """
        opened = _OPEN.get(name)
        if opened is None:
            need_graphs()
            spec = parse(pinned_embedding(name, ask_hub))
            opened = _OPEN[name] = _opened(spec, _bytes_of(spec, kept))
        assert isinstance(opened, cls)
        return opened

    @property
    def words(self) -> str:
        """What it takes and gives, in a line."""
        kind, (height, width) = self.spec.kind, self.side
        values = f"0..{kind.range}"
        if kind.mean and kind.std:
            values += f" less {_numbers(kind.mean)} by {_numbers(kind.std)}"
        return (
            f"{self.spec.name}: takes {width} x {height}, {kind.colours.upper()} in {values}, "
            f"{kind.layout.upper()}; gives {self.width} features"
        )

    def to_json(self) -> dict[str, object]:
        """Return the same for the metrics."""
        kind = self.spec.kind
        return {
            "name": self.spec.name,
            "model": str(self.spec.file),
            "sha256": self.spec.sha256,
            "layout": kind.layout,
            "side": self.side,
            "colours": kind.colours,
            "range": kind.range,
            "mean": kind.mean,
            "std": kind.std,
            "width": self.width,
        }


_OPEN: weakref.WeakValueDictionary[str, EmbeddingGraph] = weakref.WeakValueDictionary()
"""Graphs in use by their names, so that a large one is in memory once."""


def _bytes_of(spec: EmbeddingSpec, kept: Path | None) -> bytes:
    """Return the publisher's bytes: of the run, or fetched once."""
    path = kept / spec.file_name if kept else None
    if path is None or not path.is_file():
        otherwise = "download it into the cache of the hub: hf download"
        path = fetched(Published(str(spec.file), spec.sha256), otherwise)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputUnusable(
            f"the backbone {path} cannot be read: {error.strerror}", "put the file back"
        ) from error
    if sha256_of(data) != spec.sha256:
        raise InputUnusable(
            f"{path} is another file than the one meant: its SHA-256 is {sha256_of(data)}, "
            f"not {spec.sha256}",
            "put the file back",
        )
    return data


def _opened(spec: EmbeddingSpec, data: bytes) -> EmbeddingGraph:
    from baseline.features.graph_builder import opset_of

    kind = spec.kind
    try:
        model, sides = _embedding_part(data)
        height, width = sides[2:4] if kind.layout == "nchw" else sides[1:3]
        side = height or kind.side, width or kind.side
        features = _features(model, kind.layout, side)
    except Exception as error:  # protobuf and onnxruntime have kinds of their own
        raise InputUnusable(
            f"{spec.name} cannot be a backbone: {error}", "take another: baseline backbones"
        ) from error
    numbers = sum(prod(tensor.dims) for tensor in model.graph.initializer)
    return EmbeddingGraph(spec, data, model, opset_of(model), side, features, numbers)


def _embedding_part(data: bytes) -> tuple[Any, list[int]]:
    """Return the part of a model that leads to its last output, and the sides of its input.

    A side that is free is 0. Raises `ValueError`, and what onnx raises.
    """
    import onnx
    from onnx.utils import Extractor

    whole = onnx.load_model_from_string(data)
    held = {tensor.name for tensor in whole.graph.initializer}
    if any(tensor.data_location == tensor.EXTERNAL for tensor in whole.graph.initializer):
        raise ValueError("its numbers are in other files, which are not read")
    taken = next(value for value in whole.graph.input if value.name not in held)
    sides = [side.dim_value for side in taken.type.tensor_type.shape.dim]
    return Extractor(whole).extract_model([taken.name], [whole.graph.output[-1].name]), sides


def _features(model: Any, layout: str, side: tuple[int, int]) -> int:
    """Return how many features a model makes of an image. Raises `ValueError`."""
    import numpy as np

    session = onnx_session(model.SerializeToString())
    shape = (2, 3, *side) if layout == "nchw" else (2, *side, 3)
    answer = session.run(None, {session.get_inputs()[0].name: np.zeros(shape, np.float32)})[0]
    if answer.ndim != 2 or len(answer) != 2:
        shown = " x ".join(map(str, answer.shape))
        raise ValueError(f"its last output is {shown}, not N x features")
    return int(answer.shape[1])


def _numbers(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:.3g}" for value in values)
