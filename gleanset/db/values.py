"""How record values look inside SQLite: signed 64-bit hashes, ISO times, JSON lists."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


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
    """Return a JSON value in one canonical spelling, so that equal values are equal text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def load(text: str) -> Any:
    """Return the JSON value behind stored text."""
    return json.loads(text)


def clean(text: str | None) -> str | None:
    """Text from outside as SQLite can keep it: lone surrogates and NULs are replaced."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\ufffd")
