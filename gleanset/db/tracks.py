"""Faces that were followed through a scene: their tracks, and the samples that are of one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby
from typing import NamedTuple

from gleanset.db.connection import Connection, Table
from gleanset.db.rows import box_of, values_of
from gleanset.records import FaceTrack, Origin, overlap

FOLLOWED_SHARE = 0.4
"""A cut that shares so much (intersection over union) with one of a track is the same face."""


def inherit_tracks(db: Connection, image: int) -> None:
    """Give the samples of an image (row) without a track that of the face that they show.

    Another search finds other boxes of the same faces. Call inside a write.
    """
    rows = db.rows("SELECT key, track, x, y, w, h FROM sample WHERE image=? ORDER BY key", (image,))
    followed = [(box_of(row), str(row["track"])) for row in rows if row["track"] is not None]
    for row in rows if followed else ():
        share, track = max((overlap(box_of(row), box), name) for box, name in followed)
        if row["track"] is None and share >= FOLLOWED_SHARE:
            db.run("UPDATE sample SET track=? WHERE key=?", (track, row["key"]))


class StoredTrack(NamedTuple):
    """A track with its place, and its `samples` that are in use (keys, by time).

    `labels` are their classes, each as often as it is given; `waiting` are those that a person has
    not decided. `undecided` is how many have no decision, also those put off; `others` how many are
    faces of no class. The rest was rejected.
    """

    track: FaceTrack
    video: str
    scene: int
    samples: tuple[str, ...]
    waiting: tuple[str, ...]
    labels: tuple[str, ...]
    undecided: int
    others: int

    @property
    def label(self) -> str | None:
        """The class that most of it have; None where none has one."""
        return max(sorted(set(self.labels)), key=self.labels.count, default=None)


class Tracks(Table):
    """The `track` table."""

    def add(self, track: FaceTrack, frame: Origin, sample: str) -> None:
        """Note that a sample (key) of a frame is of a track; what has one keeps it. In a write."""
        row = values_of(track) | {"video": frame.video, "scene": frame.scene}
        self._db.insert("track", row, how="INSERT OR IGNORE")
        self._db.run(
            "UPDATE sample SET track=? WHERE key=? AND track IS NULL", (track.name, sample)
        )

    def each(self, names: Collection[str] | None = None) -> Iterator[StoredTrack]:
        """Yield the tracks that have a sample in use, by video and time; or those of some names."""
        rows = (
            self._db.rows(f"{_TRACKS} WHERE {_IN_USE} {_ORDER}")
            if names is None
            else self._db.rows_in(f"{_TRACKS} WHERE {_IN_USE} AND t.name", names, _ORDER)
        )
        for _, some in groupby(rows, key=lambda row: str(row["name"])):
            members = list(some)
            first = members[0]
            yield StoredTrack(
                FaceTrack(first["name"], first["begun"], first["ended"], first["frames"]),
                first["video"],
                first["scene"],
                tuple(row["key"] for row in members),
                tuple(row["key"] for row in members if row["waits"]),
                tuple(row["label"] for row in members if row["label"] is not None),
                sum(row["status"] == "queue" for row in members),
                sum(row["status"] == "rejected" and row["mark"] == "other" for row in members),
            )

    def count(self) -> int:
        """Return how many there are."""
        return self._db.number("SELECT count(*) FROM track")

    def videos(self) -> dict[str, tuple[str, float | None]]:
        """Return the name and length (seconds) of each video that was sampled, by its content."""
        return self._db.mapping("SELECT sha256, name, max(duration) FROM video GROUP BY sha256")

    def named(self, name: str) -> StoredTrack | None:
        """Return the track of that name; None where there is none."""
        return next(self.each([name]), None)


_IN_USE = "s.status<>'retired' AND s.kept"
_TRACKS = (
    "SELECT DISTINCT t.*, s.key, s.status='queue' AND m.mark IS NOT 'later' AS waits, "
    "s.status, m.mark, c.name AS label FROM track t JOIN sample s ON s.track=t.name "
    "LEFT JOIN class c ON c.id=s.label LEFT JOIN sorting_note m ON m.sample=s.id"
)
_ORDER = "ORDER BY t.video, t.begun, t.name, s.image, s.key"
