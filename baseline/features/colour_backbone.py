"""The colour layout of drawn faces as a backbone: it has no weights.

It gives the numbers of `curation/likeness/colour_layout.py`, where they are explained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baseline.features.backbone import Array, FeaturePart, NetworkLayer, PictureShape
from baseline.features.backbone_names import COLOURS
from baseline.features.graph_backbone import GraphBackbone, area_averaged, integers
from curation.likeness import colour_layout as formula

if TYPE_CHECKING:
    from baseline.features.graph_builder import GraphBuilder

SCOPE = "colour_layout"
DIFFERENCES, SCALES = ((0, 1, 0), (1, -1, 0), (0, 1, -1)), (116, 500, 200)
"""Lightness (less 16), a* and b* of bent XYZ: what is taken of it, by rows, and how many times."""


class ColourBackbone(GraphBackbone):
    """Makes colour layouts."""

    def __init__(self) -> None:
        self.name = COLOURS
        self.parts = (FeaturePart(COLOURS, False, (formula.WIDTH,)),)
        self.emphasis = np.ones(formula.WIDTH)

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and version of the formula."""
        return (COLOURS, formula.VERSION)

    def network_layers(self, shape: PictureShape) -> list[NetworkLayer]:
        """Return one, which has learnt nothing."""
        return [NetworkLayer(COLOURS, "ColourLayout", (formula.WIDTH,), 0, 0)]

    def add_to(self, graph: GraphBuilder, pictures: str, shape: PictureShape) -> str:
        """Add its operators; return the value of the layouts."""
        graph.scope = SCOPE
        coloured = area_averaged(graph, pictures, formula.area_weights(shape.size))
        lab = _lab(graph, graph.add("Reshape", coloured, integers(0, 3, -1)))
        common = graph.add("ReduceMean", lab, integers(2), keepdims=1)
        usual = _floats((formula.USUAL_LIGHTNESS, 0, 0))[:, None]
        tint = graph.add("Mul", graph.add("Sub", common, usual), _floats(formula.EVENED))
        even = graph.add("Sub", lab, tint)
        tone = _soft_bins(graph, even, 0, formula.LIGHTNESS, formula.TONES)
        red, yellow = (_soft_bins(graph, even, n, formula.TINT, formula.TINTS) for n in (1, 2))
        colours = _products(graph, tone, _products(graph, red, yellow))
        shares = graph.add("MatMul", formula.cell_weights(), colours)
        roots = graph.add("Sqrt", graph.add("Add", shares, _floats(formula.FLOOR)))
        return graph.add("Flatten", graph.add("Sub", roots, _floats(formula.FLOOR**0.5)), axis=1)


def _floats(numbers: object) -> Array:
    return np.array(numbers, np.float32)


def _lab(graph: GraphBuilder, rgb: str) -> str:
    """Add CIE Lab of sRGB in 0..1: both N x 3 x pixels."""
    shifted = graph.add("Div", graph.add("Add", rgb, _floats(0.055)), _floats(1.055))
    bent = graph.add("Pow", graph.add("Relu", shifted), _floats(2.4))
    dark = graph.add("LessOrEqual", rgb, _floats(0.04045))
    linear = graph.add("Where", dark, graph.add("Div", rgb, _floats(12.92)), bent)
    to_xyz = _floats(formula.TO_XYZ) / _floats(formula.WHITE)[:, None]
    xyz = graph.add("MatMul", to_xyz, linear)
    root = graph.add("Pow", graph.add("Max", xyz, _floats(formula.CUBE)), _floats(1 / 3))
    scaled = graph.add("Mul", xyz, _floats(formula.LINEAR))
    line = graph.add("Add", scaled, _floats(formula.OFFSET))
    light = graph.add("Greater", xyz, _floats(formula.CUBE))
    apart = graph.add("MatMul", _floats(DIFFERENCES), graph.add("Where", light, root, line))
    scaled = graph.add("Mul", apart, _floats(SCALES)[:, None])
    return graph.add("Sub", scaled, _floats((16, 0, 0))[:, None])


def _soft_bins(
    graph: GraphBuilder, lab: str, axis: int, ends: tuple[float, float], count: int
) -> str:
    """Add how much each value of an axis counts for `count` centres: N x pixels x count."""
    values = graph.add("Gather", lab, integers(axis)[0], axis=1)
    low, high = ends
    shifted = graph.add("Sub", values, _floats(low))
    scaled = graph.add("Mul", shifted, _floats((count - 1) / (high - low)))
    at = graph.add("Clip", scaled, _floats(0), _floats(count - 1))
    apart = graph.add("Sub", graph.add("Unsqueeze", at, integers(-1)), _floats(range(count)))
    return graph.add("Relu", graph.add("Sub", _floats(1), graph.add("Abs", apart)))


def _products(graph: GraphBuilder, first: str, second: str) -> str:
    """Add the products of all pairs: N x pixels x (a times b)."""
    one, other = (
        graph.add("Unsqueeze", value, integers(axis)) for value, axis in ((first, 3), (second, 2))
    )
    return graph.add("Reshape", graph.add("Mul", one, other), integers(0, 0, -1))
