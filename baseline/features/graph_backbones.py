"""Backbones that are ONNX graphs, run by onnxruntime: shipped ones, `simple`, and those of a hub.

Images are computed one by one, in one thread for each core: features do not depend on other images,
memory is bounded, and the maps of an image fit into the cache of a core (docs/experiments.md).
`tools/backbone_graphs.py` makes the files in `graphs/`; the modules in `curation/similarity/`
document the training.
"""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from baseline.extras import require_graphs
from baseline.features.backbone import (
    OPSET,
    Backbone,
    ImageShape,
    Shapes,
    State,
    explain_out_of_memory,
)
from baseline.features.backbone_names import (
    COLOURS,
    FACES,
    EmbeddingSpec,
    pin_embedding,
)
from baseline.settings import Precision, Simple
from curation.similarity import color_layout
from curation.similarity.color_layout import compute_area_weights
from curation.similarity.descriptor import IDENTITY, WEIGHTS
from gleanset.arrays import Array, Float32Array
from gleanset.errors import InputUnusable
from gleanset.files.fetch import PublishedFile, fetch_file
from gleanset.files.hub import query_hub
from gleanset.files.store import hash_bytes
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
        self, shape: ImageShape, precision: Precision, *, pad_batches: bool = True
    ) -> GraphExtractor:
        """Return an extractor for images of a shape; always in float32."""
        return GraphExtractor(self, shape)

    def model(self, shape: ImageShape) -> ModelProto:
        """Return its graph as a model of `INPUT_NAME`. Raises `MissingComponent` without onnx."""
        require_graphs()
        from onnx import TensorProto

        from baseline.features.graph_builder import GraphBuilder, Output, image_input

        graph = GraphBuilder(self.opset)
        features = self.add_to_graph(graph, INPUT_NAME, shape)
        sides = (shape.channels, shape.size, shape.size)
        images = image_input(INPUT_NAME, TensorProto.FLOAT, *sides)
        return graph.model(images, {"features": Output(features, (self.width,))})


class GraphExtractor:
    """Runs the graph of a backbone."""

    def __init__(self, backbone: GraphBackbone, shape: ImageShape):
        self._session = open_onnx_session(backbone.model(shape).SerializeToString())

    def __call__(self, images: Array) -> Float32Array:
        """Return the features of any number of images."""
        # Singly, because features must not depend on the other images of a batch.
        with ThreadPoolExecutor(min(count_cores(), len(images))) as threads:
            rows = list(threads.map(self._extract_image, images))
        return concatenate_features(rows)

    def _extract_image(self, image: Array) -> Float32Array:
        inputs = {INPUT_NAME: as_floats(image[None])}
        with explain_out_of_memory(1):
            features: Float32Array = self._session.run(None, inputs)[0]
        return features


def as_floats(images: Array) -> Float32Array:
    """Return images as float32 in 0..1; uint8 are divided by 255."""
    if images.dtype == np.uint8:
        return images.astype(np.float32) / np.float32(255)
    return images.astype(np.float32, copy=False)


def int64_array(*numbers: int) -> Array:
    """Return int64 numbers, as operators take axes, sizes and shapes."""
    return np.array(numbers, np.int64)


def float32_array(numbers: object) -> Array:
    """Return a number, or a sequence of numbers, as a constant of float32."""
    return np.array(numbers, np.float32)


def add_area_resize(graph: GraphBuilder, images: str, sides: Array) -> str:
    """Add an area resize to three channels; `sides` are `compute_area_weights`."""
    rows = graph.add("MatMul", sides, images)
    small = graph.add("MatMul", rows, sides.T)
    # Grayscale becomes three equal channels.
    return graph.add("Expand", small, int64_array(1, 3, 1, 1))


def concatenate_features(parts: Sequence[Float32Array]) -> Float32Array:
    """Concatenate features. Raises `InputUnusable` if they are not finite."""
    features = np.concatenate(parts)
    if not np.isfinite(features).all():
        raise InputUnusable(
            "the features of the backbone are not finite numbers",
            "use other weights, or full precision: -o precision=fp32",
        )
    return features


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
# Normalization of the pretrained network, for values in 0..1.
LITE_MEAN = 0.5
LITE_DEVIATION = 0.5
WIDTHS = (32, 48, 80, 224, 640, 1280)
"""Channels of the stages used as features, and features before the classifier."""


