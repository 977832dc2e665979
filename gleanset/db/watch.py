"""What was written since one last looked: for whoever follows a dataset while others work on it."""

from __future__ import annotations

from typing import NamedTuple

from gleanset.db.changes import OF_SAMPLES
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


class SampleMarks(NamedTuple):
    """The newest rows of what a presort knows of samples; `others` changes with all but decisions
    and marks.
    """

    decision: int
    change: int
    others: tuple[float, ...]


class CatalogueWatch:
    """Read only. Obtained by `CatalogueWatch(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

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

    def marks(self) -> SampleMarks:
        """Return how far the samples are known; read before the samples are."""
        row = self._db.first(
            "SELECT count(*), max(id), total(x+y+w+h+angle), total(status='retired'), "
            "(SELECT max(id) FROM origin), (SELECT max(id) FROM placement), (SELECT count(*) FROM "
            f"change WHERE what NOT IN {OF_SAMPLES}) FROM sample"
        )
        return SampleMarks(
            self._db.number("SELECT max(id) FROM decision"),
            self._db.number("SELECT max(id) FROM change"),
            tuple(float(one or 0) for one in row or ()),
        )

    def touched(self, since: SampleMarks) -> list[int] | None:
        """Return the samples (rows) that were decided or marked since; None where more has changed.

        None is for new samples and places, groups, names of classes: all is to be read again.
        """
        if self.marks().others != since.others:
            return None
        return self._db.column(
            "SELECT sample FROM decision WHERE id>? UNION SELECT item FROM change WHERE id>?",
            (since.decision, since.change),
        )
