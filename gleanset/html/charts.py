"""Charts as inline SVG: an element builder that escapes all text, and the bar of an interval.

Colors and fonts come from the page's style sheet by class name, so that one drawing works in
light and dark mode and in print.
"""

from __future__ import annotations

import math

from markupsafe import Markup, escape

_TICKS = 5


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
