"""Quality measures of samples: numbers to sort and filter by, made anew when a region changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.looks import Seen
from gleanset.records import Sample


class Measures(NamedTuple):
    """What the pixels of a sample told; `traits` is its descriptor, one byte a value."""

    blur: float
    darkest: float
    lightest: float
    text: float
    photo: float
    traits: bytes


class Quality(NamedTuple):
    """The measures of a sample as they are listed.

    `aspect` is the longer over the shorter side. `ai` is what its sources say, None where they
    say nothing. `outlier` is None while its class is too small, or it has none.
    """

    blur: float
    darkest: float
    lightest: float
    text: float
    photo: float
    size: int
    aspect: float
    ai: bool | None
    outlier: float | None


_SAME_REGION = "q.x=s.x AND q.y=s.y AND q.w=s.w AND q.h=s.h AND q.angle=s.angle"
_MISSING = (
    f"FROM sample s LEFT JOIN quality q ON q.sample=s.id AND {_SAME_REGION} AND q.version=? "
    "WHERE q.sample IS NULL AND s.status!='retired'"
)


_QUALITY = (
    "SELECT s.key, q.blur, q.darkest, q.lightest, q.text, q.photo, s.size, "
    "max(s.w, s.h) * 1.0 / max(1, min(s.w, s.h)) AS aspect, "
    "(SELECT max(ai) FROM origin WHERE image=s.image) AS ai, "
    "iif(q.label=s.label, q.outlier, NULL) AS outlier "
    f"FROM sample s JOIN quality q ON q.sample=s.id AND {_SAME_REGION}"
)


class Flag(NamedTuple):
    """A named threshold: a `measure` (a field of `Quality`) at least, or at most, so much."""

    name: str
    measure: str
    threshold: float
    at_least: bool = True

    def holds(self, quality: Quality) -> bool:
        """Whether these measures have the flag; what is not known has none."""
        value = getattr(quality, self.measure)
        if value is None:
            return False
        return bool(value >= self.threshold if self.at_least else value <= self.threshold)


class Qualities:
    """The `quality` table. Obtained by `Qualities(dataset.db)`.

    With `rehearse` everything is written to a copy that is gone with the connection.
    """

    def __init__(self, db: Connection, *, rehearse: bool = False) -> None:
        self._db = db
        if rehearse:
            # SQLite looks for a table among the temporary ones first.
            db.run("CREATE TEMP TABLE quality AS SELECT * FROM main.quality")
            db.run("CREATE UNIQUE INDEX temp.quality_sample ON quality(sample)")

    def count_missing(self, version: int) -> int:
        """How many samples have no measures of their present region."""
        return self._db.number(f"SELECT count(*) {_MISSING}", (version,))

    def missing(self, version: int, after: int = 0) -> Iterator[list[int]]:
        """Pages of the samples (rows) without measures; `put` may be called meanwhile."""
        while rows := self._db.rows(
            f"SELECT s.id {_MISSING} AND s.id>? ORDER BY s.id LIMIT 500", (version, after)
        ):
            yield [row[0] for row in rows]
            after = rows[-1][0]

    def put(self, found: Sequence[tuple[Seen, Measures]], version: int) -> None:
        """Keep measures, and the region that they are of."""
        with self._db.write():
            self._db.many(
                "INSERT OR REPLACE INTO quality(sample, version, x, y, w, h, angle, blur, darkest, "
                "lightest, text, photo, traits) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
                [
                    (seen.id, version, *seen.region.box, seen.region.angle, *measures)
                    for seen, measures in found
                ],
            )

    def traits(self, version: int) -> Iterator[tuple[int, str, bytes]]:
        """(row, class, descriptor) of every sample that is labelled and kept, by its key."""
        after = ""
        while rows := self._db.rows(
            # In the order of the index of keys, whatever else might look narrower to SQLite.
            "SELECT s.id, s.key, c.name, q.traits FROM sample s CROSS JOIN class c ON "
            f"c.id=s.label CROSS JOIN quality q ON q.sample=s.id AND {_SAME_REGION} "
            "WHERE +s.status='labelled' AND +s.kept AND q.version=? AND s.key>? "
            "ORDER BY s.key LIMIT 1000",
            (version, after),
        ):
            yield from ((row[0], row["name"], row["traits"]) for row in rows)
            after = rows[-1]["key"]

    def set_outliers(self, scores: Mapping[int, float]) -> None:
        """Write the value of each row, for the class that it has now; all others lose theirs."""
        with self._db.write():
            self._db.run("CREATE TEMP TABLE IF NOT EXISTS outlying(sample INTEGER PRIMARY KEY, v)")
            self._db.run("DELETE FROM outlying")
            self._db.many("INSERT INTO outlying VALUES(?,?)", list(scores.items()))
            self._db.run(
                "UPDATE quality SET outlier=NULL, label=NULL WHERE outlier IS NOT NULL "
                "AND sample NOT IN (SELECT sample FROM outlying)"
            )
            self._db.run(
                "UPDATE quality SET outlier=o.v, label=s.label FROM outlying o JOIN sample s ON "
                "s.id=o.sample WHERE o.sample=quality.sample AND "
                "(outlier IS NOT o.v OR quality.label IS NOT s.label)"
            )
            self._db.run("DELETE FROM outlying")

    def of(self, keys: Sequence[str]) -> dict[str, Quality]:
        """The measures of these samples, at most some hundred, where there are any."""
        marks = ",".join("?" * len(keys))
        rows = self._db.rows(f"{_QUALITY} WHERE s.key IN ({marks})", list(keys))
        return {row["key"]: _quality(row) for row in rows}

    def count(self, flags: Sequence[Flag]) -> tuple[int, dict[str, int]]:
        """How many samples have measures, and how many of them each flag."""
        sums = "".join(
            f", ifnull(sum({flag.measure}{'>=' if flag.at_least else '<='}?), 0)" for flag in flags
        )
        (row,) = self._db.rows(
            f"SELECT count(*){sums} FROM ({_QUALITY} WHERE s.status!='retired')",
            [flag.threshold for flag in flags],
        )
        return row[0], {flag.name: row[place] for place, flag in enumerate(flags, 1)}

    def beside(self, samples: Iterable[Sample]) -> Iterator[tuple[Sample, Quality | None]]:
        """Samples with their measures, in the same order, some hundred in memory at a time."""
        page: list[Sample] = []
        for sample in samples:
            page.append(sample)
            if len(page) == 500:
                yield from self._paired(page)
                page = []
        yield from self._paired(page)

    def _paired(self, page: list[Sample]) -> Iterator[tuple[Sample, Quality | None]]:
        found = self.of([sample.key for sample in page]) if page else {}
        yield from ((sample, found.get(sample.key)) for sample in page)


def _quality(row: Row) -> Quality:
    ai = None if row["ai"] is None else bool(row["ai"])
    return Quality(
        row["blur"],
        row["darkest"],
        row["lightest"],
        row["text"],
        row["photo"],
        row["size"],
        round(row["aspect"], 3),
        ai,
        row["outlier"],
    )
