"""What came after a step on the same samples and classes: why an undo of it would do nothing."""

from __future__ import annotations

from gleanset.db.connection import Connection
from gleanset.db.journal import operation_of
from gleanset.operations import Operation

_PARTS = {"decision": ("sample",), "change": ("what", "item"), "aside": ("sample",)}
_PARTS |= {"verdict": ("a", "b")}


def did_anything(db: Connection, step: int) -> bool:
    """Return whether a step has decided or changed anything."""
    made = " UNION ALL ".join(f"SELECT 1 FROM {table} WHERE step=?1" for table in _PARTS)
    return bool(db.number(f"SELECT EXISTS({made})", (step,)))


def last_between(db: Connection, step: int, end: int) -> Operation | None:
    """Return the last step in force, after a step and before `end`, that changed what it did; else
    the last that came between; None where none did.
    """
    same = " UNION ".join(
        f"SELECT o.step FROM {table} m JOIN {table} o ON o.step>m.step AND "
        f"{' AND '.join(f'o.{column}=m.{column}' for column in columns)} WHERE m.step=?1"
        for table, columns in _PARTS.items()
    )
    row = db.one(
        "SELECT * FROM step WHERE id>?1 AND id<?2 AND id NOT IN (SELECT undoes FROM step WHERE "
        f"undoes IS NOT NULL) ORDER BY id IN ({same}) DESC, id DESC LIMIT 1",
        (step, end),
    )
    return None if row is None else operation_of(row).first()
