"""What a model, or mere likeness, proposes for the samples: the newest presort, and no older one.

A proposal is not a decision: a person sees it, and only the journal gives labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.values import dump, in_parts, load, now


class Proposal(NamedTuple):
    """A class and how sure of it a model is, 0..1, calibrated on pictures it had not learnt."""

    label: str
    confidence: float


class Standing(NamedTuple):
    """What a presort says of one sample.

    `proposals` come surest first; none without classes. `place` counts along an order in which
    look-alikes are neighbours, `cluster` tells look-alikes of one kind, `outlier` is 0 for a
    typical picture of its cluster or class up to 1 for an odd one, and `ask` counts from 0
    the samples whose labels would teach the most; None for those not worth asking for first.
    """

    sample: str
    place: int
    proposals: tuple[Proposal, ...] = ()
    cluster: int | None = None
    outlier: float | None = None
    ask: int | None = None


class Presort(NamedTuple):
    """One presort: when it was made, by which run if any, and its figures (JSON values)."""

    id: int
    at: str
    run: str | None
    facts: dict[str, object]


class Proposals:
    """The `presort`, `standing` and `proposal` tables. Obtained by `Proposals(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def newest(self) -> Presort | None:
        """The presort in force; its `id` grows with each one, so a window can watch it."""
        row = self._db.one("SELECT * FROM presort ORDER BY id DESC LIMIT 1")
        return Presort(row["id"], row["at"], row["run"], load(row["facts"])) if row else None

    def replace(
        self, standings: Sequence[Standing], run: str | None, facts: Mapping[str, object]
    ) -> int:
        """Put a new presort in force, whole or not at all; its number.

        Samples that are gone, and proposals of classes that are gone, are left out.
        """
        ranked = [
            (rank, proposal.confidence, standing.sample, proposal.label)
            for standing in standings
            for rank, proposal in enumerate(standing.proposals, 1)
        ]
        with self._db.write():
            self._db.run("DELETE FROM proposal")
            self._db.run("DELETE FROM standing")
            self._db.many(
                "INSERT INTO standing(sample, place, cluster, outlier, ask) "
                "SELECT id, ?, ?, ?, ? FROM sample WHERE key=?",
                [(s.place, s.cluster, s.outlier, s.ask, s.sample) for s in standings],
            )
            self._db.many(
                "INSERT INTO proposal(sample, rank, confidence, label) "
                "SELECT s.id, ?, ?, c.id FROM sample s, class c WHERE s.key=? AND c.name=?",
                ranked,
            )
            return self._db.run(
                "INSERT INTO presort(at, run, facts) VALUES(?,?,?)", (now(), run, dump(facts))
            )

    def of(self, samples: Sequence[str]) -> dict[str, Standing]:
        """What is said of some samples, by key; nothing of those the presort did not see."""
        found: dict[str, Standing] = {}
        for some, marks in in_parts(samples):
            rows = self._db.rows(f"{_STANDING} WHERE s.key IN ({marks})", some)
            found.update((standing.sample, standing) for standing in self._full(rows))
        return found

    def each(self) -> Iterator[Standing]:
        """Everything the presort says, by place, a page in memory at a time."""
        place, sample = -1, -1
        while rows := self._db.rows(
            f"{_STANDING} WHERE (t.place, t.sample)>(?, ?) ORDER BY t.place, t.sample LIMIT 1000",
            (place, sample),
        ):
            yield from self._full(rows)
            place, sample = rows[-1]["place"], rows[-1]["sample"]

    def _full(self, rows: Sequence[Row]) -> list[Standing]:
        proposals: dict[int, list[Proposal]] = {row["sample"]: [] for row in rows}
        marks = ",".join("?" * len(proposals))
        for row in self._db.rows(
            "SELECT p.sample, c.name, p.confidence FROM proposal p JOIN class c ON c.id=p.label "
            f"WHERE p.sample IN ({marks}) ORDER BY p.sample, p.rank",
            list(proposals),
        ):
            proposals[row["sample"]].append(Proposal(row["name"], row["confidence"]))
        return [
            Standing(
                row["key"],
                row["place"],
                tuple(proposals[row["sample"]]),
                row["cluster"],
                row["outlier"],
                row["ask"],
            )
            for row in rows
        ]


_STANDING = (
    "SELECT t.sample, s.key, t.place, t.cluster, t.outlier, t.ask "
    "FROM standing t JOIN sample s ON s.id=t.sample"
)
