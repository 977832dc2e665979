"""The network as a drawing: what a picture passes through, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from baseline.report.read import LayerRow
from gleanset.html.charts import tag

MOST_BLOCKS = 18
BOX, HEIGHT, STEP = 270, 44, 62
WIDTH = 560
_MARGIN = 6


@dataclass(frozen=True, slots=True)
class Block:
    """Layers that belong together: `kinds` as words, the shape they give, their parameters."""

    name: str
    kinds: str
    shape: tuple[int, ...]
    parameters: int
    layers: int


def blocks_of(layers: Sequence[LayerRow]) -> list[Block]:
    """The layers gathered by the longest prefix of their names that leaves few blocks."""
    deepest = max((layer.name.count(".") + 1 for layer in layers), default=1)
    fitting = (d for d in range(deepest, 1, -1) if len(_parts(layers, d)) <= MOST_BLOCKS)
    depth = next(fitting, 1)
    return [_block(part, depth) for part in _parts(layers, depth)]


def _parts(layers: Sequence[LayerRow], depth: int) -> list[list[LayerRow]]:
    """Neighbours whose names begin alike."""
    return [list(part) for _, part in groupby(layers, lambda row: _prefix(row.name, depth))]


def _prefix(name: str, depth: int) -> str:
    return ".".join(name.split(".")[:depth])


def _block(part: Sequence[LayerRow], depth: int) -> Block:
    kinds = list(dict.fromkeys(row.kind for row in part))
    said = ", ".join(kinds[:2]) + (f" and {len(kinds) - 2} more" if len(kinds) > 2 else "")
    parameters = sum(row.parameters for row in part)
    return Block(_prefix(part[0].name, depth), said, tuple(part[-1].shape), parameters, len(part))


def diagram(layers: Sequence[LayerRow], picture: str) -> Markup | None:
    """The drawing, from the picture down to the classes; None where no layer is known."""
    blocks = blocks_of(layers)
    if not blocks:
        return None
    most = max((math.log1p(block.parameters) for block in blocks), default=1.0) or 1.0
    parts = [tag("title", "The network from the picture to the classes"), *_input(picture)]
    for place, block in enumerate(blocks, 1):
        parts += _drawn(block, _MARGIN + place * STEP, math.log1p(block.parameters) / most)
    height = _MARGIN * 2 + len(blocks) * STEP + HEIGHT
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {height}", role="img", class_="network")


def _input(picture: str) -> Iterable[Markup]:
    yield tag("rect", x=_MARGIN, y=_MARGIN, width=BOX, height=HEIGHT, rx=8, class_="layer input")
    yield tag("text", "picture", x=_MARGIN + 14, y=_MARGIN + 27, class_="name")
    yield tag("text", picture, x=BOX + 28, y=_MARGIN + 27, class_="shape")


def _drawn(block: Block, top: float, weight: float) -> Iterable[Markup]:
    """A box whose left edge is the thicker, the more parameters it has; words beside it."""
    middle = _MARGIN + BOX / 2
    yield tag("line", x1=middle, x2=middle, y1=top - STEP + HEIGHT, y2=top, class_="flow")
    words = f"{block.name}: {block.layers} layers, {block.parameters:,} parameters"
    yield tag(
        "rect",
        tag("title", words),
        x=_MARGIN,
        y=top,
        width=BOX,
        height=HEIGHT,
        rx=8,
        class_="layer",
    )
    yield tag(
        "rect",
        x=_MARGIN + 3,
        y=top + 6,
        width=2 + 6 * weight,
        height=HEIGHT - 12,
        rx=2,
        class_="weight",
    )
    yield tag("text", _cut(block.name, 28), x=_MARGIN + 18, y=top + 19, class_="name")
    yield tag("text", _cut(block.kinds, 36), x=_MARGIN + 18, y=top + 36, class_="kinds")
    yield tag("text", " × ".join(map(str, block.shape)), x=BOX + 28, y=top + 19, class_="shape")
    if block.parameters:
        yield tag(
            "text", f"{block.parameters:,} parameters", x=BOX + 28, y=top + 36, class_="kinds"
        )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
