"""Samples: paging by any of their traits at any depth, and what the splitter writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.hints import HINT
from gleanset.db.paging import EVERYTHING, Position, Where, page_query
from gleanset.db.values import now, unsigned
from gleanset.errors import UsageError
from gleanset.records import Box, Sample

_COLUMNS = (
    "s.id, s.key, i.sha256 AS image_hash, s.x, s.y, s.w, s.h, s.detector, s.score, "
    "s.phash, s.sharpness, s.angle, s.status, s.kept, c.name AS label_name, s.split, s.grp, "
    f"s.moment, s.fold, {HINT} AS hint"
)
_JOINED = "JOIN image i ON i.id=s.image LEFT JOIN class c ON c.id=s.label"


class Page(NamedTuple):
    """Some samples and the position from which to read on; None at the end."""

    samples: list[Sample]
    next: Position | None


class Samples:
    """The `sample` table."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def page(
        self,
        where: Where = EVERYTHING,
        after: Position | None = None,
        limit: int = 200,
    ) -> Page:
        """The next `limit` samples after a position (keyset paging: equally quick at any depth).

        They come in the order in which their images arrived, or by falling score.
        """
        class_id = None if where.label is None else self._class_id(where.label)
        sql, values = page_query(where, class_id, after)
        found = self._db.rows(f"{sql} LIMIT ?", (*values, limit))
        samples = self._full([row["id"] for row in found])
        position: Position | None = None
        if len(found) == limit:
            id_, image, score = found[-1]
            position = (image, id_) if where.min_score is None else (score, image, id_)
        return Page(samples, position)

    def _full(self, ids: list[int]) -> list[Sample]:
        """The samples of these numbers, in this order."""
        marks = ",".join("?" * len(ids))
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM sample s {_JOINED} WHERE s.id IN ({marks})", ids
        )
        by_id = {row["id"]: row for row in rows}
        return [_sample(by_id[number]) for number in ids]

    def each(self, where: Where = EVERYTHING) -> Iterator[Sample]:
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

    def in_splits(self) -> Iterator[Sample]:
        """The labelled samples that have a split, by key: what is trained on and exported.

        Duplicates that were set aside are not among them.
        """
        return (s for s in self.by_key() if s.status == "labelled" and s.split and s.kept)

    def fingerprint_of_splits(self) -> str:
        """A hash of which samples have which label and split: equal means nothing has changed."""
        digest = hashlib.sha256()
        for sample in self.in_splits():
            digest.update(f"{sample.key} {sample.label} {sample.split}\n".encode())
        return digest.hexdigest()[:16]

    def named(self, name: str) -> str:
        """The key that begins so. Raises `UsageError` where none does, or more than one."""
        rows = self._db.rows(
            "SELECT key FROM sample WHERE key>=?1 AND key<?1||'~' ORDER BY key LIMIT 2", (name,)
        )
        keys = [str(row["key"]) for row in rows]
        if len(keys) == 1 or name in keys:
            return keys[0]
        if not keys:
            raise UsageError(
                f"there is no sample {name!r} in this dataset", "see: gleanset list samples"
            )
        raise UsageError(f"several samples begin with {name!r}", "give more of its id")

    def get(self, key: str) -> Sample | None:
        """One sample by its key."""
        row = self._db.one(f"SELECT {_COLUMNS} FROM sample s {_JOINED} WHERE s.key=?", (key,))
        return _sample(row) if row else None

    def counts(self, *traits: str) -> dict[tuple[str | None, ...], int]:
        """How many samples have each combination of some of the traits below."""
        allowed = {
            "status": "s.status",
            "label": "c.name",
            "split": "s.split",
            "detector": "s.detector",
            "kept": "iif(s.kept,'kept','set aside')",
        }
        columns = ",".join(allowed[trait] for trait in traits)
        rows = self._db.rows(
            f"SELECT {columns}, count(*) FROM sample s LEFT JOIN class c ON c.id=s.label "
            f"GROUP BY {columns} ORDER BY {columns}"
        )
        return {tuple(row)[:-1]: row[len(traits)] for row in rows}

    def count(self) -> int:
        """How many samples there are, those set aside included."""
        return self._db.number("SELECT count(*) FROM sample")

    def split_settings(self) -> str:
        """The settings of the split that is in force; empty when there is none."""
        row = self._db.one("SELECT settings FROM split_plan ORDER BY id DESC LIMIT 1")
        return row["settings"] if row else ""

    def set_splits(
        self,
        plan: Mapping[str, tuple[str, str | None]],
        settings: str,
        folds: Mapping[str, int] | None = None,
    ) -> None:
        """Write (moment, split) for each sample key, and its fold where it has one.

        In one transaction; all other samples lose theirs.
        """
        rows = [(key, *row, (folds or {}).get(key)) for key, row in plan.items()]
        with self._db.write():
            if settings != self.split_settings():
                self._db.run("INSERT INTO split_plan(settings, at) VALUES(?,?)", (settings, now()))
            self._db.run("CREATE TEMP TABLE IF NOT EXISTS part(key TEXT PRIMARY KEY, m, s, f)")
            self._db.run("DELETE FROM part")
            self._db.many("INSERT INTO part VALUES(?,?,?,?)", rows)
            self._db.run(
                "UPDATE sample SET split=NULL, moment=NULL, fold=NULL WHERE (split IS NOT NULL OR "
                "moment IS NOT NULL OR fold IS NOT NULL) AND key NOT IN (SELECT key FROM part)"
            )
            self._db.run(
                "UPDATE sample SET moment=part.m, split=part.s, fold=part.f FROM part WHERE "
                "part.key=sample.key AND (moment IS NOT part.m OR split IS NOT part.s OR "
                "fold IS NOT part.f)"
            )
            self._db.run("DELETE FROM part")

    def _class_id(self, label: str) -> int:
        return self._db.number("SELECT id FROM class WHERE name=?", (label,))


def _sample(row: Row) -> Sample:
    return Sample(
        key=row["key"],
        image=row["image_hash"],
        box=Box(row["x"], row["y"], row["w"], row["h"]),
        detector=row["detector"],
        score=row["score"],
        phash=unsigned(row["phash"]),
        sharpness=row["sharpness"],
        status=row["status"],
        label=row["label_name"],
        hint=row["hint"],
        split=row["split"],
        group=row["grp"],
        moment=row["moment"],
        angle=row["angle"],
        fold=row["fold"],
        kept=bool(row["kept"]),
    )
