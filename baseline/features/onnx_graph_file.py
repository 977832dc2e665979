"""An ONNX file from outside, read as a graph that can be run and built into others.

It is taken for hostile: nothing but operators that onnxruntime has itself, no data in other files,
one picture as input. What is not needed for the wanted output is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import onnx
import onnx.inliner
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from baseline.features.onnx_spec import refused

KNOWN = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
"""Operators that onnxruntime has without further libraries."""
INPUT, OUTPUT = "gleanset_pictures", "gleanset_embedding"
_KINDS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8}


def read_graph(data: bytes, name: str) -> ModelProto:
    """Return the model in `data`, its functions inlined. Raises `InputUnusable`."""
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf has a kind of its own for each way to fail
        raise refused(name, f"it is no ONNX file ({error})") from error
    if not model.graph.node:
        raise refused(name, "it is no ONNX file: there is no operator in it")
    tensors = (one for part in (model, *model.functions) for one in _tensors(part))
    if any(one.data_location == TensorProto.EXTERNAL or one.external_data for one in tensors):
        raise refused(name, "its numbers lie in other files, which are not read")
    if model.functions:
        try:
            model = onnx.inliner.inline_local_functions(model)
        except Exception as error:  # of onnx's C++ part
            raise refused(name, f"its functions cannot be read ({error})") from error
    strange = {node.domain for node in _nodes(model.graph)} - KNOWN
    if strange:
        raise refused(
            name,
            f"it needs operators of {', '.join(sorted(strange))}, which onnxruntime does not have; "
            "libraries are not loaded",
        )
    return model


def picture_input(model: ModelProto, name: str) -> tuple[str, bool, tuple[int | None, ...]]:
    """Return the input's name, whether it takes whole numbers, and its four sides.

    A side that is free is None. Raises `InputUnusable` where it takes anything but one batch of
    pictures.
    """
    held = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in held]
    if len(inputs) != 1:
        raise refused(name, f"it has {len(inputs)} inputs: {', '.join(i.name for i in inputs)}")
    kind = inputs[0].type.tensor_type
    sides = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    if len(sides) != 4 or kind.elem_type not in _KINDS:
        shown = " x ".join(str(side or "any") for side in sides) or "of no known shape"
        raise refused(name, f"its input '{inputs[0].name}' is {shown}, and no batch of pictures")
    return inputs[0].name, kind.elem_type == TensorProto.UINT8, sides


def outputs_of(model: ModelProto) -> list[str]:
    """Return the names of the outputs."""
    return [one.name for one in model.graph.output]


def value_named(model: ModelProto, wanted: str, name: str) -> str:
    """Return the value that is called so, or made by a node called so. Raises `InputUnusable`."""
    made = {value for node in model.graph.node for value in node.output if value}
    if wanted in made:
        return wanted
    for node in model.graph.node:
        if node.name == wanted and node.output:
            return str(node.output[0])
    near = ", ".join([*outputs_of(model), *list(made)[-3:]][:6])
    raise refused(name, f"nothing in it is called '{wanted}', but for instance {near}")


def prepared(
    model: ModelProto, picture: str, sides: tuple[int | None, ...], output: str, flat: bool
) -> ModelProto:
    """Return the graph from float32 pictures (`INPUT`, any number) to one float32 `OUTPUT`.

    What leads to no output is left out; the sides are those of the input, the first one free.
    With `flat` all that belongs to a picture is one row.
    """
    graph = model.graph
    kind = next(
        value_info for value_info in graph.input if value_info.name == picture
    ).type.tensor_type.elem_type
    head: list[NodeProto] = []
    before = INPUT
    if kind == TensorProto.UINT8:
        head.append(helper.make_node("Round", [INPUT], ["gleanset_rounded"]))
        before = "gleanset_rounded"
    head.append(helper.make_node("Cast", [before], [picture], to=kind))
    tail = [helper.make_node("Flatten", [output], ["gleanset_flat"])] if flat else []
    told = "gleanset_flat" if flat else output
    tail.append(helper.make_node("Cast", [told], [OUTPUT], to=TensorProto.FLOAT))
    nodes = _leading_to(output, graph.node)
    used = {value for node in (*nodes, *tail) for value in _read_by(node)}
    shape = ["pictures", *(side or free for side, free in zip(sides[1:], "abc", strict=True))]
    made = helper.make_graph(
        [*head, *nodes, *tail],
        "embedding",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None)],
        [value_info for value_info in graph.initializer if value_info.name in used],
        sparse_initializer=[o for o in graph.sparse_initializer if o.values.name in used],
    )
    return helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)


def numbers_in(model: ModelProto) -> int:
    """Return how many numbers a graph holds."""
    return sum(math.prod(one.dims) for one in model.graph.initializer)


def _leading_to(output: str, nodes: Iterable[NodeProto]) -> list[NodeProto]:
    """Return the nodes that `output` depends on, in their order."""
    wanted, kept = {output}, []
    for node in reversed(list(nodes)):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(_read_by(node))
    return kept[::-1]


def _read_by(node: NodeProto) -> Iterator[str]:
    """Yield the values a node reads, those that its branches take from outside among them."""
    yield from node.input
    for graph in _branches(node):
        for inner in graph.node:
            yield from _read_by(inner)
        yield from (one.name for one in graph.output)


def _branches(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for inner in _branches(node):
            yield from _nodes(inner)


def _tensors(message: Any) -> Iterator[TensorProto]:
    """Yield every tensor within a message, wherever it stands."""
    for _, value in message.ListFields():
        several = hasattr(value, "__len__") and not isinstance(value, str | bytes)
        for part in value if several else [value]:
            if isinstance(part, TensorProto):
                yield part
            elif hasattr(part, "ListFields"):
                yield from _tensors(part)
