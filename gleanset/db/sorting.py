"""Queries of the labelling window: tiles, label counts, steps, and pending samples."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gleanset.db.connection import Table, dict_from_rows
from gleanset.db.images import POST
from gleanset.db.journal import operation_from_row
from gleanset.db.regions import (
    SAMPLE_REGION,
    SampleRegion,
    same_region_sql,
    sample_region_from_row,
)
from gleanset.db.rows import FAIR_ORDER, dump, record_from_row, region_from_row
from gleanset.db.samples import FIRST_FRAME, HINT, IN_USE, IS_DUPLICATE
from gleanset.operations import Operation
from gleanset.records import Region


class SampleTile(NamedTuple):
    """Sample as shown in a grid.

    `status` is queue, duplicate (without a decision), labelled, rejected or retired, `mark` 'other'
    (a face, but of no class), 'later' or None, `title` the name of the file, with time of a video.
    """

    region: SampleRegion
    status: str
    label: str | None = None
    mark: str | None = None
    score: float | None = None
    title: str | None = None

    @property
    def id(self) -> int:
        """The row of the sample."""
        return self.region.id

    @property
    def key(self) -> str:
        """The key of the sample."""
        return self.region.key

    @property
    def waits(self) -> bool:
        """Whether the sample is pending: in the queue and not skipped."""
        return self.status == "queue" and self.mark != "later"


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Class with its row and number of samples."""

    id: int
    name: str
    count: int


class LabelCounts(NamedTuple):
    """Numbers of samples by state; `total` excludes `duplicates`."""

    classes: tuple[ClassCount, ...]
    pending: int
    later: int
    other: int
    rejected: int
    duplicates: int = 0

    @property
    def total_labelled(self) -> int:
        """Number of labelled samples."""
        return sum(row.count for row in self.classes)

    @property
    def total_decided(self) -> int:
        """Number of decided samples."""
        return self.total_labelled + self.other + self.rejected

    @property
    def total(self) -> int:
        """Number of samples in use."""
        return self.total_decided + self.pending + self.later


class StepRow(NamedTuple):
    """A step of the journal; a `person` made it in the browser, or else the `user`."""

    id: int
    operation: Operation
    undoes: int | None
    person: str | None
    user: str
    at: str


