"""Figures as plain words for people who have never seen the program."""

from __future__ import annotations

import math

LONGEST = 60
NO_BREAK = "\u00a0"
"""A space at which no line is broken: between a figure and its sign."""


def number(value: int) -> str:
    """12345 as `12,345`."""
    return f"{value:,}"


def count(value: int, noun: str, many: str | None = None) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number(value)} {noun if value == 1 else many or noun + 's'}"


def percent(share: float) -> str:
    """Return a share as whole percent; only a true 1 is 100 % and only a true 0 is 0 %."""
    if not math.isfinite(share):
        return "–"
    whole = round(share * 100)
    if whole == 100 and share < 1 - 1e-9:
        whole = 99
    if whole == 0 and share > 0:
        whole = 1
    return f"{whole}{NO_BREAK}%"


def figure(value: float | None, digits: int = 2) -> str:
    """Return a figure with fixed decimals; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def shortened(text: str, longest: int = LONGEST) -> str:
    """Text with its middle left out when it is long."""
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
