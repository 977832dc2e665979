"""Times, rates and sizes as a person writes them."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from gleanset.errors import UsageError

_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)")
_RATE = re.compile(r"\d+(?:\.\d+)?|\d+\s*/\s*\d+")
_SIZE = re.compile(r"(\d*)\s*[xX×]\s*(\d*)")


def parse_seconds(text: str) -> float:
    """'5s', '0.5', '500ms', '1m' or '1h' as seconds, more than 0. Raises `UsageError`."""
    match = _LENGTH.fullmatch(text.strip())
    if not match or float(match.group(1)) <= 0:
        raise UsageError(f"{text!r} is not a length of time", "write for instance 5s or 500ms")
    return float(match.group(1)) * _UNITS[match.group(2)]


def parse_time(text: str) -> float:
    """A time in a video: '12:34', '1:02:03.5', '90', '90s' or '1.5m' as seconds.

    Raises `UsageError`.
    """
    if match := _CLOCK.fullmatch(text.strip()):
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    if match := _LENGTH.fullmatch(text.strip()):
        return float(match.group(1)) * _UNITS[match.group(2)]
    raise UsageError(f"{text!r} is not a time", "write for instance 12:34, 1:02:03.5 or 90s")


def parse_rate(text: str) -> float:
    """Frames a second, such as '2' or '1/5', as seconds from one to the next.

    Raises `UsageError`.
    """
    if _RATE.fullmatch(text.strip()):
        try:
            every = float(1 / Fraction(text.replace(" ", "")))
        except (ZeroDivisionError, OverflowError):
            every = math.inf
        if 0 < every < math.inf:
            return every
    raise UsageError(f"{text!r} is not a rate", "write for instance 2 or 1/5")


def parse_size(text: str) -> tuple[int | None, int | None]:
    """'960x540', '960x' or 'x540' as (width, height) in pixels. Raises `UsageError`."""
    match = _SIZE.fullmatch(text.strip())
    if not match or not (match.group(1) or match.group(2)):
        raise UsageError(f"{text!r} is not a size", "write for instance 960x540, 960x or x540")
    width, height = (int(part[:9]) if part else None for part in match.groups())
    return width, height
