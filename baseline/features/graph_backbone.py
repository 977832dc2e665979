"""Backbones that are ONNX graphs: built here, filled with weights, run by onnxruntime.

Pictures go through one by one, in as many threads as there are cores: a vector never depends on
its company, memory is that of a few pictures, and the maps of one stay in a core's cache
(docs/experiments.md).
"""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from baseline.extras import require_graphs
from baseline.features.backbone import (
    OPSET,
    Array,
    Backbone,
    FeatureArray,
    PictureShape,
    full_memory_explained,
)
from baseline.settings import Precision
from gleanset.errors import InputUnusable
from gleanset.platform import cores
from gleanset.work.onnx_session import onnx_session

if TYPE_CHECKING:
    from onnx import ModelProto

    from baseline.features.graph_builder import GraphBuilder

PICTURES = "pictures"
NORM = ("weight", "bias", "running_mean", "running_var")
"""Tensors of a batch norm that predicts."""


class GraphBackbone(Backbone):
    """A backbone that adds itself to a graph, of ONNX's operators of `opset` or newer ones."""

    opset: int = OPSET

    @abstractmethod
    def add_to(self, graph: GraphBuilder, pictures: str, shape: PictureShape) -> str:
        """Add its operators; return the value of the features (N x width).

        `pictures` are float32 N x channels x size x size in 0..1.
        """

    def extractor(
        self, shape: PictureShape, precision: Precision, *, padded: bool = True
    ) -> GraphExtractor:
        """Return what makes features of pictures of a shape; always in float32."""
        return GraphExtractor(self, shape)

    def model(self, shape: PictureShape) -> ModelProto:
        """Return its graph as a model of `PICTURES`. Raises `MissingComponent` without onnx."""
        require_graphs()
        from baseline.features.graph_builder import GraphBuilder, Output, float_pictures

        graph = GraphBuilder(self.opset)
        features = Output(self.add_to(graph, PICTURES, shape), (self.width,))
        return graph.model(float_pictures(PICTURES, shape), {"features": features})


class GraphExtractor:
    """Runs the graph of a backbone."""

    def __init__(self, backbone: GraphBackbone, shape: PictureShape) -> None:
        self._session = onnx_session(backbone.model(shape).SerializeToString())

    def __call__(self, pictures: Array) -> FeatureArray:
        """Return the features of any number of pictures."""
        with ThreadPoolExecutor(min(cores(), len(pictures))) as threads:
            vectors = np.concatenate(list(threads.map(self._of_one, pictures)))
        if not np.isfinite(vectors).all():
            raise no_numbers()
        return vectors

    def _of_one(self, picture: Array) -> FeatureArray:
        with full_memory_explained(1):
            vector: FeatureArray = self._session.run(None, {PICTURES: as_floats(picture[None])})[0]
        return vector


def as_floats(pictures: Array) -> FeatureArray:
    """Return pictures as float32 in 0..1; uint8 are divided by 255."""
    if pictures.dtype == np.uint8:
        return pictures.astype(np.float32) / np.float32(255)
    return pictures.astype(np.float32, copy=False)


def integers(*numbers: int) -> Array:
    """Return numbers as operators take places, sides and shapes."""
    return np.array(numbers, np.int64)


def area_averaged(graph: GraphBuilder, pictures: str, sides: Array) -> str:
    """Add pictures averaged by area, in three colours; `sides` are of `area_weights`."""
    small = graph.add("MatMul", graph.add("MatMul", sides, pictures), sides.T)
    return graph.add("Expand", small, integers(1, 3, 1, 1))


def no_numbers() -> InputUnusable:
    """Return the error where features are no numbers."""
    return InputUnusable(
        "the backbone gives values that are no numbers",
        "take other weights, or compute exactly: -o precision=fp32",
    )
