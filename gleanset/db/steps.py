"""Rows of the `step` table: what was done, by whom and when."""

from __future__ import annotations

import json

from gleanset.db.connection import Connection, Row
from gleanset.db.values import dump
from gleanset.operations import Operation, named


def add_step(
    db: Connection, at: str, who: str, operation: Operation, undoes: int | None = None
) -> int:
    """Append a step; its number. Call inside a write."""
    return db.run(
        "INSERT INTO step(at, who, name, undoes, kind, arguments) VALUES(?,?,'',?,?,?)",
        (at, who, undoes, operation.kind, dump(operation.arguments)),
    )


def operation_of(row: Row) -> Operation:
    """What a row with `name`, `kind` and `arguments` did; older ones have a name alone."""
    if row["kind"] is None:
        return named(row["name"])
    return Operation(row["kind"], json.loads(row["arguments"]))
