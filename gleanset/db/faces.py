"""Faces found by a detector or drawn by hand, their tracks, the searches, and the crops.

How an image was searched and how its faces were cropped are kept apart, so that another margin
costs no new search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from gleanset.db.connection import Connection, Row, Table
from gleanset.db.images import Rejections
from gleanset.db.rows import (
    MATCHES_SEARCH,
    Search,
    box_from_row,
    dump,
    encode_searches,
    load,
    now,
    record_from_row,
    region_from_row,
    row_from_box,
    row_from_record,
    to_signed,
)
from gleanset.html.words import count
from gleanset.records import (
    HAND,
    Face,
    FaceCrop,
    FaceTrack,
    Landmark,
    Origin,
    Region,
    Rejection,
    overlap,
)

MIN_TRACK_OVERLAP = 0.4
"""A cut that shares so much (intersection over union) with one of a track is the same face."""


def inherit_tracks(db: Connection, image: int) -> None:
    """Give samples of an image (row) the track they overlap. Call inside a transaction."""
    rows = db.fetch_all(
        "SELECT key, track, x, y, w, h FROM sample WHERE image=? ORDER BY key", (image,)
    )
    followed = [(box_from_row(row), str(row["track"])) for row in rows if row["track"] is not None]
    for row in rows if followed else ():
        share, track = max((overlap(box_from_row(row), box), name) for box, name in followed)
        if row["track"] is None and share >= MIN_TRACK_OVERLAP:
            db.execute("UPDATE sample SET track=? WHERE key=?", (track, row["key"]))


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
        """Assign a sample (key) without track to a track. Call inside a transaction."""
        row = row_from_record(track) | {"video": frame.video, "scene": frame.scene}
        self._db.insert("track", row, how="INSERT OR IGNORE")
        self._db.execute(
            "UPDATE sample SET track=? WHERE key=? AND track IS NULL", (track.name, sample)
        )

    def iterate(self, names: Collection[str] | None = None) -> Iterator[StoredTrack]:
        """Yield the tracks that have a sample in use, by video and time; or those of some names."""
        rows = (
            self._db.fetch_all(f"{_TRACKS} WHERE {_IN_USE} {_ORDER}")
            if names is None
            else self._db.iter_rows_in(f"{_TRACKS} WHERE {_IN_USE} AND t.name", names, _ORDER)
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
        return self._db.fetch_int("SELECT count(*) FROM track")

    def get_videos(self) -> dict[str, tuple[str, float | None]]:
        """Return the name and length (seconds) of each video that was sampled, by its content."""
        return self._db.fetch_dict("SELECT sha256, name, max(duration) FROM video GROUP BY sha256")

    def get(self, name: str) -> StoredTrack | None:
        """Return the track of that name; None where there is none."""
        return next(self.iterate([name]), None)


_IN_USE = "s.status<>'retired' AND s.kept"
_TRACKS = (
    "SELECT DISTINCT t.*, s.key, s.status='queue' AND m.mark IS NOT 'later' AS waits, "
    "s.status, m.mark, c.name AS label FROM track t JOIN sample s ON s.track=t.name "
    "LEFT JOIN class c ON c.id=s.label LEFT JOIN sorting_note m ON m.sample=s.id"
)
_ORDER = "ORDER BY t.video, t.begun, t.name, s.image, s.key"
VALID_FACE = (
    f"NOT f.gone AND (f.detector<>'{HAND}' OR "
    "EXISTS(SELECT 1 FROM sample s WHERE s.face=f.id AND s.status<>'retired'))"
)
"""SQL: a face `f` that is found, or was given by hand and not taken away again."""

NOT_FAILED = "NOT EXISTS(SELECT 1 FROM rejection WHERE stage='facecrop' AND what=i.sha256)"
"""SQL: no search of an image `i` for faces has failed."""
FACELESS = (
    "i.state='ok' AND EXISTS(SELECT 1 FROM scan WHERE image=i.id) AND NOT EXISTS("
    f"SELECT 1 FROM face f WHERE image=i.id AND {VALID_FACE}) AND {NOT_FAILED}"
)
"""SQL: an image `i` was searched and has no face, neither found nor given by hand."""


class ImageFace(NamedTuple):
    """A face together with the image it is in."""

    image: str
    face: Face


class StoredFace(NamedTuple):
    """A face; `kind` is found, hand, removed (was by hand) or gone (lost, but decided on)."""

    face: Face
    kind: str


class Faces(Table):
    """The `face` table, and the samples that come with a face."""

    def replace(
        self,
        sha256: str,
        detector: str,
        settings: str,
        cuts: Sequence[FaceCrop],
        *,
        cut: str = "",
        small: Iterable[Face] = (),
    ) -> None:
        """Replace an image's faces by new ones; labelled samples and those by hand stay."""
        with self._db.transaction():
            image = self._db.fetch_int("SELECT id FROM image WHERE sha256=?", (sha256,))
            self._put_aside(image)
            for face_crop in cuts:
                self._add(image, face_crop)
            for face in small:
                self._add_face(image, face)
            self._db.execute("DELETE FROM scan WHERE image=?", (image,))
            scan = {"image": image, "detector": detector, "settings": settings, "cut": cut}
            self._db.insert("scan", scan | {"at": now()})
            inherit_tracks(self._db, image)

    def _put_aside(self, image: int) -> None:
        """Forget what a detector found, but for the boxes of samples that were decided on."""
        here = f"image=? AND detector<>'{HAND}'"
        self._db.execute(
            f"UPDATE face SET gone=1 WHERE {here} AND id IN (SELECT face FROM sample "
            "WHERE image=? AND status NOT IN ('queue','retired'))",
            (image, image),
        )
        self._db.execute(f"DELETE FROM face WHERE {here} AND NOT gone", (image,))
        self._db.execute(
            "UPDATE sample SET face=NULL, status=iif(status='queue','retired',status) "
            f"WHERE {here}",
            (image,),
        )

    def record_failure(
        self, sha256: str, detector: str, settings: str, why: Rejection, cut: str = ""
    ) -> None:
        """Note that an image could not be searched, so that it is not tried for ever."""
        with self._db.transaction():
            self.replace(sha256, detector, settings, [], cut=cut)
            Rejections(self._db).add(why)

    def add_manual(self, sha256: str, cut: FaceCrop) -> bool:
        """Add a box with a retired sample; False if in use. Call inside a transaction."""
        if self._db.fetch_int("SELECT 1 FROM sample WHERE key=? AND status<>'retired'", (cut.key,)):
            return False
        image = self._db.fetch_int("SELECT id FROM image WHERE sha256=?", (sha256,))
        self._db.execute(
            "DELETE FROM face WHERE image=? AND (x,y,w,h)=(?,?,?,?)", (image, *cut.face.box)
        )
        self._add(image, cut)
        self._db.execute("UPDATE sample SET status='retired' WHERE key=?", (cut.key,))
        return True

    def _add(self, image: int, cut: FaceCrop) -> None:
        face = cut.face
        number = self._add_face(image, face)
        found = {"face": number, "detector": face.detector, "score": face.score} | _measured(cut)
        again = ", ".join(f"{name}=excluded.{name}" for name in found)
        self._db.insert(
            "sample",
            {"key": cut.key, "image": image} | found,
            then=f"ON CONFLICT(key) DO UPDATE SET {again}, "
            "status=iif(status='retired','queue',status)",
        )

    def _add_face(self, image: int, face: Face) -> int:
        self._db.execute(
            "DELETE FROM face WHERE image=? AND gone AND (x,y,w,h)=(?,?,?,?)", (image, *face.box)
        )
        evidence = None if face.evidence is None else dump(face.evidence)
        told = {"landmarks": dump(face.landmarks), "evidence": evidence}
        row = {"image": image, "detector": face.detector, "score": face.score}
        return self._db.insert("face", row | row_from_box(face.box) | told)

    def update_crops(self, cuts: Iterable[FaceCrop]) -> None:
        """Update crops of manual and lost faces. Call inside a transaction."""
        self._db.execute_many(
            "UPDATE sample SET x=?, y=?, w=?, h=?, angle=?, phash=?, sharpness=? WHERE key=?",
            [(*_measured(cut).values(), cut.key) for cut in cuts],
        )

    def list_in_image(self, sha256: str) -> list[StoredFace]:
        """Return all faces the catalogue has of an image, from left to right."""
        rows = self._db.fetch_all(
            f"SELECT f.*, {VALID_FACE} AS valid FROM face f WHERE "
            "image=(SELECT id FROM image WHERE sha256=?) ORDER BY x, y, w, h, gone",
            (sha256,),
        )
        return [StoredFace(_face(row), _kind(row)) for row in rows]

    def count(self) -> int:
        """Return how many faces there are."""
        return self._db.fetch_int(f"SELECT count(*) FROM face f WHERE {VALID_FACE}")

    def iterate(self) -> Iterator[ImageFace]:
        """Yield all faces by image, then from left to right; a page in memory at a time."""
        for row in self._db.iter_rows(
            "SELECT id, sha256 FROM image WHERE EXISTS(SELECT 1 FROM face f WHERE f.image=image.id "
            f"AND {VALID_FACE})",
            ("sha256",),
            size=200,
            within="SELECT i.sha256, f.* FROM ({page}) i JOIN face f ON f.image=i.id AND "
            f"{VALID_FACE} ORDER BY i.sha256, f.detector, f.x, f.y, f.w, f.h",
        ):
            yield ImageFace(row["sha256"], _face(row))


