"""What a terminal shows: lines that fit, and no characters from outside that act on it.

A line has 80 columns where the terminal does not say how wide it is. It is longer only where one
path, address or command stands on it alone: broken, it could not be copied.
"""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gleanset.binomial import Interval

# Controls, lone surrogates, unassigned code points, separators of lines and paragraphs.
_CATEGORIES = ("Cc", "Cs", "Cn", "Zl", "Zp")
# Embeddings, overrides and isolates of the direction of writing (Unicode's UAX 9), and those that
# Unicode has deprecated. The marks U+200E and U+200F only belong to right-to-left text.
_DIRECTIONS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x2070))))


def is_control(character: str) -> bool:
    """Return whether a character acts on a terminal or on the text around it."""
    return unicodedata.category(character) in _CATEGORIES or character in _DIRECTIONS


def has_controls(text: str) -> bool:
    """Return whether a text has such a character."""
    return not text.isprintable() and any(map(is_control, text))


def replace_controls(text: str, by: str) -> str:
    """Return a text with `by` in the place of each such character."""
    return "".join(by if is_control(character) else character for character in text)


def shown_name(name: str) -> str:
    """Return the name of a file as a terminal can show it: escaped where it has such characters."""
    return repr(name) if has_controls(name) else name


def error_words(error: BaseException) -> str:
    """Return an error as a terminal can show it, whatever a package says in it."""
    try:
        shown = replace_controls(" ".join(str(error).split()), "?")[:300]
    except Exception:
        shown = ""
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


WIDTH = 80
_NARROWEST = 40
_STEP = "  "
_WHOLE = re.compile(
    r"(\.{0,2}|~\w*)[/\\]|[A-Za-z]:[/\\]|\w+://|"
    r"(gleanset|harvest|facecrop|labeler|baseline|webapp|pip) "
)
"""How a path, an address or a command begins."""


def room() -> int:
    """Return how many columns a line may have: `$COLUMNS`, else the terminal's, else 80."""
    return max(shutil.get_terminal_size((WIDTH, 24)).columns, _NARROWEST)


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: Chinese letters take two."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def cut(text: str, most: int) -> str:
    """Return a text that takes at most so many columns, with an ellipsis where it lacks its end."""
    if columns(text) <= most:
        return text
    while columns(text) > most - 1:
        text = text[:-1]
    return f"{text}…"


def padded(text: str, wide: int) -> str:
    """Return a text that takes so many columns, filled with spaces on the right, or cut."""
    shown = cut(text, wide)
    return shown + " " * (wide - columns(shown))


def wrapped(text: str, indent: str = "", most: int | None = None) -> list[str]:
    """Return a text in lines, broken at spaces; those after the first stand in by two more."""
    most = room() if most is None else most
    inner = text.lstrip(" ")
    indent += " " * (len(text) - len(inner))
    if columns(indent + inner) <= most or _WHOLE.match(inner):
        return [indent + inner]
    free = most - len(indent) - len(_STEP)
    parts = (part for word in inner.split(" ") for part in _pieces(word, free))
    return list(_filled(list(parts), " ", indent, most))


def named(name: str, text: str, indent: str = "", most: int | None = None) -> list[str]:
    """Return `name: text` in lines; a path, address or command stands on a line of its own."""
    most = room() if most is None else most
    if columns(line := f"{indent}{name}: {text}") <= most:
        return [line]
    if _WHOLE.match(text) or columns(name) > most // 2:
        return [
            f"{indent}{cut(name, most - len(indent) - 1)}:",
            *wrapped(text, indent + _STEP, most),
        ]
    return wrapped(f"{name}: {text}", indent, most)


def side_by_side(
    values: Iterable[tuple[str, str]], indent: str = "", most: int | None = None
) -> list[str]:
    """Return `name: value, name: value` in lines, broken between them; a long name is cut."""
    most = room() if most is None else most
    free = most - len(indent) - len(_STEP) - 1
    told = [
        f"{name if _WHOLE.match(name) else cut(name, free - len(value) - 2)}: {value}"
        for name, value in values
    ]
    return list(_filled(told, ", ", indent, most))


def _pieces(word: str, most: int) -> Iterator[str]:
    """Yield a word, in pieces where it is too long and no path: Chinese has no spaces."""
    while columns(word) > most and "/" not in word and "\\" not in word:
        piece = cut(word, most + 1).removesuffix("…")
        yield piece
        word = word[len(piece) :]
    yield word


def _filled(parts: list[str], between: str, indent: str, most: int) -> Iterator[str]:
    line = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        joined = f"{line}{between}{part}" if line else f"{indent}{part}"
        if line and columns(joined) + (0 if last else len(between.rstrip())) > most:
            yield (line + between).rstrip()
            line = f"{indent}{_STEP}{part}"
        else:
            line = joined
    if line:
        yield line


def table(rows: Sequence[Sequence[str]], most: int | None = None) -> list[str]:
    """Return rows (the first are heads) in columns; what does not fit follows below."""
    most = room() if most is None else most
    wide = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    wide[0] = min(wide[0], most // 2)
    lines: list[str] = []
    for block in _blocks(wide, most):
        for name, *cells in rows:
            numbers = "".join(f"  {cells[at - 1]:>{wide[at]}}" for at in block)
            lines.append(f"{padded(name, wide[0])}{numbers}".rstrip())
    return lines


def _blocks(wide: Sequence[int], most: int) -> Iterator[list[int]]:
    block: list[int] = []
    used = wide[0]
    for at in range(1, len(wide)):
        if block and used + 2 + wide[at] > most:
            yield block
            block, used = [], wide[0]
        block.append(at)
        used += 2 + wide[at]
    if block:
        yield block


def readable(result: Mapping[str, Any], indent: str = "") -> list[str]:
    """Return a result for a person, in lines that fit: plain values side by side, tables below."""
    # Below the first level keys are data, such as the names of classes.
    spoken = _words if not indent else str
    # Words stand on lines of their own, numbers side by side.
    lines = [
        line
        for key, value in result.items()
        if isinstance(value, str)
        for line in named(spoken(key), value, indent)
    ]
    lines += side_by_side(
        [
            (spoken(key), _value(value))
            for key, value in result.items()
            if not _nested(value) and not isinstance(value, str)
        ],
        indent,
    )
    for key, value in result.items():
        if isinstance(value, dict) and value:
            lines += [*_heading(spoken(key), indent), *readable(value, indent + "  ")]
        elif isinstance(value, list) and value:
            items = (line for item in value for line in wrapped(str(item), indent + "  "))
            lines += [*_heading(spoken(key), indent), *items]
    return lines


def _heading(name: str, indent: str) -> list[str]:
    return [f"{indent}{cut(name, room() - len(indent) - 1)}:"]


def _nested(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _value(value: Any) -> str:
    if isinstance(value, Interval):
        return f"{value.low:.4g} to {value.high:.4g}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")
