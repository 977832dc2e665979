"""Visited items: rejections, fetches and sampled videos."""

from collections.abc import Iterator, Mapping
from itertools import starmap
from typing import Any, NamedTuple

from gleanset.db.connection import Table
from gleanset.db.images import origin_from_row, query_sql
from gleanset.db.rows import clean, dump, load, now, record_from_row, row_from_record
from gleanset.records import Origin, Rejection

# Attempts, one per run, for a fetch that failed for a temporary reason.
MAX_FETCH_ATTEMPTS = 3
# SQL: the stage of rejections of a fetch `f`.
_STAGE = (
    "'harvest-' || CASE f.source WHEN 'urls' THEN 'urls' WHEN 'folder' THEN 'folder' "
    "WHEN 'archive' THEN 'archive' WHEN 'video' THEN 'frames' ELSE 'keyword' END"
)
_OF_FETCH = f"r.stage={_STAGE} AND r.item=f.key AND r.source=f.source"


class FailedFetch(NamedTuple):
    """Download that gave no image; `candidate` is the source's description as JSON."""

    source: str
    key: str
    stage: str
    reason: str
    candidate: str


class FetchYield(NamedTuple):
    """Yield of a source for a query, counted as by `harvest`, and rejections by reason.

    `images` are those found; of these items an image was `added`, `duplicate` (in the dataset from
    elsewhere) or `known` (the same item was found by an earlier search).
    """

    source: str
    asked: str | None
    images: int
    added: int
    duplicate: int
    known: int
    rejected: int
    reasons: dict[str, int]


class Rejections(Table):
    """The `rejection` table: items that could not be used, with the reason."""

    def add(self, rejection: Rejection) -> None:
        """Record a rejection, replacing an earlier one of this item and source."""
        with self._db.transaction():
            item, detail = clean(rejection.item), clean(rejection.detail)
            row = row_from_record(rejection, item=item, detail=detail, at=now())
            self._db.insert("rejection", row, "INSERT OR REPLACE")

    def remove(self, stage: str, item: str, source: str = "") -> None:
        """Delete a rejection, because the item was used after all."""
        with self._db.transaction():
            self._db.execute(
                "DELETE FROM rejection WHERE stage=? AND item=? AND source=?",
                (stage, clean(item), source),
            )

    def settle(self, stage: str, item: str, reason: str | None, detail: str) -> None:
        """Record why an item could not be used, or without a reason that it could."""
        if reason is None:
            self.remove(stage, item)
        else:
            self.add(Rejection(stage, item, reason, detail))

    def iterate(self) -> Iterator[Rejection]:
        """Yield all rejections by stage, item and source."""
        sql = "SELECT stage, item, reason, detail, source FROM rejection WHERE TRUE"
        return starmap(Rejection, self._db.iter_rows(sql, ("stage", "item", "source")))

    def count_by_reason(self) -> dict[str, dict[str, int]]:
        """Return the number of rejected items by stage and reason."""
        counts: dict[str, dict[str, int]] = {}
        sql = "SELECT stage, reason, count(*) FROM rejection GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
        for stage, reason, number in self._db.fetch_all(sql):
            counts.setdefault(stage, {})[reason] = number
        return counts


