"""Regions and boxes of samples, neighbouring video frames, and quality measures.

Measures are repeated when the region or the version of the measuring code changes.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from gleanset.db.connection import Row, Table
from gleanset.db.rows import (
    FAIR_ORDER,
    box_from_row,
    record_from_row,
    region_from_row,
)
from gleanset.db.samples import IN_USE
from gleanset.records import HAND, Box, Region, Sample


class SampleRegion(NamedTuple):
    """Sample (row `id`) with its image and region: everything needed to display it."""

    id: int
    key: str
    image: str
    format: str
    width: int
    height: int
    region: Region


SAMPLE_REGION = """
    s.id, s.key, i.sha256 AS image, i.format, i.width, i.height, s.x, s.y, s.w, s.h,
    s.angle
    """
"""SQL: the columns of `SampleRegion` for a sample `s` and its image `i`."""


def same_region_sql(table: str) -> str:
    """Return SQL: a row of `table` is for `s`'s current region."""
    return " AND ".join(
        f"{table}.{name}=s.{name}" for name in ("x", "y", "w", "h", "angle")
    )


def sample_region_from_row(row: Row) -> SampleRegion:
    """Return the sample region of a row with the columns `SAMPLE_REGION`."""
    return record_from_row(SampleRegion, row, region=region_from_row(row))


class BoxedSample(NamedTuple):
    """Sample in use with its face `box` (without padding) and the crop's `angle` in degrees."""

    key: str
    box: Box
    angle: float
    by_hand: bool
    status: str
    label: str | None


_BOXED_SAMPLE = f"""
    SELECT s.key, f.x, f.y, f.w, f.h, s.angle, f.detector='{HAND}' AS by_hand, s.status,
        c.name AS label
    FROM sample s
    JOIN face f ON f.id=s.face
    LEFT JOIN class c ON c.id=s.label
    WHERE s.status<>'retired'
    """


class BoxedSamples(Table):
    """Queries for samples and their face boxes. Read only."""

    def find_images(self, text: str) -> list[str]:
        """Return image hashes by import, optionally by hash prefix, title or path."""
        # Every text contains an empty one.
        return self._db.fetch_column(
            """
            SELECT sha256
            FROM image i
            WHERE state='ok'
                AND (
                    instr(sha256, lower(?1))=1
                    OR EXISTS(
                        SELECT 1
                        FROM origin
                        WHERE image=i.id
                            AND instr(
                                lower(
                                    ifnull(title, '') || char(10) || ifnull(path, '')
                                ), lower(?1)
                            )
                    )
                )
            ORDER BY id
            """,
            (text,),
        )

    def list_in_image(self, sha256: str) -> list[BoxedSample]:
        """Return an image's samples with a face, from left to right."""
        rows = self._db.fetch_all(
            f"{_BOXED_SAMPLE} AND s.image=(SELECT id FROM image WHERE sha256=?) "
            "ORDER BY f.x, f.y, s.id",
            (sha256,),
        )
        return [_read_boxed_sample(row) for row in rows]

    def get(self, key: str) -> BoxedSample | None:
        """Return a sample in use, or None."""
        row = self._db.fetch_one(
            f"{_BOXED_SAMPLE} AND s.key=?",
            (key,),
        )
        return _read_boxed_sample(row) if row else None


def _read_boxed_sample(row: Row) -> BoxedSample:
    return record_from_row(
        BoxedSample, row, box=box_from_row(row), by_hand=bool(row["by_hand"])
    )


class FrameFace(NamedTuple):
    """Sample (row) in an image: its crop box in pixels and its class, if any."""

    id: int
    box: Box
    label: str | None


class Frame(NamedTuple):
    """Image with its size in pixels and its samples; `time` in seconds if it is a video frame."""

    sha256: str
    format: str
    width: int
    height: int
    time: float | None = None
    faces: tuple[FrameFace, ...] = ()


_IMAGE = "SELECT i.id, i.sha256, i.format, i.width, i.height"


