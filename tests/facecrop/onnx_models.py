"""Small networks with the inputs and outputs of YOLO models that detect red.

A cell's score is its redness; its box is a square of four times the cell's size. So a correct
box shows that letterboxing and decoding are right.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
SIDE = 4


def red_model(
    path: Path,
    layout: str = "v8",
    size: int = 320,
    *,
    classes: int = 1,
    names: dict[int, str] | None = None,
    half: bool = False,
    brightness: float = 4.0,
    open_size: bool = False,
) -> Path:
    """Write such a network; `layout` is v8, v5 or end. Red is the last class."""
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    maker = _Maker(np.float16 if half else np.float32)
    strides = (32,) if layout == "end" else STRIDES
    rows = maker.rows(strides, size, brightness)
    answer = {"v8": maker.v8, "v5": maker.v5, "end": maker.end}[layout](rows, classes)
    sides: list[int | str] = ["height", "width"] if open_size else [size, size]
    graph = helper.make_graph(
        maker.nodes,
        "red",
        [helper.make_tensor_value_info("images", kind, [1, 3, *sides])],
        [helper.make_tensor_value_info(answer, kind, None)],
        maker.constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    if names is not None:
        helper.set_model_props(model, {"names": repr(names)})
    onnx.save(model, path)
    return path


def other_model(path: Path, shape: list[int], *, value: float = 0.5) -> Path:
    """Write a network with a constant output of that shape."""
    answer = numpy_helper.from_array(np.full(shape, value, np.float32), "constant")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", ["constant", "nothing"], ["answer"]),
        ],
        "other",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
        [answer, numpy_helper.from_array(np.float32(0), "zero")],
    )
    onnx.save(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
        ),
        path,
    )
    return path


class _Maker:
    """Collects nodes and constants; each method returns the name of its output."""

    def __init__(self, number: type) -> None:
        self.number = number
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: object, number: type | None = None) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(values, number or self.number)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def rows(
        self, strides: tuple[int, ...], size: int, brightness: float
    ) -> tuple[str, np.ndarray]:
        """Return the scores (1 x 1 x cells) and boxes (cells x 4) of all cells."""
        weights = np.array([brightness, -brightness, 0]).reshape(1, 3, 1, 1)
        red = self.node("Conv", "images", self.constant(weights))
        red = self.node("Clip", red, self.constant(0.0), self.constant(1.0))
        scores = []
        boxes = []
        shape = self.constant([1, 1, -1], np.int64)
        for stride in strides:
            pooled = self.node(
                "AveragePool", red, kernel_shape=[stride] * 2, strides=[stride] * 2
            )
            scores.append(self.node("Reshape", pooled, shape))
            y, x = (
                np.mgrid[0 : size // stride, 0 : size // stride].reshape(2, -1) * stride
            )
            side = np.full(len(x), SIDE * stride)
            boxes.append(np.stack([x + stride / 2, y + stride / 2, side, side], axis=1))
        return self.node("Concat", *scores, axis=2), np.concatenate(boxes)

    def v8(self, rows: tuple[str, np.ndarray], classes: int) -> str:
        score, boxes = rows
        others = self.constant(np.zeros((1, classes - 1, len(boxes))))
        class_scores = [others] if classes > 1 else []
        return self.node(
            "Concat", self.constant(boxes.T[None]), *class_scores, score, axis=1
        )

    def v5(self, rows: tuple[str, np.ndarray], classes: int) -> str:
        score, boxes = rows
        upright = self.node("Transpose", score, perm=[0, 2, 1])
        ones = np.zeros((1, len(boxes), classes))
        ones[..., -1] = 1
        candidates = self.node(
            "Concat", self.constant(boxes[None]), upright, self.constant(ones), axis=2
        )
        return self.node("Concat", candidates, candidates, candidates, axis=1)

    def end(self, rows: tuple[str, np.ndarray], classes: int) -> str:
        score, boxes = rows
        upright = self.node("Transpose", score, perm=[0, 2, 1])
        half = boxes[:, 2:] / 2
        corners = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
        kinds = self.constant(np.full((1, len(boxes), 1), classes - 1))
        return self.node("Concat", self.constant(corners[None]), upright, kinds, axis=2)
