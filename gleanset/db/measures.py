"""Numbers made from the pixels of each sample: hashes for duplicates, and measures of quality.

They belong to a region and a version of the measuring code, and are made anew when either changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.values import FAIR_ORDER, load, signed, unsigned
from gleanset.records import Box, Landmark, Region, Sample


class SampleRegion(NamedTuple):
    """A sample with what is needed to see it. `id` is the row of the sample."""

    id: int
    key: str
    image: str
    format: str
    width: int
    height: int
    region: Region


class SampleHashes(NamedTuple):
    """The hashes of a sample. `points` are 8 bytes each (little endian), `shapes` 3 bytes each.

    `filled` is the part of the picture that is no uniform border, 0..1.
    """

    sample: int
    plain: int
    flipped: int
    filled: float
    points: bytes
    shapes: bytes


class HashColumns(NamedTuple):
    """The hashes of many samples, each field in one sequence; 64 bits are signed, as stored."""

    samples: Sequence[int] = ()
    plain: Sequence[int] = ()
    flipped: Sequence[int] = ()
    points: Sequence[bytes] = ()
    shapes: Sequence[bytes] = ()


SAMPLE_REGION = "s.id, s.key, i.sha256, i.format, i.width, i.height, s.x, s.y, s.w, s.h, s.angle"
"""SQL: the fields of `SampleRegion`, of a sample `s` and its image `i`."""


def same_region(table: str) -> str:
    """Return SQL: the row of `table` is about the region that its sample `s` has now."""
    return " AND ".join(f"{table}.{name}=s.{name}" for name in ("x", "y", "w", "h", "angle"))


_SAME_HASHED = f"{same_region('l')} AND l.version=?"


_AMONG = {False: "s.status!='retired'", True: "s.status='labelled'"}


class ImageHashes:
    """The `sample_hash` table. Obtained by `ImageHashes(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def count_present(self, version: int) -> int:
        """Return how many samples have hashes of their present region."""
        return self._db.number(
            f"SELECT count(*) FROM sample s JOIN sample_hash l ON l.sample=s.id AND {_SAME_HASHED} "
            "WHERE s.status!='retired'",
            (version,),
        )

    def count_missing(self, version: int, *, labelled: bool = False) -> int:
        """Return how many samples, or labelled ones, have no hashes of their present region."""
        return self._db.number(
            f"SELECT count(*) FROM sample s LEFT JOIN sample_hash l ON l.sample=s.id AND "
            f"{_SAME_HASHED} "
            f"WHERE l.sample IS NULL AND {_AMONG[labelled]}",
            (version,),
        )

    def missing(self, version: int, *, labelled: bool = False) -> Iterator[SampleRegion]:
        """Yield those; `put` may be called meanwhile."""
        for rows in self._db.pages(
            f"SELECT {SAMPLE_REGION} FROM sample s JOIN image i ON i.id=s.image LEFT JOIN "
            f"sample_hash l "
            f"ON l.sample=s.id AND {_SAME_HASHED} WHERE l.sample IS NULL AND {_AMONG[labelled]}",
            ("s.id",),
            (version,),
            size=500,
        ):
            yield from map(sample_region, rows)

    def seen(self, ids: Sequence[int]) -> dict[int, SampleRegion]:
        """Return what is needed to see these samples, by row."""
        rows = self._db.rows_in(
            f"SELECT {SAMPLE_REGION} FROM sample s JOIN image i ON i.id=s.image WHERE s.id", ids
        )
        return {row["id"]: sample_region(row) for row in rows}

    def put(self, looks: Sequence[tuple[SampleRegion, SampleHashes]], version: int) -> None:
        """Keep hashes. What the pixels of an earlier region said of a sample is dropped."""
        with self._db.write():
            for seen, look in looks:
                self._db.run(
                    "DELETE FROM pair WHERE (a=?1 OR b=?1) AND kind='pixels' AND EXISTS("
                    "SELECT 1 FROM sample_hash WHERE sample=?1)",
                    (seen.id,),
                )
                self._db.run(
                    "INSERT OR REPLACE INTO "
                    "sample_hash(sample,version,x,y,w,h,angle,plain,flipped,filled,"
                    "points,shapes) VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
                    (
                        seen.id,
                        version,
                        *seen.region.box,
                        seen.region.angle,
                        signed(look.plain),
                        signed(look.flipped),
                        look.filled,
                        look.points,
                        look.shapes,
                    ),
                )

    def forget(self, sample: int) -> None:
        """Drop the hashes of a sample, and its pairs that nobody has looked at yet."""
        with self._db.write():
            self._db.run("DELETE FROM sample_hash WHERE sample=?", (sample,))
            self._db.run(
                "DELETE FROM pair WHERE (a=?1 OR b=?1) AND verdict IN ('open','tied')", (sample,)
            )

    def pages(self, *, searched: bool, size: int) -> Iterator[HashColumns]:
        """Yield the hashes of samples that were or were not searched for yet, `size` at a time.

        Those of retired samples as well: they may come back.
        """
        for rows in self._db.pages(
            "SELECT sample, plain, flipped, points, shapes FROM sample_hash WHERE searched=?",
            ("sample",),
            (searched,),
            size=size,
        ):
            # Column by column: taking each row apart takes as long as reading it.
            yield HashColumns(*([row[place] for row in rows] for place in range(5)))

    def whole(self, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return the plain and the flipped hash of these samples, by row."""
        rows = self._db.rows_in("SELECT sample, plain, flipped FROM sample_hash WHERE sample", ids)
        return {row[0]: (unsigned(row[1]), unsigned(row[2])) for row in rows}

    def searched(self, samples: Sequence[int]) -> None:
        """Note that all pairs with these samples are known. Call inside a write."""
        self._db.many("UPDATE sample_hash SET searched=1 WHERE sample=?", [(s,) for s in samples])


def sample_region(row: Row) -> SampleRegion:
    """Return the value of a row with the columns `SAMPLE_REGION`."""
    box = Box(row["x"], row["y"], row["w"], row["h"])
    return SampleRegion(
        row["id"],
        row["key"],
        row["sha256"],
        row["format"],
        row["width"],
        row["height"],
        Region(box, row["angle"]),
    )


class PixelMeasures(NamedTuple):
    """What the pixels of a sample told; `descriptor` as `curation/likeness/` makes it."""

    blur: float
    darkest: float
    lightest: float
    text: float
    photo: float
    descriptor: bytes


class LabelledSample(NamedTuple):
    """A labelled sample (row) with its class and what it is compared by."""

    id: int
    key: str
    label: str
    region: Region
    descriptor: bytes


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


_SAME_REGION = same_region("q")
_MISSING = (
    f"FROM sample s LEFT JOIN quality q ON q.sample=s.id AND {_SAME_REGION} AND q.version=? "
    "WHERE q.sample IS NULL AND s.status!='retired'"
)


QUALITY_COLUMNS = (
    "q.blur, q.darkest, q.lightest, q.text, q.photo, s.size, "
    "max(s.w, s.h) * 1.0 / max(1, min(s.w, s.h)) AS aspect, "
    "(SELECT max(ai) FROM origin WHERE image=s.image) AS ai, "
    "iif(q.label=s.label, q.outlier, NULL) AS outlier"
)
"""SQL: the fields of `Quality`, of a sample `s` and its row `q` of `quality`."""
_QUALITY = (
    f"SELECT s.key, {QUALITY_COLUMNS} "
    f"FROM sample s JOIN quality q ON q.sample=s.id AND {_SAME_REGION}"
)


class QualityFlag(NamedTuple):
    """A named threshold: a `measure` (a field of `Quality`) at least, or at most, so much."""

    name: str
    measure: str
    threshold: float
    at_least: bool = True

    @property
    def test(self) -> str:
        """SQL: the columns of `Quality` have the flag; NULL where it is not known."""
        return f"{self.measure}{'>=' if self.at_least else '<='}{self.threshold!r}"

    def holds(self, quality: Quality) -> bool:
        """Return whether these measures have the flag; what is not known has none."""
        value = getattr(quality, self.measure)
        if value is None:
            return False
        return bool(value >= self.threshold if self.at_least else value <= self.threshold)


class QualityMeasures:
    """The `quality` table. Obtained by `QualityMeasures(dataset.db)`.

    With `rehearse` everything is written to a copy that is gone with the connection.
    """

    def __init__(self, db: Connection, *, rehearse: bool = False) -> None:
        self._db = db
        if rehearse:
            # SQLite looks for a table among the temporary ones first.
            db.run("CREATE TEMP TABLE quality AS SELECT * FROM main.quality")
            db.run("CREATE UNIQUE INDEX temp.quality_sample ON quality(sample)")

    def count_missing(self, version: int) -> int:
        """Return how many samples have no measures of their present region."""
        return self._db.number(f"SELECT count(*) {_MISSING}", (version,))

    def missing(self, version: int, first: int = 0) -> Iterator[list[int]]:
        """Pages of the samples (rows) without measures; `put` may be called meanwhile.

        The `first` ones are a fair sample of those that wait.
        """
        waiting = f"SELECT s.id {_MISSING} AND s.status='queue' AND s.kept"
        rows = self._db.rows(f"{waiting} ORDER BY {FAIR_ORDER} LIMIT ?", (version, first))
        sample = [row[0] for row in rows]
        yield sample
        known = frozenset(sample)
        for rows in self._db.pages(f"SELECT s.id {_MISSING}", ("s.id",), (version,), size=500):
            yield [row[0] for row in rows if row[0] not in known]

    def put(self, found: Sequence[tuple[SampleRegion, PixelMeasures]], version: int) -> None:
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

    def labelled(self, version: int) -> Iterator[LabelledSample]:
        """Yield every sample that is labelled, kept and measured, by its key."""
        for rows in self._db.pages(
            # In the order of the index of keys, whatever else might look narrower to SQLite.
            "SELECT s.id, s.key, c.name, s.x, s.y, s.w, s.h, s.angle, q.traits "
            "FROM sample s CROSS JOIN class c ON "
            f"c.id=s.label CROSS JOIN quality q ON q.sample=s.id AND {_SAME_REGION} "
            "WHERE +s.status='labelled' AND +s.kept AND q.version=?",
            ("s.key",),
            (version,),
        ):
            for row in rows:
                region = Region(Box(row["x"], row["y"], row["w"], row["h"]), row["angle"])
                yield LabelledSample(row["id"], row["key"], row["name"], region, row["traits"])

    def some_descriptors(self, most: int) -> list[bytes | None]:
        """Return those of at most so many samples from all over the dataset; None: unmeasured."""
        last = self._db.number("SELECT ifnull(max(id), 0) FROM sample")
        rows = self._db.rows_in(
            "SELECT q.traits FROM sample s LEFT JOIN quality q ON q.sample=s.id AND "
            f"{_SAME_REGION} WHERE s.status!='retired' AND s.id",
            range(1, last + 1, max(1, -(-last // most))),
        )
        return [row["traits"] for row in rows]

    def descriptors(self, rows: Sequence[int]) -> dict[int, bytes]:
        """Return the descriptors of some samples (rows), of those that are measured as they are."""
        found = self._db.rows_in(
            "SELECT s.id, q.traits FROM sample s JOIN quality q ON q.sample=s.id AND "
            f"{_SAME_REGION} WHERE s.id",
            rows,
        )
        return {row["id"]: row["traits"] for row in found}

    def landmarks(self, rows: Sequence[int]) -> dict[int, tuple[Landmark, ...]]:
        """Return the landmarks of the faces of some samples (rows)."""
        found = self._db.rows_in(
            "SELECT s.id, f.landmarks FROM sample s JOIN face f ON f.id=s.face WHERE s.id", rows
        )
        return {
            row["id"]: tuple(Landmark(*point) for point in load(row["landmarks"])) for row in found
        }

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
        """Return the measures of these samples, where there are any."""
        rows = self._db.rows_in(f"{_QUALITY} WHERE s.key", keys)
        return {row["key"]: _quality(row) for row in rows}

    def count(self, flags: Sequence[QualityFlag]) -> tuple[int, dict[str, int]]:
        """Return how many samples have measures, and how many of them each flag."""
        sums = "".join(f", ifnull(sum({flag.test}), 0)" for flag in flags)
        (row,) = self._db.rows(
            f"SELECT count(*){sums} FROM ({_QUALITY} WHERE s.status!='retired')",
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
