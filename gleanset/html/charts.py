"""Charts as inline SVG: an element builder that escapes all text, and round steps of an axis.

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
        Markup(' {}="{}"').format(
            key.rstrip("_").replace("_", "-"),
            f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value,
        )
        for key, value in attributes.items()
    )
    body = Markup("").join(escape(part) for part in inside)
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, body)


def choose_step(span: float, parts: int = _TICKS) -> float:
    """Return a round step that divides `span` into about `parts`."""
    raw = max(span, 1e-9) / parts
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
