"""Where samples lie: their regions, their boxes in a picture, and the frames around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gleanset.db.connection import Row, Table
from gleanset.db.rows import record_of, region_of
from gleanset.db.samples import IN_USE
from gleanset.records import Box, Region


class SampleRegion(NamedTuple):
    """A sample with what is needed to see it. `id` is the row of the sample."""

    id: int
    key: str
    image: str
    format: str
    width: int
    height: int
    region: Region


SAMPLE_REGION = (
    "s.id, s.key, i.sha256 AS image, i.format, i.width, i.height, s.x, s.y, s.w, s.h, s.angle"
)
"""SQL: the fields of `SampleRegion`, of a sample `s` and its image `i`."""


def same_region(table: str) -> str:
    """Return SQL: the row of `table` is about the region that its sample `s` has now."""
    return " AND ".join(f"{table}.{name}=s.{name}" for name in ("x", "y", "w", "h", "angle"))


def sample_region(row: Row) -> SampleRegion:
    """Return the value of a row with the columns `SAMPLE_REGION`."""
    return record_of(SampleRegion, row, region=region_of(row))


class BoxedSample(NamedTuple):
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


class BoxedSamples(Table):
    """Read only."""

    def images(self, text: str = "") -> list[str]:
        """Return the hashes of all images, or of those with a text in title or path, as
        they came.
        """
        if not text:
            return self._db.column("SELECT sha256 FROM image WHERE state='ok' ORDER BY id")
        return self._db.column(
            "SELECT sha256 FROM image i WHERE state='ok' AND (instr(sha256, lower(?1))=1 OR "
            "EXISTS(SELECT 1 FROM origin WHERE image=i.id AND instr(lower(ifnull(title, '') || "
            "char(10) || ifnull(path, '')), lower(?1)))) ORDER BY id",
            (text,),
        )

    def placed(self, sha256: str) -> list[BoxedSample]:
        """Return the samples in use of an image that have a face, from left to right."""
        rows = self._db.rows(
            f"{_PLACED} s.image=(SELECT id FROM image WHERE sha256=?) ORDER BY f.x, f.y, s.id",
            (sha256,),
        )
        return [_placed(row) for row in rows]

    def in_use(self, key: str) -> BoxedSample | None:
        """Return a sample as it is now; None where it is in use no more, or never was."""
        row = self._db.first(f"{_PLACED} s.key=?", (key,))
        return None if row is None else _placed(row)

    def taken(self, key: str) -> str | None:
        """Return the status of a sample of that key; None where there never was one."""
        status: str | None = self._db.value("SELECT status FROM sample WHERE key=?", (key,))
        return status


def _placed(row: Row) -> BoxedSample:
    return BoxedSample(row[0], Box(*row[1:5]), row[5], row[6] == "hand", row[7], row[8])


class FrameFace(NamedTuple):
    """A sample (row) in a picture, where it is in pixels of that, and its class if it has one."""

    id: int
    box: Box
    label: str | None


class Frame(NamedTuple):
    """An image: its hash, format and size in pixels; `time` in seconds where it is of a video."""

    sha256: str
    format: str
    width: int
    height: int
    time: float | None = None
    faces: tuple[FrameFace, ...] = ()


_IMAGE = "SELECT i.id, i.sha256, i.format, i.width, i.height"


class VideoFrames(Table):
    """Read only."""

    def around(self, sample: int, most: int = 40) -> tuple[list[Frame], int]:
        """Return the image of a sample (row) and which of them it is, with frames around it.

        They are at most so many before and after it in the same video, by time; only the image
        itself where it is of none, and nothing where the sample is gone.
        """
        own = self._db.first(
            f"{_IMAGE}, o.time, o.video FROM sample s JOIN image i ON i.id=s.image LEFT JOIN "
            "origin o ON o.id=(SELECT id FROM origin WHERE image=i.id AND video IS NOT NULL AND "
            "time IS NOT NULL ORDER BY id LIMIT 1) WHERE s.id=?",
            (sample,),
        )
        if own is None:
            return [], 0
        before = self._beside(own, "<", "DESC", most)[::-1] if own["video"] else []
        after = self._beside(own, ">", "ASC", most) if own["video"] else []
        return self._full([*before, own, *after]), len(before)

    def _beside(self, own: Row, side: str, turn: str, most: int) -> list[Row]:
        return self._db.rows(
            f"{_IMAGE}, min(o.time) AS time FROM origin o JOIN image i ON i.id=o.image "
            f"WHERE o.video=? AND i.id<>? AND (o.time, i.id){side}(?,?) "
            f"GROUP BY i.id ORDER BY time {turn}, i.id {turn} LIMIT ?",
            (own["video"], own["id"], own["time"], own["id"], most),
        )

    def _full(self, rows: Sequence[Row]) -> list[Frame]:
        faces: dict[int, list[FrameFace]] = {row["id"]: [] for row in rows}
        for row in self._db.rows_in(
            "SELECT s.image, s.id, s.x, s.y, s.w, s.h, c.name FROM sample s LEFT JOIN class c ON "
            f"c.id=s.label WHERE {IN_USE} AND s.image",
            faces,
            "ORDER BY s.id",
        ):
            image, number, x, y, width, height, label = row
            faces[image].append(FrameFace(number, Box(x, y, width, height), label))
        return [record_of(Frame, row, faces=tuple(faces[row["id"]])) for row in rows]
