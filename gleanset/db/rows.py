"""Conversion between rows and records: fields and columns have the same names.

The catalogue stores hashes as signed 64-bit integers, times as ISO 8601, lists as JSON.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from sqlite3 import Row
from typing import Any, TypeVar

from gleanset.records import Box, Region

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
FAIR_ORDER = "s.id / 16 * 2654435761 % 4294967296, s.id"
"""SQL: pseudo-random order of blocks of 16 consecutive samples `s`. The first N rows are drawn
evenly from the dataset, and adjacent frames stay together. (Knuth's multiplicative hash, of 32
bits.)"""

MATCHES_SEARCH = "detector||' '||settings IN (SELECT value FROM json_each(?))"
"""SQL: a row of `scan` is one of the searches of `encode_searches`."""

Search = tuple[str, str]
"""Detector and its settings, as stored."""


def encode_searches(searches: Iterable[Search]) -> str:
    """Encode searches as the parameter of `MATCHES_SEARCH`."""
    return dump([" ".join(search) for search in searches])


def to_signed(value: int) -> int:
    """Return an unsigned 64-bit hash as the signed integer that SQLite stores."""
    return value - (1 << 64) if value >= 1 << 63 else value


def to_unsigned(value: int) -> int:
    """Return the unsigned 64-bit hash behind a stored integer."""
    return value & 0xFFFF_FFFF_FFFF_FFFF


def now() -> str:
    """Return the current UTC time in ISO 8601, in seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def dump(value: Any) -> str:
    """Return canonical JSON: equal values give equal text, escaped like `clean`."""
    text = json.dumps(
        value,
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
    )
    # Within JSON the escape needs quoting, but no quotes of its own.
    return _UNSTORABLE.sub(
        lambda match: json.dumps(_escape(match))[1:-1],
        text,
    )


load = json.loads
"""Parse stored JSON."""


def clean(text: str | None) -> str | None:
    """Replace NULs, and escape bytes that are not UTF-8 (PEP 383)."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return _UNSTORABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == 0:
        return "\ufffd"
    if 0xDC80 <= code <= 0xDCFF:  # Python's surrogates of bytes that are not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}"


Record = TypeVar("Record")


def field_names(kind: type) -> Iterable[str]:
    """Return the field names of a dataclass or named tuple."""
    # Once for each row: `dataclasses.fields` takes several times as long.
    return tuple(getattr(kind, "_fields", None) or vars(kind)["__dataclass_fields__"])


def record_from_row(kind: type[Record], row: Row, **own: Any) -> Record:
    """Return a record from a row; `own` gives fields that need conversion."""
    stored = {name: row[name] for name in field_names(kind) if name not in own}
    return kind(**stored, **own)


def row_from_record(record: object, **own: Any) -> dict[str, Any]:
    """Return a record as columns; `own` adds or converts columns."""
    return {name: getattr(record, name) for name in field_names(type(record))} | own


@cache
def insert_sql(table: str, columns: tuple[str, ...], verb: str, then: str = "") -> str:
    """Return SQL that inserts a row with values for `columns`.

    `verb` is SQL such as `INSERT OR IGNORE`, `then` what follows the values, such as
    `RETURNING id`.
    """
    marks = ",".join("?" * len(columns))
    return f"{verb} INTO {table}({','.join(columns)}) VALUES({marks}) {then}"


def box_from_row(row: Row) -> Box:
    """Return the box of a row with columns x, y, w, h."""
    return Box(row["x"], row["y"], row["w"], row["h"])


def row_from_box(box: Box) -> dict[str, object]:
    """Return the columns x, y, w and h of a box."""
    return dict(zip("xywh", box, strict=True))


def region_from_row(row: Row) -> Region:
    """Return the region of a row with box columns and `angle`."""
    return Region(box_from_row(row), row["angle"])
