"""An embedding model of a hub as a backbone: its graph, fetched once, and what it is given."""

from __future__ import annotations

import weakref
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from baseline.extras import require_graphs
from baseline.features.backbone import FeaturePart, ImageShape
from baseline.features.backbone_names import EmbeddingSpec, parse, pin_embedding
from baseline.features.graph_backbone import GraphBackbone, int64_array
from gleanset.errors import InputUnusable
from gleanset.files.fetch import PublishedFile, fetch_file
from gleanset.files.hub import query_hub
from gleanset.files.store import hash_bytes
from gleanset.work.onnx_session import open_onnx_session

if TYPE_CHECKING:
    from baseline.features.graph_builder import GraphBuilder


SCOPE, PREPARING = "embedding", "as_embedding_takes_it"
"""Scopes of the file's own operators, and of those before them."""


class OnnxBackbone(GraphBackbone):
    """A network of an ONNX file of a hub. It does not learn.

    `data` is the publisher's file, `embedding` the part that leads to it, `side` the height
    and width of its input. Images are scaled by `bilinear_weights` where the file takes another
    size, and normalised as the file's details say: all of it by plain operators, so that an export
    holds the same.
    """

    def __init__(self, spec: EmbeddingSpec, data: bytes) -> None:
        """Raise `InputUnusable` for an unusable file."""
        from baseline.features.graph_builder import model_opset

        self.spec, self.data, self.name = spec, data, spec.name
        kind = spec.kind
        try:
            self.embedding, sides = _embedding_part(data)
            height, width = sides[2:4] if kind.layout == "nchw" else sides[1:3]
            self.side = height or kind.side, width or kind.side
            features = _count_features(self.embedding, kind.layout, self.side)
        except Exception as error:  # protobuf and onnxruntime have many exception classes
            raise InputUnusable(
                f"{spec.name} cannot be a backbone: {error}", "choose another: baseline backbones"
            ) from error
        self.opset = model_opset(self.embedding)
        self.parts = (FeaturePart(self.name, True, (features,)),)
        self.emphasis = np.ones(features)

    @classmethod
    def open(cls, name: str, kept: Path | None = None) -> OnnxBackbone:
        """Return the backbone of a pinned name, with its file from the folder of a run if present.

        Raises `InputUnusable` for an unusable file, `MissingComponent` without onnx or the file.
        """
        opened = _OPEN.get(name)
        if opened is None:
            require_graphs()
            spec = parse(pin_embedding(name, query_hub))
            opened = _OPEN[name] = cls(spec, _read_model(spec, kept))
        return opened

    @property
    def identity(self) -> tuple[object, ...]:
        """The hash of the file, and its preprocessing."""
        kind = self.spec.kind
        preprocessing = (kind.layout, kind.mean, kind.std, kind.range, kind.colours)
        return ("embedding", self.spec.sha256, self.side, preprocessing)

    @property
    def run_files(self) -> dict[str, bytes]:
        """The publisher's file."""
        return {self.spec.file_name: self.data}

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return sum(prod(tensor.dims) for tensor in self.embedding.graph.initializer)

    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        """Add its preprocessing and graph; return the value of the features."""
        digest = self.spec.sha256[:8]
        graph.scope = f"{PREPARING}-{digest}"
        prepared = self._prepare_input(graph, images, shape)
        graph.scope = f"{SCOPE}-{digest}"
        return graph.embed(self.embedding, prepared)

    def _prepare_input(self, graph: GraphBuilder, value: str, shape: ImageShape) -> str:
        side, kind = self.side, self.spec.kind
        if shape.channels == 1:
            value = graph.add("Expand", value, int64_array(1, 3, 1, 1))
        if side != (shape.size, shape.size):
            rows, columns = (bilinear_weights(shape.size, new) for new in side)
            value = graph.add("MatMul", graph.add("MatMul", rows, value), columns.T)
        if kind.colours == "bgr":
            value = graph.add("Gather", value, int64_array(2, 1, 0), axis=1)
        value = graph.add("Mul", value, np.array(kind.range, np.float32))
        for operator, numbers in (("Sub", kind.mean), ("Div", kind.std)):
            if numbers:
                value = graph.add(operator, value, np.array(numbers, np.float32).reshape(3, 1, 1))
        nhwc = kind.layout == "nhwc"
        return graph.add("Transpose", value, perm=[0, 2, 3, 1]) if nhwc else value


_OPEN: weakref.WeakValueDictionary[str, OnnxBackbone] = weakref.WeakValueDictionary()
"""Backbones in use, by name, so that a large one is in memory once."""


def _read_model(spec: EmbeddingSpec, kept: Path | None) -> bytes:
    path = kept / spec.file_name if kept else None
    if path is None or not path.is_file():
        otherwise = "download it into the cache of the hub: hf download"
        path = fetch_file(PublishedFile(str(spec.file), spec.sha256), otherwise)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputUnusable(
            f"the backbone {path} cannot be read: {error.strerror}", "restore the file"
        ) from error
    if hash_bytes(data) != spec.sha256:
        raise InputUnusable(
            f"wrong SHA-256 of {path}: {hash_bytes(data)} instead of {spec.sha256}",
            "restore the file",
        )
    return data


def _embedding_part(data: bytes) -> tuple[Any, list[int]]:
    """Return the part of a model up to its last output, and the sides of its input (0: any)."""
    import onnx
    from onnx.utils import Extractor

    model = onnx.load_model_from_string(data)
    weights = {tensor.name for tensor in model.graph.initializer}
    if any(tensor.data_location == tensor.EXTERNAL for tensor in model.graph.initializer):
        raise ValueError("its weights are in other files, which are not read")
    image = next(value for value in model.graph.input if value.name not in weights)
    sides = [side.dim_value for side in image.type.tensor_type.shape.dim]
    return Extractor(model).extract_model([image.name], [model.graph.output[-1].name]), sides


def _count_features(model: Any, layout: str, side: tuple[int, int]) -> int:
    session = open_onnx_session(model.SerializeToString())
    shape = (2, 3, *side) if layout == "nchw" else (2, *side, 3)
    answer = session.run(None, {session.get_inputs()[0].name: np.zeros(shape, np.float32)})[0]
    if answer.ndim != 2 or len(answer) != 2:
        sides = " x ".join(map(str, answer.shape))
        raise ValueError(f"its last output is {sides}, not N x features")
    return int(answer.shape[1])


def bilinear_weights(old: int, new: int) -> npt.NDArray[np.float32]:
    """Return the weights of `old` pixels of a line for `new` ones (new x old).

    Bilinear with antialiasing, as in Pillow: a triangle as wide as two pixels of the coarser line.
    """
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale
    distance = np.abs(centres[:, None] - (np.arange(old) + 0.5)) / max(scale, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    normalized: npt.NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(
        np.float32
    )
    return normalized
