"""Backbones that are ONNX graphs, run by onnxruntime.

Images are computed one by one, in one thread for each core: features do not depend on other images,
memory is bounded, and the maps of an image fit into the cache of a core (docs/experiments.md).
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
    ImageShape,
    explain_out_of_memory,
)
from baseline.settings import Precision
from gleanset.errors import InputUnusable
from gleanset.platform import count_cores
from gleanset.work.onnx_session import open_onnx_session

if TYPE_CHECKING:
    from onnx import ModelProto

    from baseline.features.graph_builder import GraphBuilder

INPUT_NAME = "images"
NORM = ("weight", "bias", "running_mean", "running_var")
"""Tensors of a batch norm in inference."""


class GraphBackbone(Backbone):
    """A backbone whose operators can be added to a graph of `opset` or newer."""

    opset: int = OPSET

    @abstractmethod
    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        """Add its operators to a graph; return the value of the features (N x width).

        `images` are float32 N x channels x size x size in 0..1.
        """

    def extractor(
        self, shape: ImageShape, precision: Precision, *, padded: bool = True
    ) -> GraphExtractor:
        """Return an extractor for images of a shape; always in float32."""
        return GraphExtractor(self, shape)

    def model(self, shape: ImageShape) -> ModelProto:
        """Return its graph as a model of `INPUT_NAME`. Raises `MissingComponent` without onnx."""
        require_graphs()
        from baseline.features.graph_builder import GraphBuilder, Output, float_image_input

        graph = GraphBuilder(self.opset)
        features = Output(self.add_to_graph(graph, INPUT_NAME, shape), (self.width,))
        return graph.model(float_image_input(INPUT_NAME, shape), {"features": features})


class GraphExtractor:
    """Runs the graph of a backbone."""

    def __init__(self, backbone: GraphBackbone, shape: ImageShape) -> None:
        self._session = open_onnx_session(backbone.model(shape).SerializeToString())

    def __call__(self, images: Array) -> FeatureArray:
        """Return the features of any number of images."""
        with ThreadPoolExecutor(min(count_cores(), len(images))) as threads:
            vectors = np.concatenate(list(threads.map(self._extract_image, images)))
        if not np.isfinite(vectors).all():
            raise not_finite_error()
        return vectors

    def _extract_image(self, image: Array) -> FeatureArray:
        with explain_out_of_memory(1):
            vector: FeatureArray = self._session.run(None, {INPUT_NAME: as_floats(image[None])})[0]
        return vector


def as_floats(images: Array) -> FeatureArray:
    """Return images as float32 in 0..1; uint8 are divided by 255."""
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    return images.astype(np.float32, copy=False)


def int64_array(*numbers: int) -> Array:
    """Return int64 numbers, as operators take axes, sizes and shapes."""
    return np.array(numbers, np.int64)


def add_area_resize(graph: GraphBuilder, images: str, sides: Array) -> str:
    """Add an area resize to three channels; `sides` are `area_weights`."""
    small = graph.add("MatMul", graph.add("MatMul", sides, images), sides.T)
    return graph.add("Expand", small, int64_array(1, 3, 1, 1))


def not_finite_error() -> InputUnusable:
    """Return the error for features that are not finite."""
    return InputUnusable(
        "the features of the backbone are not finite numbers",
        "use other weights, or full precision: -o precision=fp32",
    )
