"""Export trained weights as ONNX: 16-bit weights, 32-bit arithmetic, plain operators, any size.

    python tools/drawn_faces/export.py --net DIR/net.pt [FILE.pt ...] --out FILE.onnx [--lower 0.1]

Exports the mean of the weights if there are several files, which must have the same start.
`--lower` is subtracted from the logit of the score, to calibrate the detector's threshold.
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import onnx
import torch
from network import Exported, FaceNet, Residual, Unit
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn


def fuse_batch_norms(net: FaceNet) -> FaceNet:
    """Return a copy with batch norms fused into the preceding convolutions."""
    net = copy.deepcopy(net).eval()
    for part in net.modules():
        pairs = (
            part
            if isinstance(part, Unit)
            else part.last
            if isinstance(part, Residual)
            else None
        )
        if pairs is not None and isinstance(pairs[1], nn.BatchNorm2d):
            pairs[0] = nn.utils.fuse_conv_bn_eval(pairs[0], pairs[1])
            pairs[1] = nn.Identity()
    return net


def store_half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store large weights as float16, each with a Cast to float32."""
    graph = model.graph
    casts = []
    for index, tensor in enumerate(list(graph.initializer)):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 64:
            continue
        name = tensor.name
        small = numpy_helper.from_array(values.astype(np.float16), f"{name}_16")
        graph.initializer[index].CopyFrom(small)
        casts.append(
            helper.make_node("Cast", [f"{name}_16"], [name], to=TensorProto.FLOAT)
        )
    for node in reversed(casts):
        graph.node.insert(0, node)
    return model


def write_onnx(
    net: nn.Module, image: Tensor, path: Path, axes: dict[str, dict[int, str]]
) -> None:
    """Write a network as ONNX with 16-bit weights, and check it.

    The first of `axes`, which vary in size, is the input; the others are outputs.
    """
    raw = path.with_suffix(".raw.onnx")
    names = list(axes)
    torch.onnx.export(
        net.eval(),
        (image,),
        raw,
        input_names=names[:1],
        output_names=names[1:],
        dynamic_axes=axes,
        opset_version=13,
        dynamo=False,
    )
    model = store_half_precision(onnx.load(raw))
    raw.unlink()
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main() -> None:
    """Export and check the model, and print its size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", type=Path, nargs="+", required=True)
    parser.add_argument("--lower", type=float, default=0.0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    net = FaceNet()
    states = [torch.load(file) for file in arguments.net]
    state = {
        name: torch.stack([weights[name] for weights in states]).float().mean(0)
        for name in states[0]
    }
    state["answer.bias"][0] -= arguments.lower
    # Trained from an exported model.
    if not any("running_mean" in name for name in state):
        net = fuse_batch_norms(net)
    net.load_state_dict(state)
    axes = {"picture": {2: "height", 3: "width"}, "faces": {2: "places"}}
    write_onnx(
        Exported(fuse_batch_norms(net)),
        torch.zeros(1, 3, 384, 640),
        arguments.out,
        axes,
    )
    print(arguments.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
