"""Faces found by a detector or drawn by hand, with their tracks, searches and crops.

Search settings and crop settings are stored separately, so that other padding needs no new
search.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, starmap
from typing import NamedTuple

from gleanset.db.connection import Connection, Row, Table
from gleanset.db.fetches import Rejections
from gleanset.db.images import NOT_FAILED
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
    TrackBox,
    overlap,
)

MIN_TRACK_OVERLAP = 0.4
"""Minimum intersection over union with a crop of a track to belong to that track."""


def inherit_tracks(db: Connection, image: int) -> None:
    """Assign an image's (row's) samples to overlapping tracks. Call inside a transaction."""
    rows = db.fetch_all(
        "SELECT key, track, x, y, w, h FROM sample WHERE image=? ORDER BY key", (image,)
    )
    tracks = [(box_from_row(row), row["track"]) for row in rows if row["track"]]
    if not tracks:
        return

    for row in rows:
        if not row["track"]:
            own_box = box_from_row(row)
            share, track = max((overlap(own_box, box), name) for box, name in tracks)
            if share >= MIN_TRACK_OVERLAP:
                db.execute("UPDATE sample SET track=? WHERE key=?", (track, row["key"]))


class StoredTrack(NamedTuple):
    """Track with its video, scene, and keys of the `samples` in use (by time).

    `labels` has the class of each labelled sample, `pending` the keys of samples in the queue that
    were not skipped. `undecided` counts the queue with skipped samples, `others` the samples that
    are faces of no class. The remaining samples were rejected.
    """

    track: FaceTrack
    video: str
    scene: int
    samples: tuple[str, ...]
    pending: tuple[str, ...]
    labels: tuple[str, ...]
    undecided: int
    others: int

    @property
    def label(self) -> str | None:
        """The most frequent class of its samples; None if none is labelled."""
        return max(sorted(set(self.labels)), key=self.labels.count, default=None)


class Tracks(Table):
    """The `track` table."""

    def add(self, track: FaceTrack, frame: Origin, sample: str) -> None:
        """Assign an untracked sample (key) to a track. Call inside a transaction."""
        row = row_from_record(
            track,
            boxes=dump(track.boxes),
            video=frame.video,
            scene=frame.scene,
        )
        self._db.insert_new("track", row)
        self._db.execute(
            "UPDATE sample SET track=? WHERE key=? AND track IS NULL",
            (track.name, sample),
        )

    def iterate(
        self, names: Collection[str] | None = None, *, with_duplicates: bool = False
    ) -> Iterator[StoredTrack]:
        """Yield tracks in use (all or `names`) by video and time.

        Duplicates count only `with_duplicates`. The decision about a duplicate is that about the
        copy that is kept of it.
        """
        tracks = _TRACKS if with_duplicates else f"{_TRACKS} AND s.kept"
        rows: Iterable[Row]
        if names is None:
            rows = self._db.fetch_all(f"{tracks} {_ORDER}")
        else:
            rows = self._db.iter_rows_in(
                f"{tracks} AND t.name IN (:items) {_ORDER}", names
            )

        # The order by video and time keeps the rows of a track together.
        for _, track_rows in groupby(rows, key=lambda row: str(row["name"])):
            members = list(track_rows)
            first = members[0]
            labels = [row["label"] for row in members]
            states = [(row["status"], row["mark"]) for row in members]
            yield StoredTrack(
                track=record_from_row(
                    FaceTrack,
                    first,
                    boxes=tuple(starmap(TrackBox, load(first["boxes"]))),
                ),
                video=first["video"],
                scene=first["scene"],
                samples=tuple(row["key"] for row in members),
                pending=tuple(row["key"] for row in members if row["waits"]),
                labels=tuple(label for label in labels if label),
                undecided=[status for status, _ in states].count("queue"),
                # Marked as a person who is not collected, unlike a rejected region.
                others=states.count(("rejected", "other")),
            )

    def count(self) -> int:
        """Return the number of tracks."""
        return self._db.fetch_int("SELECT count(*) FROM track")

    def get_videos(self) -> dict[str, tuple[str, float | None]]:
        """Return name and duration (seconds) of each sampled video, by SHA-256."""
        return self._db.fetch_dict(
            "SELECT sha256, name, max(duration) FROM video GROUP BY sha256"
        )

    def get(self, name: str) -> StoredTrack | None:
        """Return the track with this name, or None."""
        return next(self.iterate([name]), None)


_BEST_COPY = """
    CASE
        WHEN s.kept THEN s.id
        ELSE ifnull(
            (
                SELECT g.id
                FROM sample g
                WHERE g.duplicate_set=s.duplicate_set AND g.kept AND g.status<>'retired'
            ), s.id
        )
    END
    """
_TRACKS = f"""
    SELECT DISTINCT t.*, s.key, best.status='queue' AND m.mark IS NOT 'later' AS waits,
        best.status, m.mark, c.name AS label
    FROM track t
    JOIN sample s ON s.track=t.name
    JOIN sample best ON best.id={_BEST_COPY}
    LEFT JOIN class c ON c.id=best.label
    LEFT JOIN sorting_note m ON m.sample=best.id
    WHERE s.status<>'retired'
    """
_ORDER = "ORDER BY t.video, t.started, t.name, s.image, s.key"
VALID_FACE = f"""
    NOT f.gone
    AND (
        f.detector<>'{HAND}'
        OR EXISTS(SELECT 1 FROM sample s WHERE s.face=f.id AND s.status<>'retired')
    )
    """
"""SQL: a face `f` was detected, or was drawn by hand and not removed."""

FACELESS = f"""
    i.state='ok'
    AND EXISTS(SELECT 1 FROM scan WHERE image=i.id)
    AND NOT EXISTS(SELECT 1 FROM face f WHERE image=i.id AND {VALID_FACE})
    AND {NOT_FAILED}
    """
"""SQL: an image `i` was searched and has no face, neither detected nor drawn by hand."""


class ImageFace(NamedTuple):
    """Face with the hash of its image."""

    image: str
    face: Face


class StoredFace(NamedTuple):
    """Face of an image, with what became of it.

    `kind` is 'found' (a detector found it in the last search), 'hand' (a person drew it), 'removed'
    (drawn by hand and removed by a person: an undo adds it again), or 'gone' (the last search did
    not find it again, and it is kept because its sample was decided).
    """

    face: Face
    kind: str


class Faces(Table):
    """The `face` table, and the samples of faces."""

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
        """Replace an image's detected faces; decided samples and manual boxes stay."""
        with self._db.transaction():
            image = self._db.fetch_int("SELECT id FROM image WHERE sha256=?", (sha256,))
            self._retire_detections(image)
            for face_crop in cuts:
                self._add(image, face_crop)
            for face in small:
                self._add_face(image, face)

            self._db.execute("DELETE FROM scan WHERE image=?", (image,))
            self._db.insert(
                "scan",
                {
                    "image": image,
                    "detector": detector,
                    "settings": settings,
                    "cut": cut,
                    "at": now(),
                },
            )
            # A face that was followed in the video may be found again by the search.
            inherit_tracks(self._db, image)

    def _retire_detections(self, image: int) -> None:
        """Delete detected faces except those of decided samples."""
        condition = f"image=? AND detector<>'{HAND}'"
        self._db.execute(
            f"""
            UPDATE face
            SET gone=1
            WHERE {condition}
                AND id IN (
                    SELECT face
                    FROM sample
                    WHERE image=? AND status NOT IN ('queue', 'retired')
                )
            """,
            (image, image),
        )

        self._db.execute(
            f"DELETE FROM face WHERE {condition} AND NOT gone",
            (image,),
        )
        self._db.execute(
            f"""
            UPDATE sample
            SET face=NULL, status=iif(status='queue', 'retired', status)
            WHERE {condition}
            """,
            (image,),
        )

    def record_failure(
        self,
        sha256: str,
        detector: str,
        settings: str,
        rejection: Rejection,
        cut: str = "",
    ) -> None:
        """Record that a search failed, so that it is not repeated forever."""
        with self._db.transaction():
            # Without faces, so that the search counts as done.
            self.replace(sha256, detector, settings, [], cut=cut)
            Rejections(self._db).add(rejection)

    def add_manual(self, sha256: str, cut: FaceCrop) -> bool:
        """Add a box with a retired sample; False if in use. Call inside a transaction.

        The sample leaves the retired ones by a decision, so that an undo removes the box again.
        """
        if self._db.has_rows(
            "SELECT 1 FROM sample WHERE key=? AND status<>'retired'", (cut.key,)
        ):
            return False
        image = self._db.fetch_int("SELECT id FROM image WHERE sha256=?", (sha256,))
        self._db.execute(
            "DELETE FROM face WHERE image=? AND (x,y,w,h)=(?,?,?,?)",
            (image, *cut.face.box),
        )
        self._add(image, cut)
        self._db.execute("UPDATE sample SET status='retired' WHERE key=?", (cut.key,))
        return True

    def _add(self, image: int, cut: FaceCrop) -> None:
        face = cut.face
        values = _columns_of_crop(cut) | {
            "face": self._add_face(image, face),
            "detector": face.detector,
            "score": face.score,
        }
        updates = ", ".join(f"{name}=excluded.{name}" for name in values)
        self._db.insert(
            "sample",
            {"key": cut.key, "image": image} | values,
            then=f"""
                ON CONFLICT(key) DO UPDATE
                SET {updates}, status=iif(status='retired', 'queue', status)
                """,
        )

    def _add_face(self, image: int, face: Face) -> int:
        # A decided face that a search had missed (`gone`) is found again.
        self._db.execute(
            "DELETE FROM face WHERE image=? AND gone AND (x,y,w,h)=(?,?,?,?)",
            (image, *face.box),
        )
        row = {
            "image": image,
            "detector": face.detector,
            "score": face.score,
            "landmarks": dump(face.landmarks),
            "evidence": None if face.evidence is None else dump(face.evidence),
        }
        return self._db.insert("face", row | row_from_box(face.box))

    def update_crops(self, cuts: Iterable[FaceCrop]) -> None:
        """Update the crops of existing samples. Call inside a transaction."""
        self._db.execute_many(
            "UPDATE sample SET x=?, y=?, w=?, h=?, angle=?, phash=?, sharpness=? WHERE key=?",
            [(*_columns_of_crop(cut).values(), cut.key) for cut in cuts],
        )

    def list_in_image(self, sha256: str) -> list[StoredFace]:
        """Return all stored faces of an image, from left to right, also those out of use."""
        # Of boxes drawn by hand, those in use are valid faces; the others were removed.
        rows = self._db.fetch_all(
            f"""
            SELECT f.*, CASE
                    WHEN gone THEN 'gone'
                    WHEN detector<>'{HAND}' THEN 'found'
                    WHEN {VALID_FACE} THEN '{HAND}'
                    ELSE 'removed'
                END AS kind
            FROM face f
            WHERE image=(SELECT id FROM image WHERE sha256=?)
            ORDER BY x, y, w, h, gone
            """,
            (sha256,),
        )

        return [StoredFace(_face_from_row(row), row["kind"]) for row in rows]

    def count(self) -> int:
        """Return the number of valid faces."""
        return self._db.fetch_int(f"SELECT count(*) FROM face f WHERE {VALID_FACE}")

    def iterate(self) -> Iterator[ImageFace]:
        """Yield all valid faces by image and detector, from left to right."""
        for row in self._db.iter_rows(
            f"""
            SELECT id, sha256
            FROM image
            WHERE EXISTS(SELECT 1 FROM face f WHERE f.image=image.id AND {VALID_FACE})
            """,
            key=("sha256",),
            within=f"""
                SELECT i.sha256, f.*
                FROM ({{page}}) i
                JOIN face f ON f.image=i.id AND {VALID_FACE}
                ORDER BY i.sha256, f.detector, f.x, f.y, f.w, f.h
                """,
        ):
            yield ImageFace(row["sha256"], _face_from_row(row))


