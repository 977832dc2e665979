"""Formatting of text for terminals: wrapping, tables, and escaping of control characters.

The width is that of the terminal, or 80 columns. Only a path, URL or command on a line of its own
may be longer, so that it can be copied.
"""

import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gleanset.records import Interval

# Controls, lone surrogates, unassigned code points, separators of lines and paragraphs.
_CATEGORIES = ("Cc", "Cs", "Cn", "Zl", "Zp")
# Embeddings, overrides and isolates of the direction of writing (Unicode's UAX 9), and those that
# Unicode has deprecated. The marks U+200E and U+200F only belong to right-to-left text.
_DIRECTIONS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x2070))))


def is_control(character: str) -> bool:
    """Return whether a character controls a terminal or the direction of text."""
    return unicodedata.category(character) in _CATEGORIES or character in _DIRECTIONS


def has_controls(text: str) -> bool:
    """Return whether a text contains control characters."""
    return not text.isprintable() and any(map(is_control, text))


def replace_controls(text: str, by: str) -> str:
    """Replace each control character of a text by `by`."""
    return "".join(by if is_control(character) else character for character in text)


def escape_name(name: str) -> str:
    """Return a file name, escaped if it contains control characters."""
    return repr(name) if has_controls(name) else name


def describe_error(error: BaseException) -> str:
    """Return the type and message of an error on one safe line of limited length."""
    try:
        message = replace_controls(" ".join(str(error).split()), "?")[:300]
    except Exception:
        # Even the text of an exception may fail, for instance that of a plugin.
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


WIDTH = 80
_MIN_WIDTH = 40
_INDENT = "  "
_UNBREAKABLE = re.compile(
    r"(\.{0,2}|~\w*)[/\\]|[A-Za-z]:[/\\]|\w+://|"
    r"(gleanset|harvest|facecrop|labeler|baseline|webapp|pip|python3?) "
)
"""Matches the start of a path, URL or command."""


def get_line_width() -> int:
    """Return the width of a line in columns: `$COLUMNS`, the terminal's, or 80."""
    return max(shutil.get_terminal_size((WIDTH, 24)).columns, _MIN_WIDTH)


