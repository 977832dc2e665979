"""How record values look inside SQLite: signed 64-bit hashes, ISO times, JSON lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeAlias

_NOT_KEPT = re.compile(r"[\x00\ud800-\udfff]")
FAIR_ORDER = "s.id / 16 * 2654435761 % 4294967296, s.id"
"""SQL: samples `s` by blocks of what came together, neighbouring blocks far apart: the first of
them are a fair sample, and frames of one moment are not torn apart."""

SEARCHED_SO = "detector||' '||settings IN (SELECT value FROM json_each(?))"
"""SQL: an image was searched in one of the ways of `searches_listed`."""

Search: TypeAlias = tuple[str, str]
"""A detector and its settings as they are recorded."""


def searches_listed(searches: Iterable[Search]) -> str:
    """Return ways to search as `SEARCHED_SO` takes them."""
    return dump([" ".join(search) for search in searches])


def signed(value: int) -> int:
    """Return an unsigned 64-bit hash as the signed integer that SQLite stores."""
    return value - (1 << 64) if value >= 1 << 63 else value


def unsigned(value: int) -> int:
    """Return the unsigned 64-bit hash behind a stored integer."""
    return value & 0xFFFF_FFFF_FFFF_FFFF


def now() -> str:
    """Return the present time, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def dump(value: Any) -> str:
    """Return a JSON value in one canonical spelling, so that equal values are equal text.

    Its texts are kept as `clean` spells them.
    """
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return _NOT_KEPT.sub(lambda found: json.dumps(_spelled(found))[1:-1], text)


def load(text: str) -> Any:
    """Return the JSON value behind stored text."""
    return json.loads(text)


def clean(text: str | None) -> str | None:
    """Text from outside as SQLite can keep it: bytes that are not UTF-8 are spelled out.

    A lone surrogate stands for such a byte in a path (PEP 383). NULs are replaced.
    """
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return _NOT_KEPT.sub(_spelled, text)


def _spelled(letter: re.Match[str]) -> str:
    code = ord(letter[0])
    if not code:
        return "\ufffd"
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