def _columns_of_crop(cut: FaceCrop) -> dict[str, object]:
    return row_from_box(cut.box) | {
        "angle": cut.angle,
        "phash": to_signed(cut.phash),
        "sharpness": cut.sharpness,
    }


def _face_from_row(row: Row) -> Face:
    return record_from_row(
        Face,
        row,
        box=box_from_row(row),
        landmarks=tuple(starmap(Landmark, load(row["landmarks"]))),
        evidence=None if row["evidence"] is None else load(row["evidence"]),
    )


HAS_CROP = "NOT (s.x=0 AND s.y=0 AND s.w=i.width AND s.h=i.height AND s.angle=0)"
"""SQL: a sample `s` of an image `i` has a crop file; a sample of the whole image has none."""

_LOST = "image IN (SELECT image FROM temp.lost)"
# SQL: an image `i` was searched, and its crops are outdated or lost. The first parameter is that of
# `MATCHES_SEARCH`, the second one the present settings of crops.
_TO_CUT = f"""
    state='ok'
    AND EXISTS(
        SELECT 1
        FROM scan c
        WHERE image=i.id
            AND {MATCHES_SEARCH}
            AND (cut<>? AND EXISTS(SELECT 1 FROM face WHERE image=c.image) OR {_LOST})
    )
    """


