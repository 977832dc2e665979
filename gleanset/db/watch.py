"""What was written since one last looked: for whoever follows a dataset while others work on it."""

from __future__ import annotations

from typing import NamedTuple

from gleanset.db.connection import Connection


class CatalogueState(NamedTuple):
    """The newest rows: what is decided, taken in or presorted moves one of them."""

    step: int
    decision: int
    sample: int
    presort: int


class NewDecisions(NamedTuple):
    """How many decisions there were, and the `most` of one step."""

    decisions: int
    most: int


class CatalogueWatch:
    """Read only. Obtained by `CatalogueWatch(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def version(self) -> int:
        """Return another number whenever another connection has written; costs next to nothing."""
        return self._db.number("PRAGMA data_version")

    def state(self) -> CatalogueState:
        """Return the newest row of each table."""
        return CatalogueState(
            *(self._db.number(f"SELECT max(id) FROM {name}") for name in CatalogueState._fields)
        )

    def decided(self, after: int) -> NewDecisions:
        """Return what was decided after a decision (row)."""
        counts = self._db.rows("SELECT count(*) FROM decision WHERE id>? GROUP BY step", (after,))
        numbers = [row[0] for row in counts]
        return NewDecisions(sum(numbers), max(numbers, default=0))
