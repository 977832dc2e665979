"""An ONNX graph in the making, and how it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import onnx.compose
import onnx.version_converter
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from baseline.features.backbone import OPSET, Array, PictureShape
from gleanset.errors import InputUnusable

IR = 8
"""The version of the file format that goes with it."""


class Output(NamedTuple):
    """A value that a model gives, and its sides but for the number of pictures."""

    value: str
    sides: tuple[int, ...]


class GraphBuilder:
    """Operators and the numbers that they hold, in their order; values go by their names.

    Operators are named `<scope>/<kind>_<number>`: an export tells by the scope whose they are.
    """

    def __init__(self, opset: int = OPSET) -> None:
        self.opset, self.scope = opset, ""
        self._ir, self._domains = IR, {"": opset}
        self._nodes: list[NodeProto] = []
        self._tensors: list[TensorProto] = []
        self._sparse: list[onnx.SparseTensorProto] = []

    def add(self, kind: str, *inputs: str | Array, **attributes: Any) -> str:
        """Add an operator with one output; return the name of what it gives."""
        name = f"{self.scope}/{kind}_{len(self._nodes)}"
        names = [one if isinstance(one, str) else self.hold(one) for one in inputs]
        self._nodes.append(helper.make_node(kind, names, [name], name=name, **attributes))
        return name

    def hold(self, numbers: Array, name: str = "") -> str:
        """Keep numbers in the graph; return the name they go by."""
        name = f"{self.scope}/{name or f'number_{len(self._tensors)}'}"
        self._tensors.append(numpy_helper.from_array(np.asarray(numbers, order="C"), name))
        return name

    def embed(
        self, model: ModelProto, value: str, weights: Mapping[str, Array] = MappingProxyType({})
    ) -> str:
        """Add the whole graph of a model, whose first input is `value`; return its output.

        Its other inputs are `weights`. Of an older opset it is converted. Raises `InputUnusable`
        where that cannot be.
        """
        for name, numbers in weights.items():
            self.hold(numbers, name)
        prefix = f"{self.scope}/"
        part = onnx.compose.add_prefix(_converted(model, self.opset), prefix)
        for number, node in enumerate(part.graph.node):
            # Files often name no node, and quantising tells by names which are left alone.
            node.name = node.name or f"{prefix}{number}"
        first, last = part.graph.input[0].name, part.graph.output[0].name
        self._nodes.append(helper.make_node("Identity", [value], [first], name=f"{first}/in"))
        self._nodes.extend(part.graph.node)
        self._tensors.extend(part.graph.initializer)
        self._sparse.extend(part.graph.sparse_initializer)
        for entry in part.opset_import:
            self._domains[entry.domain] = max(self._domains.get(entry.domain, 1), entry.version)
        self._ir = max(self._ir, part.ir_version)
        return str(last)

    def model(self, inputs: ValueInfoProto, outputs: Mapping[str, Output]) -> ModelProto:
        """Return the model that gives `outputs` (float32), by their names."""
        tail, infos = [], []
        for name, output in outputs.items():
            tail.append(helper.make_node("Identity", [output.value], [name]))
            sides: list[str | int | None] = ["n", *output.sides]
            infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sides))
        graph = helper.make_graph(
            [*self._nodes, *tail],
            "gleanset",
            [inputs],
            infos,
            self._tensors,
            sparse_initializer=self._sparse,
        )
        opsets = [helper.make_opsetid(*pair) for pair in self._domains.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self._ir)


def opset_of(model: ModelProto) -> int:
    """Return the version of ONNX's own operators that a model uses."""
    return max((one.version for one in model.opset_import if not one.domain), default=1)


def _converted(model: ModelProto, opset: int) -> ModelProto:
    if opset_of(model) >= opset:
        return model
    try:
        return onnx.version_converter.convert_version(model, opset)
    except Exception as error:  # of onnx's C++ part
        raise InputUnusable(
            f"the embedding's operators of opset {opset_of(model)} cannot be brought to opset "
            f"{opset}: {error}",
            "take a file of a newer opset from its publisher",
        ) from error


def float_pictures(name: str, shape: PictureShape) -> ValueInfoProto:
    """Return the input of any number of pictures: float32 N x channels x size x size."""
    sides: Sequence[int | str] = ["n", shape.channels, shape.size, shape.size]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)


def byte_pictures(name: str, size: int) -> ValueInfoProto:
    """Return the input of any number of pictures: uint8 N x size x size x 3."""
    return helper.make_tensor_value_info(name, TensorProto.UINT8, ["n", size, size, 3])