class LiteBackbone(GraphBackbone):
    """EfficientNet-Lite0 without its classifier; weights are loaded by `fill`.

    Features are those before the classifier, and mean and standard deviation of the maps of each
    earlier stage: they have the colors and textures that distinguish characters
    (docs/experiments.md).
    """

    def __init__(self) -> None:
        super().__init__(LITE, WIDTHS)

    @property
    def identity(self) -> tuple[object, ...]:
        return (LITE, [LITE_MEAN] * 3, [LITE_DEVIATION] * 3)

    @property
    def shapes(self) -> Shapes:
        """The shapes of its weights by tensor name, in order."""
        # The first input is the image.
        weights = load_shipped_graph(LITE).graph.input[1:]
        return {f"{BODY}{weight.name}": _get_shape(weight) for weight in weights}

    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        graph.scope = LITE
        weights = {
            name.removeprefix(BODY): value for name, value in self._state.items()
        }
        return graph.embed(load_shipped_graph(LITE), images, weights)


def _get_shape(value: Any) -> tuple[int, ...]:
    return tuple(side.dim_value for side in value.type.tensor_type.shape.dim)


def draw_random_weights(shapes: Shapes, seed: int) -> State:
    """Return random initial weights as in timm (He et al., 2015)."""
    random = np.random.default_rng(seed)
    state: dict[str, Array] = {}
    for name, shape in shapes.items():
        if len(shape) == 4:
            out_channels, in_channels, height, width = shape
            # A depthwise convolution has one input for each of its outputs.
            is_depthwise = in_channels == 1
            fan_out = height * width * (1 if is_depthwise else out_channels)
            weights = random.normal(0, (2 / fan_out) ** 0.5, shape)
            state[name] = weights.astype(np.float32)
        elif name.endswith(("weight", "running_var")):
            state[name] = np.ones(shape, np.float32)
        else:
            state[name] = np.zeros(shape, np.float32)
    return state


COLOUR_SCOPE = "colour_layout"


class ColourBackbone(GraphBackbone):
    """Color layout descriptors, as in `curation/similarity/color_layout.py`."""

    def __init__(self) -> None:
        super().__init__(COLOURS, (color_layout.WIDTH,), is_standardized=False)

    @property
    def identity(self) -> tuple[object, ...]:
        return (COLOURS, color_layout.VERSION)

    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        graph.scope = COLOUR_SCOPE
        small = add_area_resize(graph, images, compute_area_weights(shape.size))
        return graph.embed(load_shipped_graph(COLOURS), small)


IDENTITY_SCOPE = "identity"
MIN_LENGTH = 1e-6
FILE = "identity.onnx"


class IdentityBackbone(GraphBackbone):
    """Frozen identity embeddings, as in `curation/similarity/descriptor.py`.

    A run stores the weights it was trained with in its folder `kept`.
    """

    def __init__(self, run_folder: Path | None):
        super().__init__(FACES, (IDENTITY,), is_standardized=False)
        path = run_folder / FILE if run_folder else None
        if path is None or not path.is_file():
            path = WEIGHTS
        self._data = path.read_bytes()

    @property
    def identity(self) -> tuple[object, ...]:
        return (FACES, hash_bytes(self._data))

    @property
    def run_files(self) -> dict[str, bytes]:
        return {FILE: self._data}

    @property
    def parameters(self) -> int:
        """The number of trained parameters, which are stored as float16."""
        return len(self._data) // 2

    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        import onnx

        # Another scope than the model's own operators, whose names could be the same.
        graph.scope = f"{IDENTITY_SCOPE}/taken"
        # Images are multiplied by `sides` on both sides, so two roots of 255 give values in 0..255.
        sides = compute_area_weights(shape.size) * np.float32(255**0.5)
        upright = add_area_resize(graph, images, sides)
        # Start, end, axis and step: columns from the last to the first, backwards.
        ends = map(int64_array, (-1, np.iinfo(np.int64).min, 3, -1))
        mirrored = graph.add("Slice", upright, *ends)
        views = graph.add("Concat", upright, mirrored, axis=0)

        graph.scope = IDENTITY_SCOPE
        vectors = graph.embed(onnx.load_model_from_string(self._data), views)
        # Upright and mirrored images, N each.
        view_vectors = graph.add("Reshape", vectors, int64_array(2, -1, self.width))
        units = graph.add_unit_rows(view_vectors, MIN_LENGTH)
        total = graph.add("ReduceSum", units, int64_array(0), keepdims=0)
        return graph.add_unit_rows(total, MIN_LENGTH)


GRID = 4
"""Approximate number of cells on each side of the pooled last maps (4 to 7)."""
# Normalization of inputs in 0..1.
MEAN = 0.5
DEVIATION = 0.25