def _measured(cut: FaceCrop) -> dict[str, object]:
    measures = {"angle": cut.angle, "phash": to_signed(cut.phash), "sharpness": cut.sharpness}
    return row_from_box(cut.box) | measures


def _kind(row: Row) -> str:
    if row["gone"]:
        return "gone"
    if row["detector"] != HAND:
        return "found"
    return HAND if row["valid"] else "removed"


def _face(row: Row) -> Face:
    marks = tuple(Landmark(*point) for point in load(row["landmarks"]))
    evidence = None if row["evidence"] is None else load(row["evidence"])
    return record_from_row(Face, row, box=box_from_row(row), landmarks=marks, evidence=evidence)


HAS_CROP = "NOT (s.x=0 AND s.y=0 AND s.w=i.width AND s.h=i.height AND s.angle=0)"
"""Of a sample `s` of an image `i`: one that is a whole image has no file of its own."""

_LOST = "image IN (SELECT image FROM temp.lost)"
_TO_CUT = (
    f"state='ok' AND EXISTS(SELECT 1 FROM scan c WHERE image=i.id AND {MATCHES_SEARCH} "
    f"AND (cut<>? AND EXISTS(SELECT 1 FROM face WHERE image=c.image) OR {_LOST}))"
)


class StoredFile(NamedTuple):
    """An image by its hash and format, the name of its file."""

    sha256: str
    format: str


