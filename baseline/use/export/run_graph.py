"""The graph of a run: what is done to pictures, its backbones, its head, its probabilities."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from baseline.features.backbone import OPSET, Backbone, PictureShape
from baseline.features.graph_backbone import GraphBackbone
from baseline.features.graph_builder import GraphBuilder, Output, byte_pictures
from baseline.judge.familiarity import GALLERY_SCALE
from baseline.train.trained_net import GalleryHead, LinearLayer, TrainedNet
from baseline.use.engines.run_engine import LUMA, RunEngine
from baseline.use.export import quiet_converters
from gleanset.errors import MissingComponent
from gleanset.installation import install_command

if TYPE_CHECKING:
    from baseline.features.timm_backbone import TimmBackbone

PICTURES = "pictures"


def graph_of(run: RunEngine) -> ModelProto:
    """Return the model of `PICTURES` (uint8 N x size x size x 3) that answers as the run does.

    Raises `InputUnusable` for an embedding that cannot be brought to the operators of the rest,
    `MissingComponent` without what writes a network of timm.
    """
    net = run.net
    graphs = [one for one in net.backbone.members if isinstance(one, GraphBackbone)]
    graph = GraphBuilder(max([OPSET, *(one.opset for one in graphs)]))
    pictures = _scaled(graph, net.shape)
    each = [_features(graph, one, pictures, net.shape) for one in net.backbone.members]
    graph.scope = "head"
    embedded = each[0] if len(each) == 1 else graph.add("Concat", *each, axis=1)
    if net.projection:
        embedded = _of_length_one(graph, _linear(graph, embedded, net.projection))
    scores, likeness = _scores(graph, net, embedded)
    outputs = {"probabilities": Output(_probabilities(graph, run, scores), (net.head.classes,))}
    outputs["embedding"] = Output(embedded, (net.width,))
    outputs |= {"likeness": likeness} if likeness else {}
    return graph.model(byte_pictures(PICTURES, net.shape.size), outputs)


def _scaled(graph: GraphBuilder, shape: PictureShape) -> str:
    """Add what makes values in 0..1 of pictures, N x channels x size x size."""
    graph.scope = "scaling"
    values = graph.add("Cast", PICTURES, to=TensorProto.FLOAT)
    first = graph.add("Transpose", values, perm=[0, 3, 1, 2])
    scaled = graph.add("Div", first, np.array(255, np.float32))
    if shape.channels == 3:
        return scaled
    weighed = graph.add("Mul", scaled, np.array(LUMA, np.float32)[:, None, None])
    return graph.add("ReduceSum", weighed, np.array([1], np.int64), keepdims=1)


def _features(graph: GraphBuilder, member: Backbone, pictures: str, shape: PictureShape) -> str:
    if isinstance(member, GraphBackbone):
        return member.add_to(graph, pictures, shape)
    from baseline.features.timm_backbone import TimmBackbone

    assert isinstance(member, TimmBackbone)
    graph.scope = member.name
    return graph.embed(_written_by_torch(member, shape, graph.opset), pictures)


def _written_by_torch(member: TimmBackbone, shape: PictureShape, opset: int) -> ModelProto:
    """Return the graph of a network of timm, float32 pictures to features."""
    if find_spec("onnxscript") is None:
        raise MissingComponent(
            f"to export the network {member.name} onnxscript is needed, which is not installed",
            install_command("onnx"),
        )
    import torch

    # Two pictures, for an example of one would fix their number.
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


def _of_length_one(graph: GraphBuilder, value: str) -> str:
    length = graph.add("ReduceL2", value, np.array([1], np.int64), keepdims=1)
    return graph.add("Div", value, graph.add("Max", length, np.array(1e-12, np.float32)))


def _scores(graph: GraphBuilder, net: TrainedNet, embedded: str) -> tuple[str, Output | None]:
    """Add scores N x classes, and where there is a gallery likenesses N x classes x K."""
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