def count_columns(text: str) -> int:
    """Return the width of a text in columns; wide characters take two."""
    return sum(
        2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def truncate(text: str, max_width: int) -> str:
    """Truncate a text to `max_width` columns, with an ellipsis."""
    if count_columns(text) <= max_width:
        return text
    while count_columns(text) > max_width - 1:
        text = text[:-1]
    return f"{text}…"


def wrap(text: str, indent: str = "") -> list[str]:
    """Wrap a text at spaces; lines after the first are indented by two more columns."""
    max_width = get_line_width()
    inner = text.lstrip(" ")
    indent += " " * (len(text) - len(inner))
    if count_columns(indent + inner) <= max_width or _UNBREAKABLE.match(inner):
        return [indent + inner]

    free = max_width - len(indent) - len(_INDENT)
    parts: list[str] = []
    for word in inner.split(" "):
        parts += _split_word(word, free)
    return list(_fill_lines(parts, " ", indent, max_width))


def wrap_named(name: str, text: str, indent: str = "") -> list[str]:
    """Wrap `name: text`; a long path, URL or command gets a line of its own."""
    max_width = get_line_width()
    line = f"{indent}{name}: {text}"
    if count_columns(line) <= max_width:
        return [line]
    if _UNBREAKABLE.match(text) or count_columns(name) > max_width // 2:
        return [*_format_heading(name, indent), *wrap(text, indent + _INDENT)]
    return wrap(f"{name}: {text}", indent)


def wrap_error(what: str, fix: str) -> list[str]:
    """Wrap an error and its hint; a command in a long hint stays whole on a line of its own."""
    lines = []
    for line in what.splitlines():
        lines += wrap(line)
    if not fix:
        return lines

    before, colon, command = fix.rpartition(": ")
    hint = wrap_named("hint", fix)
    if len(hint) > 1 and colon and _UNBREAKABLE.match(command):
        hint = [*wrap_named("hint", f"{before}:"), f"{_INDENT}{command}"]
    return lines + hint


def join_pairs(values: Iterable[tuple[str, str]], indent: str) -> list[str]:
    """Join `name: value` pairs by commas in lines, or on one each if a name is long."""
    max_width = get_line_width()
    # One column for the comma.
    free = max_width - len(indent) - len(_INDENT) - 1
    pairs = []
    for name, value in values:
        if not _UNBREAKABLE.match(name):
            # Two for the colon and the space.
            name = truncate(name, free - len(value) - 2)
        pairs.append(f"{name}: {value}")

    if len(pairs) > 1 and any(count_columns(pair) > max_width // 2 for pair in pairs):
        return [f"{indent}{pair}" for pair in pairs]
    return list(_fill_lines(pairs, ", ", indent, max_width))


def _split_word(word: str, max_width: int) -> Iterator[str]:
    """Split a long word that is not a path: Chinese has no spaces."""
    while count_columns(word) > max_width and "/" not in word and "\\" not in word:
        # `truncate` keeps a column for the ellipsis.
        piece = truncate(word, max_width + 1).removesuffix("…")
        yield piece
        word = word[len(piece) :]
    yield word


def _fill_lines(
    parts: list[str], between: str, indent: str, max_width: int
) -> Iterator[str]:
    """Yield lines of parts; those after the first line are indented further."""
    if not parts:
        return

    first, *others = parts
    line = f"{indent}{first}"
    for number, part in enumerate(others, start=1):
        longer_line = f"{line}{between}{part}"
        # A comma follows all but the last part.
        is_last = number == len(others)
        width = count_columns(
            longer_line if is_last else longer_line + between.rstrip()
        )
        if width > max_width:
            yield (line + between).rstrip()
            line = f"{indent}{_INDENT}{part}"
        else:
            line = longer_line
    yield line


def format_table(
    rows: Sequence[Sequence[str]], max_width: int | None = None
) -> list[str]:
    """Format rows as columns; the first row is the header. Columns that do not fit follow below."""
    max_width = max_width or get_line_width()
    widths = [max(map(count_columns, column)) for column in zip(*rows, strict=True)]
    widths[0] = min(widths[0], max_width // 2)

    lines = []
    for block in _split_columns(widths, max_width):
        for row in rows:
            numbers = "".join(f"  {row[column]:>{widths[column]}}" for column in block)
            name = truncate(row[0], widths[0])
            # Not by a format: some characters are two columns wide.
            space = " " * (widths[0] - count_columns(name))
            lines.append(f"{name}{space}{numbers}".rstrip())
    return lines


def _split_columns(widths: Sequence[int], max_width: int) -> Iterator[list[int]]:
    """Yield the indices of the columns of each line, after column 0 that all lines repeat."""
    block: list[int] = []
    used = widths[0]
    for column in range(1, len(widths)):
        if block and used + 2 + widths[column] > max_width:
            yield block
            block = []
            used = widths[0]
        block.append(column)
        used += 2 + widths[column]
    if block:
        yield block


def format_result(result: Mapping[str, Any], indent: str = "") -> list[str]:
    """Format a result as lines: texts, then numbers side by side, then nested values.

    Empty values are left out, and numbers that are zero, unless it is the first number. Commands to
    run next come last.
    """
    values = {}
    has_number = False
    for key, value in result.items():
        is_number = not isinstance(value, _NOT_A_NUMBER)
        is_later_zero = is_number and has_number and value == 0
        if value not in ("", None) and not is_later_zero:
            values[key.replace("_", " ")] = value
        has_number |= is_number

    commands = {key: values.pop(key) for key in _COMMANDS if key in values}
    return _format_values(values, indent) + _format_values(commands, indent)


_COMMANDS = ("pairs to decide", "rejected files", "next", "undo")
_NOT_A_NUMBER = (dict, list, str, type(None))


def _format_values(values: Mapping[str, Any], indent: str) -> list[str]:
    """Format values; the keys of nested ones are data, such as class names."""
    lines = []
    numbers = []
    for key, value in values.items():
        if isinstance(value, str) and value:
            lines += wrap_named(key, value, indent)
        elif not isinstance(value, _NOT_A_NUMBER):
            numbers.append((key, _format_number(value)))
    lines += join_pairs(numbers, indent)

    for key, value in values.items():
        if isinstance(value, dict) and value:
            lines += _format_heading(key, indent)
            lines += _format_values(value, indent + _INDENT)
        elif isinstance(value, list) and value:
            lines += _format_heading(key, indent)
            for item in value:
                lines += wrap(str(item), indent + _INDENT)
    return lines


def _format_heading(name: str, indent: str) -> list[str]:
    return [f"{indent}{truncate(name, get_line_width() - len(indent) - 1)}:"]


def _format_number(value: Any) -> str:
    if isinstance(value, Interval):
        return f"{value.low:.4g} to {value.high:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
