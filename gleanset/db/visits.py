"""What was visited already and how it ended, so that nothing is done twice or forgotten."""

from __future__ import annotations

from collections.abc import Iterator

from gleanset.db.connection import Connection
from gleanset.db.values import clean, now
from gleanset.records import Rejection


class Rejections:
    """The `rejection` table: items that were not used, each with its reason."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def add(self, rejection: Rejection) -> None:
        """Record a rejection; a later one of the same item takes its place."""
        with self._db.write():
            self._db.run(
                "INSERT OR REPLACE INTO rejection VALUES(?,?,?,?,?)",
                (
                    rejection.stage,
                    clean(rejection.what),
                    rejection.reason,
                    clean(rejection.detail),
                    now(),
                ),
            )

    def clear(self, stage: str, what: str) -> None:
        """Forget a rejection, because the item was used after all."""
        with self._db.write():
            self._db.run("DELETE FROM rejection WHERE stage=? AND what=?", (stage, clean(what)))

    def has(self, stage: str, what: str) -> bool:
        """Whether that item was rejected by that stage."""
        return bool(
            self._db.number(
                "SELECT 1 FROM rejection WHERE stage=? AND what=?", (stage, clean(what))
            )
        )

    def each(self) -> Iterator[Rejection]:
        """All rejections by stage and item, a page in memory at a time."""
        after = ("", "")
        while rows := self._db.rows(
            "SELECT stage, what, reason, detail FROM rejection WHERE (stage, what)>(?,?) "
            "ORDER BY stage, what LIMIT 500",
            after,
        ):
            yield from (Rejection(*row) for row in rows)
            after = (rows[-1]["stage"], rows[-1]["what"])

    def by_reason(self) -> dict[str, dict[str, int]]:
        """How many items each stage rejected for each reason."""
        found: dict[str, dict[str, int]] = {}
        for stage, reason, number in self._db.rows(
            "SELECT stage, reason, count(*) FROM rejection GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
        ):
            found.setdefault(stage, {})[reason] = number
        return found


class Fetches:
    """The `fetch` table: what was asked for already, so that nothing is done twice.

    `stamp` tells a changed file at a known place from the file we know.
    """

    def __init__(self, db: Connection) -> None:
        self._db = db

    def state(self, source: str, key: str, stamp: str = "") -> str | None:
        """'done', 'rejected', or None for something new or changed."""
        row = self._db.one(
            "SELECT state FROM fetch WHERE source=? AND key=? AND stamp=?",
            (source, clean(key), stamp),
        )
        return row["state"] if row else None

    def image(self, source: str, key: str) -> str | None:
        """The hash of the image that a finished fetch gave."""
        row = self._db.one(
            "SELECT sha256 FROM fetch JOIN image ON image.id=fetch.image WHERE source=? AND key=?",
            (source, clean(key)),
        )
        return row["sha256"] if row else None

    def record(
        self, source: str, key: str, state: str, *, stamp: str = "", image: str | None = None,
        url: str | None = None, query: str | None = None,
    ) -> None:  # fmt: skip
        """Note how the fetch of one item ended; attempts are counted."""
        with self._db.write():
            self._db.run(
                "INSERT INTO fetch(source,key,stamp,url,query,state,image) VALUES(?,?,?,?,?,?,"
                "(SELECT id FROM image WHERE sha256=?)) ON CONFLICT(source,key) DO UPDATE SET "
                "stamp=excluded.stamp, url=excluded.url, query=excluded.query, "
                "state=excluded.state, image=excluded.image, attempts=attempts+1",
                (source, clean(key), stamp, clean(url), clean(query), state, image),
            )
