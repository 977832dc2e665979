"""What a person who draws boxes needs: which images, and the samples that are cut from each."""

from __future__ import annotations

from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.records import Box


class Placed(NamedTuple):
    """A sample in use with the box of its face; `box` and `angle` as a person drew or found it."""

    key: str
    box: Box
    angle: float
    by_hand: bool
    status: str
    label: str | None


_PLACED = (
    "SELECT s.key, f.x, f.y, f.w, f.h, s.angle, f.detector, s.status, c.name FROM sample s "
    "JOIN face f ON f.id=s.face LEFT JOIN class c ON c.id=s.label WHERE s.status<>'retired' AND "
)


class Croppings:
    """Read only. Obtained by `Croppings(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def images(self, text: str = "") -> list[str]:
        """The hashes of all images, or of those with a text in title or path, as they came."""
        if not text:
            rows = self._db.rows("SELECT sha256 FROM image WHERE state='ok' ORDER BY id")
        else:
            rows = self._db.rows(
                "SELECT sha256 FROM image i WHERE state='ok' AND (instr(sha256, lower(?1))=1 OR "
                "EXISTS(SELECT 1 FROM origin WHERE image=i.id AND instr(lower(ifnull(title, '') || "
                "char(10) || ifnull(path, '')), lower(?1)))) ORDER BY id",
                (text,),
            )
        return [row[0] for row in rows]

    def placed(self, sha256: str) -> list[Placed]:
        """The samples in use of an image that have a face, from left to right."""
        rows = self._db.rows(
            f"{_PLACED} s.image=(SELECT id FROM image WHERE sha256=?) ORDER BY f.x, f.y, s.id",
            (sha256,),
        )
        return [_placed(row) for row in rows]

    def in_use(self, key: str) -> Placed | None:
        """A sample as it is now; None where it is in use no more, or never was."""
        row = self._db.one(f"{_PLACED} s.key=?", (key,))
        return None if row is None else _placed(row)

    def taken(self, key: str) -> str | None:
        """The status of a sample of that key; None where there never was one."""
        row = self._db.one("SELECT status FROM sample WHERE key=?", (key,))
        return None if row is None else str(row[0])


def _placed(row: Row) -> Placed:
    return Placed(row[0], Box(*row[1:5]), row[5], row[6] == "hand", row[7], row[8])
