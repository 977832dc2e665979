"""Formatting of numbers and texts for HTML pages."""

import math

MAX_CHARACTERS = 60
NO_BREAK = "\u00a0"
"""No-break space, between a number and its unit."""


def number(value: int) -> str:
    """Format 12345 as `12,345`."""
    return f"{value:,}"


def count(value: int, noun: str, many: str | None = None) -> str:
    """Format a number with its noun: `1 image`, `2 images`."""
    plural = many or f"{noun}s"
    return f"{number(value)} {noun if value == 1 else plural}"


def format_bytes(size: int) -> str:
    """Format a number of bytes: `23 kB`, `4.5 MB`."""
    if size < 100_000:
        return f"{math.ceil(size / 1000)} kB"
    return f"{size / 1e6:.1f} MB"


def percent(share: float) -> str:
    """Format a share (0..1) as percent; only 1 gives 100 %."""
    if not math.isfinite(share):
        return "–"

    # Rounding must not claim all or nothing.
    percents = round(share * 100)
    if percents == 100 and share < 1 - 1e-9:
        percents = 99
    if percents == 0 and share > 0:
        percents = 1
    return f"{percents}{NO_BREAK}%"


def confidence_interval(low: float, high: float) -> str:
    """Format the ends of a 95 % interval of a share (0..1): `95% CI 70.4-99.1%`."""
    return f"95% CI {100 * low:.1f}-{high:.1%}"


def figure(value: float | None, digits: int = 2) -> str:
    """Format a number with fixed decimals; a dash without one."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """Format seconds as `0.3 s`, `45 s`, `12 min` or `2 h 5 min`."""
    if 0 < seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"

    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def clock(seconds: float) -> str:
    """Return a time as a player shows it: `1:02:03.4`."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{tenths // 10:02}.{tenths % 10}"


def shorten(text: str, max_columns: int = MAX_CHARACTERS) -> str:
    """Return text on one line, with the middle elided beyond `max_columns`.

    Templates set it, as in `detail|shorten(100)`.
    """
    text = " ".join(text.split())
    if len(text) <= max_columns:
        return text
    half = (max_columns - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