class StoredFile(NamedTuple):
    """Hash and format of an image: the name of its file."""

    sha256: str
    format: str


class Scans(Table):
    """The `scan` table: detector, settings and crop settings of each searched image."""

    def find_lost_crops(self, present: Callable[[str], set[str]]) -> None:
        """Find images without crop files; `present` lists files by two-digit prefix."""
        # No transaction: a temporary table needs no lock on the catalogue.
        self._db.execute(
            "CREATE TEMP TABLE IF NOT EXISTS lost(image INTEGER PRIMARY KEY)"
        )
        self._db.execute("DELETE FROM temp.lost")
        for number in range(256):
            start = f"{number:02x}"
            # `g` follows the hex digits.
            self._db.execute(
                f"""
                INSERT OR IGNORE INTO temp.lost
                SELECT s.image
                FROM sample s
                JOIN image i ON i.id=s.image
                WHERE s.key>=?1
                    AND s.key<?1 || 'g'
                    AND {HAS_CROP}
                    AND s.key NOT IN (SELECT value FROM json_each(?2))
                """,
                (start, dump(list(present(start)))),
            )

    def mark_outdated_crops(self, cut: str) -> None:
        """Mark crops with other settings as missing, before overwriting any."""
        with self._db.transaction():
            self._db.execute(
                f"""
                UPDATE scan
                SET cut=iif(
                    EXISTS(SELECT 1 FROM face WHERE image=scan.image) OR {_LOST}, '', ?1
                )
                WHERE cut<>?1 OR {_LOST}
                """,
                (cut,),
            )

    def count_to_crop(self, cut: str, *searches: Search) -> int:
        """Return how many images `iter_to_crop` yields."""
        arguments = (encode_searches(searches), cut)
        return self._db.fetch_int(
            f"SELECT count(*) FROM image i WHERE {_TO_CUT}", arguments
        )

    def iter_to_crop(self, cut: str, *searches: Search) -> Iterator[StoredFile]:
        """Yield images to re-crop, after `find_lost_crops` and `mark_outdated_crops`."""
        sql = f"SELECT sha256, format FROM image i WHERE {_TO_CUT}"
        arguments = (encode_searches(searches), cut)
        rows = self._db.iter_rows(sql, ("sha256",), arguments)
        return starmap(StoredFile, rows)

    def get_search(self, sha256: str) -> Search:
        """Return detector and settings of the last search of a searched image."""
        (row,) = self._db.fetch_all(
            """
            SELECT detector, settings
            FROM scan
            WHERE image=(SELECT id FROM image WHERE sha256=?)
            ORDER BY at DESC, detector
            LIMIT 1
            """,
            (sha256,),
        )

        return row["detector"], row["settings"]

    def get_crop_settings(self, sha256: str) -> str | None:
        """Return the crop settings of an image's faces; None if unknown."""
        return self._db.fetch_text(
            """
            SELECT cut
            FROM scan
            WHERE cut<>'' AND image=(SELECT id FROM image WHERE sha256=?)
            ORDER BY at DESC, detector
            """,
            (sha256,),
        )

    def list_regions_without_face(self, sha256: str) -> list[tuple[str, Region]]:
        """Return key and region of an image's samples without stored face."""
        return [
            (row["key"], region_from_row(row))
            for row in self._db.fetch_all(
                """
                SELECT key, x, y, w, h, angle
                FROM sample
                WHERE face IS NULL AND image=(SELECT id FROM image WHERE sha256=?)
                ORDER BY key
                """,
                (sha256,),
            )
        ]

    def count_faceless(self) -> int:
        """Return how many searched images have no face."""
        return self._db.fetch_int(f"SELECT count(*) FROM image i WHERE {FACELESS}")

    def iter_faceless(self) -> Iterator[StoredFile]:
        """Yield searched images without a detected or manual face, by hash."""
        sql = f"SELECT sha256, format FROM image i WHERE {FACELESS}"
        return starmap(
            StoredFile,
            self._db.iter_rows(sql, ("sha256",)),
        )