class Fetches(Table):
    """The `fetch` table. A `stamp` changes with the file; `candidate` allows a retry."""

    def get_state(self, source: str, key: str, stamp: str = "") -> str | None:
        """Return done, rejected, failed or unsettled; None if new or changed.

        Unsettled items are tried again in each run. A failed one may be tried again, and counts
        as rejected after `MAX_FETCH_ATTEMPTS` attempts.
        """
        return self._db.fetch_text(
            f"""
            SELECT iif(state='failed' AND attempts>={MAX_FETCH_ATTEMPTS}, 'rejected', state)
            FROM fetch
            WHERE source=? AND key=? AND stamp=?
            """,
            (source, clean(key), stamp),
        )

    def is_forgotten(self, source: str, key: str) -> bool:
        """Return whether the image of a rejected fetch was removed for good."""
        # A removal marks the fetch as rejected, but records no rejection with a reason.
        return self._db.has_rows(
            f"""
            SELECT 1
            FROM fetch f
            LEFT JOIN rejection r ON {_OF_FETCH}
            WHERE f.source=?
                AND f.key=?
                AND f.state='rejected'
                AND ifnull(r.reason, 'forgotten')='forgotten'
            """,
            (source, clean(key)),
        )

    def get_image(self, source: str, key: str, stamp_start: str = "") -> str | None:
        """Return the hash of the image from a fetch whose stamp starts with a text, if any."""
        return self._db.fetch_text(
            """
            SELECT sha256
            FROM fetch
            JOIN image ON image.id=fetch.image
            WHERE source=?1 AND key=?2 AND substr(stamp, 1, length(?3))=?3
            """,
            (source, clean(key), stamp_start),
        )

    def record(
        self,
        origin: Origin,
        state: str,
        stamp: str = "",
        *,
        image: str | None = None,
        candidate: str | None = None,
    ) -> None:
        """Record that a fetch is done (with the hash of its image), rejected, failed or unsettled.

        Counts the attempt; after an unsettled one, the count begins at 1 again.
        """
        texts = (clean(text) for text in (origin.source, origin.key, stamp, origin.url))
        with self._db.transaction():
            self._db.execute(
                """
                INSERT INTO fetch(
                    source, key, stamp, url, query, state, candidate, image
                )
                VALUES(?, ?, ?, ?, ?, ?, ?, (SELECT id FROM image WHERE sha256=?))
                ON CONFLICT(source, key) DO UPDATE
                SET stamp=excluded.stamp, url=excluded.url, query=excluded.query,
                    state=excluded.state, image=excluded.image,
                    candidate=excluded.candidate,
                    attempts=iif(state='unsettled', 1, attempts+1)
                """,
                (*texts, clean(origin.query), state, candidate, image),
            )

    def iter_failed(self) -> Iterator[FailedFetch]:
        """Yield downloads that gave no image, in the order of source and key."""
        # Local files have no URL.
        sql = f"""
            SELECT f.source, f.key, r.stage, r.reason, f.candidate
            FROM fetch f
            JOIN rejection r ON {_OF_FETCH}
            WHERE f.state<>'done' AND f.url IS NOT NULL
            """
        return starmap(FailedFetch, self._db.iter_rows(sql, ("f.source", "f.key")))

    def list_yields(self) -> list[FetchYield]:
        """Return yields by source and query (or hint, or video title).

        An origin is `first` if it is the oldest of its image, and `new` if it is the oldest of its
        item (source and key). An image was added by its first origin. A new item whose image came
        from elsewhere is a duplicate, and an item whose origins here are neither was known.
        """
        rows = self._db.fetch_all(
            f"""
            WITH found AS (
                SELECT source, ifnull({query_sql("g")}, '') AS asked,
                    count(DISTINCT image) AS images,
                    count(DISTINCT iif(first, image, NULL)) AS added,
                    count(DISTINCT iif(new AND NOT first, key, NULL)) AS duplicate,
                    count(DISTINCT key)
                        - count(DISTINCT iif(new OR first, key, NULL)) AS known
                FROM (
                    SELECT *,
                        id IN (SELECT min(id) FROM origin GROUP BY image) AS first,
                        id IN (SELECT min(id) FROM origin GROUP BY source, key) AS new
                    FROM origin
                ) g
                GROUP BY 1, 2
            ), refused AS (
                SELECT source, asked, sum(items) AS rejected,
                    json_group_object(reason, items) AS reasons
                FROM (
                    SELECT f.source,
                        coalesce(
                            f.query, json_extract(f.candidate, '$.origin.hint'), ''
                        ) AS asked, r.reason, count(*) AS items
                    FROM fetch f
                    JOIN rejection r ON {_OF_FETCH}
                    WHERE f.state<>'done'
                    GROUP BY 1, 2, 3
                    ORDER BY 1, 2, 4 DESC, 3
                )
                GROUP BY 1, 2
            )
            SELECT source, nullif(asked, '') AS asked, ifnull(images, 0) AS images,
                ifnull(added, 0) AS added, ifnull(duplicate, 0) AS duplicate,
                ifnull(known, 0) AS known, ifnull(rejected, 0) AS rejected,
                ifnull(reasons, '{{}}') AS reasons
            FROM (SELECT source, asked FROM found UNION SELECT source, asked FROM refused)
            LEFT JOIN found USING(source, asked)
            LEFT JOIN refused USING(source, asked)
            ORDER BY source, asked
            """
        )
        return [
            record_from_row(FetchYield, row, reasons=load(row["reasons"]))
            for row in rows
        ]


