"""Rows of the catalogue as records and back: a field and the column it is kept in have one name."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from sqlite3 import Row
from typing import Any, TypeVar

from gleanset.records import Box, Region

Record = TypeVar("Record")


def field_names(kind: type) -> Iterable[str]:
    """Return the fields of a dataclass or named tuple."""
    names: Iterable[str] = getattr(kind, "_fields", None) or vars(kind)["__dataclass_fields__"]
    return names


def record_of(kind: type[Record], row: Row, **own: Any) -> Record:
    """Return a record with the columns of a row; `own` are fields that are not as they are kept."""
    kept = {name: row[name] for name in field_names(kind) if name not in own}
    return kind(**kept, **own)


def values_of(record: object, **own: Any) -> dict[str, Any]:
    """Return a record by columns; `own` are those that it lacks, or that are kept otherwise."""
    return {name: getattr(record, name) for name in field_names(type(record))} | own


@cache
def insert_of(table: str, columns: tuple[str, ...], how: str = "INSERT", then: str = "") -> str:
    """Return SQL that inserts a row, its values in the order of the columns."""
    marks = ",".join("?" * len(columns))
    return f"{how} INTO {table}({','.join(columns)}) VALUES({marks}) {then}"


def box_of(row: Row) -> Box:
    """Return the box of a row with the columns x, y, w and h."""
    return Box(row["x"], row["y"], row["w"], row["h"])


def columns_of_box(box: Box) -> dict[str, object]:
    """Return a box by columns."""
    return dict(zip("xywh", box, strict=True))


def region_of(row: Row) -> Region:
    """Return the region of a row with the columns of a box, and `angle`."""
    return Region(box_of(row), row["angle"])