WHOLE = "whole"
"""Detector name of samples that are the whole image or its central square."""


def are_whole_images(db: Connection) -> bool:
    """Return whether most of the newest samples are whole images."""
    newest = "SELECT detector FROM sample ORDER BY id DESC LIMIT 1000"
    return bool(db.fetch_value(f"SELECT avg(detector='{WHOLE}')>.5 FROM ({newest})"))


IMPORTED = "import"
"""`CropMethod.detector` of boxes that were imported with their labels."""
_IS_IMPORTED = f"""
    s.detector='{HAND}'
    AND EXISTS(
        SELECT 1
        FROM decision d
        JOIN step t ON t.id=d.step
        WHERE d.sample=s.id AND t.kind='import'
    )
    """


@dataclass(frozen=True)
class CropMethod:
    """Number of samples with the same detector, settings and crop settings.

    `detector` may also be "whole", "hand", or "import" for imported boxes.
    """

    detector: str
    settings: str
    cut: str
    samples: int

    @property
    def is_detected(self) -> bool:
        """Whether a detector found them, so that the search can be repeated."""
        return self.detector not in (WHOLE, HAND, IMPORTED)

    @property
    def description(self) -> str:
        """Description for users: number, kind, detector and crop settings."""
        if self.detector == WHOLE:
            crop = f", made square ({self.cut})" if self.cut else ""
            return count(self.samples, "whole image") + crop

        crop = f", cropped with {self.cut}" if self.cut else ""
        if self.detector == HAND:
            return f"{count(self.samples, 'box', 'boxes')} drawn by hand{crop}"
        if self.detector == IMPORTED:
            return (
                f"{count(self.samples, 'box', 'boxes')} imported with the images{crop}"
            )
        settings = self.settings or "unknown settings"
        return (
            f"{count(self.samples, 'face')} found by {self.detector} ({settings}){crop}"
        )


