"""Words of a command line as a person types them into a POSIX shell, and how to write one there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_SAFE = re.compile(r"[\w@%+,./-]", re.ASCII)
_IN_DOUBLE = '\\"$`'
_BLANK = " \t\n"


class TypedWord(NamedTuple):
    """A word as it was typed, what the shell makes of it, and where a quote is still open.

    `open_quote` is that quote or nothing, `opened` its place in `raw`.
    """

    raw: str
    value: str
    open_quote: str = ""
    opened: int = 0


def typed_words(line: str) -> list[TypedWord]:
    """Return the words of a line up to the cursor; the last one is that under it, perhaps empty."""
    return list(_words(line))


def _words(line: str) -> Iterator[TypedWord]:
    raw = value = quote = ""
    opened = 0
    for sign in line:
        escaped = _is_escaped(raw, quote)
        if not quote and not escaped and sign in _BLANK:
            if raw:
                yield TypedWord(raw, value)
            raw = value = ""
            continue
        raw += sign
        if escaped:
            value += sign if quote != '"' or sign in _IN_DOUBLE else f"\\{sign}"
        elif sign == quote:
            quote = ""
        elif not quote and sign in "'\"":
            quote, opened = sign, len(raw) - 1
        elif sign != "\\" or quote == "'":
            value += sign
    yield TypedWord(raw, value, quote, opened)


def _is_escaped(raw: str, quote: str) -> bool:
    """Return whether the next sign stands behind a backslash that is not itself behind one."""
    return quote != "'" and (len(raw) - len(raw.rstrip("\\"))) % 2 == 1


def quoted(text: str, open_quote: str = "") -> str:
    """Return a text as it is typed, such that no shell takes anything in it for its own.

    With `open_quote` that quote stands before it already.
    """
    if open_quote == "'":
        return text.replace("'", "'\\''")
    if open_quote == '"':
        # In double quotes no backslash helps against the history.
        escaped = "".join(f"\\{sign}" if sign in _IN_DOUBLE else sign for sign in text)
        return escaped.replace("!", "\"'!'\"")
    return "".join(sign if _SAFE.match(sign) or ord(sign) > 127 else f"\\{sign}" for sign in text)


def replacement(word: TypedWord, value: str, breaks: str) -> str:
    """Return what takes the place of a word in Bash, such that it means `value`.

    Bash replaces from an open quote on, or from behind the last of `breaks`; where `value` does not
    begin as what stands before, the place is taken as it is.
    """
    start = word.opened if word.open_quote else _after_break(word.raw, breaks)
    before = typed_words(word.raw[:start])[-1].value
    return quoted(value.removeprefix(before), word.open_quote)


def _after_break(raw: str, breaks: str) -> int:
    """Return where the part of a word begins that Bash takes for the word."""
    quote, start = "", 0
    for at, sign in enumerate(raw):
        if _is_escaped(raw[:at], quote):
            continue
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in breaks:
            start = at + 1
    return start
