"""An exported model, made without training, that distinguishes red, green and blue images."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper

from baseline.evaluation.decision_rule import DecisionRule, FeatureScale
from baseline.use.engines import KEY, ModelFacts, make_card
from gleanset.db.faces import CropMethod

CLASSES = ("blue", "green", "red")
SIZE = 16


def write_model(
    path: Path,
    classes: tuple[str, ...] = CLASSES,
    crops: tuple[CropMethod, ...] = (),
    unfamiliar_below: float | None = None,
    run_sha256: str = "",
) -> Path:
    """Write a model whose class scores are channel means.

    Green images are out-of-distribution for it.
    """
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values", "places"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "reverse"], ["embedding"]),
        helper.make_node("Mul", ["embedding", "scale"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    constants = {
        "places": np.array([1, 2], np.int64),
        # Channels come as red, green, blue; the classes are in alphabetical order.
        "reverse": np.eye(3, dtype=np.float32)[::-1].copy(),
        "scale": np.array(0.05, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "colours",
        [
            helper.make_tensor_value_info(
                "images", TensorProto.UINT8, ["n", SIZE, SIZE, 3]
            )
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3])
            for name in ("probabilities", "embedding")
        ],
        [
            onnx.numpy_helper.from_array(value, name)
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    )
    rule = DecisionRule(1.0, unfamiliar_below=unfamiliar_below)
    scale = FeatureScale((128.0, 0.0, 128.0), (127.0, 5.0, 127.0))
    feature_scale = scale if unfamiliar_below is not None else None
    facts = ModelFacts(
        path.stem, SIZE, classes, rule, crops=crops or None, scale=feature_scale
    )
    result = model.metadata_props.add()
    card = msgspec.structs.replace(make_card(facts, "fp32"), run_sha256=run_sha256)
    result.key = KEY
    result.value = card.to_json()
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path
