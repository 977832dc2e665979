"""Apply decisions and marks (unlisted person, not sure) as one step."""

from collections.abc import Sequence

from gleanset.db.classes import Change, Changes
from gleanset.db.connection import Connection
from gleanset.db.journal import SECOND, Choice, Journal
from gleanset.db.sorting import SampleTiles
from gleanset.operations import Operation

UNLISTED_MARK = "other"
"""Mark of a rejected sample that shows a person without a class."""


def apply_decisions(
    db: Connection,
    operation: Operation | str,
    choices: Sequence[Choice],
    mark: str | None = None,
) -> int:
    """Apply decisions as one step, and give their samples this mark or none; return the step.

    Second opinions leave the marks, too, as they are.
    """
    with db.transaction():
        step = Journal(db).apply(operation, choices)
        set_mark(db, step, [c.sample for c in choices if c.provenance != SECOND], mark)
    return step


def set_mark(
    db: Connection, step: int, samples: Sequence[str], mark: str | None
) -> None:
    """Give samples this mark or none, as part of a step. Call inside a transaction."""
    marks = SampleTiles(db).get_marks(samples)
    changes = [
        Change("mark", row, mark) for row, current in marks.items() if current != mark
    ]
    Changes(db).apply(step, changes)
