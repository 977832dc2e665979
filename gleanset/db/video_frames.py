"""The picture that a sample is in, the frames of its video before and after, and their faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.samples import IN_USE
from gleanset.records import Box


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


class VideoFrames:
    """Read only. Obtained by `VideoFrames(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def around(self, sample: int, most: int = 40) -> tuple[list[Frame], int]:
        """Return the image of a sample (row) and which of them it is, with frames around it.

        They are at most so many before and after it in the same video, by time; only the image
        itself where it is of none, and nothing where the sample is gone.
        """
        own = self._db.one(
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
        return [
            Frame(
                row["sha256"],
                row["format"],
                row["width"],
                row["height"],
                row["time"],
                tuple(faces[row["id"]]),
            )
            for row in rows
        ]
