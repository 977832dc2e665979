"""Exporting a run as an ONNX file in float32, float16, or int8 calibrated on images.

The graph has the preprocessing, the backbones, the head and the probabilities, with a dynamic batch
axis. Its opset is `OPSET`, or that of an embedding if it is newer.
"""

from __future__ import annotations

import math
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from baseline.data.pixels import Pixels
from baseline.evaluation.decision_rule import GALLERY_SCALE
from baseline.features.backbone import OPSET, Backbone, ImageShape
from baseline.features.graph_backbone import GraphBackbone
from baseline.features.graph_builder import GraphBuilder, Output, byte_image_input
from baseline.features.onnx_backbone import PREPARING
from baseline.features.shipped_backbones import COLOUR_SCOPE
from baseline.train.trained_net import GalleryHead, LinearLayer, TrainedNet
from baseline.use.engines.base import KEY, Card
from baseline.use.engines.run_engine import LUMA, RunEngine
from baseline.use.export import quiet_converters
from gleanset.errors import InputUnusable, MissingComponent
from gleanset.installation import install_command

if TYPE_CHECKING:
    from baseline.features.timm_backbone import TimmBackbone


PICTURES = "pictures"


def graph_of(run: RunEngine) -> ModelProto:
    """Return the model from `PICTURES` (uint8 N x size x size x 3) to the outputs of a run.

    Raises `InputUnusable` for an embedding whose opset cannot be converted, `MissingComponent`
    without the exporter for networks of timm.
    """
    net = run.net
    members = net.backbone.members
    graphs = [member for member in members if isinstance(member, GraphBackbone)]
    graph = GraphBuilder(max([OPSET, *(member.opset for member in graphs)]))
    pictures = _scaled(graph, net.shape)
    features = [_add_features(graph, member, pictures, net.shape) for member in members]
    graph.scope = "head"
    embedded = features[0] if len(features) == 1 else graph.add("Concat", *features, axis=1)
    if net.projection:
        embedded = _linear(graph, embedded, net.projection)
        length = graph.add("ReduceL2", embedded, np.array([1], np.int64), keepdims=1)
        floor = np.array(1e-12, np.float32)
        embedded = graph.add("Div", embedded, graph.add("Max", length, floor))
    scores, likeness = _scores(graph, net, embedded)
    outputs = {"probabilities": Output(_probabilities(graph, run, scores), (net.head.classes,))}
    outputs["embedding"] = Output(embedded, (net.width,))
    outputs |= {"likeness": likeness} if likeness else {}
    return graph.model(byte_image_input(PICTURES, net.shape.size), outputs)


def _scaled(graph: GraphBuilder, shape: ImageShape) -> str:
    graph.scope = "scaling"
    values = graph.add("Cast", PICTURES, to=TensorProto.FLOAT)
    first = graph.add("Transpose", values, perm=[0, 3, 1, 2])
    scaled = graph.add("Div", first, np.array(255, np.float32))
    if shape.channels == 3:
        return scaled
    weighed = graph.add("Mul", scaled, np.array(LUMA, np.float32)[:, None, None])
    return graph.add("ReduceSum", weighed, np.array([1], np.int64), keepdims=1)


def _add_features(graph: GraphBuilder, member: Backbone, pictures: str, shape: ImageShape) -> str:
    if isinstance(member, GraphBackbone):
        return member.add_to(graph, pictures, shape)
    from baseline.features.timm_backbone import TimmBackbone

    assert isinstance(member, TimmBackbone)
    graph.scope = member.name
    return graph.embed(_written_by_torch(member, shape, graph.opset), pictures)