class VideoFrames(Table):
    """Queries for neighbouring video frames. Read only."""

    def get_context(self, sample: int, max_frames: int = 40) -> tuple[list[Frame], int]:
        """Return a sample's image between up to `max_frames` frames each side, and its index.

        The image is alone if it is not a frame of a video; without the sample there is none.
        """
        own = self._db.fetch_one(
            f"""
            {_IMAGE}, o.time, o.video
            FROM sample s
            JOIN image i ON i.id=s.image
            LEFT JOIN origin o ON o.id=(
                SELECT id
                FROM origin
                WHERE image=i.id AND video IS NOT NULL AND time IS NOT NULL
                ORDER BY id
                LIMIT 1
            )
            WHERE s.id=?
            """,
            (sample,),
        )

        if not own:
            return [], 0
        if not own["video"]:
            return self._add_faces([own]), 0

        before = self._list_neighbours(own, "<", "DESC", max_frames)
        before.reverse()
        after = self._list_neighbours(own, ">", "ASC", max_frames)
        return self._add_faces([*before, own, *after]), len(before)

    def _list_neighbours(
        self, own: Row, side: str, direction: str, max_frames: int
    ) -> list[Row]:
        """Return the frames before (`side` is <) or after (>) one, in `direction` of their time.

        The nearest come first: before it DESC, after it ASC.
        """
        # By row for frames of the same time.
        return self._db.fetch_all(
            f"""
            {_IMAGE}, min(o.time) AS time
            FROM origin o
            JOIN image i ON i.id=o.image
            WHERE o.video=? AND i.id<>? AND (o.time, i.id){side}(?, ?)
            GROUP BY i.id
            ORDER BY time {direction}, i.id {direction}
            LIMIT ?
            """,
            (own["video"], own["id"], own["time"], own["id"], max_frames),
        )

    def _add_faces(self, rows: Sequence[Row]) -> list[Frame]:
        faces: dict[int, list[FrameFace]] = {row["id"]: [] for row in rows}
        for row in self._db.iter_rows_in(
            f"""
            SELECT s.image, s.id, s.x, s.y, s.w, s.h, c.name AS label
            FROM sample s
            LEFT JOIN class c ON c.id=s.label
            WHERE {IN_USE} AND s.image IN (:items)
            ORDER BY s.id
            """,
            faces,
        ):
            faces[row["image"]].append(
                record_from_row(FrameFace, row, box=box_from_row(row))
            )

        return [
            record_from_row(Frame, row, faces=tuple(faces[row["id"]])) for row in rows
        ]


class PixelMeasures(NamedTuple):
    """Measures of a sample's pixels; `descriptor` is that of `curation/similarity/`."""

    blur: float
    darkest: float
    lightest: float
    photo: float
    descriptor: bytes


class Quality(NamedTuple):
    """Quality measures of a sample; `size` is the shorter side in pixels."""

    blur: float
    darkest: float
    lightest: float
    size: int


_SAME_REGION = same_region_sql("q")
_MISSING = f"""
    FROM sample s
    LEFT JOIN quality q ON q.sample=s.id AND {_SAME_REGION} AND q.version=?
    WHERE q.sample IS NULL AND s.status!='retired'
    """
QUALITY_COLUMNS = "q.blur, q.darkest, q.lightest, s.size"
"""SQL: the columns of `Quality` for a sample `s` and its row `q` of `quality`."""

_QUALITY = f"""
    SELECT s.key, {QUALITY_COLUMNS}
    FROM sample s
    JOIN quality q ON q.sample=s.id AND {_SAME_REGION}
    """


# Up to ?1 samples, drawn evenly: every n-th row, where n is the highest row divided by ?1 and
# rounded up. There are fewer than ?1 if samples were deleted or are retired.
_DRAWN = f"""
    SELECT q.traits, q.photo
    FROM sample s
    LEFT JOIN quality q ON q.sample=s.id AND {_SAME_REGION}
    WHERE s.status!='retired'
        AND (s.id-1) % (SELECT max(1, (max(id)+?1-1)/?1) FROM sample)=0
    """


class QualityFlag(NamedTuple):
    """Threshold for a `measure` (a field of `Quality`): a minimum or a maximum."""

    name: str
    measure: str
    threshold: float
    is_minimum: bool = True

    @property
    def sql(self) -> str:
        """SQL: the columns of `Quality` have the flag; NULL if unknown."""
        comparison = ">=" if self.is_minimum else "<="
        return f"{self.measure}{comparison}{self.threshold!r}"

    def matches(self, quality: Quality) -> bool:
        """Return whether these measures have the flag."""
        value: float = getattr(quality, self.measure)
        if self.is_minimum:
            return value >= self.threshold
        return value <= self.threshold


