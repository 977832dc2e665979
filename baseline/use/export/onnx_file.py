"""Writing a network as an ONNX file: float32, float16, or int8 calibrated on pictures.

Operators are of `OPSET`, or of that of an embedding inside, where it is newer; the number of
pictures is free.
"""

from __future__ import annotations

import math
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from baseline.data.pixels import Pixels
from baseline.features.colour_backbone import SCOPE as COLOURS
from baseline.features.onnx_backbone import PREPARING
from baseline.use.engines.run_engine import RunEngine
from baseline.use.export import quiet_converters
from baseline.use.export.card import KEY, Card
from baseline.use.export.run_graph import graph_of
from gleanset.errors import InputUnusable, MissingComponent
from gleanset.installation import install_command

EXACT = (COLOURS, PREPARING)
"""Scopes whose products int8 would spoil: the colour layout's small shares, and scaling."""
PRODUCTS = ["Gemm", "MatMul"]
QUANTISED = ["Conv", *PRODUCTS, "Clip", "Relu", "Add"]
SMALL = 2**17
"""Weights of a product that stays in float32 without the file growing by more than half a MB."""
PICTURE = 3
"""Channels of a picture."""
CALIBRATION = 100
"""Pictures that int8 ranges are measured on; more change little (see docs/use.md)."""


def need_onnx() -> None:
    """Raise `MissingComponent` where something is not installed that writing or checking needs."""
    if find_spec("onnx") is None:
        raise MissingComponent(
            "ONNX export needs onnx, which is not installed", install_command("onnx")
        )


class OnnxFiles:
    """Makes the files of one network. What takes longest, its graph in float32, is made once."""

    def __init__(self) -> None:
        self._exact: bytes | None = None

    def __call__(self, run: RunEngine, card: Card, calibration: Pixels) -> bytes:
        """Return the file without its card; `calibration` (N x size x size x 3) is for int8."""
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
    """Return the same model with its description and labels inside."""
    import onnx

    loaded = onnx.load_model_from_string(model)
    onnx.helper.set_model_props(loaded, {KEY: card.to_json(), "labels": "\n".join(card.classes)})
    loaded.producer_name = "gleanset"
    data: bytes = loaded.SerializeToString()
    return data


def _halved(path: Path) -> Path:
    """Convert weights and sums to half the bits; pictures and answers keep their types."""
    import onnx

    halves = import_module("onnxruntime.transformers.float16")
    with quiet_converters():
        model = halves.convert_float_to_float16(onnx.load(path), keep_io_types=True)
    _forget_repeated(model)
    target = path.with_name("float16.onnx")
    onnx.save(model, target)
    return target


def _forget_repeated(model: Any) -> None:
    """Leave one of several nodes that make the same value: the converter casts once a reader."""
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
    import onnx

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
    """Return the names of nodes that int8 would spoil, or make slower.

    `noted` is the graph as it was built, `ready` the one that is quantised, whose normalisations
    are part of its convolutions.
    """
    made_by = {value: node.op_type for node in ready.node for value in node.output}
    exact = [node.name for node in noted.node if node.name.startswith(EXACT)]
    other_sums = [
        node.name
        for node in ready.node
        if node.op_type == "Add" and {made_by.get(one) for one in node.input} - {"Conv", "Add"}
    ]
    return [*exact, *other_sums, *_of_the_picture(ready), *_of_the_answers(ready)]


def _of_the_picture(graph: Any) -> list[str]:
    """Return the names of the convolutions that take the channels of a picture, and all of them."""
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
    """Hands calibration pictures to onnxruntime, one at a time."""

    def __init__(self, pictures: Pixels) -> None:
        self._rest = iter(pictures)

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        """Return the next input, None at the end; the name is onnxruntime's."""
        return next(({"pictures": one[None]} for one in self._rest), None)
