"""EfficientNet-Lite0 as an ONNX graph without weights: they are filled in from elsewhere.

(Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019; the
lite form has no squeezing and takes ReLU6, as TensorFlow published it in 2020.) Tensors go by
the names that timm has for them, so that runs hold the same whoever computes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from baseline.features.backbone import LAST, TINY, Array, FeaturePart, PictureShape, Shapes, State
from baseline.features.graph_backbone import NORM, GraphBackbone, integers

if TYPE_CHECKING:
    from baseline.features.graph_builder import GraphBuilder

NAME = "efficientnet_lite0"
BODY = "body."
"""What the names of its tensors begin with in a run."""
STEM, TOP = 32, 1280
"""Channels of the first maps and of the features."""
MEAN, DEVIATION = 0.5, 0.5
"""What the network was trained with, of values in 0..1."""
EPSILON = 1e-3
"""Of batch norms, as TensorFlow has it."""


SIDES = integers(2, 3)
SIX = np.array(0, np.float32), np.array(6, np.float32)
"""Bounds of ReLU6."""


class Stage(NamedTuple):
    """Blocks in a row: the first goes down by `stride`; maps are widened `expand` times within."""

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
TAPPED = (0, 1, 2, 4, 6)
"""Stages after which maps are described: the last ones of each size."""


class LiteBackbone(GraphBackbone):
    """EfficientNet-Lite0 without its classes.

    Features are those before its classes, and the mean and spread of each earlier stage's maps:
    what is near to the pixels (colours, textures) tells characters apart, and the last layers have
    forgotten it (docs/experiments.md has the figures).
    """

    def __init__(self) -> None:
        self.name = NAME
        widths = _layer_widths()
        self.parts = (FeaturePart(NAME, True, widths),)
        self.emphasis = np.repeat((1.0, LAST), (sum(widths[:-1]), widths[-1]))

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and normalisation."""
        return (NAME, [MEAN] * 3, [DEVIATION] * 3)

    @property
    def shapes(self) -> Shapes:
        """The shapes of its weights by the names of the tensors, in their order."""
        return tensor_shapes()

    def add_to(self, graph: GraphBuilder, pictures: str, shape: PictureShape) -> str:
        """Add its operators; return the value of the features."""
        graph.scope = NAME
        return _add_network(graph, pictures, self._state)


def random_state(seed: int) -> State:
    """Return weights to learn from nothing with, as timm draws them (He et al., 2015)."""
    random, state = np.random.default_rng(seed), dict[str, Array]()
    for name, shape in tensor_shapes().items():
        if len(shape) == 4:
            receives = shape[0] * shape[2] * shape[3] / (shape[0] if shape[1] == 1 else 1)
            state[name] = random.normal(0, (2 / receives) ** 0.5, shape).astype(np.float32)
        else:
            usual = np.ones if name.endswith(("weight", "running_var")) else np.zeros
            state[name] = usual(shape, np.float32)
    return state


class Convolution(NamedTuple):
    """A convolution and the batch norm after it, by the names of their tensors."""

    name: str
    norm: str
    before: int
    after: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    active: bool = True


def _blocks() -> Iterator[tuple[int, bool, list[Convolution]]]:
    """Yield each block: its stage, whether its input is added to what it gives, and its layers."""
    before = STEM
    for number, (blocks, kernel, stride, expand, channels) in enumerate(STAGES):
        for index in range(blocks):
            place, step = f"blocks.{number}.{index}", stride if index == 0 else 1
            wide = before * expand
            last = "conv_pw" if expand == 1 else "conv_pwl"
            layers = [
                Convolution("conv_dw", "", wide, wide, kernel, step, groups=wide),
                Convolution(last, "", wide, channels, active=False),
            ]
            if expand > 1:
                layers.insert(0, Convolution("conv_pw", "", before, wide))
            named = [
                layer._replace(name=f"{place}.{layer.name}", norm=f"{place}.bn{order}")
                for order, layer in enumerate(layers, start=1)
            ]
            yield number, step == 1 and before == channels, named
            before = channels


_STEM = Convolution("conv_stem", "bn1", 3, STEM, 3, 2)
_HEAD = Convolution("conv_head", "bn2", STAGES[-1].channels, TOP)


def tensor_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors by their names, in the order in which they are stored."""
    layers = [_STEM, *(layer for _, _, block in _blocks() for layer in block), _HEAD]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        sides = layer.kernel, layer.kernel
        shapes[f"{BODY}{layer.name}.weight"] = (layer.after, layer.before // layer.groups, *sides)
        shapes |= {f"{BODY}{layer.norm}.{part}": (layer.after,) for part in NORM}
    return shapes


def _layer_widths() -> tuple[int, ...]:
    """Return how many features come of each described stage, and of the end."""
    return (*(2 * STAGES[number].channels for number in TAPPED), TOP)


def _add_network(graph: GraphBuilder, pictures: str, state: State) -> str:
    """Add the network, of pictures N x 1 or 3 x height x width in 0..1; return its features.

    They are the mean and spread of each described stage's maps, and what comes before the classes.
    """
    maps = graph.add("Div", graph.add("Sub", pictures, _number([MEAN] * 3)), _number(DEVIATION))
    maps = _convolved(graph, maps, _STEM, state)
    described: list[str] = []
    rows = list(_blocks())
    for place, (stage, returns, layers) in enumerate(rows):
        before = maps
        for layer in layers:
            maps = _convolved(graph, maps, layer, state)
        maps = graph.add("Add", maps, before) if returns else maps
        ends = place + 1 == len(rows) or rows[place + 1][0] != stage
        if ends and stage in TAPPED:
            described += _mean_and_spread(graph, maps)
    last = _convolved(graph, maps, _HEAD, state)
    described.append(graph.add("ReduceMean", last, SIDES, keepdims=0))
    return graph.add("Concat", *described, axis=1)


def _number(value: float | list[float]) -> Array:
    return np.array(value, np.float32).reshape(-1, 1, 1)


def _convolved(graph: GraphBuilder, maps: str, layer: Convolution, state: State) -> str:
    names = [f"{layer.name}.weight", *(f"{layer.norm}.{part}" for part in NORM)]
    weight, *norm = (graph.hold(state[f"{BODY}{name}"], name) for name in names)
    # As TensorFlow pads: where a side does not come out even, at its end.
    sides = {"strides": [layer.stride] * 2, "kernel_shape": [layer.kernel] * 2}
    maps = graph.add("Conv", maps, weight, group=layer.groups, auto_pad="SAME_UPPER", **sides)
    maps = graph.add("BatchNormalization", maps, *norm, epsilon=EPSILON)
    return graph.add("Clip", maps, *SIX) if layer.active else maps


def _mean_and_spread(graph: GraphBuilder, maps: str) -> tuple[str, str]:
    """Add what describes each channel over the picture: N x C, N x C."""
    mean = graph.add("ReduceMean", maps, SIDES, keepdims=0)
    squares = graph.add("ReduceMean", graph.add("Mul", maps, maps), SIDES, keepdims=0)
    variance = graph.add("Sub", squares, graph.add("Mul", mean, mean))
    kept = graph.add("Add", graph.add("Relu", variance), np.array(TINY, np.float32))
    return mean, graph.add("Sqrt", kept)
