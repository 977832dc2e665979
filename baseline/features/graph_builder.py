"""Builder for ONNX graphs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import onnx.compose
import onnx.version_converter
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from baseline.features.backbone import OPSET
from gleanset.arrays import Array
from gleanset.errors import InputUnusable

IR = 8
"""Version of the ONNX file format for `OPSET`."""


class Output(NamedTuple):
    """An output of a model, and its shape without the batch axis."""

    value: str
    sides: tuple[int, ...]


class GraphBuilder:
    """Collects operators and tensors; values are referred to by name.

    Operators are named `<scope>/<kind>_<number>`; exports recognize backbones by their scope.
    """

    def __init__(self, opset: int = OPSET):
        self.opset = opset
        self.scope = ""
        self._ir = IR
        self._domains = {"": opset}
        self._nodes: list[NodeProto] = []
        self._tensors: list[TensorProto] = []
        self._sparse: list[onnx.SparseTensorProto] = []

    def add(self, kind: str, *inputs: str | Array, **attributes: Any) -> str:
        """Add an operator with one output; return the name of the output."""
        name = f"{self.scope}/{kind}_{len(self._nodes)}"
        names = [
            value if isinstance(value, str) else self.hold(value) for value in inputs
        ]
        node = helper.make_node(
            kind,
            names,
            [name],
            name=name,
            **attributes,
        )
        self._nodes.append(node)
        return name

    def hold(self, numbers: Array, name: str = "") -> str:
        """Add a constant tensor; return its name."""
        name = name or f"number_{len(self._tensors)}"
        name = f"{self.scope}/{name}"
        tensor = numpy_helper.from_array(
            np.asarray(numbers, order="C"),
            name,
        )
        self._tensors.append(tensor)
        return name

    def add_unit_rows(self, rows: str, min_length: float) -> str:
        """Add the scaling of rows (... x D) to length 1; return its output."""
        length = self.add(
            "ReduceL2",
            rows,
            np.array([-1], np.int64),
            keepdims=1,
        )
        divisor = self.add(
            "Max",
            length,
            np.array(min_length, np.float32),
        )
        return self.add("Div", rows, divisor)

    def embed(
        self,
        model: ModelProto,
        value: str,
        weights: Mapping[str, Array] = MappingProxyType({}),
    ) -> str:
        """Add the graph of a model with `value` as first input; return its output.

        Its other inputs are `weights`. An older opset is converted; raises `InputUnusable` if that
        fails.
        """
        # Sorted, so that a file is always the same: the order of the weights may be that of a set.
        # `hold` puts the scope before a name, as `add_prefix` does for the inputs of the model, so
        # its result, the new name, is not needed.
        for name in sorted(weights):
            self.hold(weights[name], name)
        prefix = f"{self.scope}/"
        part = onnx.compose.add_prefix(
            _convert_opset(model, self.opset),
            prefix,
        )

        for number, node in enumerate(part.graph.node):
            # Quantization excludes nodes by name, but files often have unnamed nodes.
            node.name = node.name or f"{prefix}{number}"

        first = part.graph.input[0].name
        source = helper.make_node(
            "Identity",
            [value],
            [first],
            name=f"{first}/in",
        )
        self._nodes += [source, *part.graph.node]
        self._tensors += sorted(
            part.graph.initializer,
            key=lambda tensor: tensor.name,
        )
        self._sparse += part.graph.sparse_initializer

        for entry in part.opset_import:
            version = self._domains.get(entry.domain, 1)
            self._domains[entry.domain] = max(version, entry.version)
        self._ir = max(self._ir, part.ir_version)
        return str(part.graph.output[0].name)

    def model(
        self, inputs: ValueInfoProto, outputs: Mapping[str, Output]
    ) -> ModelProto:
        """Return the model with `outputs` (float32) by name."""
        nodes = list(self._nodes)
        infos = []
        for name, output in outputs.items():
            nodes.append(
                helper.make_node(
                    "Identity",
                    [output.value],
                    [name],
                )
            )
            sides: list[str | int | None] = ["n", *output.sides]
            infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sides))

        graph = helper.make_graph(
            nodes,
            "gleanset",
            [inputs],
            infos,
            self._tensors,
            sparse_initializer=self._sparse,
        )
        opsets = [helper.make_opsetid(*pair) for pair in self._domains.items()]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self._ir)


def model_opset(model: ModelProto) -> int:
    """Return the opset of the default ONNX domain that a model uses."""
    versions = [entry.version for entry in model.opset_import if not entry.domain]
    return max(versions, default=1)


def _convert_opset(model: ModelProto, opset: int) -> ModelProto:
    if model_opset(model) >= opset:
        return model
    try:
        return onnx.version_converter.convert_version(model, opset)
    except Exception as error:  # of onnx's C++ part
        raise InputUnusable(
            f"cannot convert the embedding from opset {model_opset(model)} to {opset}: {error}",
            "use a file with a newer opset from its publisher",
        ) from error


def image_input(name: str, kind: int, *sides: int) -> ValueInfoProto:
    """Return an input for images of a type of `TensorProto`, N x sides."""
    return helper.make_tensor_value_info(name, kind, ["n", *sides])
