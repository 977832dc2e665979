"""The network that tells drawn people apart as a backbone: what it learnt comes along.

It gives the numbers of `curation/likeness/identity.py`, where they are explained.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from baseline.features.backbone import Array, FeaturePart, NetworkLayer, PictureShape
from baseline.features.backbone_names import FACES
from baseline.features.graph_backbone import GraphBackbone, area_averaged, integers
from curation.likeness import identity
from curation.likeness.colour_layout import area_weights
from gleanset.files.store import sha256_of

if TYPE_CHECKING:
    from baseline.features.graph_builder import GraphBuilder

SCOPE = "identity"
FILE = "identity.onnx"


class IdentityBackbone(GraphBackbone):
    """Makes vectors by which drawn people are told apart. It does not learn.

    A run keeps the weights it was trained on, in its folder `kept`.
    """

    def __init__(self, kept: Path | None = None) -> None:
        self.name = FACES
        self.parts = (FeaturePart(FACES, False, (identity.WIDTH,)),)
        self.emphasis = np.ones(identity.WIDTH)
        own = kept / FILE if kept else None
        self._data = (own if own and own.is_file() else identity.WEIGHTS).read_bytes()

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and hash of the weights."""
        return (FACES, sha256_of(self._data))

    @property
    def kept_files(self) -> dict[str, bytes]:
        """The weights."""
        return {FILE: self._data}

    def network_layers(self, shape: PictureShape) -> list[NetworkLayer]:
        """Return one: the whole of it."""
        return [NetworkLayer(FACES, type(self).__name__, (self.width,), len(self._data) // 2, 0)]

    @property
    def layers_held(self) -> list[tuple[Array, Array]]:
        """The weights and biases of its convolutions and of its last layer, in their order."""
        import onnx

        graph = onnx.load_model_from_string(self._data).graph
        casts = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
        held = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}

        def exact(name: str) -> Array:
            return held[casts.get(name, name)].astype(np.float32)

        return [
            (exact(node.input[1]), exact(node.input[2]))
            for node in graph.node
            if node.op_type in ("Conv", "Gemm")
        ]

    def add_to(self, graph: GraphBuilder, pictures: str, shape: PictureShape) -> str:
        """Add its operators; return the value of the vectors."""
        import onnx

        graph.scope = f"{SCOPE}/taken"
        sides = area_weights(shape.size) * np.float32(255**0.5)
        upright = area_averaged(graph, pictures, sides)
        ends = (integers(-1), integers(np.iinfo(np.int64).min), integers(3), integers(-1))
        both = graph.add("Concat", upright, graph.add("Slice", upright, *ends), axis=0)
        graph.scope = SCOPE
        vectors = graph.embed(onnx.load_model_from_string(self._data), both)
        paired = graph.add("Reshape", vectors, integers(2, -1, self.width))
        total = graph.add("ReduceSum", _unit(graph, paired), integers(0), keepdims=0)
        return _unit(graph, total)


def _unit(graph: GraphBuilder, rows: str) -> str:
    length = graph.add("ReduceL2", rows, integers(-1), keepdims=1)
    return graph.add("Div", rows, graph.add("Max", length, np.array(1e-6, np.float32)))
