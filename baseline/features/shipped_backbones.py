"""Backbones as ONNX graphs: EfficientNet-Lite0, color layouts, identity embeddings, `simple`.

`tools/backbone_graphs.py` makes the files in `graphs/`; the modules in `curation/similarity/`
document the training.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from baseline.extras import require_graphs
from baseline.features.backbone import (
    LAST,
    Array,
    FeaturePart,
    ImageShape,
    Shapes,
    State,
)
from baseline.features.backbone_names import COLOURS, FACES
from baseline.features.graph_backbone import NORM, GraphBackbone, add_area_resize, int64_array
from baseline.settings import Simple
from curation.similarity import color_layout as formula
from curation.similarity.color_layout import compute_area_weights
from curation.similarity.descriptor import IDENTITY, WEIGHTS
from gleanset.files.store import hash_bytes

if TYPE_CHECKING:
    from onnx import ModelProto

    from baseline.features.graph_builder import GraphBuilder


GRAPHS = Path(__file__).with_name("graphs")


@cache
def load_shipped_graph(name: str) -> ModelProto:
    """Return the model in `graphs/`. Raises `MissingComponent` without onnx."""
    require_graphs()
    import onnx

    return onnx.load(GRAPHS / f"{name}.onnx")


LITE = "efficientnet_lite0"
BODY = "body."
"""Prefix of its tensor names in a run."""
LITE_MEAN, LITE_DEVIATION = 0.5, 0.5
"""Normalization of the pretrained network, for values in 0..1."""
WIDTHS = (32, 48, 80, 224, 640, 1280)
"""Channels of the stages used as features, and features before the classifier."""


class LiteBackbone(GraphBackbone):
    """EfficientNet-Lite0 without its classifier; weights are loaded by `fill`.

    Features are those before the classifier, and mean and standard deviation of the maps of each
    earlier stage: they have the colors and textures that distinguish characters
    (docs/experiments.md).
    """

    def __init__(self) -> None:
        self.name = LITE
        self.parts = (FeaturePart(LITE, True, WIDTHS),)
        self.emphasis = np.repeat((1.0, LAST), (sum(WIDTHS[:-1]), WIDTHS[-1]))

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and normalization."""
        return (LITE, [LITE_MEAN] * 3, [LITE_DEVIATION] * 3)

    @property
    def shapes(self) -> Shapes:
        """The shapes of its weights by tensor name, in order."""
        return {
            f"{BODY}{value.name}": tuple(
                side.dim_value for side in value.type.tensor_type.shape.dim
            )
            for value in load_shipped_graph(LITE).graph.input[1:]
        }

    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        """Add its operators; return the value of the features."""
        graph.scope = LITE
        weights = {name.removeprefix(BODY): value for name, value in self._state.items()}
        return graph.embed(load_shipped_graph(LITE), images, weights)


def draw_random_weights(shapes: Shapes, seed: int) -> State:
    """Return random initial weights as in timm (He et al., 2015)."""
    random, state = np.random.default_rng(seed), dict[str, Array]()
    for name, shape in shapes.items():
        if len(shape) == 4:
            receives = shape[0] * shape[2] * shape[3] / (shape[0] if shape[1] == 1 else 1)
            state[name] = random.normal(0, (2 / receives) ** 0.5, shape).astype(np.float32)
        else:
            usual = np.ones if name.endswith(("weight", "running_var")) else np.zeros
            state[name] = usual(shape, np.float32)
    return state


COLOUR_SCOPE = "colour_layout"


