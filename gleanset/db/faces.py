"""What a detector found in an image, and the samples that were cut from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.values import dump, load, now, signed
from gleanset.db.visits import Rejections
from gleanset.records import Box, Cut, Face, Landmark, Rejection


class FoundFace(NamedTuple):
    """A face together with the image it is in."""

    image: str
    face: Face


class Faces:
    """The `scan` and `face` tables, and the samples that come with a face."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def record(self, sha256: str, detector: str, settings: str, cuts: Sequence[Cut]) -> None:
        """Put one image's faces in place of its earlier ones, whichever detector found them.

        A sample keeps its key, and with it its label, as long as its face box stays. Samples
        that are not found any more are retired, unless a decision was made on them.
        """
        with self._db.write():
            image = self._db.number("SELECT id FROM image WHERE sha256=?", (sha256,))
            self._db.run("DELETE FROM face WHERE image=?", (image,))
            self._db.run("DELETE FROM scan WHERE image=?", (image,))
            self._db.run(
                "UPDATE sample SET status='retired' WHERE image=? AND status='queue'", (image,)
            )
            for cut in cuts:
                self._add(image, cut)
            self._db.run("INSERT INTO scan VALUES(?,?,?,?)", (image, detector, settings, now()))

    def failed(self, sha256: str, detector: str, settings: str, why: Rejection) -> None:
        """Note that an image could not be searched, so that it is not tried for ever."""
        with self._db.write():
            self.record(sha256, detector, settings, [])
            Rejections(self._db).add(why)

    def _add(self, image: int, cut: Cut) -> None:
        face = cut.face
        number = self._db.run(
            "INSERT INTO face(image,detector,x,y,w,h,score,landmarks) VALUES(?,?,?,?,?,?,?,?)",
            (image, face.detector, *face.box, face.score, dump(face.landmarks)),
        )
        self._db.run(
            "INSERT INTO sample(key,image,face,detector,score,x,y,w,h,phash,sharpness) "
            "VALUES(?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT(key) DO UPDATE SET face=excluded.face, "
            "detector=excluded.detector, score=excluded.score, x=excluded.x, y=excluded.y, "
            "w=excluded.w, h=excluded.h, phash=excluded.phash, sharpness=excluded.sharpness, "
            "status=iif(status='retired','queue',status)",
            (cut.key, image, number, face.detector, face.score, *cut.box, signed(cut.phash),
             cut.sharpness),
        )  # fmt: skip

    def count(self) -> int:
        """How many faces there are."""
        return self._db.number("SELECT count(*) FROM face")

    def scanned(self) -> int:
        """How many images some detector has looked at."""
        return self._db.number("SELECT count(DISTINCT image) FROM scan")

    def each(self) -> Iterator[FoundFace]:
        """All faces by image, then from left to right; a page in memory at a time."""
        after = ""
        while rows := self._db.rows(
            "SELECT i.sha256, f.* FROM (SELECT id, sha256 FROM image WHERE sha256>? AND id IN "
            "(SELECT image FROM face) ORDER BY sha256 LIMIT 200) i JOIN face f ON f.image=i.id "
            "ORDER BY i.sha256, f.detector, f.x, f.y, f.w, f.h",
            (after,),
        ):
            for row in rows:
                marks = tuple(Landmark(*point) for point in load(row["landmarks"]))
                box = Box(row["x"], row["y"], row["w"], row["h"])
                yield FoundFace(row["sha256"], Face(row["detector"], box, row["score"], marks))
            after = rows[-1]["sha256"]
