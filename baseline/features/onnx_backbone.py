"""An embedding model as a backbone: images are brought to what it takes, inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from baseline.features.backbone import FeaturePart, NetworkLayer, PictureShape
from baseline.features.embedding_graph import EmbeddingGraph
from baseline.features.graph_backbone import GraphBackbone, integers

if TYPE_CHECKING:
    from baseline.features.graph_builder import GraphBuilder

SCOPE, PREPARING = "embedding", "as_embedding_takes_it"
"""Scopes of the file's own operators, and of those before them."""


class OnnxBackbone(GraphBackbone):
    """A network of an ONNX file of a hub. It does not learn.

    Pictures are scaled by `bilinear_weights` where the file takes another size, and normalised as
    the file's details say: all of it by plain operators, so that an export holds the same.
    """

    def __init__(self, graph: EmbeddingGraph) -> None:
        self.graph, self.opset = graph, graph.opset
        self.name = graph.spec.name
        self.parts = (FeaturePart(self.name, True, (graph.width,)),)
        self.emphasis = np.ones(graph.width)

    @property
    def identity(self) -> tuple[object, ...]:
        """The file's hash, and all that decides what it is given."""
        kind = self.graph.spec.kind
        taken = (kind.layout, kind.mean, kind.std, kind.range, kind.colours)
        return ("embedding", self.graph.spec.sha256, self.graph.side, taken)

    @property
    def kept_files(self) -> dict[str, bytes]:
        """The publisher's file."""
        return {self.graph.spec.file_name: self.graph.data}

    def network_layers(self, shape: PictureShape) -> list[NetworkLayer]:
        """Return one: the whole of it."""
        numbers = self.graph.numbers
        return [NetworkLayer(self.name, type(self).__name__, (self.width,), numbers, 0)]

    def add_to(self, graph: GraphBuilder, pictures: str, shape: PictureShape) -> str:
        """Add the file's graph, and before it what brings pictures to what that takes."""
        digest = self.graph.spec.sha256[:8]
        graph.scope = f"{PREPARING}-{digest}"
        taken = self._as_taken(graph, pictures, shape)
        graph.scope = f"{SCOPE}-{digest}"
        return graph.embed(self.graph.model, taken)

    def _as_taken(self, graph: GraphBuilder, value: str, shape: PictureShape) -> str:
        side, kind = self.graph.side, self.graph.spec.kind
        if shape.channels == 1:
            value = graph.add("Expand", value, integers(1, 3, 1, 1))
        if side != (shape.size, shape.size):
            rows, columns = (bilinear_weights(shape.size, new) for new in side)
            value = graph.add("MatMul", graph.add("MatMul", rows, value), columns.T)
        if kind.colours == "bgr":
            value = graph.add("Gather", value, integers(2, 1, 0), axis=1)
        value = graph.add("Mul", value, np.array(kind.range, np.float32))
        for operator, numbers in (("Sub", kind.mean), ("Div", kind.std)):
            if numbers:
                value = graph.add(operator, value, np.array(numbers, np.float32).reshape(3, 1, 1))
        nhwc = kind.layout == "nhwc"
        return graph.add("Transpose", value, perm=[0, 2, 3, 1]) if nhwc else value


def bilinear_weights(old: int, new: int) -> npt.NDArray[np.float32]:
    """Return what each of `old` pixels in a line counts for each of `new` ones: new x old.

    A triangle around each new pixel, as wide as two pixels of the coarser line, so that nothing is
    left out when scaling down: bilinear with antialiasing, as Pillow scales.
    """
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale
    distance = np.abs(centres[:, None] - (np.arange(old) + 0.5)) / max(scale, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    found: npt.NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return found
