"""What the presort in force proposes for each sample, read whole: to be listed or counted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from gleanset.db.classes import present_class
from gleanset.db.connection import Connection, Row
from gleanset.db.proposals import Proposal
from gleanset.db.sorting import PROPOSED, WAITS


class ProposedSample(NamedTuple):
    """A sample (key) with its proposals, the surest first, in the classes as merged now.

    `waits` says whether nobody has decided it, or put it off. The other fields are those of a
    `Standing`.
    """

    sample: str
    status: str
    waits: bool
    proposals: tuple[Proposal, ...]
    place: int
    cluster: int | None
    outlier: float | None
    ask: int | None


def proposed_samples(db: Connection) -> Iterator[ProposedSample]:
    """Yield every sample that something is proposed for, by key, a page in memory at a time."""
    pages = db.pages(
        "SELECT key FROM sample s WHERE EXISTS(SELECT 1 FROM proposal p WHERE p.sample=s.id)",
        ("key",),
        within=_EACH,
    )
    for rows in pages:
        for key, some in groupby(rows, key=lambda row: str(row["key"])):
            if (found := _made(key, list(some))) is not None:
                yield found


_CLASS = present_class("name", "id=p.label")
_EACH = (
    f"SELECT s.key, s.status, {WAITS} AS waits, {_CLASS} AS label, p.confidence, t.place, "
    "t.cluster, t.outlier, t.ask, (SELECT merged_into=id FROM class WHERE id=p.label) AS hidden "
    "FROM ({page}) k JOIN sample s ON s.key=k.key JOIN proposal p ON p.sample=s.id "
    "JOIN presorted t ON t.sample=s.id LEFT JOIN sorting_note m ON m.sample=s.id ORDER BY "
    "s.key, p.rank"
)


def _made(key: str, rows: list[Row]) -> ProposedSample | None:
    sure: dict[str, float] = {}
    for row in rows:
        if not row["hidden"]:
            sure[row["label"]] = sure.get(row["label"], 0.0) + row["confidence"]
    proposals = sorted((Proposal(*one) for one in sure.items()), key=lambda one: -one.confidence)
    if not proposals:
        return None
    one = rows[0]
    standing = one["place"], one["cluster"], one["outlier"], one["ask"]
    return ProposedSample(key, one["status"], bool(one["waits"]), tuple(proposals), *standing)


_TENTH = "min(9, CAST(p.confidence * 10 AS INT))"


def proposed_by_tenths(db: Connection) -> dict[int, dict[int, int]]:
    """Return how many samples wait whose first proposal is a class (row), by tenths of
    confidence (0..9).
    """
    found: dict[int, dict[int, int]] = {}
    for row in db.rows(f"SELECT p.label, {_TENTH}, count(*) FROM {PROPOSED} GROUP BY 1, 2"):
        found.setdefault(row[0], {})[row[1]] = row[2]
    return found