class LastMaps:
    """Shape of the last maps of the small network: `side`, and pooling `kernel` (pixels).

    `values` is the number of values after pooling.
    """

    def __init__(self, settings: Simple):
        # Each block halves the maps.
        self.side = settings.size // 2 ** len(settings.blocks)
        # A fixed kernel, because ONNX has no adaptive pooling.
        self.kernel = max(1, self.side // GRID)
        cells = (self.side // self.kernel) ** 2
        self.values = settings.blocks[-1] * cells


class SmallBackbone(GraphBackbone):
    """The small network without its classifier: convolution blocks and a dense layer."""

    def __init__(self, settings: Simple):
        super().__init__("simple", (settings.dense,))
        self.settings = settings

    @property
    def shapes(self) -> Shapes:
        settings = self.settings
        widths = (settings.channels, *settings.blocks)
        # Named as in the modules of `train/networks.py`: in a block, 0 is the convolution, 2 the
        # batch norm; in the neck, 1 is the dense layer.
        shapes: dict[str, tuple[int, ...]] = {}
        for number, (before, after) in enumerate(pairwise(widths)):
            shapes[f"features.{number}.0.weight"] = (after, before, 3, 3)
            for part in NORM:
                shapes[f"features.{number}.2.{part}"] = (after,)

        shapes["neck.1.weight"] = (settings.dense, LastMaps(settings).values)
        shapes["neck.1.bias"] = (settings.dense,)
        return shapes

    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        graph.scope = self.name
        # Names of values in the graph, by the names of tensors.
        state = {name: graph.hold(self._state[name], name) for name in self.shapes}
        differences = graph.add("Sub", images, float32_array(MEAN))
        maps = graph.add("Div", differences, float32_array(DEVIATION))

        for number in range(len(self.settings.blocks)):
            weight = state[f"features.{number}.0.weight"]
            maps = graph.add(
                "Conv",
                maps,
                weight,
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
            )
            maps = graph.add(
                "MaxPool",
                maps,
                kernel_shape=[2, 2],
                strides=[2, 2],
            )
            norm = [state[f"features.{number}.2.{part}"] for part in NORM]
            maps = graph.add("BatchNormalization", maps, *norm, epsilon=1e-5)
            maps = graph.add("Relu", maps)

        cell = [LastMaps(self.settings).kernel] * 2
        maps = graph.add(
            "AveragePool",
            maps,
            kernel_shape=cell,
            strides=cell,
        )
        flat = graph.add("Flatten", maps)
        weight = state["neck.1.weight"]
        features = graph.add(
            "Gemm",
            flat,
            weight,
            state["neck.1.bias"],
            transB=1,
        )
        return graph.add("Relu", features)


SCOPE = "embedding"
"""Scope of the file's own operators."""
PREPARING = "as_embedding_takes_it"
"""Scope of the operators before them."""


class OnnxBackbone(GraphBackbone):
    """A network of an ONNX file of a hub. It does not learn.

    `data` is the publisher's file, `embedding` the part that leads to it, `side` the height
    and width of its input. Images are scaled by `bilinear_weights` where the file takes another
    size, and normalised as the file's details say: all of it by plain operators, so that an export
    holds the same.
    """

    def __init__(self, spec: EmbeddingSpec, data: bytes):
        """Raise `InputUnusable` for an unusable file."""
        from baseline.features.graph_builder import model_opset

        self.spec = spec
        self.data = data
        kind = spec.kind

        try:
            self.embedding, sides = _extract_embedding(data)
            height, width = sides[2:4] if kind.layout == "nchw" else sides[1:3]
            # A side is 0 where the file takes any size; then the kind of the file says which one.
            self.side = (height or kind.side, width or kind.side)
            features = _count_features(self.embedding, kind.layout, self.side)
        # protobuf and onnxruntime have many exception classes.
        except Exception as error:
            raise InputUnusable(
                f"{spec.name} cannot be a backbone: {error}",
                "choose another: baseline backbones",
            ) from error

        self.opset = model_opset(self.embedding)
        super().__init__(spec.name, (features,))

    @classmethod
    def open(cls, name: str, run_folder: Path | None = None) -> OnnxBackbone:
        """Return the backbone of a pinned name, with its file from the folder of a run if present.

        Raises `InputUnusable` for an unusable file, `MissingComponent` without onnx or the file.
        """
        backbone = _OPEN.get(name)
        if backbone is None:
            require_graphs()
            # The hub is only asked for what the name leaves out.
            spec = pin_embedding(name, query_hub)
            backbone = cls(spec, _read_model(spec, run_folder))
            _OPEN[name] = backbone
        return backbone

    @property
    def identity(self) -> tuple[object, ...]:
        kind = self.spec.kind
        preprocessing = (kind.layout, kind.mean, kind.std, kind.range, kind.colours)
        return ("embedding", self.spec.sha256, self.side, preprocessing)

    @property
    def run_files(self) -> dict[str, bytes]:
        return {self.spec.file_name: self.data}

    @property
    def parameters(self) -> int:
        return sum(prod(tensor.dims) for tensor in self.embedding.graph.initializer)

    def add_to_graph(self, graph: GraphBuilder, images: str, shape: ImageShape) -> str:
        # The digest distinguishes the operators of several files in one graph.
        digest = self.spec.sha256[:8]
        graph.scope = f"{PREPARING}-{digest}"
        value = self._prepare_input(graph, images, shape)
        graph.scope = f"{SCOPE}-{digest}"
        return graph.embed(self.embedding, value)

    def _prepare_input(self, graph: GraphBuilder, value: str, shape: ImageShape) -> str:
        """Add what the file expects of its input; return the prepared images."""
        kind = self.spec.kind
        # Grayscale becomes three equal channels.
        if shape.channels == 1:
            value = graph.add("Expand", value, int64_array(1, 3, 1, 1))

        # Rows, then columns.
        height, width = self.side
        if self.side != (shape.size, shape.size):
            value = graph.add("MatMul", bilinear_weights(shape.size, height), value)
            value = graph.add("MatMul", value, bilinear_weights(shape.size, width).T)

        if kind.colours == "bgr":
            value = graph.add("Gather", value, int64_array(2, 1, 0), axis=1)
        value = graph.add("Mul", value, float32_array(kind.range))
        for operator, numbers in (("Sub", kind.mean), ("Div", kind.std)):
            if numbers:
                by_channel = float32_array(numbers).reshape(3, 1, 1)
                value = graph.add(operator, value, by_channel)

        if kind.layout == "nhwc":
            value = graph.add("Transpose", value, perm=[0, 2, 3, 1])
        return value


_OPEN: weakref.WeakValueDictionary[str, OnnxBackbone] = weakref.WeakValueDictionary()
"""Backbones in use, by name, so that a large one is in memory once."""


def _read_model(spec: EmbeddingSpec, run_folder: Path | None) -> bytes:
    path = run_folder / spec.file_name if run_folder else None
    if path is None or not path.is_file():
        fix = "download it into the cache of the hub: hf download"
        path = fetch_file(
            PublishedFile(str(spec.file), spec.sha256),
            fix,
        )

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


def _extract_embedding(data: bytes) -> tuple[Any, tuple[int, ...]]:
    """Return the part of a model up to its last output, and the sides of its input (0: any)."""
    import onnx
    from onnx.utils import Extractor

    model = onnx.load_model_from_string(data)
    weights = model.graph.initializer
    if any(tensor.data_location == tensor.EXTERNAL for tensor in weights):
        raise ValueError("its weights are in other files, which are not read")

    # Old files list their weights as inputs, too.
    names = {tensor.name for tensor in weights}
    image = next(value for value in model.graph.input if value.name not in names)
    part = Extractor(model).extract_model(
        [image.name],
        [model.graph.output[-1].name],
    )
    return part, _get_shape(image)


def _count_features(model: Any, layout: str, side: tuple[int, int]) -> int:
    """Return the width of the output for two images. Raises `ValueError` unless it is a vector."""
    session = open_onnx_session(model.SerializeToString())
    shape = (2, 3, *side) if layout == "nchw" else (2, *side, 3)
    name = session.get_inputs()[0].name
    output = session.run(None, {name: np.zeros(shape, np.float32)})[0]
    if output.ndim != 2 or len(output) != 2:
        sides = " x ".join(map(str, output.shape))
        raise ValueError(f"its last output is {sides}, not N x features")
    return int(output.shape[1])


def bilinear_weights(old: int, new: int) -> Float32Array:
    """Return the weights of `old` pixels of a line for `new` ones (new x old).

    Bilinear with antialiasing, as in Pillow: a triangle as wide as two pixels of the coarser line.
    """
    scale = old / new
    old_centres = np.arange(old) + 0.5
    new_centres = (np.arange(new) + 0.5) * scale  # in old pixels
    distances = np.abs(new_centres[:, None] - old_centres) / max(scale, 1.0)
    weights = np.maximum(1.0 - distances, 0.0)
    weights /= weights.sum(1, keepdims=True)
    return weights.astype(np.float32)
