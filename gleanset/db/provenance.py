"""Who gave a label, read from the journal, and which labels nobody has looked at.

An undo brings back the provenance from before the undone step, and a merge of classes leaves it as
it was. A label that a person has looked at again, and found right, is that of a person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from gleanset.db.connection import Connection, Row
from gleanset.db.journal import MERGED, MODEL, VISITOR

PERSON = "person"
UNSEEN = (MODEL, VISITOR)
"""Provenances of labels that nobody has looked at."""
_GIVERS = {
    MODEL: MODEL,
    VISITOR: VISITOR,
    "hint": "hint",
    "duplicate": "hint",
    "import": "import",
    "dropped": "import",
}


def giver_of(provenance: str) -> str:
    """Return who gave a label: 'person', 'hint' (its own or a copy's), 'import', 'model' or
    'visitor'.
    """
    return _GIVERS.get(provenance, PERSON)


def label_provenances(db: Connection, samples: Collection[int] | None = None) -> dict[str, str]:
    """Return the provenance of labels by sample key, as the journal has it ('person', 'hint', …).

    Those of all samples, or of some (rows).
    """

    def rows(sql: str, rest: str = "") -> Iterable[Row]:
        if samples is None:
            return db.rows(f"{sql} {rest}")
        return db.rows_in(f"{sql} AND s.id", samples, rest)

    given: dict[str, str] = {}
    before: dict[str, dict[int, str]] = defaultdict(dict)
    for key, step, undone, provenance in rows(
        "SELECT s.key, d.step, t.undoes, d.provenance FROM decision d JOIN sample s "
        "ON s.id=d.sample JOIN step t ON t.id=d.step WHERE s.status='labelled'",
        "ORDER BY d.id",
    ):
        was = given.get(key, "")
        before[key][step] = was
        if provenance == "undo":
            given[key] = before[key].get(undone, was)
        elif provenance != MERGED or not was:
            given[key] = provenance
    for (key,) in rows(
        "SELECT s.key FROM checked c JOIN sample s ON s.id=c.sample "
        "WHERE c.held AND c.label=s.label AND s.status='labelled'"
    ):
        given[key] = PERSON
    return given


def unseen_labels(db: Connection, samples: Collection[int] | None = None) -> dict[str, str]:
    """Return the samples (keys) whose label nobody has looked at, with its provenance.

    Of all samples, or of some (rows). A model proposed it, or a visitor claimed it, and it was
    accepted with many others.
    """
    sql = f"SELECT DISTINCT sample FROM decision WHERE provenance IN ('{MODEL}','{VISITOR}')"
    ever = db.rows(sql) if samples is None else db.rows_in(f"{sql} AND sample", samples)
    told = label_provenances(db, [row[0] for row in ever])
    return {key: provenance for key, provenance in told.items() if provenance in UNSEEN}


def unseen_judges(db: Connection) -> int:
    """Return how many of these stand in val or test, since a split that let them in."""
    among = "SELECT key FROM sample WHERE kept AND split IN ('val','test') AND key"
    return sum(1 for _ in db.rows_in(among, unseen_labels(db)))
