"""The drawings of a report: confusion matrix, charts on the unit square, and the network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from baseline.judge.calibration import ConfidenceBin
from baseline.judge.report.run_files import LayerRow
from gleanset.html.charts import tag
from gleanset.html.words import percent

PAIRS = 10
"""Pairs of classes that are listed as confused most."""

SIDE = 320
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 28, 42
_STEPS = 5

Points = Sequence[tuple[float, float]]

MOST_BLOCKS = 18
BOX, HEIGHT, STEP = 270, 44, 62
WIDTH = 560
_MARGIN = 6


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """One cell. `shade` is its share of the true class, 0 to 1."""

    count: int
    shade: float
    right: bool
    words: str


@dataclass(frozen=True, slots=True)
class ConfusionRow:
    """What the pictures of one true class were taken for; `number` counts from 1."""

    number: int
    name: str
    cells: list[ConfusionCell]
    total: int


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """`count` of `total` pictures of class `true` were taken for `answered`."""

    true: str
    answered: str
    count: int
    total: int


def confusion_rows(
    confusion: Sequence[Sequence[int]], classes: Sequence[str]
) -> list[ConfusionRow]:
    """Return one row for each true class."""
    return [_row(i, counts, classes) for i, counts in enumerate(confusion)]


def _row(true: int, counts: Sequence[int], classes: Sequence[str]) -> ConfusionRow:
    total = sum(counts)
    cells = [
        ConfusionCell(
            n,
            n / total if total else 0.0,
            true == j,
            f"{classes[true]} taken for {classes[j]}: {n}",
        )
        for j, n in enumerate(counts)
    ]
    return ConfusionRow(true + 1, classes[true], cells, total)


def confused_pairs(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], most: int = PAIRS
) -> list[ConfusedPair]:
    """Return mistakes made more than once, commonest first: a large matrix hides them."""
    found = [
        ConfusedPair(classes[i], classes[j], n, sum(counts))
        for i, counts in enumerate(confusion)
        for j, n in enumerate(counts)
        if i != j and n > 1
    ]
    return sorted(found, key=lambda pair: (-pair.count, pair.true, pair.answered))[:most]


def x_at(value: float) -> float:
    """Return the horizontal place of 0..1."""
    return LEFT + value * (SIDE - LEFT - RIGHT)


def y_at(value: float, top: float = 1.0) -> float:
    """Return the vertical place of 0..`top`."""
    return SIDE - BOTTOM - min(value / top, 1.0) * (SIDE - TOP - BOTTOM)


def reliability(bins: Sequence[ConfidenceBin], words: str) -> Markup:
    """Draw bars of the share right by confidence, against the diagonal where both agree."""
    full = max((one.count for one in bins), default=0)
    bars = (bar for one in bins if one.count for bar in _bar(one, full))
    diagonal = tag("line", x1=x_at(0), x2=x_at(1), y1=y_at(0), y2=y_at(1), class_="best")
    return _square(words, "confidence", "share right", 1.0, [*bars, diagonal])


def _bar(one: ConfidenceBin, full: int) -> Iterable[Markup]:
    """Draw a bar; its width says how many answers it stands for."""
    words = (
        f"confidence {percent(one.low)} to {percent(one.high)}: {one.count} answers, "
        f"{percent(one.accuracy)} right, {percent(one.confidence)} sure"
    )
    room = x_at(one.high) - x_at(one.low) - 2
    width = room * (0.25 + 0.75 * (one.count / full) ** 0.5)
    middle = (x_at(one.low) + x_at(one.high)) / 2
    height = max(y_at(0) - y_at(one.accuracy), 1.5)
    yield tag(
        "rect",
        tag("title", words),
        x=middle - width / 2,
        y=y_at(0) - height,
        width=width,
        height=height,
        rx=2,
        class_="reliable",
    )


def roc(points: Points, words: str) -> Markup:
    """Draw the true positive rate by the false positive rate."""
    chance = tag("line", x1=x_at(0), x2=x_at(1), y1=y_at(0), y2=y_at(1), class_="best")
    return _square(words, "false alarms", "found", 1.0, [chance, _line(points, 1.0)])


def risk(points: Points, words: str, chosen: tuple[float, float] | None = None) -> Markup:
    """Draw wrong answers by the share of pictures that are answered at all."""
    highest = max((wrong for _, wrong in points), default=0.0)
    top = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if highest <= step)
    marks = [_line(points, top)]
    if chosen is not None:
        marks.append(
            tag("circle", cx=x_at(chosen[0]), cy=y_at(chosen[1], top), r=5, class_="dot val")
        )
    return _square(words, "answered", "wrong", top, marks)


def _line(points: Points, top: float) -> Markup:
    path = " ".join(f"{x_at(x):.1f},{y_at(y, top):.1f}" for x, y in points)
    return tag("polyline", points=path, class_="curve val")


def _square(words: str, x: str, y: str, top: float, inside: Iterable[Markup]) -> Markup:
    parts = [tag("title", words), *_axes(top), *inside, *_names(x, y)]
    return tag("svg", *parts, viewBox=f"0 0 {SIDE} {SIDE}", role="img", class_="chart square")


def _axes(top: float) -> Iterable[Markup]:
    for number in range(_STEPS + 1):
        share = number / _STEPS
        at, style = y_at(share), "grid" if number else "axis"
        yield tag("line", x1=LEFT, x2=SIDE - RIGHT, y1=at, y2=at, class_=style)
        yield tag("text", _percent(share * top), x=LEFT - 6, y=at + 4, class_="tick end")
        yield tag(
            "text", _percent(share), x=x_at(share), y=SIDE - BOTTOM + 16, class_="tick middle"
        )


def _names(x: str, y: str) -> Iterable[Markup]:
    yield tag("text", x, x=SIDE - RIGHT, y=SIDE - 6, class_="tick end legend")
    yield tag("text", y, x=4, y=14, class_="tick legend")


def _percent(share: float) -> str:
    return f"{share * 100:.4g}"


@dataclass(frozen=True, slots=True)
class LayerBlock:
    """Layers that belong together: `kinds` as words, the shape they give, their parameters."""

    name: str
    kinds: str
    shape: tuple[int, ...]
    parameters: int
    layers: int


def blocks_of(layers: Sequence[LayerRow]) -> list[LayerBlock]:
    """Return the layers gathered by the longest prefix of their names that leaves few blocks."""
    deepest = max((layer.name.count(".") + 1 for layer in layers), default=1)
    fitting = (d for d in range(deepest, 1, -1) if len(_parts(layers, d)) <= MOST_BLOCKS)
    depth = next(fitting, 1)
    return [_block(part, depth) for part in _parts(layers, depth)]


def _parts(layers: Sequence[LayerRow], depth: int) -> list[list[LayerRow]]:
    """Return neighbours whose names begin alike."""
    return [list(part) for _, part in groupby(layers, lambda row: _prefix(row.name, depth))]


def _prefix(name: str, depth: int) -> str:
    return ".".join(name.split(".")[:depth])


def _block(part: Sequence[LayerRow], depth: int) -> LayerBlock:
    kinds = list(dict.fromkeys(row.kind for row in part))
    said = ", ".join(kinds[:2]) + (f" and {len(kinds) - 2} more" if len(kinds) > 2 else "")
    parameters = sum(row.parameters for row in part)
    return LayerBlock(
        _prefix(part[0].name, depth), said, tuple(part[-1].shape), parameters, len(part)
    )


def diagram(layers: Sequence[LayerRow], picture: str) -> Markup | None:
    """Draw the network from the picture to the classes; None where no layer is known."""
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


def _drawn(block: LayerBlock, top: float, weight: float) -> Iterable[Markup]:
    """Draw a box whose left edge is the thicker, the more parameters it has; words beside it."""
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
