"""Samples that wait for a person, with what they are compared by and what is proposed for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.hints import HINT
from gleanset.db.images import POST
from gleanset.db.journal import last_decision
from gleanset.db.measures import same_region
from gleanset.db.values import FAIR_ORDER, now
from gleanset.records import Box, Region


class SampleFeatures(NamedTuple):
    """A sample (row) that can be compared, as it is cut now.

    `descriptor` is None while unmeasured. `video`, `time` and `post` are those of one of its
    image's origins; `hint` is None where its image, or those of its copies, have several.
    `label` is the class (row) that it has.
    """

    id: int
    key: str
    image: int
    region: Region
    descriptor: bytes | None
    hint: str | None
    video: str | None
    time: float | None
    post: str | None
    label: int | None
    score: float | None


class SampleProposals(NamedTuple):
    """What a presort proposes for a sample (row): classes (rows) with their confidence."""

    place: int
    proposals: tuple[tuple[int, float], ...]
    cluster: int | None


_FEATURES = (
    f"SELECT s.id, s.key, s.image, s.x, s.y, s.w, s.h, s.angle, q.traits, {HINT} AS hint, "
    f"o.video, o.time, {POST} AS post, "
    "s.label, s.score FROM sample s LEFT JOIN origin o ON o.id=(SELECT id FROM origin WHERE "
    "image=s.image ORDER BY video IS NULL, id LIMIT 1) LEFT JOIN quality q ON q.sample=s.id AND "
    f"{same_region('q')}"
)
WAITS = "s.status='queue' AND s.kept AND m.mark IS NOT 'later'"
"""SQL: a sample `s` with its mark `m` waits for a person."""
PROPOSED = (
    "proposal p JOIN sample s ON s.id=p.sample JOIN class c ON c.id=p.label LEFT JOIN "
    "sorting_note m "
    f"ON m.sample=s.id WHERE p.rank=1 AND c.merged_into IS NOT c.id AND {WAITS}"
)


class SortingQueue:
    """Read only. Obtained by `SortingQueue(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def of(self, rows: Sequence[int]) -> list[SampleFeatures]:
        """Samples by row, in this order; nothing of those that are gone."""
        found = {
            row["id"]: _features(*row) for row in self._db.rows_in(f"{_FEATURES} WHERE s.id", rows)
        }
        return [found[row] for row in rows if row in found]

    def waiting(self, most: int) -> list[int]:
        """Return the samples (rows) that wait, or a fair sample of so many where they are more."""
        rows = self._db.rows(
            "SELECT s.id FROM sample s LEFT JOIN sorting_note m ON m.sample=s.id "
            f"WHERE {WAITS} ORDER BY {FAIR_ORDER} LIMIT ?",
            (most,),
        )
        return sorted(row[0] for row in rows)

    def proposed(self) -> dict[int, int]:
        """Return how many samples wait whose first proposal is a class (row)."""
        rows = self._db.rows(f"SELECT p.label, count(*) FROM {PROPOSED} GROUP BY p.label")
        return {row[0]: row[1] for row in rows}

    def waiting_for(self, label: int, most: int) -> list[int]:
        """Return the samples that wait and are proposed as a class (row), the surest first."""
        rows = self._db.rows(
            "SELECT p.sample FROM proposal p JOIN sample s ON s.id=p.sample "
            "LEFT JOIN sorting_note m ON m.sample=s.id "
            f"WHERE p.rank=1 AND p.label=? AND {WAITS} ORDER BY p.confidence DESC, s.id LIMIT ?",
            (label, most),
        )
        return [row[0] for row in rows]

    def offers(self, rows: Sequence[int]) -> dict[int, SampleProposals]:
        """Return what the presort in force says of these samples, in the classes as merged now."""
        proposals: dict[int, dict[int, float]] = {}
        for row in self._db.rows_in(
            "SELECT p.sample, ifnull(c.merged_into, c.id) AS label, p.confidence, "
            "c.merged_into=c.id AS hidden FROM proposal p JOIN class c ON c.id=p.label "
            "WHERE p.sample",
            rows,
            "ORDER BY p.sample, p.rank",
        ):
            if not row["hidden"]:
                mine = proposals.setdefault(row["sample"], {})
                mine[row["label"]] = mine.get(row["label"], 0.0) + row["confidence"]
        standings = self._db.rows_in(
            "SELECT sample, place, cluster FROM presorted WHERE sample", rows
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
        """Return the samples (rows) of a class labelled with a page and not checked yet."""
        rows = self._db.rows(
            "SELECT s.id FROM sample s WHERE s.label=?1 AND s.status='labelled' AND "
            f"{last_decision('provenance')}=?2 "
            "AND s.id NOT IN (SELECT sample FROM checked WHERE label=?1) ORDER BY s.image, s.id",
            (label, page_provenance),
        )
        return [row[0] for row in rows]

    def portraits(self, label: int) -> list[int]:
        """Return the most typical and the latest sample (rows) of a class; fewer where it has
        fewer.
        """
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


def _features(
    row: int, key: str, image: int, x: int, y: int, w: int, h: int, angle: float, *others: Any
) -> SampleFeatures:
    return SampleFeatures(row, key, image, Region(Box(x, y, w, h), angle), *others)


def _offer(row: Row, proposals: dict[int, float]) -> SampleProposals:
    best = sorted(proposals.items(), key=lambda item: -item[1])
    return SampleProposals(row["place"], tuple(best), row["cluster"])
