"""The graph of an embedding model, fetched once and ready to run."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np

from baseline.extras import need_graphs
from baseline.features.hub_embedding import EmbeddingSpec, parse, pinned_embedding
from gleanset.errors import InputUnusable
from gleanset.files.fetch import Published, fetched
from gleanset.files.hub import ask_hub
from gleanset.files.store import sha256_of
from gleanset.work.onnx_session import onnx_session


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
    session = onnx_session(model.SerializeToString())
    shape = (2, 3, *side) if layout == "nchw" else (2, *side, 3)
    answer = session.run(None, {session.get_inputs()[0].name: np.zeros(shape, np.float32)})[0]
    if answer.ndim != 2 or len(answer) != 2:
        shown = " x ".join(map(str, answer.shape))
        raise ValueError(f"its last output is {shown}, not N x features")
    return int(answer.shape[1])


def _numbers(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:.3g}" for value in values)
