"""Comparison of what a command prints with what a page shows below it.

The words must be equal and in order; line breaks do not count, because they depend on the length of
paths. "…" on the page stands for left-out words. Numbers may differ by a tenth or by two, since
they depend on the machine; ids, times of videos and the home folder may be others.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from shell_session import CommandResult

LEFT_OUT = "…"
# The home folder on the pages.
_HOME = "/home/me"
_VARYING = (
    (re.compile(r"\b\d{8}-\d{6}\b"), "RUN"),
    (re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{8,64}\b"), "ID"),
    (re.compile(r"\b\d+:\d\d(?:\.\d+)?\b"), "TIME"),
)
_NUMBER = re.compile(r"(\d[\d,]*(?:\.\d+)?)")
_TOLERANCE = 2
_SHARE = 0.1


def describe_difference(result: CommandResult, home: Path) -> str:
    """Return which words of the page were not printed; empty if all were."""
    if not result.command.output:
        return ""
    printed = _words(result.output.replace(str(home), _HOME))
    parts: list[list[str]] = [[]]
    for word in _words(result.command.output):
        if word == LEFT_OUT:
            parts.append([])
        else:
            parts[-1].append(word)
    at = 0
    for number, part in enumerate(parts):
        found = _find(part, printed, at, is_first=number == 0)
        if number == len(parts) - 1 and found is not None and part:
            found = _find(
                part, printed, max(at, len(printed) - len(part)), is_first=True
            )
        if found is None:
            return f"not printed: {' '.join(part)}\nbut:\n{result.output}"
        at = found + len(part)
    if parts[-1] and at != len(printed):
        return f"printed, too: {' '.join(printed[at:])}"
    return ""


def _words(text: str) -> list[str]:
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return text.split()


def _find(
    part: Sequence[str], printed: Sequence[str], at: int, *, is_first: bool
) -> int | None:
    """Return where a part begins in what was printed, from `at` on."""
    last = at if is_first else len(printed) - len(part)
    for begin in range(at, last + 1):
        found = printed[begin : begin + len(part)]
        if len(found) == len(part) and all(map(_is_same, part, found)):
            return begin
    return None


def _is_same(shown: str, printed: str) -> bool:
    one = _NUMBER.split(shown)
    other = _NUMBER.split(printed)
    if len(one) != len(other) or one[::2] != other[::2]:
        return False
    pairs = zip(one[1::2], other[1::2], strict=True)
    return all(
        _is_near(float(a.replace(",", "")), float(b.replace(",", ""))) for a, b in pairs
    )


def _is_near(one: float, other: float) -> bool:
    return abs(one - other) <= max(_TOLERANCE, _SHARE * max(one, other))
