"""Taking the rows of another catalogue into ours; the other one is a copy that is only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gleanset.db.connection import Connection, Row, Table
from gleanset.db.journal import add_step, operation_of
from gleanset.records import HAND

TAKE_IN = "take-in"
"""The operation of the step with what a merge made of the samples."""

# The table that rows of `o` belong to is joined by what it is known by everywhere.
_OUR_IMAGE = "JOIN other.image oi ON oi.id=o.image JOIN main.image i ON i.sha256=oi.sha256"
_PERHAPS_OUR_IMAGE = (
    "LEFT JOIN other.image oi ON oi.id=o.image LEFT JOIN main.image i ON i.sha256=oi.sha256"
)
_UNSEEN = "NOT EXISTS(SELECT 1 FROM main.scan s WHERE s.image=i.id)"
_HAD = "SELECT 1 FROM main.fetch f WHERE f.source=o.source AND f.key=o.what AND f.state='done'"
_DECIDED = "EXISTS(SELECT 1 FROM other.decision d WHERE d.sample=o.id)"
_NEW_SAMPLE = f"o.key NOT IN (SELECT key FROM main.sample) AND ({_UNSEEN} OR {_DECIDED})"
_NEW_ORIGIN = (
    "NOT EXISTS(SELECT 1 FROM main.origin p WHERE p.image=i.id AND p.source=o.source AND "
    "p.key=o.key AND ifnull(p.query,'')=ifnull(o.query,'') AND "
    "ifnull(p.hint,'')=ifnull(o.hint,''))"
)
# A box is taken once, however often it is there, and not where we have it already.
_NEW_BOX = (
    "NOT EXISTS(SELECT 1 FROM main.face t WHERE (t.image,t.x,t.y,t.w,t.h)=(i.id,o.x,o.y,o.w,o.h)) "
    "AND o.id=(SELECT t.id FROM other.face t WHERE (t.image,t.x,t.y,t.w,t.h)="
    "(o.image,o.x,o.y,o.w,o.h) ORDER BY t.gone, "
    "NOT EXISTS(SELECT 1 FROM other.sample WHERE face=t.id), t.id LIMIT 1)"
)
_OUR_FACE = (
    "(SELECT f.id FROM main.face f JOIN other.face t ON (f.x,f.y,f.w,f.h)=(t.x,t.y,t.w,t.h) "
    "WHERE t.id=o.face AND f.image=i.id AND NOT f.gone ORDER BY f.id LIMIT 1)"
)

_OUR_CLASS = "(SELECT c.id FROM main.class c JOIN other.class o USING(name) WHERE o.id={})"


class SampleState(NamedTuple):
    """What a catalogue says of a sample: its status, class, and the last decision's words."""

    status: str
    label: str | None
    action: str
    provenance: str


