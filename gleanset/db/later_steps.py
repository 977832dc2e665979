"""What came after a step on the same samples and classes: why an undo of it would do nothing."""

from __future__ import annotations

from gleanset.db.connection import Connection
from gleanset.db.journal import operation_of
from gleanset.operations import AUTOMATIC, FINAL, Operation

_PARTS = {"decision": ("sample",), "change": ("what", "item"), "placement": ("sample",)}
_PARTS |= {"verdict": ("a", "b")}


def did_anything(db: Connection, step: int) -> bool:
    """Return whether a step has decided or changed anything."""
    made = " UNION ALL ".join(f"SELECT 1 FROM {table} WHERE step=?1" for table in _PARTS)
    return bool(db.number(f"SELECT EXISTS({made})", (step,)))


def last_between(db: Connection, step: int, end: int) -> Operation | None:
    """Return the last step in force, after a step and before `end`, that changed what it did.

    None where none did that a person can take back: to wait for that would be a dead end.
    """
    same = " UNION ".join(
        f"SELECT o.step FROM {table} m JOIN {table} o ON o.step>m.step AND "
        f"{' AND '.join(f'o.{column}=m.{column}' for column in columns)} WHERE m.step=?1"
        for table, columns in _PARTS.items()
    )
    # A name that a class had may be another one's now, which was made or renamed.
    same += (
        " UNION SELECT o.step FROM change m JOIN change o ON o.step>m.step AND m.what='name' "
        "AND o.what IN ('name','merged') WHERE m.step=?1"
    )
    rows = db.rows(
        f"SELECT * FROM step WHERE id<?2 AND id IN ({same}) AND NOT merged AND id NOT IN "
        "(SELECT undoes FROM step WHERE undoes IS NOT NULL) ORDER BY id DESC",
        (step, end),
    )
    came = (operation_of(row).first() for row in rows)
    return next((one for one in came if one.kind not in (AUTOMATIC, FINAL)), None)
