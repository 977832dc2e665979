"""Generate the ONNX graphs of `baseline/features/graphs/`: color layout and EfficientNet-Lite0.

    python tools/backbone_graphs.py --out baseline/features/graphs

`colours.onnx` implements `curation/similarity/color_layout.py`, for images averaged to SIDE x SIDE
pixels. `efficientnet_lite0.onnx` contains no weights: they are inputs of the graph, with timm's
names. (Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
2019; TensorFlow's lite variant of 2020 has ReLU6 and no squeeze-and-excitation.)
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, helper

from baseline.features.backbone import MIN_VARIANCE
from baseline.features.graph_backbones import INPUT_NAME, NORM, int64_array
from baseline.features.graph_builder import GraphBuilder, Output, image_input
from curation.similarity import color_layout
from gleanset.arrays import Array

LAB_ROWS = ((0, 1, 0), (1, -1, 0), (0, 1, -1))
LAB_FACTORS = (116, 500, 200)
"""Rows that turn cube-rooted XYZ into lightness (plus 16), a* and b*, and their factors."""


def build_color_graph() -> ModelProto:
    """Build the color layout model; input: (N, 3, SIDE, SIDE) in 0..1."""
    graph = GraphBuilder()
    lab = _add_lab(graph, graph.add("Reshape", INPUT_NAME, int64_array(0, 3, -1)))
    common = graph.add("ReduceMean", lab, int64_array(2), keepdims=1)
    usual = _floats((color_layout.USUAL_LIGHTNESS, 0, 0))[:, None]
    tint = graph.add(
        "Mul", graph.add("Sub", common, usual), _floats(color_layout.SUBTRACTED_SHARE)
    )
    even = graph.add("Sub", lab, tint)
    tone = _add_soft_bins(graph, even, 0, color_layout.LIGHTNESS, color_layout.TONES)
    red, yellow = (
        _add_soft_bins(graph, even, n, color_layout.TINT, color_layout.TINTS)
        for n in (1, 2)
    )
    colours = _add_products(graph, tone, _add_products(graph, red, yellow))
    shares = graph.add("MatMul", color_layout.compute_cell_weights(), colours)
    roots = graph.add("Sqrt", graph.add("Add", shares, _floats(color_layout.FLOOR)))
    layouts = graph.add(
        "Flatten", graph.add("Sub", roots, _floats(color_layout.FLOOR**0.5)), axis=1
    )
    images = image_input(
        INPUT_NAME, TensorProto.FLOAT, 3, color_layout.SIDE, color_layout.SIDE
    )
    return graph.model(images, {"features": Output(layouts, (color_layout.WIDTH,))})


def _floats(numbers: object) -> Array:
    return np.array(numbers, np.float32)


def _add_lab(graph: GraphBuilder, rgb: str) -> str:
    """Add the conversion of sRGB to CIE Lab, (N, 3, pixels)."""
    shifted = graph.add("Div", graph.add("Add", rgb, _floats(0.055)), _floats(1.055))
    bent = graph.add("Pow", graph.add("Relu", shifted), _floats(2.4))
    dark = graph.add("LessOrEqual", rgb, _floats(0.04045))
    linear = graph.add("Where", dark, graph.add("Div", rgb, _floats(12.92)), bent)
    to_xyz = _floats(color_layout.TO_XYZ) / _floats(color_layout.WHITE)[:, None]
    xyz = graph.add("MatMul", to_xyz, linear)
    root = graph.add(
        "Pow", graph.add("Max", xyz, _floats(color_layout.CUBE)), _floats(1 / 3)
    )
    scaled = graph.add("Mul", xyz, _floats(color_layout.LINEAR))
    line = graph.add("Add", scaled, _floats(color_layout.OFFSET))
    light = graph.add("Greater", xyz, _floats(color_layout.CUBE))
    differences = graph.add(
        "MatMul", _floats(LAB_ROWS), graph.add("Where", light, root, line)
    )
    scaled = graph.add("Mul", differences, _floats(LAB_FACTORS)[:, None])
    return graph.add("Sub", scaled, _floats((16, 0, 0))[:, None])


def _add_soft_bins(
    graph: GraphBuilder, lab: str, axis: int, ends: tuple[float, float], count: int
) -> str:
    """Add soft assignments to `count` bins: (N, pixels, count)."""
    values = graph.add("Gather", lab, int64_array(axis)[0], axis=1)
    low, high = ends
    shifted = graph.add("Sub", values, _floats(low))
    scaled = graph.add("Mul", shifted, _floats((count - 1) / (high - low)))
    at = graph.add("Clip", scaled, _floats(0), _floats(count - 1))
    differences = graph.add(
        "Sub", graph.add("Unsqueeze", at, int64_array(-1)), _floats(range(count))
    )
    return graph.add(
        "Relu", graph.add("Sub", _floats(1), graph.add("Abs", differences))
    )


def _add_products(graph: GraphBuilder, first: str, second: str) -> str:
    """Add the products of all pairs: (N, pixels, a * b)."""
    column = graph.add("Unsqueeze", first, int64_array(3))
    row = graph.add("Unsqueeze", second, int64_array(2))
    return graph.add("Reshape", graph.add("Mul", column, row), int64_array(0, 0, -1))


STEM_CHANNELS = 32
TOP_CHANNELS = 1280
"""Output channels of the first convolution, and of the last one before the pooled features."""
MEAN = 0.5
DEVIATION = 0.5
"""Normalization of pixel values (0..1) used in training."""
EPSILON = 1e-3
"""Epsilon of batch norms, as in TensorFlow."""
SPATIAL_AXES = int64_array(2, 3)
RELU6_BOUNDS = np.array(0, np.float32), np.array(6, np.float32)


class Stage(NamedTuple):
    """Sequence of blocks: the first has `stride`; channels are expanded `expand` times inside."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
