"""Characters that act on what shows them, in text from outside.

`str.isprintable()` does not serve: it counts the spaces of other scripts (U+3000), no-break spaces
and the joiners of emoji among them.
"""

from __future__ import annotations

import unicodedata

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
