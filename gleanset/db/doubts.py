"""Labels that a model finds unlikely: the newest search, and no older one.

A doubt is not a decision. It ends when somebody looks: with any later decision about the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.values import in_parts


class Doubt(NamedTuple):
    """The label of a sample (`given`) is likely wrong, `suggested` likelier.

    `confidence` is the probability of `suggested`, calibrated, by a network that had not learnt
    this sample; `margin` by how much it is above that of `given`. `run` names the settings.
    """

    sample: str
    given: str
    suggested: str
    confidence: float
    margin: float
    run: str


class Doubts:
    """The `doubt` table. Obtained by `Doubts(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def replace(self, doubts: Sequence[Doubt]) -> int:
        """Put a new search in force, whole or not at all; how many doubts it has.

        Samples and classes that are gone are left out.
        """
        with self._db.write():
            self._db.run("DELETE FROM doubt")
            seen = self._db.number("SELECT coalesce(max(id), 0) FROM decision")
            self._db.many(
                "INSERT INTO doubt(sample, given, suggested, confidence, margin, run, seen) "
                "SELECT s.id, g.id, w.id, ?, ?, ?, ? FROM sample s, class g, class w "
                "WHERE s.key=? AND g.name=? AND w.name=?",
                [
                    (d.confidence, d.margin, d.run, seen, d.sample, d.given, d.suggested)
                    for d in doubts
                ],
            )
            return self._db.number("SELECT count(*) FROM doubt")

    def count(self) -> int:
        """How many labels nobody has looked at since."""
        return self._db.number(f"SELECT count(*) {_OPEN}")

    def of(self, samples: Sequence[str]) -> dict[str, Doubt]:
        """The doubts about some samples, by key."""
        found: dict[str, Doubt] = {}
        for some, marks in in_parts(samples):
            rows = self._db.rows(f"{_DOUBT} AND s.key IN ({marks})", some)
            found.update((row["key"], _doubt(row)) for row in rows)
        return found

    def each(self) -> Iterator[Doubt]:
        """All doubts nobody has looked at since, the clearest first, a page at a time."""
        margin, sample = 2.0, -1
        while rows := self._db.rows(
            f"{_DOUBT} AND (d.margin<?1 OR (d.margin=?1 AND d.sample>?2)) "
            "ORDER BY d.margin DESC, d.sample LIMIT 1000",
            (margin, sample),
        ):
            yield from map(_doubt, rows)
            margin, sample = rows[-1]["margin"], rows[-1]["sample"]


_OPEN = (
    "FROM doubt d JOIN sample s ON s.id=d.sample JOIN class g ON g.id=d.given "
    "JOIN class w ON w.id=d.suggested WHERE s.label=d.given AND s.status='labelled' AND "
    "NOT EXISTS(SELECT 1 FROM decision e WHERE e.sample=d.sample AND e.id>d.seen)"
)
_DOUBT = (
    "SELECT d.sample, s.key, g.name AS given, w.name AS suggested, d.confidence, d.margin, d.run "
    + _OPEN
)


def _doubt(row: Row) -> Doubt:
    return Doubt(
        row["key"], row["given"], row["suggested"], row["confidence"], row["margin"], row["run"]
    )