def list_crop_methods(db: Connection, keys: Iterable[str]) -> tuple[CropMethod, ...]:
    """Return the crop methods of these samples, the most frequent first."""
    # A sample has the settings of its image's last search if that found its face. Padding has no
    # effect on whole images: only a square crop differs from the image.
    methods = db.fetch_records(
        CropMethod,
        f"""
        SELECT CASE
                WHEN s.detector='{WHOLE}' THEN s.detector
                WHEN {_IS_IMPORTED} THEN '{IMPORTED}'
                ELSE s.detector
            END,
            iif(
                s.detector<>'{WHOLE}'
                    AND s.face IS NOT NULL
                    AND NOT ifnull(f.gone, 0)
                    AND c.detector=s.detector, c.settings, ''
            ),
            CASE
                WHEN s.detector<>'{WHOLE}' THEN ifnull(c.cut, '')
                WHEN NOT ({HAS_CROP}) THEN ''
                WHEN s.x<0 OR s.y<0 OR s.x+s.w>i.width OR s.y+s.h>i.height
                    THEN 'margin=0 square pad'
                ELSE 'margin=0 square'
            END, count(*)
        FROM sample s
        JOIN image i ON i.id=s.image
        LEFT JOIN face f ON f.id=s.face
        LEFT JOIN scan c ON c.image=s.image
        WHERE s.key IN (SELECT value FROM json_each(?))
        GROUP BY 1, 2, 3
        ORDER BY 4 DESC, 1, 2, 3
        """,
        (dump(list(keys)),),
    )
    return tuple(methods)
