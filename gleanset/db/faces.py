"""What was found in an image, by a detector or by hand, and the samples cut from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.values import dump, load, now, signed
from gleanset.db.visits import Rejections
from gleanset.records import Box, Cut, Face, Landmark, Rejection

HAND = "hand"
"""The detector of a box that a person has drawn."""

IN_FORCE = (
    f"NOT f.gone AND (f.detector<>'{HAND}' OR "
    "EXISTS(SELECT 1 FROM sample s WHERE s.face=f.id AND s.status<>'retired'))"
)
"""SQL: a face `f` that is found, or was given by hand and not taken away again."""


class FoundFace(NamedTuple):
    """A face together with the image it is in."""

    image: str
    face: Face


class StoredFace(NamedTuple):
    """A face as the catalogue has it.

    `kind` is found, hand, removed (was by hand) or gone (no longer found, but decided on).
    """

    face: Face
    kind: str


class Faces:
    """The `face` table, and the samples that come with a face."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def record(
        self,
        sha256: str,
        detector: str,
        settings: str,
        cuts: Sequence[Cut],
        *,
        cut: str = "",
        small: Iterable[Face] = (),
        kept: Iterable[Cut] = (),
    ) -> None:
        """Put one image's faces in place of its earlier ones, whichever detector found them.

        A sample keeps its key, and with it its label, as long as its face box stays. Samples
        that are not found any more are retired, unless a decision was made on them or a
        person gave them. `small` faces get no sample; `kept` are new cuts of faces by hand
        and of those no longer found. `cut` is how they all were cut.
        """
        with self._db.write():
            image = self._db.number("SELECT id FROM image WHERE sha256=?", (sha256,))
            self._put_aside(image)
            for found in cuts:
                self._add(image, found)
            for face in small:
                self._add_face(image, face)
            for found in kept:
                self._cut_anew(found)
            self._db.run("DELETE FROM scan WHERE image=?", (image,))
            self._db.run(
                "INSERT INTO scan(image,detector,settings,cut,at) VALUES(?,?,?,?,?)",
                (image, detector, settings, cut, now()),
            )

    def _put_aside(self, image: int) -> None:
        """Forget what a detector found, but for the boxes of samples that were decided on."""
        here = f"image=? AND detector<>'{HAND}'"
        self._db.run(
            f"UPDATE face SET gone=1 WHERE {here} AND id IN (SELECT face FROM sample "
            "WHERE image=? AND status NOT IN ('queue','retired'))",
            (image, image),
        )
        self._db.run(f"DELETE FROM face WHERE {here} AND NOT gone", (image,))
        self._db.run(
            "UPDATE sample SET face=NULL, status=iif(status='queue','retired',status) "
            f"WHERE {here}",
            (image,),
        )

    def failed(
        self, sha256: str, detector: str, settings: str, why: Rejection, cut: str = ""
    ) -> None:
        """Note that an image could not be searched, so that it is not tried for ever."""
        with self._db.write():
            self.record(sha256, detector, settings, [], cut=cut)
            Rejections(self._db).add(why)

    def add_by_hand(self, sha256: str, cut: Cut) -> bool:
        """Record a box that a person gave, with a sample that is retired until it is decided on.

        False where a sample of just this box is in use already. Call inside a write.
        """
        if self._db.number("SELECT 1 FROM sample WHERE key=? AND status<>'retired'", (cut.key,)):
            return False
        image = self._db.number("SELECT id FROM image WHERE sha256=?", (sha256,))
        self._db.run(
            "DELETE FROM face WHERE image=? AND (x,y,w,h)=(?,?,?,?)", (image, *cut.face.box)
        )
        self._add(image, cut)
        self._db.run("UPDATE sample SET status='retired' WHERE key=?", (cut.key,))
        return True

    def _add(self, image: int, cut: Cut) -> None:
        face = cut.face
        number = self._add_face(image, face)
        self._db.run(
            "INSERT INTO sample(key,image,face,detector,score,x,y,w,h,angle,phash,sharpness) "
            "VALUES(?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(key) DO UPDATE SET face=excluded.face, "
            "detector=excluded.detector, score=excluded.score, x=excluded.x, y=excluded.y, "
            "w=excluded.w, h=excluded.h, angle=excluded.angle, phash=excluded.phash, "
            "sharpness=excluded.sharpness, status=iif(status='retired','queue',status)",
            (cut.key, image, number, face.detector, face.score, *_measured(cut)),
        )

    def _add_face(self, image: int, face: Face) -> int:
        self._db.run(
            "DELETE FROM face WHERE image=? AND gone AND (x,y,w,h)=(?,?,?,?)", (image, *face.box)
        )
        return self._db.run(
            "INSERT INTO face(image,detector,x,y,w,h,score,landmarks,evidence) "
            "VALUES(?,?,?,?,?,?,?,?,?)",
            (
                image,
                face.detector,
                *face.box,
                face.score,
                dump(face.landmarks),
                None if face.evidence is None else dump(face.evidence),
            ),
        )

    def _cut_anew(self, cut: Cut) -> None:
        self._db.run(
            "UPDATE sample SET x=?, y=?, w=?, h=?, angle=?, phash=?, sharpness=? WHERE key=?",
            (*_measured(cut), cut.key),
        )

    def of(self, sha256: str) -> list[StoredFace]:
        """All faces the catalogue has of an image, from left to right."""
        rows = self._db.rows(
            f"SELECT f.*, {IN_FORCE} AS valid FROM face f WHERE "
            "image=(SELECT id FROM image WHERE sha256=?) ORDER BY x, y, w, h, gone",
            (sha256,),
        )
        return [StoredFace(_face(row), _kind(row)) for row in rows]

    def count(self) -> int:
        """How many faces there are."""
        return self._db.number(f"SELECT count(*) FROM face f WHERE {IN_FORCE}")

    def scanned(self) -> int:
        """How many images some detector has looked at."""
        return self._db.number("SELECT count(DISTINCT image) FROM scan")

    def each(self) -> Iterator[FoundFace]:
        """All faces by image, then from left to right; a page in memory at a time."""
        after = ""
        while rows := self._db.rows(
            "SELECT i.sha256, f.* FROM (SELECT id, sha256 FROM image WHERE sha256>? AND id IN "
            f"(SELECT image FROM face f WHERE {IN_FORCE}) ORDER BY sha256 LIMIT 200) i JOIN face f "
            f"ON f.image=i.id AND {IN_FORCE} ORDER BY i.sha256, f.detector, f.x, f.y, f.w, f.h",
            (after,),
        ):
            yield from (FoundFace(row["sha256"], _face(row)) for row in rows)
            after = rows[-1]["sha256"]


def _measured(cut: Cut) -> tuple[object, ...]:
    return (*cut.box, cut.angle, signed(cut.phash), cut.sharpness)


def _kind(row: Row) -> str:
    if row["gone"]:
        return "gone"
    if row["detector"] != HAND:
        return "found"
    return HAND if row["valid"] else "removed"


def _face(row: Row) -> Face:
    marks = tuple(Landmark(*point) for point in load(row["landmarks"]))
    box = Box(row["x"], row["y"], row["w"], row["h"])
    evidence = None if row["evidence"] is None else load(row["evidence"])
    return Face(row["detector"], box, row["score"], marks, evidence)
