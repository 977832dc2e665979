"""Small ONNX files as publishers of embeddings make them: a convolution and what pools it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 12
SIDE = 16


def embedding_model(
    path: Path,
    *,
    layout: str = "nchw",
    side: int | None = SIDE,
    kind: int = TensorProto.FLOAT,
    opset: int = 13,
    extra: list[onnx.NodeProto] | None = None,
    value: float = 0.3,
    batch: int | str = "n",
    deeper: bool = False,
) -> Path:
    """Write a network with outputs `tags` (N x 4) and then `features` (N x `WIDTH`).

    It has a convolution of the picture, `deeper` another one of its maps. The pooled maps are
    called `pooled`, made by the node `pool`; they are N x `WIDTH` x 1 x 1.
    """
    random = np.random.default_rng(3)
    number = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    weights = random.normal(0, value, (WIDTH, 3, 3, 3)).astype(number)
    head = random.normal(0, 0.5, (WIDTH, 4)).astype(number)
    mix = random.normal(0, WIDTH**-0.5, (WIDTH, WIDTH, 1, 1)).astype(number)
    constants = {"weights": weights, "head": head} | ({"mix": mix} if deeper else {})
    turned = layout == "nhwc"
    inner = TensorProto.FLOAT if kind == TensorProto.UINT8 else kind
    shape = [batch, side or "h", side or "w", 3] if turned else [batch, 3, side or "h", side or "w"]
    nodes = [
        helper.make_node("Cast", ["picture"], ["cast"], to=inner),
        helper.make_node("Transpose", ["cast"], ["planes"], perm=[0, 3, 1, 2])
        if turned
        else helper.make_node("Identity", ["cast"], ["planes"]),
        helper.make_node("Conv", ["planes", "weights"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["seen"]),
        helper.make_node("Conv", ["seen", "mix"], ["mixed"])
        if deeper
        else helper.make_node("Identity", ["seen"], ["mixed"]),
        helper.make_node("GlobalAveragePool", ["mixed"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "head"], ["tags"]),
        *(extra or []),
    ]
    graph = helper.make_graph(
        nodes,
        "embedding",
        [helper.make_tensor_value_info("picture", kind, shape)],
        [
            helper.make_tensor_value_info("tags", inner, None),
            helper.make_tensor_value_info("features", inner, None),
        ],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    domains = {node.domain for node in nodes if node.domain}
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def computed(path: Path, pictures: np.ndarray, output: str = "features") -> np.ndarray:
    """Return what onnxruntime itself makes of pictures in the file's own layout."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run([output], {"picture": pictures})[0]
    return found
