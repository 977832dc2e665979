"""What sorting compares samples by: their descriptors, where they are from, what is proposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.hints import HINT
from gleanset.db.values import in_parts, now


class Like(NamedTuple):
    """A sample (row) that can be compared. `traits` is its descriptor, None while unmeasured.

    `video`, `time` and `post` are those of one of its image's origins; `hint` is None where its
    image, or those of its copies, have several. `label` is the class (row) that it has.
    """

    id: int
    key: str
    image: int
    traits: bytes | None
    hint: str | None
    video: str | None
    time: float | None
    post: str | None
    label: int | None
    score: float | None


class Offer(NamedTuple):
    """What a presort proposes for a sample (row): classes (rows) with their confidence."""

    place: int
    proposals: tuple[tuple[int, float], ...]
    cluster: int | None


_REGION = "q.x=s.x AND q.y=s.y AND q.w=s.w AND q.h=s.h AND q.angle=s.angle"
_LIKE = (
    f"SELECT s.id, s.key, s.image, q.traits, {HINT} AS hint, "
    "o.video, o.time, iif(o.post IS NULL, NULL, o.source || ':' || o.post) AS post, "
    "s.label, s.score FROM sample s LEFT JOIN origin o ON o.id=(SELECT id FROM origin WHERE "
    "image=s.image ORDER BY video IS NULL, id LIMIT 1) LEFT JOIN quality q ON q.sample=s.id AND "
    f"{_REGION}"
)
_WAITS = "s.status='queue' AND s.kept AND m.mark IS NOT 'later'"


class Likeness:
    """Read only. Obtained by `Likeness(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def of(self, rows: Sequence[int]) -> list[Like]:
        """Samples by row, in this order; nothing of those that are gone."""
        found: dict[int, Like] = {}
        for some, marks in in_parts(rows):
            found |= {
                row["id"]: Like(*row)
                for row in self._db.rows(f"{_LIKE} WHERE s.id IN ({marks})", some)
            }
        return [found[row] for row in rows if row in found]

    def waiting(self, most: int, after: Sequence[int] = (0, 0)) -> list[int]:
        """The samples (rows) that wait, in the order of their images, from (image, row) on."""
        rows = self._db.rows(
            "SELECT s.id FROM sample s LEFT JOIN mark m ON m.sample=s.id "
            f"WHERE {_WAITS} AND (s.image, s.id)>(?, ?) ORDER BY s.image, s.id LIMIT ?",
            (*after, most),
        )
        return [row[0] for row in rows]

    def proposed(self) -> dict[int, int]:
        """How many samples wait whose first proposal is a class (row)."""
        rows = self._db.rows(
            "SELECT p.label, count(*) FROM proposal p JOIN sample s ON s.id=p.sample "
            "LEFT JOIN mark m ON m.sample=s.id "
            f"WHERE p.rank=1 AND {_WAITS} GROUP BY p.label"
        )
        return {row[0]: row[1] for row in rows}

    def waiting_for(self, label: int, most: int) -> list[int]:
        """The samples that wait and are proposed as a class (row), the surest first."""
        rows = self._db.rows(
            "SELECT p.sample FROM proposal p JOIN sample s ON s.id=p.sample "
            "LEFT JOIN mark m ON m.sample=s.id "
            f"WHERE p.rank=1 AND p.label=? AND {_WAITS} ORDER BY p.confidence DESC, s.id LIMIT ?",
            (label, most),
        )
        return [row[0] for row in rows]

    def offers(self, rows: Sequence[int]) -> dict[int, Offer]:
        """What the presort in force says of these samples; merged classes as what they are now."""
        found: dict[int, Offer] = {}
        for some, marks in in_parts(rows):
            found |= self._offers(some, marks)
        return found

    def _offers(self, some: list[int], marks: str) -> dict[int, Offer]:
        proposals: dict[int, dict[int, float]] = {}
        for row in self._db.rows(
            "SELECT p.sample, ifnull(c.merged_into, c.id) AS label, p.confidence, "
            "c.merged_into=c.id AS hidden FROM proposal p JOIN class c ON c.id=p.label "
            f"WHERE p.sample IN ({marks}) ORDER BY p.sample, p.rank",
            some,
        ):
            if not row["hidden"]:
                mine = proposals.setdefault(row["sample"], {})
                mine[row["label"]] = mine.get(row["label"], 0.0) + row["confidence"]
        standings = self._db.rows(
            f"SELECT sample, place, cluster FROM standing WHERE sample IN ({marks})", some
        )
        return {row["sample"]: _offer(row, proposals.get(row["sample"], {})) for row in standings}

    def decided(self, classes: Sequence[int], each: int) -> list[int]:
        """Samples (rows) of each class, at most so many of each, those of later images first."""
        found: list[int] = []
        for label in classes:
            rows = self._db.rows(
                "SELECT id FROM sample WHERE label=? AND status='labelled' "
                "ORDER BY image DESC, id DESC LIMIT ?",
                (label, each),
            )
            found += [row[0] for row in rows]
        return found

    def with_page(self, label: int, page_provenance: str) -> list[int]:
        """The samples (rows) of a class whose label came with a page and was not checked yet."""
        rows = self._db.rows(
            "SELECT s.id FROM sample s WHERE s.label=?1 AND s.status='labelled' AND "
            "(SELECT provenance FROM decision WHERE sample=s.id ORDER BY id DESC LIMIT 1)=?2 "
            "AND s.id NOT IN (SELECT sample FROM checked WHERE label=?1) ORDER BY s.image, s.id",
            (label, page_provenance),
        )
        return [row[0] for row in rows]

    def portraits(self, label: int) -> list[int]:
        """The most typical and the latest sample (rows) of a class; fewer where it has fewer."""
        typical = self._db.one(
            "SELECT s.id FROM sample s LEFT JOIN quality q ON q.sample=s.id AND q.label=s.label "
            "WHERE s.label=? AND s.status='labelled' ORDER BY q.outlier IS NULL, q.outlier, s.id "
            "LIMIT 1",
            (label,),
        )
        latest = self._db.one(
            "SELECT sample FROM decision WHERE value=?1 AND sample IN (SELECT id FROM sample WHERE "
            "label=?1 AND status='labelled') ORDER BY id DESC LIMIT 1",
            (label,),
        )
        found = [row[0] for row in (typical, latest) if row]
        return found[:1] if len(set(found)) < 2 else found

    def note_checked(self, label: int, samples: Mapping[int, bool]) -> None:
        """Keep whether the labels of some samples (rows) held when looked at again. In a write."""
        self._db.many(
            "INSERT OR REPLACE INTO checked(sample, label, held, at) VALUES(?,?,?,?)",
            [(sample, label, held, now()) for sample, held in samples.items()],
        )

    def error_rates(self) -> dict[int, tuple[int, int]]:
        """For each class (row): how many labels did not hold, of how many that were checked."""
        rows = self._db.rows("SELECT label, sum(NOT held), count(*) FROM checked GROUP BY label")
        return {row[0]: (row[1], row[2]) for row in rows}


def _offer(row: Row, proposals: dict[int, float]) -> Offer:
    best = sorted(proposals.items(), key=lambda item: -item[1])
    return Offer(row["place"], tuple(best), row["cluster"])
