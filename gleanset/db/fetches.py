"""What was fetched or sampled already, and how it ended, so that nothing is done twice or lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gleanset.db.connection import Table
from gleanset.db.images import asked_of
from gleanset.db.rows import clean, dump, load, now, values_of
from gleanset.records import Rejection

# How often a fetch that failed for a passing reason is tried by runs that come upon it again.
TRIES = 3
# What the rejections of a source's fetches are kept under.
_STAGE = (
    "'harvest-' || CASE f.source WHEN 'urls' THEN 'urls' WHEN 'folder' THEN 'folder' "
    "WHEN 'archive' THEN 'archive' WHEN 'video' THEN 'frames' ELSE 'keyword' END"
)
_OF_FETCH = f"r.stage={_STAGE} AND r.what=f.key AND r.source=f.source"


class FailedFetch(NamedTuple):
    """A fetch from the net that gave no image; `candidate` is it as its source described it."""

    source: str
    key: str
    stage: str
    reason: str
    candidate: str


class FetchEnd(NamedTuple):
    """How the fetch of one item ended: done, rejected, failed or unsettled.

    `image` is the hash of what it gave; `candidate` it as its source described it.
    """

    source: str
    key: str
    state: str
    stamp: str = ""
    image: str | None = None
    url: str | None = None
    query: str | None = None
    candidate: str | None = None


class FetchYield(NamedTuple):
    """What one source gave for one query, hint or video.

    `added` are images that nobody had found before, `duplicate` the places that showed an
    image which was there already, `images` how many it gave in all. `reasons` are those for
    which other places were rejected, the most frequent first.
    """

    source: str
    asked: str
    images: int
    added: int
    duplicate: int
    reasons: dict[str, int]

    @property
    def rejected(self) -> int:
        """How many places were rejected."""
        return sum(self.reasons.values())


class Rejections(Table):
    """The `rejection` table: items that were not used, each with its reason."""

    def add(self, rejection: Rejection) -> None:
        """Record a rejection; a later one of the same item and source takes its place."""
        with self._db.write():
            what, detail = clean(rejection.what), clean(rejection.detail)
            row = values_of(rejection, what=what, detail=detail, at=now())
            self._db.insert("rejection", row, "INSERT OR REPLACE")

    def clear(self, stage: str, what: str, source: str = "") -> None:
        """Forget a rejection, because the item was used after all."""
        with self._db.write():
            self._db.run(
                "DELETE FROM rejection WHERE stage=? AND what=? AND source=?",
                (stage, clean(what), source),
            )

    def each(self) -> Iterator[Rejection]:
        """Yield all rejections by stage, item and source, a page in memory at a time."""
        sql = "SELECT stage, what, reason, detail, source FROM rejection WHERE TRUE"
        rows = self._db.each(sql, ("stage", "what", "source"), size=500)
        return (Rejection(*row) for row in rows)

    def by_reason(self) -> dict[str, dict[str, int]]:
        """Return how many items each stage rejected for each reason."""
        found: dict[str, dict[str, int]] = {}
        for stage, reason, number in self._db.rows(
            "SELECT stage, reason, count(*) FROM rejection GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
        ):
            found.setdefault(stage, {})[reason] = number
        return found


class Fetches(Table):
    """The `fetch` table: what was asked for already, so that nothing is done twice.

    `stamp` tells a changed file at a known place from the file we know. Where a fetch from
    the net failed, `candidate` keeps what its source told of it, to try it again.
    """

    def state(self, source: str, key: str, stamp: str = "") -> str | None:
        """Return how the last fetch ended; None for something new or changed.

        'done', 'rejected', 'failed' for what is worth another try, or 'unsettled' for what
        was not its fault. After `TRIES` a failed one is rejected.
        """
        state: str | None = self._db.value(
            "SELECT iif(state='failed' AND attempts>=?, 'rejected', state) FROM fetch "
            "WHERE source=? AND key=? AND stamp=?",
            (TRIES, source, clean(key), stamp),
        )
        return state

    def states(self, source: str, keys: Sequence[str]) -> dict[str, str | None]:
        """Return the same for some keys of a source, none of them with a stamp."""
        marks = ",".join("?" * len(keys))
        known = self._db.mapping(
            "SELECT key, iif(state='failed' AND attempts>=?, 'rejected', state) FROM fetch "
            f"WHERE source=? AND stamp='' AND key IN ({marks})",
            (TRIES, source, *map(clean, keys)),
        )
        return {key: known.get(clean(key)) for key in keys}

    def image(self, source: str, key: str) -> str | None:
        """Return the hash of the image that a finished fetch gave."""
        sha256: str | None = self._db.value(
            "SELECT sha256 FROM fetch JOIN image ON image.id=fetch.image WHERE source=? AND key=?",
            (source, clean(key)),
        )
        return sha256

    def record(self, end: FetchEnd) -> None:
        """Note how the fetch of one item ended; attempts are counted."""
        with self._db.write():
            self._db.run(
                "INSERT INTO fetch(source,key,stamp,url,query,state,candidate,image) "
                "VALUES(?,?,?,?,?,?,?,(SELECT id FROM image WHERE sha256=?)) "
                "ON CONFLICT(source,key) DO UPDATE SET stamp=excluded.stamp, url=excluded.url, "
                "query=excluded.query, state=excluded.state, image=excluded.image, "
                "candidate=excluded.candidate, attempts=iif(state='unsettled', 1, attempts+1)",
                (
                    end.source,
                    clean(end.key),
                    end.stamp,
                    clean(end.url),
                    clean(end.query),
                    end.state,
                    end.candidate,
                    end.image,
                ),
            )

    def failed(self) -> Iterator[FailedFetch]:
        """Yield every fetch from the net that gave no image, a page in memory at a time.

        Ordered by source and key, so that a caller may record anew what it iterates over.
        """
        sql = (
            "SELECT f.source, f.key, r.stage, r.reason, f.candidate FROM fetch f JOIN rejection r "
            f"ON {_OF_FETCH} WHERE f.state<>'done' AND f.url IS NOT NULL"
        )
        return (FailedFetch(*row) for row in self._db.each(sql, ("f.source", "f.key"), size=500))

    def yields(self) -> list[FetchYield]:
        """Return the yield of every source by query, hint or title of a video."""
        counts: dict[tuple[str, str], tuple[int, int, int]] = {
            (row[0], row[1]): (row[2], row[3], row[4])
            for row in self._db.rows(
                f"SELECT source, ifnull({asked_of('g')}, ''), "
                "count(DISTINCT image), count(DISTINCT iif(first, image, NULL)), "
                "count(DISTINCT key)-count(DISTINCT iif(first, key, NULL)) FROM (SELECT *, "
                "id IN (SELECT min(id) FROM origin GROUP BY image) AS first FROM origin) g "
                "GROUP BY 1, 2"
            )
        }
        reasons: dict[tuple[str, str], dict[str, int]] = {}
        for source, asked, reason, items in self._db.rows(
            "SELECT f.source, coalesce(f.query, json_extract(f.candidate, '$.origin.hint'), "
            "''), r.reason, count(*) "
            f"FROM fetch f JOIN rejection r ON {_OF_FETCH} "
            "WHERE f.state<>'done' GROUP BY 1, 2, 3 ORDER BY 1, 2, 4 DESC, 3"
        ):
            reasons.setdefault((source, asked), {})[reason] = items
        return [
            FetchYield(*asked, *counts.get(asked, (0, 0, 0)), reasons.get(asked, {}))
            for asked in sorted(counts.keys() | reasons.keys())
        ]


class VideoName(NamedTuple):
    """What a video is called: its content, and where it was found. `url` None for a file."""

    sha256: str
    name: str
    url: str | None = None


class Videos(Table):
    """The `video` table: one row for each video, by content, and sampling."""

    def done(self, sha256: str, settings: str) -> int | None:
        """Return how many frames that sampling gave; None when it was not done to its end."""
        frames: int | None = self._db.value(
            "SELECT frames FROM video WHERE sha256=? AND settings=? AND done", (sha256, settings)
        )
        return frames

    def states(self, mode: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the content and state of each video that was sampled to its end in that mode."""
        sql = "SELECT sha256, state FROM video WHERE settings LIKE ? AND done AND state IS NOT NULL"
        for row in self._db.rows(f"{sql} ORDER BY id", (f"mode={mode} %",)):
            state = load(row["state"])
            if isinstance(state, dict):
                yield row["sha256"], state

    def sampled_at(self, url: str, settings: str) -> str | None:
        """Return the content (SHA-256) of a video that was sampled to its end from that address."""
        sha256: str | None = self._db.value(
            "SELECT sha256 FROM video WHERE url=? AND settings=? AND done ORDER BY id DESC",
            (url, settings),
        )
        return sha256

    def newest(self, mode: str) -> str:
        """Return the settings of the newest sampling of that mode; empty where there is none."""
        sql = "SELECT settings FROM video WHERE settings LIKE ? ORDER BY id DESC"
        return self._db.value(sql, (f"mode={mode} %",)) or ""

    def record(
        self,
        video: VideoName,
        settings: str,
        duration: float | None,
        frames: int,
        state: Mapping[str, object] | None = None,
    ) -> None:
        """Note that a video was sampled to its end. `duration` in seconds."""
        with self._db.write():
            row = values_of(video, name=clean(video.name), url=clean(video.url))
            row |= {"settings": settings, "duration": duration, "frames": frames, "done": True}
            self._db.insert(
                "video",
                row | {"state": None if state is None else dump(state)},
                then="ON CONFLICT(sha256,settings) DO UPDATE SET name=excluded.name, "
                "duration=excluded.duration, frames=excluded.frames, "
                "url=coalesce(excluded.url, url), state=excluded.state, done=excluded.done",
            )
