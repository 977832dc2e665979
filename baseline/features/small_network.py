"""The small convolutional network of the preset `simple`, but for its classes, once it has learnt.

What learns is `SmallNet` of `baseline/train/networks.py`, which goes by the same figures.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from baseline.features.backbone import FeaturePart, PictureShape, Shapes
from baseline.features.graph_backbone import NORM, GraphBackbone
from baseline.settings import Simple

if TYPE_CHECKING:
    from baseline.features.graph_builder import GraphBuilder

GRID = 4
"""The last maps are averaged to a grid of about so many cells a side (4 to 7)."""
MEAN, DEVIATION = 0.5, 0.25
"""What it is given of values in 0..1."""


class LastMaps:
    """The last maps of a network with these settings: `side`, and cells of `kernel` x `kernel`."""

    def __init__(self, settings: Simple) -> None:
        self.side = settings.size // 2 ** len(settings.blocks)
        # A fixed kernel, for adaptive pooling cannot be exported to every format.
        self.kernel = max(1, self.side // GRID)
        self.values = settings.blocks[-1] * (self.side // self.kernel) ** 2


class SmallBackbone(GraphBackbone):
    """Blocks of convolutions, and the dense layer before the classes."""

    def __init__(self, settings: Simple) -> None:
        self.name, self.settings = "simple", settings
        self.parts = (FeaturePart(self.name, True, (settings.dense,)),)
        self.emphasis = np.ones(settings.dense)

    @property
    def shapes(self) -> Shapes:
        """The shapes of its weights by the names of the tensors."""
        settings, shapes = self.settings, dict[str, tuple[int, ...]]()
        for number, (before, after) in enumerate(pairwise((settings.channels, *settings.blocks))):
            shapes[f"features.{number}.0.weight"] = (after, before, 3, 3)
            shapes |= {f"features.{number}.2.{part}": (after,) for part in NORM}
        shapes["neck.1.weight"] = (settings.dense, LastMaps(settings).values)
        return shapes | {"neck.1.bias": (settings.dense,)}

    def add_to(self, graph: GraphBuilder, pictures: str, shape: PictureShape) -> str:
        """Add its operators; return the value of the dense layer."""
        graph.scope = self.name
        state = {name: graph.hold(self._state[name], name) for name in self.shapes}
        shifted = graph.add("Sub", pictures, np.array(MEAN, np.float32))
        maps = graph.add("Div", shifted, np.array(DEVIATION, np.float32))
        for number in range(len(self.settings.blocks)):
            weight = state[f"features.{number}.0.weight"]
            maps = graph.add("Conv", maps, weight, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            maps = graph.add("MaxPool", maps, kernel_shape=[2, 2], strides=[2, 2])
            norm = (state[f"features.{number}.2.{part}"] for part in NORM)
            maps = graph.add("Relu", graph.add("BatchNormalization", maps, *norm, epsilon=1e-5))
        cell = [LastMaps(self.settings).kernel] * 2
        maps = graph.add("AveragePool", maps, kernel_shape=cell, strides=cell)
        layer = state["neck.1.weight"], state["neck.1.bias"]
        return graph.add("Relu", graph.add("Gemm", graph.add("Flatten", maps), *layer, transB=1))