class SampleTiles(Table):
    """Queries for the sample grid. Read only."""

    def get_many(self, ids: Sequence[int]) -> dict[int, SampleTile]:
        """Return the tiles of existing samples by row."""
        tiles = {}
        for row in self._db.iter_rows_in(f"{_TILE} WHERE s.id IN (:items)", ids):
            region = sample_region_from_row(row)
            tiles[region.id] = record_from_row(SampleTile, row, region=region)
        return tiles

    def get_ids(self, keys: Collection[str]) -> dict[str, int]:
        """Return the rows of existing samples by key."""
        return self._db.fetch_dict(
            """
            SELECT s.key, s.id
            FROM json_each(?) k
            JOIN sample s ON s.key=k.value
            ORDER BY k.key
            """,
            (dump(list(keys)),),
        )

    def get_marks(self, keys: Sequence[str]) -> dict[int, str | None]:
        """Return the marks of samples (keys), by row."""
        samples = "sample s LEFT JOIN sorting_note m ON m.sample=s.id"
        sql = f"SELECT s.id, m.mark FROM {samples} WHERE s.key IN (:items)"
        return dict_from_rows(self._db.iter_rows_in(sql, keys))

    def get_keys(self, ids: Sequence[int]) -> list[str]:
        """Return the keys of existing samples (rows), in the same order."""
        return self._db.fetch_column(
            "SELECT s.key FROM json_each(?) k JOIN sample s ON s.id=k.value ORDER BY k.key",
            (dump(list(ids)),),
        )

    def list_labelled(self, label: str) -> list[int]:
        """Return all samples (rows) of a class, including duplicates."""
        return self._db.fetch_column(
            """
            SELECT s.id
            FROM sample s
            JOIN class c ON c.id=s.label
            WHERE c.name=?
            ORDER BY s.image, s.id
            """,
            (label,),
        )

    def find_undoing_step(self, step: int) -> int:
        """Return the step that undid this one, or 0."""
        return self._db.fetch_int("SELECT id FROM step WHERE undoes=?", (step,))

    def get_counts(self) -> LabelCounts:
        """Count samples by class and state."""
        classes = self._db.fetch_records(
            ClassCount,
            f"""
            SELECT c.id, c.name, ifnull(n.number, 0)
            FROM class c
            LEFT JOIN (
                SELECT s.label, count(*) AS number
                FROM sample s
                WHERE {IN_USE} AND s.status='labelled'
                GROUP BY s.label
            ) n ON n.label=c.id
            WHERE c.merged_into IS NULL
            ORDER BY c.id
            """,
        )
        (states,) = self._db.fetch_all(
            f"""
            SELECT count(*) FILTER (WHERE {IS_WAITING}) AS pending,
                count(*) FILTER (WHERE s.status='queue' AND m.mark='later') AS later,
                count(*) FILTER (WHERE s.status='rejected' AND m.mark='other') AS other,
                count(*) FILTER (
                    WHERE s.status='rejected' AND m.mark IS NOT 'other'
                ) AS rejected,
                (SELECT count(*) FROM sample s WHERE {IS_DUPLICATE}) AS duplicates
            FROM sample s
            LEFT JOIN sorting_note m ON m.sample=s.id
            WHERE {IN_USE} AND s.status<>'labelled'
            """
        )

        return record_from_row(LabelCounts, states, classes=tuple(classes))

    def list_steps(self, after: int = 0) -> list[StepRow]:
        """Return steps after a given one, oldest first, without merged ones."""
        rows = self._db.fetch_all(
            "SELECT * FROM step WHERE id>? AND NOT merged ORDER BY id", (after,)
        )
        return [
            record_from_row(StepRow, row, operation=operation_from_row(row))
            for row in rows
        ]

    def find_request(self, request: str) -> StepRow | None:
        """Return the step that was made for a request of the browser."""
        rows = self._db.fetch_column("SELECT id FROM step WHERE request=?", (request,))
        return self.list_steps(rows[0] - 1)[0] if rows else None

    def get_signature(self) -> tuple[int, ...]:
        """Return numbers that change whenever a window must refresh.

        They are the newest step and report, and the number of samples of each status, which a face
        search changes without a step.
        """
        # Nested, because ORDER BY would otherwise sort the whole union.
        return tuple(
            self._db.fetch_column(
                """
                SELECT ifnull(max(id), 0) FROM step
                UNION ALL
                SELECT ifnull(max(id), 0) FROM report
                UNION ALL
                SELECT * FROM (
                    SELECT count(*) FROM sample GROUP BY status ORDER BY status
                )
                """
            )
        )


_TILE = f"""
    SELECT {SAMPLE_REGION},
        iif(s.status='queue' AND NOT s.kept, 'duplicate', s.status) AS status,
        c.name AS label, m.mark, s.score,
        (
            SELECT title||ifnull(' · '||time(time, 'unixepoch'), '')
            FROM origin
            WHERE image=s.image
            ORDER BY id
            LIMIT 1
        ) AS title
    FROM sample s
    JOIN image i ON i.id=s.image
    LEFT JOIN class c ON c.id=s.label
    LEFT JOIN sorting_note m ON m.sample=s.id
    """


class SampleFeatures(NamedTuple):
    """Sample (row) to compare with others, in its current region.

    `descriptor` is None if not measured yet. `video`, `time` (seconds) and `post` are those of one
    origin of its image. `hint` is None if the hints of the sample and its duplicates disagree.
    `label` is a class (row).
    """

    id: int
    key: str
    image: int
    region: Region
    descriptor: bytes | None
    hint: str | None
    video: str | None
    time: float | None
    post: str | None
    label: int | None
    score: float | None
    track: str | None


_FEATURES = f"""
    SELECT s.id, s.key, s.image, s.x, s.y, s.w, s.h, s.angle, q.traits AS descriptor,
        {HINT} AS hint, o.video, o.time, {POST} AS post, s.label, s.score, s.track
    FROM json_each(?) k
    JOIN sample s ON s.id=k.value
    {FIRST_FRAME}
    LEFT JOIN quality q ON q.sample=s.id AND {same_region_sql("q")}
    ORDER BY k.key
    """