FLAGS = (
    QualityFlag("blurred", "blur", 0.6),
    QualityFlag("black", "lightest", 40, is_minimum=False),
    QualityFlag("white", "darkest", 225),
    QualityFlag("tiny", "size", 63, is_minimum=False),
)
"""Where to look first; how good they are: docs/quality.md."""


def flags_of(quality: Quality) -> list[str]:
    """Return the names of the flags that a sample has."""
    return [flag.name for flag in FLAGS if flag.matches(quality)]


class QualityMeasures(Table):
    """The `quality` table."""

    def count_missing(self, version: int) -> int:
        """Return how many samples have no measures of their current region."""
        return self._db.fetch_int(
            f"SELECT count(*) {_MISSING}",
            (version,),
        )

    def iter_missing(self, version: int, first: int = 0) -> Iterator[list[int]]:
        """Yield pages of ids of unmeasured samples; the first page has at most `first` queued ones.

        It is drawn evenly (`FAIR_ORDER`), to have something of each source soon.
        """
        missing_sql = f"SELECT s.id {_MISSING}"
        in_queue_sql = f"{missing_sql} AND s.status='queue' AND s.kept"
        first_page = self._db.fetch_column(
            f"{in_queue_sql} ORDER BY {FAIR_ORDER} LIMIT ?", (version, first)
        )
        yield first_page

        # The pages that follow repeat none of the first.
        first_ids = frozenset(first_page)
        for rows in self._db.iter_pages(
            missing_sql, key=("s.id",), values=(version,), size=500
        ):
            yield [row["id"] for row in rows if row["id"] not in first_ids]

    def save(
        self, measures: Sequence[tuple[SampleRegion, PixelMeasures]], version: int
    ) -> None:
        """Save measures with their regions."""
        rows = [
            (sample.id, version, *sample.region.box, sample.region.angle, *values)
            for sample, values in measures
        ]
        with self._db.transaction():
            self._db.execute_many(
                """
                INSERT OR REPLACE INTO quality(
                    sample, version, x, y, w, h, angle, blur, darkest, lightest, photo,
                    traits
                )
                VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                rows,
            )

    def list_descriptors(self, max_samples: int) -> list[bytes | None]:
        """Return descriptors of up to `max_samples` samples drawn evenly; None if unmeasured."""
        return self._db.fetch_column(
            f"SELECT traits FROM ({_DRAWN})",
            (max_samples,),
        )

    def is_photo_dataset(self, max_samples: int) -> bool:
        """Return whether most of up to `max_samples` measured samples are photographs."""
        sql = f"SELECT avg(photo>0.5)>0.5 FROM ({_DRAWN})"
        return bool(self._db.fetch_value(sql, (max_samples,)))

    def get_many(self, keys: Sequence[str]) -> dict[str, Quality]:
        """Return existing measures of samples by key."""
        rows = self._db.iter_rows_in(
            f"{_QUALITY} WHERE s.key IN (:items)",
            keys,
        )
        return {row["key"]: record_from_row(Quality, row) for row in rows}

    def count_flagged(self, flags: Sequence[QualityFlag]) -> tuple[int, dict[str, int]]:
        """Return how many samples are measured, and how many have each flag."""
        sums = "".join(f", ifnull(sum({flag.sql}), 0) AS {flag.name}" for flag in flags)
        [row] = self._db.fetch_all(
            f"SELECT count(*) AS total{sums} FROM ({_QUALITY} WHERE s.status!='retired')"
        )
        return row["total"], {flag.name: row[flag.name] for flag in flags}

    def join(
        self, samples: Iterable[Sample]
    ) -> Iterator[tuple[Sample, Quality | None]]:
        """Yield samples with their measures, in the same order."""
        remaining = iter(samples)
        while page := list(islice(remaining, 500)):
            measures = self.get_many([sample.key for sample in page])
            yield from ((sample, measures.get(sample.key)) for sample in page)
