"""The drawings of a report on the unit square."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from baseline.judge.calibration import ConfidenceBin
from gleanset.html.charts import tag
from gleanset.html.words import percent

SIDE = 320
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 28, 42
_STEPS = 5

Points = Sequence[tuple[float, float]]


def x_at(value: float) -> float:
    """Return the horizontal place of 0..1."""
    return LEFT + value * (SIDE - LEFT - RIGHT)


def y_at(value: float, top: float = 1.0) -> float:
    """Return the vertical place of 0..`top`."""
    return SIDE - BOTTOM - min(value / top, 1.0) * (SIDE - TOP - BOTTOM)


def reliability(bins: Sequence[ConfidenceBin], words: str) -> Markup:
    """Draw bars of the share right by confidence, against the diagonal where both agree."""
    full = max((part.count for part in bins), default=0)
    bars = (_bar(part, full) for part in bins if part.count)
    diagonal = tag("line", x1=x_at(0), x2=x_at(1), y1=y_at(0), y2=y_at(1), class_="best")
    return _square(words, "confidence", "share right", 1.0, [*bars, diagonal])


def _bar(part: ConfidenceBin, full: int) -> Markup:
    """Draw a bar; its width says how many answers it stands for."""
    words = (
        f"confidence {percent(part.low)} to {percent(part.high)}: {part.count} answers, "
        f"{percent(part.accuracy)} right, {percent(part.confidence)} sure"
    )
    room = x_at(part.high) - x_at(part.low) - 2
    width = room * (0.25 + 0.75 * (part.count / full) ** 0.5)
    middle = (x_at(part.low) + x_at(part.high)) / 2
    height = max(y_at(0) - y_at(part.accuracy), 1.5)
    place = {"x": middle - width / 2, "y": y_at(0) - height, "width": width, "height": height}
    return tag("rect", tag("title", words), **place, rx=2, class_="reliable")


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
