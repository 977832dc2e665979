"""Charts of loss and accuracy by epoch, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator

from markupsafe import Markup

from baseline.evaluation.run_metrics import RunMetrics
from gleanset.html.charts import choose_step, tag

WIDTH, HEIGHT = 520, 260
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 36, 32
SPLITS = {"train": "train", "val": "validation"}
Points = list[tuple[int, float]]


def draw_epoch_curves(metrics: RunMetrics) -> Iterator[tuple[str, Markup]]:
    """Yield caption and chart of loss and of accuracy; nothing for a run without epochs."""
    for figure, caption in (
        ("loss", "Loss: lower is better"),
        ("accuracy", "Accuracy: higher is better"),
    ):
        curves: dict[str, Points] = {}
        for split in SPLITS:
            values = [(e.epoch, getattr(e, f"{split}_{figure}")) for e in metrics.epochs]
            points = [(x, y) for x, y in values if y is not None and math.isfinite(y)]
            if points:
                curves[split] = points
        if curves:
            yield caption, _draw(caption, curves, metrics.best_epoch, shares=figure == "accuracy")


def _draw(caption: str, curves: dict[str, Points], best_epoch: int, *, shares: bool) -> Markup:
    epochs = [epoch for points in curves.values() for epoch, _ in points]
    highest = 1.0 if shares else max(value for points in curves.values() for _, value in points)
    step = choose_step(highest)
    top = max(1, math.ceil(highest / step - 1e-9)) * step

    def at_x(epoch: int) -> float:
        span = max(epochs) - min(epochs)
        share = (epoch - min(epochs)) / span if span else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def at_y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [tag("title", caption)]
    for number in range(round(top / step) + 1):
        y, label = at_y(number * step), f"{number * step:.0%}" if shares else f"{number * step:.3g}"
        style = "grid" if number else "axis"
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_=style))
        parts.append(tag("text", label, x=LEFT - 8, y=y + 4, class_="tick end"))
    ticks = {str(epoch): at_x(epoch) for epoch in (min(epochs), max(epochs))}
    for label, x in (*ticks.items(), ("epoch", WIDTH / 2)):
        parts.append(tag("text", label, x=x, y=HEIGHT - 10, class_="tick middle"))
    if min(epochs) <= best_epoch <= max(epochs):
        x = at_x(best_epoch)
        words = tag("title", f"weights kept from epoch {best_epoch}")
        parts.append(tag("line", words, x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="best"))
    for number, (split, points) in enumerate(curves.items()):
        style, x = f"curve {split}", LEFT + number * 130
        path = " ".join(f"{at_x(epoch):.1f},{at_y(value):.1f}" for epoch, value in points)
        # The circle shows the last value, which is the only one of a training of one epoch.
        end = {"cx": at_x(points[-1][0]), "cy": at_y(points[-1][1])}
        parts.append(tag("polyline", points=path, class_=style))
        parts.append(tag("circle", **end, r=4, class_=f"dot {split}"))
        parts.append(tag("line", x1=x, x2=x + 26, y1=16, y2=16, class_=style))
        parts.append(tag("text", SPLITS[split], x=x + 34, y=20, class_="tick legend"))
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="chart")


def draw_interval_bar(share: float, low: float, high: float, base: float, words: str) -> Markup:
    """Draw a share (0..1), its interval and a mark at `base`."""

    def at(value: float) -> float:
        return 4 + value * 232

    return tag(
        "svg",
        tag("title", words),
        tag("line", x1=at(0), x2=at(1), y1=12, y2=12, class_="track"),
        tag("line", x1=at(low), x2=at(high), y1=12, y2=12, class_="range"),
        tag("line", x1=at(base), x2=at(base), y1=5, y2=19, class_="guess"),
        tag("circle", cx=at(share), cy=12, r=6, class_="share"),
        viewBox="0 0 240 24",
        role="img",
        class_="interval",
    )