def _written_by_torch(member: TimmBackbone, shape: ImageShape, opset: int) -> ModelProto:
    if find_spec("onnxscript") is None:
        raise MissingComponent(
            f"exporting {member.name} needs onnxscript, which is not installed",
            install_command("onnx"),
        )
    import torch

    # Two images, because the exporter would make a batch axis of one static.
    example = torch.zeros(2, shape.channels, shape.size, shape.size)
    count = torch.export.Dim("pictures", min=1)
    with quiet_converters(), tempfile.TemporaryDirectory(prefix="gleanset-") as place:
        path = Path(place) / "network.onnx"
        torch.onnx.export(
            member.network,
            (example,),
            str(path),
            dynamo=True,
            opset_version=opset,
            verbose=False,
            external_data=False,
            dynamic_shapes={"x": {0: count}},
        )
        return onnx.load(path)


def _linear(graph: GraphBuilder, value: str, layer: LinearLayer) -> str:
    weight, bias = layer.tensors("").values()
    return graph.add("Gemm", value, weight, bias, transB=1)


def _scores(graph: GraphBuilder, net: TrainedNet, embedded: str) -> tuple[str, Output | None]:
    """Add scores (N x classes), and for a gallery similarities (N x classes x K)."""
    head = net.head
    if isinstance(head, GalleryHead):
        classes, known, width = head.vectors.shape
        flat = graph.add("MatMul", embedded, head.vectors.reshape(classes * known, width).T)
        likeness = graph.add("Reshape", flat, np.array([0, classes, known], np.int64))
        best = graph.add("ReduceMax", likeness, np.array([2], np.int64), keepdims=0)
        scores = graph.add("Mul", best, np.array(GALLERY_SCALE, np.float32))
        return scores, Output(likeness, (classes, known))
    for number, layer in enumerate(head.layers):
        embedded = _linear(graph, graph.add("Relu", embedded) if number else embedded, layer)
    return embedded, None


def _probabilities(graph: GraphBuilder, run: RunEngine, scores: str) -> str:
    temperature = np.array(run.facts.answers.temperature, np.float32)
    scores = graph.add("Div", scores, temperature)
    if run.offsets.any():
        scores = graph.add("Add", scores, run.offsets)
    return graph.add("Softmax", scores, axis=1)


EXACT = (COLOUR_SCOPE, PREPARING)
"""Scopes that stay in float32, because int8 is too coarse for color layouts and scaling."""
PRODUCTS = ["Gemm", "MatMul"]
QUANTISED = ["Conv", *PRODUCTS, "Clip", "Relu", "Add"]
SMALL = 2**17
"""Maximum weights of a product that stays in float32, which adds at most half a MB."""
PICTURE = 3
"""Channels of an image."""
CALIBRATION = 100
"""Images used to calibrate int8 ranges; more have little effect (docs/use.md)."""


class OnnxFiles:
    """Writes the files of one network; the float32 graph is built only once."""

    def __init__(self) -> None:
        self._exact: bytes | None = None

    def __call__(self, run: RunEngine, card: Card, calibration: Pixels) -> bytes:
        """Return the file without its card; int8 needs `calibration` (N x size x size x 3)."""
        if self._exact is None:
            self._exact = graph_of(run).SerializeToString()
        if card.precision == "fp32":
            return self._exact
        with tempfile.TemporaryDirectory(prefix="gleanset-") as place:
            path = Path(place) / "float32.onnx"
            path.write_bytes(self._exact)
            if card.precision == "fp16":
                path = _halved(path)
            elif card.precision == "int8":
                path = _quantised(path, calibration[:CALIBRATION])
            return path.read_bytes()


def with_card(model: bytes, card: Card) -> bytes:
    """Return a model with its card and labels in the metadata."""
    loaded = onnx.load_model_from_string(model)
    onnx.helper.set_model_props(loaded, {KEY: card.to_json(), "labels": "\n".join(card.classes)})
    loaded.producer_name = "gleanset"
    data: bytes = loaded.SerializeToString()
    return data


def _halved(path: Path) -> Path:
    halves = import_module("onnxruntime.transformers.float16")
    with quiet_converters():
        model = halves.convert_float_to_float16(onnx.load(path), keep_io_types=True)
    _forget_repeated(model)
    target = path.with_name("float16.onnx")
    onnx.save(model, target)
    return target


