"""Samples: paging by any of their traits at any depth, and what the splitter writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.values import now, unsigned
from gleanset.records import Box, Sample

_COLUMNS = (
    "s.id, s.key, i.sha256 AS image_hash, s.image, s.x, s.y, s.w, s.h, s.detector, s.score, "
    "s.phash, s.sharpness, s.status, c.name AS label_name, s.split, s.grp, s.moment, "
    "CASE WHEN (SELECT count(DISTINCT hint) FROM origin WHERE image=s.image)=1 THEN "
    "(SELECT hint FROM origin WHERE image=s.image AND hint IS NOT NULL LIMIT 1) END AS hint"
)
_JOINED = "JOIN image i ON i.id=s.image LEFT JOIN class c ON c.id=s.label"
_BY_ORIGIN = ("source", "video", "licence", "hint")


@dataclass(frozen=True, slots=True)
class Where:
    """Which samples: every trait that is not None must hold.

    `source`, `video`, `licence` and `hint` are those of one of the image's origins;
    `min_score` asks for the detector's score and orders by it, surest first.
    """

    label: str | None = None
    status: str | None = None
    split: str | None = None
    source: str | None = None
    video: str | None = None
    licence: str | None = None
    hint: str | None = None
    min_score: float | None = None


class Page(NamedTuple):
    """Some samples and the position from which to read on; None at the end."""

    samples: list[Sample]
    next: tuple[float | int, ...] | None


class Hinted(NamedTuple):
    """A sample that waits: how many different hints its image has, and how many samples."""

    key: str
    hint: str | None
    hints: int
    siblings: int


class Tie(NamedTuple):
    """What could tie a labelled sample to others: its image, its hash, one of its origins."""

    key: str
    label: str
    split: str | None
    image: str
    phash: int
    video: str | None
    scene: int | None
    time: float | None
    post: str | None


class Samples:
    """The `sample` table."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def page(
        self, where: Where = Where(), after: tuple[float | int, ...] | None = None,
        limit: int = 200,
    ) -> Page:  # fmt: skip
        """The next `limit` samples after a position (keyset paging: equally quick at any depth).

        They come in the order in which their images arrived, or by falling score.
        """
        sql, values = _query(self._class_id(where), where, after)
        rows = self._db.rows(f"{sql} LIMIT ?", (*values, limit))
        position = _position(rows[-1], where) if len(rows) == limit else None
        return Page([_sample(row) for row in rows], position)

    def each(self, where: Where = Where()) -> Iterator[Sample]:
        """All samples that fit, a page in memory at a time."""
        page = self.page(where, limit=1000)
        yield from page.samples
        while page.next is not None:
            page = self.page(where, page.next, limit=1000)
            yield from page.samples

    def by_key(self) -> Iterator[Sample]:
        """All samples in the order of their keys: the same order in every copy of a dataset."""
        after = ""
        while rows := self._db.rows(
            f"SELECT {_COLUMNS} FROM sample s {_JOINED} WHERE s.key>? ORDER BY s.key LIMIT 1000",
            (after,),
        ):
            yield from (_sample(row) for row in rows)
            after = rows[-1]["key"]

    def get(self, key: str) -> Sample | None:
        """One sample by its key."""
        row = self._db.one(f"SELECT {_COLUMNS} FROM sample s {_JOINED} WHERE s.key=?", (key,))
        return _sample(row) if row else None

    def counts(self, *traits: str) -> dict[tuple[str | None, ...], int]:
        """How many samples have each combination of 'status', 'label', 'split' or 'detector'."""
        allowed = {"status": "s.status", "label": "c.name", "split": "s.split",
                   "detector": "s.detector"}  # fmt: skip
        columns = ",".join(allowed[trait] for trait in traits)
        rows = self._db.rows(
            f"SELECT {columns}, count(*) FROM sample s LEFT JOIN class c ON c.id=s.label "
            f"GROUP BY {columns} ORDER BY {columns}"
        )
        return {tuple(row)[:-1]: row[len(traits)] for row in rows}

    def count(self) -> int:
        """How many samples there are, those set aside included."""
        return self._db.number("SELECT count(*) FROM sample")

    def hinted(self) -> Iterator[Hinted]:
        """Every sample that waits for a decision, in the order of the keys.

        `siblings` counts the samples that the same detector found in the same image.
        """
        after = ""
        while rows := self._db.rows(
            "SELECT s.key, (SELECT max(hint) FROM origin WHERE image=s.image) AS hint, "
            "(SELECT count(DISTINCT hint) FROM origin WHERE image=s.image) AS hints, "
            "(SELECT count(*) FROM sample t WHERE t.image=s.image AND t.detector=s.detector AND "
            "t.status IN ('queue','labelled')) AS siblings "
            "FROM sample s WHERE s.status='queue' AND s.key>? ORDER BY s.key LIMIT 1000",
            (after,),
        ):
            yield from (Hinted(*row) for row in rows)
            after = rows[-1]["key"]

    def ties(self) -> Iterator[Tie]:
        """Every labelled sample that is kept, once for each of its origins, by key."""
        after = ""
        while rows := self._db.rows(
            "SELECT s.key, c.name, s.split, i.sha256, s.phash, o.video, o.scene, o.time, "
            "iif(o.post IS NULL, NULL, o.source || ':' || o.post) FROM (SELECT * FROM sample "
            "WHERE status='labelled' AND kept AND key>? ORDER BY key LIMIT 1000) s "
            "JOIN class c ON c.id=s.label JOIN image i ON i.id=s.image "
            "JOIN origin o ON o.image=s.image ORDER BY s.key, o.source, o.key",
            (after,),
        ):
            for row in rows:
                yield Tie(*row)._replace(phash=unsigned(row["phash"]))
            after = rows[-1]["key"]

    def split_settings(self) -> str:
        """The settings of the split that is in force; empty when there is none."""
        row = self._db.one("SELECT settings FROM split_plan ORDER BY id DESC LIMIT 1")
        return row["settings"] if row else ""

    def set_splits(self, plan: Mapping[str, tuple[str, str | None]], settings: str) -> None:
        """Write (moment, split) for each sample key, in one transaction; all others lose theirs."""
        with self._db.write():
            if settings != self.split_settings():
                self._db.run("INSERT INTO split_plan(settings, at) VALUES(?,?)", (settings, now()))
            self._db.run("CREATE TEMP TABLE IF NOT EXISTS plan(key TEXT PRIMARY KEY, m, s)")
            self._db.run("DELETE FROM plan")
            self._db.many(
                "INSERT INTO plan VALUES(?,?,?)", [(key, *row) for key, row in plan.items()]
            )
            self._db.run(
                "UPDATE sample SET split=NULL, moment=NULL WHERE split IS NOT NULL AND key NOT IN "
                "(SELECT key FROM plan)"
            )
            self._db.run(
                "UPDATE sample SET moment=plan.m, split=plan.s FROM plan WHERE "
                "plan.key=sample.key AND (moment IS NOT plan.m OR split IS NOT plan.s)"
            )
            self._db.run("DELETE FROM plan")

    def _class_id(self, where: Where) -> int:
        return self._db.number("SELECT id FROM class WHERE name=?", (where.label,))


