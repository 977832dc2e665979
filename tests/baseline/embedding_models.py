"""Small ONNX embedding models like published ones, on the tests' hub."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from publisher import Hub

WIDTH = 12
SIDE = 16
CCIP = "deepghs/ccip_onnx"
NAME = f"hub:{CCIP}/ccip"


def publish(hub: Hub, folder: Path, **options: bool) -> Path:
    """Publish a small model on the hub as `NAME`; return its file."""
    hub.repository = CCIP
    path = embedding_model(folder / "model_feat.onnx", **options)
    hub.commit(ccip_model_feat=path.read_bytes())
    return path


def embedding_model(
    path: Path, *, layout: str = "nchw", value: float = 0.3, deeper: bool = False
) -> Path:
    """Write a network with outputs `tags` (Nx4), `features` (Nx`WIDTH`).

    It convolves the image; with `deeper` a second convolution follows.
    """
    random = np.random.default_rng(3)
    weights = random.normal(0, value, (WIDTH, 3, 3, 3)).astype(np.float32)
    head = random.normal(0, 0.5, (WIDTH, 4)).astype(np.float32)
    mix = random.normal(0, WIDTH**-0.5, (WIDTH, WIDTH, 1, 1)).astype(np.float32)
    constants = {"weights": weights, "head": head} | ({"mix": mix} if deeper else {})
    turned = layout == "nhwc"
    nodes = [
        helper.make_node("Transpose", ["picture"], ["planes"], perm=[0, 3, 1, 2])
        if turned
        else helper.make_node("Identity", ["picture"], ["planes"]),
        helper.make_node("Conv", ["planes", "weights"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["seen"]),
        helper.make_node("Conv", ["seen", "mix"], ["mixed"])
        if deeper
        else helper.make_node("Identity", ["seen"], ["mixed"]),
        helper.make_node("GlobalAveragePool", ["mixed"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "head"], ["tags"]),
    ]
    shape = ["n", SIDE, SIDE, 3] if turned else ["n", 3, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "embedding",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("tags", TensorProto.FLOAT, None),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, None),
        ],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    imports = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def run_onnx(path: Path, pictures: np.ndarray) -> np.ndarray:
    """Compute features with onnxruntime for images in the file's own layout."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    return session.run(["features"], {"picture": pictures})[0]
