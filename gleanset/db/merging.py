"""Taking the rows of another catalogue into ours; the other one is only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gleanset.db.connection import Connection, Row
from gleanset.db.faces import HAND
from gleanset.db.steps import add_step, operation_of
from gleanset.db.values import now
from gleanset.operations import operation

# The table that rows of `o` belong to is joined by what it is known by everywhere.
_OUR_IMAGE = "JOIN other.image oi ON oi.id=o.image JOIN main.image i ON i.sha256=oi.sha256"
_PERHAPS_OUR_IMAGE = _OUR_IMAGE.replace("JOIN", "LEFT JOIN")
_UNSEEN = "NOT EXISTS(SELECT 1 FROM main.scan s WHERE s.image=i.id)"
_HAD = "SELECT 1 FROM main.fetch f WHERE f.source=o.source AND f.key=o.what AND f.state='done'"
_DECIDED = "EXISTS(SELECT 1 FROM other.decision d WHERE d.sample=o.id)"


class Opinion(NamedTuple):
    """What two catalogues say of a sample: (status, class) here and there; None: never decided."""

    sample: int
    ours: tuple[str, str | None] | None
    theirs: tuple[str, str | None]


class Merging:
    """Our catalogue with another one beside it. Obtained by `beside`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def new_images(self) -> Iterator[tuple[str, str]]:
        """(hash, format) of images that only the other has, and nobody took down here."""
        after = ""
        while rows := self._db.rows(
            "SELECT sha256, format FROM other.image o WHERE sha256>? AND state='ok' AND NOT "
            "EXISTS(SELECT 1 FROM main.image WHERE sha256=o.sha256) AND NOT EXISTS("
            "SELECT 1 FROM main.tombstone WHERE sha256=o.sha256) ORDER BY sha256 LIMIT 500",
            (after,),
        ):
            yield from ((row["sha256"], row["format"]) for row in rows)
            after = rows[-1]["sha256"]

    def forgotten_there(self) -> int:
        """How many of our images were taken down in the other dataset."""
        return self._db.number("SELECT count(*) FROM main.image JOIN other.tombstone USING(sha256)")

    def add_image(self, sha256: str) -> None:
        """Take one image over, after its file. Call inside a write."""
        self._copy("image", "o.sha256=?", "", {}, (sha256,))

    def add_places(self) -> int:
        """Origins, fetches, videos, rejections and tombstones; how many origins were new."""
        self._copy("fetch", "1", _PERHAPS_OUR_IMAGE, {"image": "i.id"})
        self._copy("video", "1", "", {})
        self._copy("rejection", f"NOT EXISTS({_HAD})", "", {})
        self._copy("tombstone", "o.sha256 NOT IN (SELECT sha256 FROM main.image)", "", {})
        return self._copy("origin", "1", _OUR_IMAGE, {"image": "i.id"})

    def add_samples(self) -> int:
        """Faces and samples of what we have not searched, else only what they decided on.

        All arrive undecided; how many samples were new.
        """
        self._copy("class", "1", "", {"merged_into": "NULL"})
        new = f"o.key NOT IN (SELECT key FROM main.sample) AND ({_UNSEEN} OR {_DECIDED})"
        self._copy("face", _UNSEEN, _OUR_IMAGE, {"image": "i.id"})
        kept = f"o.id IN (SELECT face FROM other.sample o WHERE {_DECIDED}) AND NOT ({_UNSEEN})"
        twin = "(image,x,y,w,h)=(i.id,o.x,o.y,o.w,o.h)"
        self._copy(
            "face", f"{kept} AND NOT EXISTS(SELECT 1 FROM main.face WHERE {twin})", _OUR_IMAGE,
            {"image": "i.id", "gone": f"o.detector<>'{HAND}'"},
        )  # fmt: skip
        face = (
            "(SELECT f.id FROM main.face f JOIN other.face t ON (f.x,f.y,f.w,f.h)=(t.x,t.y,t.w,t.h)"
            " WHERE t.id=o.face AND f.image=i.id)"
        )
        own = {"image": "i.id", "face": face, "label": "NULL", "grp": "NULL", "moment": "NULL",
               "split": "NULL", "fold": "NULL",
               "status": "iif(o.status='retired','retired','queue')"}  # fmt: skip
        added = self._copy("sample", new, _OUR_IMAGE, own)
        self._copy("scan", _UNSEEN, _OUR_IMAGE, {"image": "i.id"})
        return added

    def _copy(
        self, table: str, where: str, joined: str, own: dict[str, str],
        values: tuple[object, ...] = (),
    ) -> int:  # fmt: skip
        """Insert the rows `o` of a table that are not there; `own` gives columns of ours."""
        columns = [
            row["name"] for row in self._db.rows(f"PRAGMA main.table_info({table})")
            if not (row["name"] == "id" and row["type"] == "INTEGER")
        ]  # fmt: skip
        picked = ", ".join(own.get(name, f"o.{name}") for name in columns)
        return self._db.change(
            f"INSERT OR IGNORE INTO main.{table}({','.join(columns)}) "
            f"SELECT {picked} FROM other.{table} o {joined} WHERE {where}",
            values,
        )

    def steps(self, schema: str) -> Iterator[tuple[Row, list[Row]]]:
        """Every step of `main` or `other`, oldest first, with its decisions on what both have.

        A step is then the same in both, whatever was forgotten in either since.
        """
        beside = {"main": "other", "other": "main"}[schema]
        for step in self._db.rows(f"SELECT * FROM {schema}.step ORDER BY id"):
            yield (
                step,
                self._db.rows(
                    "SELECT s.key, d.action, c.name AS value, d.provenance, d.before_status, "
                    f"b.name AS before FROM {schema}.decision d "
                    f"JOIN {schema}.sample s ON s.id=d.sample "
                    f"LEFT JOIN {schema}.class c ON c.id=d.value "
                    f"LEFT JOIN {schema}.class b ON b.id=d.before_label "
                    f"WHERE d.step=? AND s.key IN (SELECT key FROM {beside}.sample) "
                    "ORDER BY d.id",
                    (step["id"],),
                ),
            )

    def add_step(self, step: Row, decisions: list[Row], undoes: int | None) -> int:
        """Append a step as it was taken there; its number here."""
        taken = undoes is not None and self._db.number(
            "SELECT 1 FROM step WHERE undoes=?", (undoes,)
        )
        told = operation_of(step)
        number = add_step(self._db, step["at"], step["who"], told, None if taken else undoes)
        self._db.many(
            "INSERT INTO decision(step,sample,action,value,before_status,before_label,provenance) "
            "SELECT ?, s.id, ?, (SELECT id FROM class WHERE name=?), ?, "
            "(SELECT id FROM class WHERE name=?), ? FROM main.sample s WHERE s.key=?",
            [(number, d["action"], d["value"], d["before_status"], d["before"], d["provenance"],
              d["key"]) for d in decisions],
        )  # fmt: skip
        return number

    def opinion(self, key: str, *, decided_here: bool) -> Opinion | None:
        """What both say of a sample now; None where it is not in both."""
        row = self._db.one(
            "SELECT s.id, s.status, c.name AS label, o.status AS their_status, "
            "oc.name AS their_label FROM main.sample s JOIN other.sample o ON o.key=s.key "
            "LEFT JOIN main.class c ON c.id=s.label LEFT JOIN other.class oc ON oc.id=o.label "
            "WHERE s.key=?",
            (key,),
        )
        if row is None:
            return None
        ours = (row["status"], row["label"]) if decided_here else None
        return Opinion(row["id"], ours, (row["their_status"], row["their_label"]))

    def set_state(self, sample: int, status: str, label: str | None) -> None:
        """Give a sample the state that the copied decisions led to."""
        self._db.run(
            "UPDATE main.sample SET status=?, label=(SELECT id FROM main.class WHERE name=?) "
            "WHERE id=?",
            (status, label, sample),
        )

    def queue(self, who: str, conflicts: list[tuple[Opinion, str]]) -> None:
        """Put samples back into the queue in a step of its own; the texts say why."""
        step = add_step(self._db, now(), who, operation("merge-datasets", count=len(conflicts)))
        self._db.many(
            "INSERT INTO decision(step,sample,action,value,before_status,before_label,provenance) "
            "SELECT ?, id, 'clear', NULL, status, label, ? FROM sample WHERE id=?",
            [(step, why, opinion.sample) for opinion, why in conflicts],
        )
        for opinion, _ in conflicts:
            self.set_state(opinion.sample, "queue", None)


@contextmanager
def beside(db: Connection, other: Path) -> Iterator[Merging]:
    """Put another catalogue beside ours, as long as the block lasts."""
    db.attach(other, "other")
    try:
        yield Merging(db)
    finally:
        db.detach("other")
