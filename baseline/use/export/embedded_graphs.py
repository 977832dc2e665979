"""Putting the graphs of embeddings into an exported network, where operators stand for them."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx.compose
import onnx.version_converter
from onnx import ModelProto, NodeProto, helper

from baseline.features.onnx_backbone import OPERATOR
from gleanset.errors import InputUnusable

DOMAIN, NAME = OPERATOR.split("::")


def opset_of(model: ModelProto) -> int:
    """Return the version of ONNX's own operators that a model uses."""
    return max((one.version for one in model.opset_import if not one.domain), default=1)


def with_graphs(model: ModelProto, graphs: Mapping[str, ModelProto]) -> ModelProto:
    """Return `model` with each operator `OPERATOR` replaced by the graph of its `sha256`.

    Graphs of an older opset are converted to that of the model, which must not be older than any.
    Raises `InputUnusable` where that cannot be.
    """
    made = ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:], made.opset_import[:]
    imports = {
        entry.domain: entry.version for entry in model.opset_import if entry.domain != DOMAIN
    }
    for number, node in enumerate(model.graph.node):
        if (node.domain, node.op_type) != (DOMAIN, NAME):
            made.graph.node.append(node)
            continue
        part = _fitted(graphs[_digest(node)], f"embedding{number}/", imports[""])
        made.graph.node.extend(_in_place_of(node, part))
        made.graph.initializer.extend(part.graph.initializer)
        made.graph.sparse_initializer.extend(part.graph.sparse_initializer)
        for entry in part.opset_import:
            imports[entry.domain] = max(imports.get(entry.domain, 1), entry.version)
        made.ir_version = max(made.ir_version, part.ir_version)
    made.opset_import.extend(helper.make_opsetid(*pair) for pair in imports.items())
    return made


def _digest(node: NodeProto) -> str:
    return next(str(one.s, "ascii") for one in node.attribute if one.name == "sha256")


def _in_place_of(node: NodeProto, part: ModelProto) -> list[NodeProto]:
    """Return the nodes of `part` between the input and the output of `node`."""
    first, last = part.graph.input[0].name, part.graph.output[0].name
    return [
        helper.make_node("Identity", [node.input[0]], [first], name=f"{first}/in"),
        *part.graph.node,
        helper.make_node("Identity", [last], [node.output[0]], name=f"{last}/out"),
    ]


def _fitted(graph: ModelProto, prefix: str, opset: int) -> ModelProto:
    """Return a graph in `opset` whose names all begin with `prefix`; every node has one.

    Files often name no node, and quantising tells by names which nodes are left alone.
    """
    if opset_of(graph) < opset:
        try:
            graph = onnx.version_converter.convert_version(graph, opset)
        except Exception as error:  # of onnx's C++ part
            raise InputUnusable(
                f"the embedding's operators of opset {opset_of(graph)} cannot be brought to opset "
                f"{opset}: {error}",
                "take a file of a newer opset from its publisher",
            ) from error
    graph = onnx.compose.add_prefix(graph, prefix)
    for number, node in enumerate(graph.graph.node):
        node.name = node.name or f"{prefix}{number}"
    return graph