def _forget_repeated(model: Any) -> None:
    """Remove repeated casts, which the converter adds for each consumer of a value."""
    once = {node.output[0]: node for node in reversed(model.graph.node)}
    kept = [node for node in model.graph.node if once[node.output[0]] is node]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _quantised(path: Path, calibration: Pixels) -> Path:
    """Quantise convolutions and products to int8: per channel, ranges measured on real pictures.

    What is between two of them is quantised with them, so that nothing goes to float32 and back:
    activations, and sums of a block with what went past it.
    What stands before the network (scaling, normalising), beside it (the colour layout) and behind
    it (softmax, likeness) stays in float32; so do convolutions of the picture itself, whose few
    channels are quicker so, and whose rounding would go through all that follows. What a product
    makes stays so as well, for classes would tie in 256 steps of a logit; a small one that makes
    the answers takes features in float32, too, which have no range in common. Raises
    `InputUnusable` where nothing is left.
    """
    tools = import_module("onnxruntime.quantization")
    shapes = import_module("onnxruntime.quantization.shape_inference")
    ready, target = path.with_name("ready.onnx"), path.with_name("int8.onnx")
    with quiet_converters():
        shapes.quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
        tools.quantize_static(
            str(ready),
            str(target),
            _CalibrationReader(calibration),
            quant_format=tools.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            op_types_to_quantize=QUANTISED,
            extra_options={"OpTypesToExcludeOutputQuantization": PRODUCTS},
            nodes_to_exclude=_kept_in_float32(onnx.load(path).graph, onnx.load(ready).graph),
        )
    if all(node.op_type != "QuantizeLinear" for node in onnx.load(target).graph.node):
        raise InputUnusable(
            "nothing of this network is fit for int8: it has no layers between those of the "
            "picture and those of the answers",
            "--precision fp32",
        )
    return target


def _kept_in_float32(noted: Any, ready: Any) -> list[str]:
    """Return the nodes that int8 would spoil, of the graph as `noted` and, folded, as `ready`."""
    made_by = {value: node.op_type for node in ready.node for value in node.output}
    exact = [node.name for node in noted.node if node.name.startswith(EXACT)]
    other_sums = [
        node.name
        for node in ready.node
        if node.op_type == "Add" and {made_by.get(one) for one in node.input} - {"Conv", "Add"}
    ]
    return [*exact, *other_sums, *_of_the_picture(ready), *_of_the_answers(ready)]


def _of_the_picture(graph: Any) -> list[str]:
    channels = {entry.name: entry.dims[1] for entry in graph.initializer if len(entry.dims) == 4}
    return [
        node.name
        for node in graph.node
        if node.op_type == "Conv"
        and channels.get(node.input[1], PICTURE + 1) <= PICTURE
        and not any(entry.name == "group" and entry.i > 1 for entry in node.attribute)
    ]


def _of_the_answers(graph: Any) -> list[str]:
    """Return the names of small products from which an output comes without another one between."""
    maker = {value: node for node in graph.node for value in node.output}
    weights = {entry.name: math.prod(entry.dims) for entry in graph.initializer}
    waiting, seen, small = [entry.name for entry in graph.output], set[str](), []
    while waiting:
        value = waiting.pop()
        node = maker.get(value)
        if node is None or value in seen or node.op_type == "Conv":
            continue
        seen.add(value)
        if node.op_type not in PRODUCTS:
            waiting.extend(node.input)
        elif weights.get(node.input[1], 0) <= SMALL:
            small.append(node.name)
    return small


class _CalibrationReader:
    def __init__(self, pictures: Pixels) -> None:
        self._rest = iter(pictures)

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        """Return the next input, None at the end; the name is onnxruntime's."""
        return next(({"pictures": one[None]} for one in self._rest), None)