class Scans(Table):
    """The `scan` table: who searched an image, with which settings, and how it was cut."""

    def find_lost_crops(self, present: Callable[[str], set[str]]) -> None:
        """Note which images lack a crop; `present` gives names by their first two digits."""
        # Outside a write: a table of this connection alone needs no lock on the catalogue.
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS lost(image INTEGER PRIMARY KEY)")
        self._db.execute("DELETE FROM temp.lost")
        for start in (f"{number:02x}" for number in range(256)):
            there = present(start)
            lost = [(row["image"],) for row in self._with_crop(start) if row["key"] not in there]
            self._db.execute_many("INSERT OR IGNORE INTO temp.lost VALUES(?)", lost)

    def _with_crop(self, start: str) -> list[Row]:
        return self._db.fetch_all(
            "SELECT s.key, s.image FROM sample s JOIN image i ON i.id=s.image "
            f"WHERE s.key>=? AND s.key<? AND {HAS_CROP}",
            (start, start + "g"),
        )

    def mark_outdated_crops(self, cut: str) -> None:
        """Mark crops of other settings as missing, before the first one is overwritten."""
        with self._db.transaction():
            self._db.execute(
                "UPDATE scan SET cut=iif(EXISTS(SELECT 1 FROM face WHERE image=scan.image) OR "
                f"{_LOST}, '', ?1) WHERE cut<>?1 OR {_LOST}",
                (cut,),
            )

    def count_to_crop(self, cut: str, *searches: Search) -> int:
        """Return how many images `to_cut` would give."""
        asked = (encode_searches(searches), cut)
        return self._db.fetch_int(f"SELECT count(*) FROM image i WHERE {_TO_CUT}", asked)

    def iter_to_crop(self, cut: str, *searches: Search) -> Iterator[StoredFile]:
        """Yield images to crop again, by hash, after `look_for_crops` and `begin_cutting`."""
        sql = f"SELECT sha256, format FROM image i WHERE {_TO_CUT}"
        asked = (encode_searches(searches), cut)
        return (StoredFile(*row) for row in self._db.iter_rows(sql, ("sha256",), asked, size=500))

    def get_search(self, sha256: str) -> Search:
        """Return who has searched an image, and with which settings; one was searched."""
        (row,) = self._db.fetch_all(
            "SELECT detector, settings FROM scan WHERE "
            "image=(SELECT id FROM image WHERE sha256=?) ORDER BY at DESC, detector LIMIT 1",
            (sha256,),
        )
        return row["detector"], row["settings"]

    def get_crop_settings(self, sha256: str) -> str | None:
        """Return how the faces of an image were cut; None where that is not known."""
        cut: str | None = self._db.fetch_value(
            "SELECT cut FROM scan WHERE cut<>'' AND image=(SELECT id FROM image WHERE sha256=?) "
            "ORDER BY at DESC, detector",
            (sha256,),
        )
        return cut

    def list_regions_without_face(self, sha256: str) -> list[tuple[str, Region]]:
        """Key and region of each sample of an image whose face is not known any more."""
        return [
            (row["key"], region_from_row(row))
            for row in self._db.fetch_all(
                "SELECT key, x, y, w, h, angle FROM sample WHERE face IS NULL AND "
                "image=(SELECT id FROM image WHERE sha256=?) ORDER BY key",
                (sha256,),
            )
        ]

    def iter_faceless(self) -> Iterator[StoredFile]:
        """Images that were searched and have no face, neither found nor given by hand, by hash."""
        sql = f"SELECT sha256, format FROM image i WHERE {FACELESS}"
        return (StoredFile(*row) for row in self._db.iter_rows(sql, ("sha256",), size=500))