class Videos(Table):
    """The `video` table: one row per video content and sampling settings."""

    def get_frame_count(self, sha256: str, settings: str) -> int | None:
        """Return the frame count of a completed sampling, or None."""
        sql = "SELECT frames FROM video WHERE sha256=? AND settings=? AND done"
        frames: int | None = self._db.fetch_value(
            sql,
            (sha256, settings),
        )
        return frames

    def list_frames(
        self, sha256: str, start: float | None, end: float | None
    ) -> list[Origin]:
        """Return the origins of a video's frames between two times in seconds, None: all."""
        sql = """
            SELECT *
            FROM origin
            WHERE video=?1 AND time>=ifnull(?2, time) AND time<=ifnull(?3, time)
            """
        return list(map(origin_from_row, self._db.fetch_all(sql, (sha256, start, end))))

    def count_forgotten_frames(self, sha256: str) -> int:
        """Return how many frames of a video were removed for good."""
        return self._db.fetch_int(
            """
            SELECT count(*)
            FROM fetch
            WHERE source='video'
                AND key>?
                AND key<?
                AND state='rejected'
                AND image IS NULL
            """,
            # Keys of frames are like 0123456789abcdef@12.345. A follows @.
            (f"{sha256[:16]}@", f"{sha256[:16]}A"),
        )

    def iter_states(self, mode: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield SHA-256 and state (see `record`) of videos completely sampled in `mode`."""
        sql = "SELECT sha256, state FROM video WHERE settings LIKE ? AND done AND state IS NOT NULL"
        for row in self._db.fetch_all(f"{sql} ORDER BY id", (f"mode={mode} %",)):
            state = load(row["state"])
            if isinstance(state, dict):
                yield row["sha256"], state

    def get_latest_seen_settings(self) -> str:
        """Return the settings of the newest sampling of faces that are seen; empty if none."""
        sql = "SELECT settings FROM video WHERE settings LIKE 'mode=seen %' ORDER BY id DESC"
        return self._db.fetch_value(sql) or ""

    def record(
        self,
        origin: Origin,
        settings: str,
        duration: float | None,
        frames: int,
        state: Mapping[str, object] | None = None,
    ) -> None:
        """Record a completed sampling of `origin.video`; `duration` is in seconds.

        `state` is what later runs need of it, such as fingerprints of repeated scenes.
        """
        with self._db.transaction():
            row = {
                "sha256": origin.video,
                "settings": settings,
                "name": clean(origin.title),
                "url": clean(origin.url),
                "done": True,
                "duration": duration,
                "frames": frames,
                "state": None if state is None else dump(state),
            }
            self._db.insert(
                "video",
                row,
                then="""
                    ON CONFLICT(sha256, settings) DO UPDATE
                    SET name=excluded.name, duration=excluded.duration,
                        frames=excluded.frames, url=coalesce(excluded.url, url),
                        state=excluded.state, done=excluded.done
                    """,
            )