IS_WAITING = "s.status='queue' AND s.kept AND m.mark IS NOT 'later'"
"""SQL: a sample `s` with its note `m` is pending: in the queue and not skipped."""

WAITING_PROPOSALS = f"""
    proposal p
    JOIN sample s ON s.id=p.sample
    JOIN class c ON c.id=p.label
    LEFT JOIN sorting_note m ON m.sample=s.id
    WHERE p.rank=1 AND c.merged_into IS NOT c.id AND {IS_WAITING}
    """


class SortingQueue(Table):
    """Queries for pending samples and their comparison. Read only."""

    def get_features(self, rows: Sequence[int]) -> list[SampleFeatures]:
        """Return features of existing samples (rows), in the same order."""
        return [
            record_from_row(SampleFeatures, row, region=region_from_row(row))
            for row in self._db.fetch_all(_FEATURES, (dump(list(rows)),))
        ]

    def get_newest(self) -> int:
        """Return the row of the newest sample; 0 without samples."""
        return self._db.fetch_int("SELECT coalesce(max(id), 0) FROM sample")

    def list_waiting(self, limit: int) -> list[int]:
        """Return up to `limit` pending samples (rows), drawn evenly."""
        rows = self._db.fetch_column(
            f"""
            SELECT s.id
            FROM sample s
            LEFT JOIN sorting_note m ON m.sample=s.id
            WHERE {IS_WAITING}
            ORDER BY {FAIR_ORDER}
            LIMIT ?
            """,
            (limit,),
        )

        return sorted(rows)

    def count_proposed(self) -> dict[int, int]:
        """Count pending samples by first proposed class (row)."""
        return self._db.fetch_dict(
            f"SELECT p.label, count(*) FROM {WAITING_PROPOSALS} GROUP BY p.label"
        )

    def list_proposed(self, label: int, limit: int) -> list[int]:
        """Return pending samples first proposed as a class (row), by descending confidence."""
        return self._db.fetch_column(
            f"""
            SELECT p.sample
            FROM proposal p
            JOIN sample s ON s.id=p.sample
            LEFT JOIN sorting_note m ON m.sample=s.id
            WHERE p.rank=1 AND p.label=? AND {IS_WAITING}
            ORDER BY p.confidence DESC, s.id
            LIMIT ?
            """,
            (label, limit),
        )

    def list_decided(self, classes: Sequence[int], each: int) -> list[int]:
        """Return up to `each` labelled samples (rows) per class, latest images first."""
        sql = """
            SELECT id
            FROM sample
            WHERE label=? AND status='labelled'
            ORDER BY image DESC, id DESC
            LIMIT ?
            """
        rows = []
        for label in classes:
            rows += self._db.fetch_column(sql, (label, each))
        return rows

    def list_rejected(self, limit: int) -> list[int]:
        """Return up to `limit` rejected samples (rows), latest images first."""
        return self._db.fetch_column(
            """
            SELECT id
            FROM sample
            WHERE status='rejected' AND kept
            ORDER BY image DESC, id DESC
            LIMIT ?
            """,
            (limit,),
        )

    def get_portraits(self, label: int) -> list[int]:
        """Return a class's most typical and last labelled samples (rows)."""
        latest = self._db.fetch_column(
            """
            SELECT sample
            FROM decision
            WHERE value=?1
                AND sample IN (
                    SELECT id
                    FROM sample
                    WHERE label=?1 AND status='labelled'
                )
            ORDER BY id DESC
            LIMIT 1
            """,
            (label,),
        )

        return list(dict.fromkeys([*self.list_typical(label, limit=1), *latest]))

    def list_typical(self, label: int, limit: int) -> list[int]:
        """Return a class's most typical samples (rows) that no web report labelled."""
        return self._db.fetch_column(
            """
            SELECT s.id
            FROM sample s
            LEFT JOIN prelabelled t ON t.sample=s.id
            WHERE s.label=?
                AND s.status='labelled'
                AND NOT EXISTS(
                    SELECT 1
                    FROM decision d
                    JOIN change c USING(step)
                    WHERE d.sample=s.id AND c.what='report'
                )
            ORDER BY t.outlier IS NULL, t.outlier, s.id
            LIMIT ?
            """,
            (label, limit),
        )
