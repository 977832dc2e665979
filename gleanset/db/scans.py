"""Which images are still to be searched, and whose faces are still to be cut.

How an image was searched and how its faces were cut are kept apart, so that another
margin costs no new search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.faces import IN_FORCE
from gleanset.records import Box, Region

HAS_CROP = "NOT (s.x=0 AND s.y=0 AND s.w=i.width AND s.h=i.height AND s.angle=0)"
"""Of a sample `s` of an image `i`: one that is a whole image has no file of its own."""

_LOST = "image IN (SELECT image FROM temp.lost)"
_TO_CUT = (
    "state='ok' AND EXISTS(SELECT 1 FROM scan c WHERE image=i.id AND detector=? AND settings=? "
    f"AND (cut<>? AND EXISTS(SELECT 1 FROM face WHERE image=c.image) OR {_LOST}))"
)


class Stored(NamedTuple):
    """An image by its hash and format, the name of its file."""

    sha256: str
    format: str


class Scans:
    """The `scan` table: who searched an image, with which settings, and how it was cut."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def look_for_crops(self, present: Callable[[str], set[str]]) -> None:
        """Remember, on this connection, the images that lack the crop of a sample.

        `present` gives the names of all crops that begin with two hex digits.
        """
        # Outside a write: a table of this connection alone needs no lock on the catalogue.
        self._db.run("CREATE TEMP TABLE IF NOT EXISTS lost(image INTEGER PRIMARY KEY)")
        self._db.run("DELETE FROM temp.lost")
        for start in (f"{number:02x}" for number in range(256)):
            there = present(start)
            lost = [(row["image"],) for row in self._with_crop(start) if row["key"] not in there]
            self._db.many("INSERT OR IGNORE INTO temp.lost VALUES(?)", lost)

    def _with_crop(self, start: str) -> list[Row]:
        """The samples whose key begins like that, but for those that are a whole image."""
        return self._db.rows(
            "SELECT s.key, s.image FROM sample s JOIN image i ON i.id=s.image "
            f"WHERE s.key>=? AND s.key<? AND {HAS_CROP}",
            (start, start + "g"),
        )

    def begin_cutting(self, cut: str) -> None:
        """Forget that faces were cut with other settings, or have all their crops.

        Before the first crop is overwritten: else one that a killed run has left would be
        taken for that of the settings before.
        """
        with self._db.write():
            self._db.run(
                "UPDATE scan SET cut=iif(EXISTS(SELECT 1 FROM face WHERE image=scan.image) OR "
                f"{_LOST}, '', ?1) WHERE cut<>?1 OR {_LOST}",
                (cut,),
            )

    def searched_for_faces(self, not_by: str) -> tuple[int, int]:
        """How many images were searched by any detector but one, and how many have a face."""
        row = self._db.one(
            "SELECT count(*), ifnull(sum(EXISTS(SELECT 1 FROM face f WHERE f.image=c.image AND "
            f"{IN_FORCE})), 0) FROM scan c WHERE detector<>?",
            (not_by,),
        )
        return (row[0], row[1]) if row else (0, 0)

    def count_to_cut(self, detector: str, settings: str, cut: str) -> int:
        """How many images `to_cut` would give."""
        return self._db.number(
            f"SELECT count(*) FROM image i WHERE {_TO_CUT}", (detector, settings, cut)
        )

    def to_cut(self, detector: str, settings: str, cut: str) -> Iterator[Stored]:
        """Images searched with these settings, but cut with others or lacking crops, by hash.

        Ask `look_for_crops` before, and `begin_cutting` where they are to be cut.
        """
        after = ""
        while rows := self._db.rows(
            f"SELECT sha256, format FROM image i WHERE {_TO_CUT} AND sha256>? "
            "ORDER BY sha256 LIMIT 500",
            (detector, settings, cut, after),
        ):
            yield from (Stored(*row) for row in rows)
            after = rows[-1]["sha256"]

    def cut_of(self, sha256: str) -> str | None:
        """How the faces of an image were cut; None where that is not known."""
        row = self._db.one(
            "SELECT cut FROM scan WHERE cut<>'' AND image=(SELECT id FROM image WHERE sha256=?) "
            "ORDER BY at DESC, detector",
            (sha256,),
        )
        return row["cut"] if row else None

    def regions_without_face(self, sha256: str) -> list[tuple[str, Region]]:
        """Key and region of each sample of an image whose face is not known any more."""
        return [
            (row["key"], Region(Box(row["x"], row["y"], row["w"], row["h"]), row["angle"]))
            for row in self._db.rows(
                "SELECT key, x, y, w, h, angle FROM sample WHERE face IS NULL AND "
                "image=(SELECT id FROM image WHERE sha256=?) ORDER BY key",
                (sha256,),
            )
        ]

    def missed(self) -> Iterator[Stored]:
        """Images that were searched and have no face, neither found nor given by hand, by hash."""
        after = ""
        while rows := self._db.rows(
            "SELECT sha256, format FROM image i WHERE state='ok' AND sha256>? "
            "AND EXISTS(SELECT 1 FROM scan WHERE image=i.id) "
            f"AND NOT EXISTS(SELECT 1 FROM face f WHERE image=i.id AND {IN_FORCE}) "
            "AND NOT EXISTS(SELECT 1 FROM rejection WHERE stage='facecrop' AND what=i.sha256) "
            "ORDER BY sha256 LIMIT 500",
            (after,),
        ):
            yield from (Stored(*row) for row in rows)
            after = rows[-1]["sha256"]