def _query(
    class_id: int, where: Where, after: tuple[float | int, ...] | None
) -> tuple[str, list[object]]:
    """The page query: by origin it walks the origin's index, else the sample's own."""
    tests: list[str] = []
    values: list[object] = []
    by_origin = [name for name in _BY_ORIGIN if getattr(where, name) is not None]
    table = "sample s"
    if by_origin and where.min_score is None:
        # CROSS JOIN keeps SQLite from turning the join round: the origin index gives the order.
        table = "origin o CROSS JOIN sample s ON s.image=o.image"
        tests += [f"o.{name}=?" for name in by_origin]
    elif by_origin:
        inner = " AND ".join(f"{name}=?" for name in by_origin)
        tests.append(f"EXISTS(SELECT 1 FROM origin WHERE image=s.image AND {inner})")
    values += [getattr(where, name) for name in by_origin]
    for column, value in (
        ("label", class_id if where.label is not None else None),
        ("status", where.status),
        ("split", where.split),
    ):
        if value is not None:
            tests.append(f"s.{column}=?")
            values.append(value)
    image = "o.image" if table.startswith("origin") else "s.image"
    order = f"{image}, s.id"
    if where.min_score is not None:
        tests.append("s.score>=?")
        values.append(where.min_score)
        order = "s.score DESC, s.image DESC, s.id DESC"
    if after is not None:
        tests.append(
            "(s.score, s.image, s.id)<(?,?,?)" if where.min_score is not None
            else f"({image}, s.id)>(?,?)"
        )  # fmt: skip
        values += after
    grouped = f" GROUP BY {image}, s.id" if table.startswith("origin") else ""
    test = f" WHERE {' AND '.join(tests)}" if tests else ""
    return f"SELECT {_COLUMNS} FROM {table} {_JOINED}{test}{grouped} ORDER BY {order}", values


def _position(row: Row, where: Where) -> tuple[float | int, ...]:
    position = (row["image"], row["id"])
    return position if where.min_score is None else (row["score"], *position)


def _sample(row: Row) -> Sample:
    return Sample(
        key=row["key"], image=row["image_hash"],
        box=Box(row["x"], row["y"], row["w"], row["h"]),
        detector=row["detector"], score=row["score"], phash=unsigned(row["phash"]),
        sharpness=row["sharpness"], status=row["status"], label=row["label_name"],
        hint=row["hint"], split=row["split"], group=row["grp"], moment=row["moment"],
    )  # fmt: skip
