"""Round steps of an axis."""

from __future__ import annotations

import math

_TICKS = 5


def choose_step(span: float, parts: int = _TICKS) -> float:
    """Return a round step that divides `span` into about `parts`."""
    raw = max(span, 1e-9) / parts
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