TAPPED_STAGES = (0, 1, 2, 4, 6)
"""Stages whose feature maps are used: the last of each resolution."""


class Convolution(NamedTuple):
    """Convolution with batch norm, by the names of their tensors."""

    name: str
    norm: str
    before: int
    after: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    active: bool = True


FIRST = Convolution("conv_stem", "bn1", 3, STEM_CHANNELS, 3, 2)
LAST = Convolution("conv_head", "bn2", STAGES[-1].channels, TOP_CHANNELS)


def _iter_blocks() -> Iterator[tuple[int, bool, list[Convolution]]]:
    """Yield stage, residual connection (bool) and layers of each block."""
    before = STEM_CHANNELS
    for number, (blocks, kernel, stride, expand, channels) in enumerate(STAGES):
        for index in range(blocks):
            place = f"blocks.{number}.{index}"
            step = stride if index == 0 else 1
            width = before * expand
            last = "conv_pw" if expand == 1 else "conv_pwl"
            layers = [
                Convolution("conv_dw", "", width, width, kernel, step, groups=width),
                Convolution(last, "", width, channels, active=False),
            ]
            if expand > 1:
                layers.insert(0, Convolution("conv_pw", "", before, width))
            named_layers = [
                layer._replace(name=f"{place}.{layer.name}", norm=f"{place}.bn{order}")
                for order, layer in enumerate(layers, start=1)
            ]
            yield number, step == 1 and before == channels, named_layers
            before = channels


def build_lite_graph() -> ModelProto:
    """Build EfficientNet-Lite0 without classifier, for images in 0..1.

    Output: mean and standard deviation of each tapped stage's maps, then the pooled last maps.
    """
    graph = GraphBuilder()
    shapes: dict[str, tuple[int, ...]] = {}
    maps = graph.add(
        "Div",
        graph.add("Sub", INPUT_NAME, _per_channel([MEAN] * 3)),
        _per_channel(DEVIATION),
    )
    maps = _add_convolution(graph, maps, FIRST, shapes)
    described: list[str] = []
    rows = list(_iter_blocks())
    for place, (stage, returns, layers) in enumerate(rows):
        before = maps
        for layer in layers:
            maps = _add_convolution(graph, maps, layer, shapes)
        maps = graph.add("Add", maps, before) if returns else maps
        ends = place + 1 == len(rows) or rows[place + 1][0] != stage
        if ends and stage in TAPPED_STAGES:
            described += _add_mean_and_deviation(graph, maps)
    maps = _add_convolution(graph, maps, LAST, shapes)
    described.append(graph.add("ReduceMean", maps, SPATIAL_AXES, keepdims=0))
    features = graph.add("Concat", *described, axis=1)
    width = sum(2 * STAGES[number].channels for number in TAPPED_STAGES) + TOP_CHANNELS
    sides = ["n", "channels", "height", "width"]
    images = helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, sides)
    model = graph.model(images, {"features": Output(features, (width,))})
    model.graph.input.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    return model


def _per_channel(value: float | list[float]) -> Array:
    return np.array(value, np.float32).reshape(-1, 1, 1)


def _add_convolution(
    graph: GraphBuilder,
    maps: str,
    layer: Convolution,
    shapes: dict[str, tuple[int, ...]],
) -> str:
    """Add convolution, batch norm and activation; record the weights' shapes."""
    weight, *norm = f"{layer.name}.weight", *(f"{layer.norm}.{part}" for part in NORM)
    shapes[weight] = (
        layer.after,
        layer.before // layer.groups,
        layer.kernel,
        layer.kernel,
    )
    shapes |= dict.fromkeys(norm, (layer.after,))
    # TensorFlow pads uneven sides at the end.
    sides = {"strides": [layer.stride] * 2, "kernel_shape": [layer.kernel] * 2}
    maps = graph.add(
        "Conv", maps, weight, group=layer.groups, auto_pad="SAME_UPPER", **sides
    )
    maps = graph.add("BatchNormalization", maps, *norm, epsilon=EPSILON)
    return graph.add("Clip", maps, *RELU6_BOUNDS) if layer.active else maps


def _add_mean_and_deviation(graph: GraphBuilder, maps: str) -> tuple[str, str]:
    mean = graph.add("ReduceMean", maps, SPATIAL_AXES, keepdims=0)
    squares = graph.add(
        "ReduceMean", graph.add("Mul", maps, maps), SPATIAL_AXES, keepdims=0
    )
    variance = graph.add("Sub", squares, graph.add("Mul", mean, mean))
    stable = graph.add(
        "Add", graph.add("Relu", variance), np.array(MIN_VARIANCE, np.float32)
    )
    return mean, graph.add("Sqrt", stable)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder to write to"
    )
    folder = parser.parse_args().out
    folder.mkdir(exist_ok=True)
    for name, model in (
        ("colours", build_color_graph()),
        ("efficientnet_lite0", build_lite_graph()),
    ):
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
