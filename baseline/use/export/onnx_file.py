"""Exporting a run as an ONNX file in float32, or in int8 calibrated on images.

The graph has the preprocessing, the backbones, the head and the probabilities, with a dynamic batch
axis. Its opset is `OPSET`, or that of an embedding if it is newer.
"""

import logging
import math
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from baseline.evaluation.decision_rule import GALLERY_SCALE
from baseline.features.backbone import OPSET, Backbone, ImageShape
from baseline.features.graph_backbones import (
    COLOUR_SCOPE,
    PREPARING,
    GraphBackbone,
    float32_array,
    int64_array,
)
from baseline.features.graph_builder import GraphBuilder, Output, image_input
from baseline.train.membership import ClassMembership
from baseline.train.trained_net import GalleryHead, LinearLayer, TrainedNet
from baseline.use.engines import KEY, Card
from baseline.use.run_engine import LUMA, RunEngine
from gleanset.arrays import MIN_LENGTH, Float32Array, Pixels
from gleanset.errors import InputUnusable
from gleanset.installation import require_extra

if TYPE_CHECKING:
    from baseline.features.timm_backbone import TimmBackbone


INPUT_NAME = "images"
MEMBERSHIP = "membership"


@contextmanager
def _quiet_converters() -> Iterator[None]:
    """Suppress log messages up to warnings, and Python warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def build_graph(run: RunEngine) -> ModelProto:
    """Return the model from `INPUT_NAME` (uint8 N x size x size x 3) to the outputs of a run.

    Raises `InputUnusable` for an embedding whose opset cannot be converted, `MissingComponent`
    without the exporter for networks of timm.
    """
    net = run.net
    members = net.backbone.members
    opsets = [member.opset for member in members if isinstance(member, GraphBackbone)]
    graph = GraphBuilder(max([OPSET, *opsets]))
    images = _scale_images(graph, net.shape)
    features = [_add_features(graph, member, images, net.shape) for member in members]

    graph.scope = "head"
    embeddings = features[0]
    if len(features) > 1:
        embeddings = graph.add("Concat", *features, axis=1)
    if net.projection:
        embeddings = _add_linear(graph, embeddings, net.projection)
        embeddings = graph.add_unit_rows(embeddings, MIN_LENGTH)

    scores, similarity = _add_scores(graph, net, embeddings)
    scores = graph.add("Div", scores, float32_array(run.facts.rule.temperature))
    if run.offsets.any():
        scores = graph.add("Add", scores, run.offsets)
    probabilities = graph.add("Softmax", scores, axis=1)

    outputs = {
        "probabilities": Output(probabilities, (net.head.classes,)),
        "embedding": Output(embeddings, (net.width,)),
    }
    if similarity is not None:
        outputs["similarity"] = similarity
    if net.membership:
        graph.scope = MEMBERSHIP
        membership = add_membership(graph, net.membership, embeddings)
        outputs["membership"] = Output(membership, ())

    size = net.shape.size
    pixels = image_input(
        INPUT_NAME,
        TensorProto.UINT8,
        size,
        size,
        3,
    )
    return graph.model(pixels, outputs)


def _scale_images(graph: GraphBuilder, shape: ImageShape) -> str:
    """Add images in 0..1 with channels first: N x 1 or 3 x size x size."""
    graph.scope = "scaling"
    values = graph.add("Cast", INPUT_NAME, to=TensorProto.FLOAT)
    planes = graph.add("Transpose", values, perm=[0, 3, 1, 2])
    floats = graph.add("Div", planes, float32_array(255))
    if shape.channels == 3:
        return floats

    # Grayscale is a weighted sum of the channels.
    luma = graph.add("Mul", floats, float32_array(LUMA)[:, None, None])
    return graph.add("ReduceSum", luma, int64_array(1), keepdims=1)


def _add_features(
    graph: GraphBuilder, member: Backbone, images: str, shape: ImageShape
) -> str:
    if isinstance(member, GraphBackbone):
        return member.add_to_graph(graph, images, shape)
    from baseline.features.timm_backbone import TimmBackbone

    assert isinstance(member, TimmBackbone)
    graph.scope = member.name
    return graph.embed(_export_with_torch(member, shape, graph.opset), images)


def _export_with_torch(
    member: "TimmBackbone", shape: ImageShape, opset: int
) -> ModelProto:
    require_extra(
        f"exporting {member.name}",
        ("onnxscript",),
        "onnx",
    )
    import torch

    # Two images, because the exporter would make a batch axis of one static.
    example = torch.zeros(
        2,
        shape.channels,
        shape.size,
        shape.size,
    )
    count = torch.export.Dim("images", min=1)

    with _quiet_converters(), tempfile.TemporaryDirectory(prefix="gleanset-") as folder:
        path = Path(folder) / "network.onnx"
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


def _add_linear(graph: GraphBuilder, value: str, layer: LinearLayer) -> str:
    # As saved, in float32.
    weight, bias = layer.tensors("").values()
    return graph.add(
        "Gemm",
        value,
        weight,
        bias,
        transB=1,
    )


def _add_scores(
    graph: GraphBuilder, net: TrainedNet, embeddings: str
) -> tuple[str, Output | None]:
    """Add scores (N x classes), and for a gallery similarities (N x classes x K)."""
    head = net.head
    if not isinstance(head, GalleryHead):
        return _add_linear(graph, embeddings, head), None

    # Similarities to all images at once, then by class (0 keeps the batch axis).
    classes, images_per_class, width = head.vectors.shape
    vectors = head.vectors.reshape(classes * images_per_class, width)
    flat = graph.add("MatMul", embeddings, vectors.T)
    similarity = graph.add("Reshape", flat, int64_array(0, classes, images_per_class))

    # The most similar image of a class.
    best = graph.add("ReduceMax", similarity, int64_array(2), keepdims=0)
    scores = graph.add("Mul", best, float32_array(GALLERY_SCALE))
    return scores, Output(similarity, (classes, images_per_class))


def add_membership(
    graph: GraphBuilder, membership: ClassMembership, embeddings: str
) -> str:
    """Add the probability (N) that an embedding is of one of the classes.

    The operators are those of `ClassMembership`.
    """
    # Unit vectors, with directions within classes shrunk.
    axis = int64_array(1)
    differences = graph.add("Sub", embeddings, membership.mean)
    rows = graph.add("Mul", differences, membership.factors)
    along = graph.add("MatMul", rows, membership.directions.T)
    shrunk = graph.add("Mul", along, membership.shrinkage)
    change = graph.add("MatMul", shrunk, membership.directions)
    whole = graph.add_unit_rows(graph.add("Add", rows, change), MIN_LENGTH)

    # Squared distances to the centers and to the nearest of the background, of the identity block
    # too.
    blocks = [(whole, membership.centers, membership.background)]
    if membership.identity_centers.size:
        columns = membership.identity
        start = int64_array(columns.start)
        end = int64_array(columns.stop)
        block = graph.add(
            "Slice",
            rows,
            start,
            end,
            axis,
        )
        identity = graph.add_unit_rows(block, MIN_LENGTH)
        blocks.append(
            (identity, membership.identity_centers, membership.identity_background)
        )
    distances = [_add_distances(graph, units, centers) for units, centers, _ in blocks]
    distances += [
        graph.add(
            "ReduceMin", _add_distances(graph, units, background), axis, keepdims=1
        )
        for units, _, background in blocks
        if background.size  # none in the identity block of an older run
    ]

    # The class with the highest score decides.
    *weights, constant = membership.weights
    scores = graph.hold(float32_array([constant]))
    for distance, weight in zip(distances, weights, strict=True):
        term = graph.add("Mul", distance, float32_array([weight]))
        scores = graph.add("Add", term, scores)
    log_odds = graph.add("ReduceMax", scores, axis, keepdims=0)
    return graph.add("Sigmoid", log_odds)


def _add_distances(graph: GraphBuilder, units: str, centers: Float32Array) -> str:
    """Add the squared distances (N x C) of unit vectors to centers (C x D)."""
    # |u - c|^2 = 1 - 2 u c' + |c|^2 for a unit vector u.
    products = graph.add("MatMul", units, -2 * centers.T)
    return graph.add("Add", products, 1 + np.square(centers).sum(1))


EXACT = (COLOUR_SCOPE, PREPARING, MEMBERSHIP)
"""Scopes that stay in float32: int8 is too coarse for color layouts, scaling and distances."""
PRODUCT_OPERATIONS = ["Gemm", "MatMul"]
QUANTIZED_OPERATIONS = ["Conv", *PRODUCT_OPERATIONS, "Clip", "Relu", "Add"]
MAX_FLOAT32_WEIGHTS = 2**17
"""Maximum weights of a product that stays in float32, which adds at most half a MB."""
IMAGE_CHANNELS = 3
"""Channels of an image."""


def with_card(model: ModelProto, card: Card) -> bytes:
    """Return the file of a model, with its card and labels in the metadata."""
    onnx.helper.set_model_props(
        model, {KEY: card.to_json(), "labels": "\n".join(card.classes)}
    )
    model.producer_name = "gleanset"
    return bytes(model.SerializeToString())


def quantize(exact: ModelProto, calibration: Pixels) -> ModelProto:
    """Quantize convolutions and products to int8, per channel, with ranges of real images.

    Activations and residual sums between two of them are quantized too, to avoid conversions. These
    stay in float32: scaling, normalization, color layouts, softmax and similarities; convolutions
    of the image itself, which are faster so and whose rounding would affect all later layers; and
    outputs of products, because classes would tie in 256 steps of a logit. Small products that
    compute outputs also have float32 inputs, because features have no common range.

    `exact` is the model in float32, `calibration` N x size x size x 3. Raises `InputUnusable` if
    nothing is left to quantize.
    """
    tools = import_module("onnxruntime.quantization")
    shapes = import_module("onnxruntime.quantization.shape_inference")
    # onnxruntime reads the calibration by calls of `get_next`, until it returns None.
    inputs = ({INPUT_NAME: image[None]} for image in calibration)

    with (
        tempfile.TemporaryDirectory(prefix="gleanset-") as folder,
        _quiet_converters(),
    ):
        path = Path(folder) / "float32.onnx"
        ready = path.with_name("ready.onnx")
        target = path.with_name("int8.onnx")
        onnx.save(exact, path)
        shapes.quant_pre_process(
            str(path),
            str(ready),
            skip_symbolic_shape=True,
        )
        tools.quantize_static(
            str(ready),
            str(target),
            SimpleNamespace(get_next=lambda: next(inputs, None)),
            quant_format=tools.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            op_types_to_quantize=QUANTIZED_OPERATIONS,
            extra_options={"OpTypesToExcludeOutputQuantization": PRODUCT_OPERATIONS},
            nodes_to_exclude=_list_float32_nodes(exact.graph, onnx.load(ready).graph),
        )
        model = onnx.load(target)

    kinds = {node.op_type for node in model.graph.node}
    if "QuantizeLinear" not in kinds:
        raise InputUnusable(
            "this network has no layers that can be int8",
            "export with --precision fp32",
        )

    return model


def _list_float32_nodes(before: Any, ready: Any) -> list[str]:
    """Return the nodes that int8 would spoil, of the graph `before` and after (`ready`) folding."""
    exact = [node.name for node in before.node if node.name.startswith(EXACT)]
    return [
        *exact,
        *_list_other_sums(ready),
        *_list_image_convolutions(ready),
        *_list_small_output_products(ready),
    ]


def _list_other_sums(graph: Any) -> list[str]:
    """Return the names of sums of anything but convolutions and their sums."""
    # The operator that computes each value.
    kinds = {}
    for node in graph.node:
        for value in node.output:
            kinds[value] = node.op_type

    sums = [node for node in graph.node if node.op_type == "Add"]
    return [
        node.name
        for node in sums
        if {kinds.get(value) for value in node.input} - {"Conv", "Add"}
    ]


def _list_image_convolutions(graph: Any) -> list[str]:
    """Return the names of convolutions of the image itself."""
    # Input channels of each weight of a convolution.
    channels = {
        entry.name: entry.dims[1] for entry in graph.initializer if len(entry.dims) == 4
    }
    names = []
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        # Depthwise convolutions have weights of one channel, too.
        is_grouped = any(
            entry.name == "group" and entry.i > 1 for entry in node.attribute
        )
        if not is_grouped and channels.get(node.input[1], math.inf) <= IMAGE_CHANNELS:
            names.append(node.name)
    return names


def _list_small_output_products(graph: Any) -> list[str]:
    """Return the names of small products that no other product separates from an output."""
    node_of_value = {}
    for node in graph.node:
        for value in node.output:
            node_of_value[value] = node

    # From the outputs back to the first products.
    weights = {entry.name: math.prod(entry.dims) for entry in graph.initializer}
    pending = [entry.name for entry in graph.output]
    seen_values: set[str] = set()
    small = []
    while pending:
        value = pending.pop()
        node = node_of_value.get(value)
        if node is None or value in seen_values or node.op_type == "Conv":
            continue
        seen_values.add(value)
        if node.op_type not in PRODUCT_OPERATIONS:
            pending.extend(node.input)
        elif weights.get(node.input[1], 0) <= MAX_FLOAT32_WEIGHTS:
            small.append(node.name)

    return small