class ColourBackbone(GraphBackbone):
    """Color layout descriptors, as in `curation/similarity/color_layout.py`."""

    def __init__(self) -> None:
        self.name = COLOURS
        self.parts = (FeaturePart(COLOURS, False, (formula.WIDTH,)),)
        self.emphasis = np.ones(formula.WIDTH)

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and version of the formula."""
        return (COLOURS, formula.VERSION)

    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        """Add its operators; return the value of the layouts."""
        graph.scope = COLOUR_SCOPE
        averaged = add_area_resize(graph, images, compute_area_weights(shape.size))
        return graph.embed(load_shipped_graph(COLOURS), averaged)


IDENTITY_SCOPE = "identity"
FILE = "identity.onnx"


class IdentityBackbone(GraphBackbone):
    """Frozen identity embeddings, as in `curation/similarity/descriptor.py`.

    A run stores the weights it was trained with in its folder `kept`.
    """

    def __init__(self, kept: Path | None = None) -> None:
        self.name = FACES
        self.parts = (FeaturePart(FACES, False, (IDENTITY,)),)
        self.emphasis = np.ones(IDENTITY)
        path = kept / FILE if kept else None
        self._data = (path if path and path.is_file() else WEIGHTS).read_bytes()

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and hash of the weights."""
        return (FACES, hash_bytes(self._data))

    @property
    def run_files(self) -> dict[str, bytes]:
        """The weights."""
        return {FILE: self._data}

    @property
    def parameters(self) -> int:
        """The number of trained parameters, which are stored as float16."""
        return len(self._data) // 2

    @property
    def read_layers(self) -> list[tuple[Array, Array]]:
        """Weight and bias of each convolution and of the last layer, in order."""
        import onnx

        graph = onnx.load_model_from_string(self._data).graph
        casts = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
        tensors = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}

        def exact(name: str) -> Array:
            return tensors[casts.get(name, name)].astype(np.float32)

        return [
            (exact(node.input[1]), exact(node.input[2]))
            for node in graph.node
            if node.op_type in ("Conv", "Gemm")
        ]

    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        """Add its operators; return the value of the vectors."""
        import onnx

        graph.scope = f"{IDENTITY_SCOPE}/taken"
        sides = compute_area_weights(shape.size) * np.float32(255**0.5)
        upright = add_area_resize(graph, images, sides)
        ends = (
            int64_array(-1),
            int64_array(np.iinfo(np.int64).min),
            int64_array(3),
            int64_array(-1),
        )
        mirrored = graph.add("Concat", upright, graph.add("Slice", upright, *ends), axis=0)
        graph.scope = IDENTITY_SCOPE
        vectors = graph.embed(onnx.load_model_from_string(self._data), mirrored)
        paired = graph.add("Reshape", vectors, int64_array(2, -1, self.width))
        total = graph.add("ReduceSum", _normalize_rows(graph, paired), int64_array(0), keepdims=0)
        return _normalize_rows(graph, total)


def _normalize_rows(graph: GraphBuilder, rows: str) -> str:
    length = graph.add("ReduceL2", rows, int64_array(-1), keepdims=1)
    return graph.add("Div", rows, graph.add("Max", length, np.array(1e-6, np.float32)))


GRID = 4
"""Approximate number of cells on each side of the pooled last maps (4 to 7)."""
MEAN, DEVIATION = 0.5, 0.25
"""Normalization of inputs in 0..1."""


class LastMaps:
    """Shape of the last maps of the small network: `side`, and pooling `kernel`."""

    def __init__(self, settings: Simple) -> None:
        self.side = settings.size // 2 ** len(settings.blocks)
        # A fixed kernel, because some export formats do not support adaptive pooling.
        self.kernel = max(1, self.side // GRID)
        self.values = settings.blocks[-1] * (self.side // self.kernel) ** 2


class SmallBackbone(GraphBackbone):
    """The small network without its classifier: convolution blocks and a dense layer."""

    def __init__(self, settings: Simple) -> None:
        self.name, self.settings = "simple", settings
        self.parts = (FeaturePart(self.name, True, (settings.dense,)),)
        self.emphasis = np.ones(settings.dense)

    @property
    def shapes(self) -> Shapes:
        """The shapes of its weights by tensor name."""
        settings, shapes = self.settings, dict[str, tuple[int, ...]]()
        for number, (before, after) in enumerate(pairwise((settings.channels, *settings.blocks))):
            shapes[f"features.{number}.0.weight"] = (after, before, 3, 3)
            shapes |= {f"features.{number}.2.{part}": (after,) for part in NORM}
        shapes["neck.1.weight"] = (settings.dense, LastMaps(settings).values)
        return shapes | {"neck.1.bias": (settings.dense,)}

    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        """Add its operators; return the value of the dense layer."""
        graph.scope = self.name
        state = {name: graph.hold(self._state[name], name) for name in self.shapes}
        shifted = graph.add("Sub", images, np.array(MEAN, np.float32))
        maps = graph.add("Div", shifted, np.array(DEVIATION, np.float32))
        for number in range(len(self.settings.blocks)):
            weight = state[f"features.{number}.0.weight"]
            maps = graph.add("Conv", maps, weight, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            maps = graph.add("MaxPool", maps, kernel_shape=[2, 2], strides=[2, 2])
            norm = (state[f"features.{number}.2.{part}"] for part in NORM)
            maps = graph.add("Relu", graph.add("BatchNormalization", maps, *norm, epsilon=1e-5))
        cell = [LastMaps(self.settings).kernel] * 2
        maps = graph.add("AveragePool", maps, kernel_shape=cell, strides=cell)
        layer = state["neck.1.weight"], state["neck.1.bias"]
        return graph.add("Relu", graph.add("Gemm", graph.add("Flatten", maps), *layer, transB=1))