class Merging(Table):
    """Our catalogue with another one beside it. Obtained by `beside`."""

    def new_images(self) -> list[tuple[str, str]]:
        """(hash, format) of images that only the other has, and nobody took down here."""
        rows = self._db.rows(
            "SELECT sha256, format FROM other.image o WHERE state='ok' AND NOT "
            "EXISTS(SELECT 1 FROM main.image WHERE sha256=o.sha256 AND state='ok') AND NOT EXISTS("
            "SELECT 1 FROM main.tombstone WHERE sha256=o.sha256) ORDER BY sha256"
        )
        return [(row["sha256"], row["format"]) for row in rows]

    def count_origins(self) -> int:
        """Return how many origins `add_places` would add."""
        return self._db.number(
            f"SELECT count(*) FROM other.origin o {_OUR_IMAGE} WHERE {_NEW_ORIGIN}"
        )

    def count_samples(self) -> int:
        """Return how many samples `add_samples` would add."""
        return self._db.number(
            f"SELECT count(*) FROM other.sample o {_OUR_IMAGE} WHERE {_NEW_SAMPLE}"
        )

    def forgotten_there(self) -> int:
        """Return how many of our images were taken down in the other dataset."""
        return self._db.number("SELECT count(*) FROM main.image JOIN other.tombstone USING(sha256)")

    def add_image(self, sha256: str) -> None:
        """Take one image over, after its file. Call inside a write."""
        self._copy("image", "o.sha256=?", "", {}, (sha256,))
        self._db.run("UPDATE main.image SET state='ok' WHERE sha256=?", (sha256,))

    def add_places(self) -> None:
        """Origins, fetches, videos, rejections and tombstones. Call inside a write."""
        # What was fetched there, and is not here, is still to be fetched.
        got = "(o.image IS NULL OR i.id IS NOT NULL)"
        self._copy("fetch", got, _PERHAPS_OUR_IMAGE, {"image": "i.id"})
        self._copy("video", "1", "", {})
        self._copy("rejection", f"NOT EXISTS({_HAD})", "", {})
        self._copy("tombstone", "o.sha256 NOT IN (SELECT sha256 FROM main.image)", "", {})
        self._copy("origin", "1", _OUR_IMAGE, {"image": "i.id"})

    def add_samples(self) -> None:
        """Faces and samples of what we have not searched, else only what they decided on.

        All arrive undecided. Call inside a write.
        """
        self._add_classes()
        self._copy("face", f"{_UNSEEN} AND {_NEW_BOX}", _OUR_IMAGE, {"image": "i.id"})
        kept = f"o.id IN (SELECT face FROM other.sample o WHERE {_DECIDED}) AND NOT ({_UNSEEN})"
        gone = f"o.detector<>'{HAND}'"
        self._copy("face", f"{kept} AND {_NEW_BOX}", _OUR_IMAGE, {"image": "i.id", "gone": gone})
        own = dict.fromkeys(("label", "grp", "moment", "split", "fold"), "NULL")
        status = f"iif(o.status='retired' OR {_OUR_FACE} IS NULL, 'retired', 'queue')"
        own |= {"image": "i.id", "face": _OUR_FACE, "status": status}
        self._copy("sample", _NEW_SAMPLE, _OUR_IMAGE, own)
        self._copy("track", "o.name IN (SELECT track FROM main.sample)", "", {})
        self._copy("scan", _UNSEEN, _OUR_IMAGE, {"image": "i.id"})

    def _add_classes(self) -> None:
        new = self._db.rows(
            "SELECT name FROM other.class WHERE name NOT IN (SELECT name FROM main.class)"
        )
        self._copy("class", "1", "", {"merged_into": "NULL"})
        self._db.many(
            "UPDATE main.class SET merged_into=(SELECT c.id FROM other.class o JOIN other.class t "
            "ON t.id=o.merged_into JOIN main.class c ON c.name=t.name WHERE o.name=?1) "
            "WHERE name=?1",
            [(row["name"],) for row in new],
        )

    def _copy(
        self,
        table: str,
        where: str,
        joined: str,
        own: dict[str, str],
        values: tuple[object, ...] = (),
    ) -> None:
        """Insert the rows `o` of a table that are not there; `own` gives columns of ours."""
        columns = [
            row["name"]
            for row in self._db.rows(f"PRAGMA main.table_info({table})")
            if not (row["name"] == "id" and row["type"] == "INTEGER")
        ]
        picked = ", ".join(own.get(name, f"o.{name}") for name in columns)
        order = "o.id" if table in _NUMBERED else "1"
        self._db.run(
            f"INSERT OR IGNORE INTO main.{table}({','.join(columns)}) "
            f"SELECT {picked} FROM other.{table} o {joined} WHERE {where} ORDER BY {order}",
            values,
        )

    def steps(self, schema: str) -> list[Row]:
        """Return every step of `main` or `other`, oldest first, but for what merges made and its
        undos.
        """
        return self._db.rows(
            f"WITH RECURSIVE made(id) AS (SELECT id FROM {schema}.step WHERE kind='{TAKE_IN}' "
            f"UNION SELECT s.id FROM made JOIN {schema}.step s ON s.undoes=made.id) "
            f"SELECT * FROM {schema}.step WHERE id NOT IN (SELECT id FROM made) ORDER BY id"
        )

    def lines(self, schema: str, step: int) -> dict[str, str]:
        """Return the action of each decision of a step, by sample, on what both have."""
        return self._db.mapping(
            f"SELECT s.key, d.action FROM {schema}.decision d JOIN {schema}.sample s "
            f"ON s.id=d.sample WHERE d.step=? AND {_SHARED[schema]} ORDER BY d.id",
            (step,),
        )

    def add_step(self, step: Row, here: int | None, undoes: int | None) -> int:
        """Append a step as it was taken there, or to step `here` what it lacks; its number.

        It is not ours to undo: `labeler undo` takes back what the merge made of it.
        """
        if here is None:
            taken = self._db.number("SELECT 1 FROM main.step WHERE undoes=?", (undoes,))
            undone = None if taken else undoes
            here = add_step(self._db, step["at"], step["who"], operation_of(step), undone)
            self._db.run("UPDATE main.step SET merged=1 WHERE id=?", (here,))
        self._db.run(
            "INSERT INTO main.decision(step,sample,action,value,before_status,before_label,"
            "provenance) SELECT ?1, s.id, d.action, "
            f"{_OUR_CLASS.format('d.value')}, d.before_status, "
            f"{_OUR_CLASS.format('d.before_label')}, d.provenance "
            "FROM other.decision d JOIN other.sample o ON o.id=d.sample "
            "JOIN main.sample s ON s.key=o.key WHERE d.step=?2 AND s.id NOT IN "
            "(SELECT sample FROM main.decision WHERE step=?1) ORDER BY d.id",
            (here, step["id"]),
        )
        return here

    def state_of(self, schema: str, key: str) -> SampleState | None:
        """Return what one of the two says of a sample now; None where it is not there."""
        last = f"(SELECT max(id) FROM {schema}.decision WHERE sample=s.id)"
        row = self._db.first(
            "SELECT s.status, c.name, ifnull(d.action, ''), ifnull(d.provenance, '') "
            f"FROM {schema}.sample s LEFT JOIN {schema}.class c ON c.id=s.label "
            f"LEFT JOIN {schema}.decision d ON d.id={last} WHERE s.key=?",
            (key,),
        )
        return SampleState(*row) if row else None

    def steps_about(self, key: str) -> set[int]:
        """Return the steps of ours with a decision on a sample."""
        return set(
            self._db.column(
                "SELECT DISTINCT step FROM main.decision WHERE sample="
                "(SELECT id FROM main.sample WHERE key=?)",
                (key,),
            )
        )


_NUMBERED = ("image", "origin", "video", "class", "face", "sample")
_SHARED = {
    "main": "s.key IN (SELECT key FROM other.sample)",
    "other": "EXISTS(SELECT 1 FROM other.image JOIN main.image USING(sha256) WHERE "
    "other.image.id=s.image)",
}


@contextmanager
def beside(db: Connection, other: Path) -> Iterator[Merging]:
    """Put a copy of another catalogue beside ours, as long as the block lasts."""
    db.attach(other, "other")
    try:
        yield Merging(db)
    finally:
        db.detach("other")
