"""Rows of the catalogue as records and back: a field and the column it is kept in have one name.

Hashes are signed 64-bit numbers there, times ISO 8601, lists JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from sqlite3 import Row
from typing import Any, TypeAlias, TypeVar

from gleanset.records import Box, Region

_NOT_KEPT = re.compile(r"[\x00\ud800-\udfff]")
FAIR_ORDER = "s.id / 16 * 2654435761 % 4294967296, s.id"
"""SQL: samples `s` by blocks of what came together, neighbouring blocks far apart: the first of
them are a fair sample, and frames of one moment are not torn apart."""

MATCHES_SEARCH = "detector||' '||settings IN (SELECT value FROM json_each(?))"
"""SQL: an image was searched in one of the ways of `encode_searches`."""

Search: TypeAlias = tuple[str, str]
"""A detector and its settings as they are recorded."""


def encode_searches(searches: Iterable[Search]) -> str:
    """Return ways to search as `MATCHES_SEARCH` takes them."""
    return dump([" ".join(search) for search in searches])


def to_signed(value: int) -> int:
    """Return an unsigned 64-bit hash as the signed integer that SQLite stores."""
    return value - (1 << 64) if value >= 1 << 63 else value


def to_unsigned(value: int) -> int:
    """Return the unsigned 64-bit hash behind a stored integer."""
    return value & 0xFFFF_FFFF_FFFF_FFFF


def now() -> str:
    """Return the present time, UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def dump(value: Any) -> str:
    """Return canonical JSON: equal values are equal text, with texts as `clean` spells them."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return _NOT_KEPT.sub(lambda found: json.dumps(_spelled(found))[1:-1], text)


def load(text: str) -> Any:
    """Return the JSON value behind stored text."""
    return json.loads(text)


def clean(text: str | None) -> str | None:
    """Return text without NULs, and with bytes that are not UTF-8 (PEP 383) escaped."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return _NOT_KEPT.sub(_spelled, text)


def _spelled(letter: re.Match[str]) -> str:
    code = ord(letter[0])
    if not code:
        return "\ufffd"
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


Record = TypeVar("Record")


def field_names(kind: type) -> Iterable[str]:
    """Return the fields of a dataclass or named tuple."""
    names: Iterable[str] = getattr(kind, "_fields", None) or vars(kind)["__dataclass_fields__"]
    return names


def record_from_row(kind: type[Record], row: Row, **own: Any) -> Record:
    """Return a record with the columns of a row; `own` are fields that are not as they are kept."""
    kept = {name: row[name] for name in field_names(kind) if name not in own}
    return kind(**kept, **own)


def row_from_record(record: object, **own: Any) -> dict[str, Any]:
    """Return a record by columns; `own` are those that it lacks, or that are kept otherwise."""
    return {name: getattr(record, name) for name in field_names(type(record))} | own


@cache
def insert_sql(table: str, columns: tuple[str, ...], how: str = "INSERT", then: str = "") -> str:
    """Return SQL that inserts a row, its values in the order of the columns."""
    marks = ",".join("?" * len(columns))
    return f"{how} INTO {table}({','.join(columns)}) VALUES({marks}) {then}"


def box_from_row(row: Row) -> Box:
    """Return the box of a row with the columns x, y, w and h."""
    return Box(row["x"], row["y"], row["w"], row["h"])


def row_from_box(box: Box) -> dict[str, object]:
    """Return a box by columns."""
    return dict(zip("xywh", box, strict=True))


def region_from_row(row: Row) -> Region:
    """Return the region of a row with the columns of a box, and `angle`."""
    return Region(box_from_row(row), row["angle"])