WHOLE = "whole"
"""The detector of samples that are their image, or the square in its middle."""


@dataclass(frozen=True, slots=True)
class CropMethod:
    """How `samples` samples were cropped: detector (or whole, hand), its settings, and crop."""

    detector: str
    settings: str
    cut: str
    samples: int

    @property
    def is_detected(self) -> bool:
        """Whether a detector found them, which can be asked again."""
        return self.detector not in (WHOLE, HAND)

    @property
    def description(self) -> str:
        """For a person: how many, of what, found and cut how."""
        if self.detector == WHOLE:
            squared = f", made square ({self.cut})" if self.cut else ""
            return count(self.samples, "whole picture") + squared
        cut = f", cut with {self.cut}" if self.cut else ""
        if self.detector == HAND:
            return f"{count(self.samples, 'box', 'boxes')} given by hand{cut}"
        settings = self.settings or "settings not known any more"
        found = f"found by {self.detector} ({settings})"
        return f"{count(self.samples, 'face')} {found}{cut}"


def list_crop_methods(db: Connection, keys: Iterable[str]) -> tuple[CropMethod, ...]:
    """Return the ways in which these samples were cut, the commonest first."""
    methods: Counter[tuple[str, str, str]] = Counter()
    rows = db.iter_rows_in(
        "SELECT s.detector, c.settings, c.cut, s.face IS NOT NULL AND NOT ifnull(f.gone, 0) "
        f"AND c.detector=s.detector AS found, {HAS_CROP} AS has_crop, "
        "s.x<0 OR s.y<0 OR s.x+s.w>i.width OR s.y+s.h>i.height AS beyond "
        "FROM sample s JOIN image i ON i.id=s.image LEFT JOIN face f ON f.id=s.face "
        "LEFT JOIN scan c ON c.image=s.image WHERE s.key",
        dict.fromkeys(keys),
    )
    methods.update(map(_method, rows))
    ranked = sorted(methods.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(CropMethod(*method, samples) for method, samples in ranked)


def _method(row: Row) -> tuple[str, str, str]:
    if row["detector"] == WHOLE:
        # Only a square is less, or more, than the image; a margin has no say.
        squared = "margin=0 square pad" if row["beyond"] else "margin=0 square"
        return WHOLE, "", squared if row["has_crop"] else ""
    settings = row["settings"] if row["found"] else ""
    return row["detector"], settings or "", row["cut"] or ""
