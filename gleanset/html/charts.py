"""Charts as inline SVG: an element builder that escapes all text, and two kinds of charts.

Colors and fonts come from the page's style sheet by class name, so that one drawing works in
light and dark mode and in print. Lines differ in dashes as well as in color.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 16, 44, 40
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """A curve of points (x, y); `style` is its class in the style sheet."""

    name: str
    style: str
    points: Sequence[tuple[float, float | None]]

    def finite(self) -> list[tuple[float, float]]:
        """Return the points with finite y values."""
        return [(x, y) for x, y in self.points if y is not None and math.isfinite(y)]


def tag(name: str, *inside: str | Markup, **attributes: object) -> Markup:
    """Return an escaped element; attribute `class_` is class, `_` a hyphen."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _plain(value))
        for key, value in attributes.items()
    )
    body = Markup("").join(escape(part) for part in inside)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, body)


def _plain(value: object) -> object:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value


def choose_step(span: float, parts: int = _TICKS) -> float:
    """Return a round step that divides `span` into about `parts`."""
    raw = max(span, 1e-9) / parts
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)


@dataclass(frozen=True, slots=True)
class Axes:
    """Mapping of data to SVG coordinates: x from `first` to `last`, y from 0 to `top`."""

    first: float
    last: float
    top: float

    def x(self, value: float) -> float:
        """Return the x coordinate of a value, centered without a range."""
        span = self.last - self.first
        share = (value - self.first) / span if span else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return the y coordinate of a value."""
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)


def draw_curves(
    title: str, lines: Sequence[Line], *, kept: int | None = None, as_percent: bool = False
) -> Markup | None:
    """Draw curves over epochs and mark the epoch `kept`; None without points."""
    drawn = [line for line in lines if line.finite()]
    if not drawn:
        return None
    axes = _axes(drawn, as_percent)
    parts = [
        tag("title", title),
        tag("desc", _described(drawn, kept, as_percent)),
        *_grid(axes, as_percent),
        *_epochs(axes),
        *(_draw_best_epoch(axes, drawn, kept) if kept is not None else ()),
        *(_curve(axes, line) for line in drawn),
        *_legend(drawn),
    ]
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", class_="chart")


def _axes(lines: Sequence[Line], as_percent: bool) -> Axes:
    xs = [x for line in lines for x, _ in line.finite()]
    if as_percent:
        return Axes(min(xs), max(xs), 1.0)
    highest = max(y for line in lines for _, y in line.finite())
    step = choose_step(highest)
    return Axes(min(xs), max(xs), max(step, math.ceil(highest / step - 1e-9) * step))


def _described(lines: Sequence[Line], kept: int | None, as_percent: bool) -> str:
    descriptions = [
        f"{line.name}: from {_label(line.finite()[0][1], as_percent)} "
        f"to {_label(line.finite()[-1][1], as_percent)}"
        for line in lines
    ]
    return "; ".join(descriptions) + (
        f"; weights kept from epoch {kept}" if kept is not None else ""
    )


def _label(value: float, as_percent: bool) -> str:
    return f"{value * 100:.0f} %" if as_percent else f"{value:.3g}"


def _grid(axes: Axes, as_percent: bool) -> Iterable[Markup]:
    step = 0.2 if as_percent else choose_step(axes.top)
    for number in range(round(axes.top / step) + 1):
        value, y = number * step, axes.y(number * step)
        style = "grid" if number else "axis"
        yield tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_=style)
        yield tag("text", _label(value, as_percent), x=LEFT - 8, y=y + 4, class_="tick end")


def _epochs(axes: Axes) -> Iterable[Markup]:
    step = max(1, round(choose_step(axes.last - axes.first, 8)))
    at = {round(axes.first), *range(step, round(axes.last) + 1, step)}
    for epoch in sorted(epoch for epoch in at if epoch >= axes.first):
        x, y = axes.x(epoch), HEIGHT - BOTTOM + 16
        yield tag("text", str(epoch), x=x, y=y, class_="tick middle")
    yield tag("text", "epoch", x=WIDTH - RIGHT, y=HEIGHT - 6, class_="tick end")


def _draw_best_epoch(axes: Axes, lines: Sequence[Line], best_epoch: int) -> Iterable[Markup]:
    if not axes.first <= best_epoch <= axes.last:
        return
    x = axes.x(best_epoch)
    yield tag("line", x1=x, x2=x, y1=TOP - 6, y2=HEIGHT - BOTTOM, class_="best")
    side = "end" if best_epoch > (axes.first + axes.last) / 2 else "start"
    shift = -6.0 if side == "end" else 6.0
    yield tag("text", f"kept: epoch {best_epoch}", x=x + shift, y=TOP + 2, class_=f"tick {side}")
    for line in lines:
        for _, value in (point for point in line.finite() if point[0] == best_epoch):
            yield tag("circle", cx=x, cy=axes.y(value), r=4, class_=f"dot {line.style}")


def _curve(axes: Axes, line: Line) -> Markup:
    points = line.finite()
    if len(points) == 1:
        return tag(
            "circle",
            cx=axes.x(points[0][0]),
            cy=axes.y(points[0][1]),
            r=4,
            class_=f"dot {line.style}",
        )
    path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in points)
    return tag("polyline", points=path, class_=f"curve {line.style}")


def _legend(lines: Sequence[Line]) -> Iterable[Markup]:
    for place, line in enumerate(lines):
        x = LEFT + place * 130
        yield tag("line", x1=x, x2=x + 26, y1=16, y2=16, class_=f"curve {line.style}")
        yield tag("text", line.name, x=x + 34, y=20, class_="tick legend")


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
