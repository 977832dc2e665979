"""How sure the proposals in force are, counted in the catalogue."""

from __future__ import annotations

from gleanset.db.connection import Connection
from gleanset.db.sorting import PROPOSED

_TENTH = "min(9, CAST(p.confidence * 10 AS INT))"


def proposed_by_tenths(db: Connection) -> dict[int, dict[int, int]]:
    """Return how many samples wait whose first proposal is a class (row), by tenths of
    confidence (0..9).
    """
    found: dict[int, dict[int, int]] = {}
    for row in db.rows(f"SELECT p.label, {_TENTH}, count(*) FROM {PROPOSED} GROUP BY 1, 2"):
        found.setdefault(row[0], {})[row[1]] = row[2]
    return found
