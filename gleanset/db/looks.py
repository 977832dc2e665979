"""What the search for duplicates compares: a few hashes for every sample, kept for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.values import in_parts, signed, unsigned
from gleanset.records import Box, Region


class Seen(NamedTuple):
    """A sample with what is needed to see it. `id` is the row of the sample."""

    id: int
    key: str
    image: str
    format: str
    width: int
    height: int
    region: Region


class Look(NamedTuple):
    """The hashes of a sample. `points` are 8 bytes each (little endian), `shapes` 3 bytes each.

    `filled` is the part of the picture that is no uniform border, 0..1.
    """

    sample: int
    plain: int
    flipped: int
    filled: float
    points: bytes
    shapes: bytes


_SEEN = "s.id, s.key, i.sha256, i.format, i.width, i.height, s.x, s.y, s.w, s.h, s.angle"
_SAME_REGION = "l.x=s.x AND l.y=s.y AND l.w=s.w AND l.h=s.h AND l.angle=s.angle AND l.version=?"


class Looks:
    """The `look` table. Obtained by `Looks(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def count_missing(self, version: int) -> int:
        """How many samples have no hashes of their present region."""
        return self._db.number(
            f"SELECT count(*) FROM sample s LEFT JOIN look l ON l.sample=s.id AND {_SAME_REGION} "
            "WHERE l.sample IS NULL AND s.status!='retired'",
            (version,),
        )

    def missing(self, version: int) -> Iterator[Seen]:
        """The samples without hashes of their present region; `put` may be called meanwhile."""
        after = 0
        while rows := self._db.rows(
            f"SELECT {_SEEN} FROM sample s JOIN image i ON i.id=s.image LEFT JOIN look l ON "
            f"l.sample=s.id AND {_SAME_REGION} WHERE l.sample IS NULL AND s.status!='retired' "
            "AND s.id>? ORDER BY s.id LIMIT 500",
            (version, after),
        ):
            yield from (_seen(row) for row in rows)
            after = rows[-1]["id"]

    def seen(self, ids: Sequence[int]) -> dict[int, Seen]:
        """What is needed to see these samples, by row."""
        found: dict[int, Seen] = {}
        for some, marks in in_parts(ids):
            rows = self._db.rows(
                f"SELECT {_SEEN} FROM sample s JOIN image i ON i.id=s.image "
                f"WHERE s.id IN ({marks})",
                some,
            )
            found |= {row["id"]: _seen(row) for row in rows}
        return found

    def put(self, looks: Sequence[tuple[Seen, Look]], version: int) -> None:
        """Keep hashes. What the pixels of an earlier region said of a sample is dropped."""
        with self._db.write():
            for seen, look in looks:
                self._db.run(
                    "DELETE FROM pair WHERE (a=?1 OR b=?1) AND kind='pixels' AND EXISTS("
                    "SELECT 1 FROM look WHERE sample=?1)",
                    (seen.id,),
                )
                self._db.run(
                    "INSERT OR REPLACE INTO look(sample,version,x,y,w,h,angle,plain,flipped,filled,"
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
            self._db.run("DELETE FROM look WHERE sample=?", (sample,))
            self._db.run("DELETE FROM pair WHERE (a=?1 OR b=?1) AND verdict='open'", (sample,))

    def pages(self, *, searched: bool, size: int) -> Iterator[list[Look]]:
        """The hashes of samples that were or were not searched for yet, `size` at a time.

        Those of retired samples as well: they may come back.
        """
        after = 0
        while rows := self._db.rows(
            "SELECT sample, plain, flipped, filled, points, shapes FROM look "
            "WHERE searched=? AND sample>? ORDER BY sample LIMIT ?",
            (searched, after, size),
        ):
            yield [_look(row) for row in rows]
            after = rows[-1][0]

    def searched(self, samples: Sequence[int]) -> None:
        """Note that all pairs with these samples are known. Call inside a write."""
        self._db.many("UPDATE look SET searched=1 WHERE sample=?", [(s,) for s in samples])


def _look(row: Row) -> Look:
    return Look(
        row["sample"],
        unsigned(row["plain"]),
        unsigned(row["flipped"]),
        row["filled"],
        row["points"],
        row["shapes"],
    )


def _seen(row: Row) -> Seen:
    box = Box(row["x"], row["y"], row["w"], row["h"])
    return Seen(
        row["id"],
        row["key"],
        row["sha256"],
        row["format"],
        row["width"],
        row["height"],
        Region(box, row["angle"]),
    )
