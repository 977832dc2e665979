"""Checks of the whole catalogue, take-downs, and which files on disk belong to a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gleanset.db.changes import OF_CLASSES, OF_SAMPLES
from gleanset.db.connection import Connection, Table
from gleanset.db.faces import HAS_CROP, IN_FORCE
from gleanset.db.hints import Hints
from gleanset.db.rows import clean


class StoredImage(NamedTuple):
    """An image that should be in the store. `state` is 'ok', or 'missing' after a check."""

    sha256: str
    format: str
    state: str


class Maintenance(Table):
    """Whole-catalogue operations."""

    def damage(self) -> list[str]:
        """Return what SQLite finds wrong with the catalogue itself; empty for a sound one."""
        problems = [str(row[0]) for row in self._db.rows("PRAGMA integrity_check(20)")]
        loose = self._db.rows("PRAGMA foreign_key_check")
        return [line for line in problems if line != "ok"] + [
            f"a row of {row[0]} refers to a row of {row[2]} that is gone" for row in loose[:20]
        ]

    def migrated_at(self, name: str) -> float | None:
        """When a migration was applied, in seconds since 1970; None where it was not."""
        at: float | None = self._db.value(
            "SELECT CAST(strftime('%s', at) AS REAL) FROM migration WHERE name=?", (name,)
        )
        return at

    def stored(self) -> Iterator[StoredImage]:
        """Yield every image by hash, a page in memory at a time."""
        sql = "SELECT sha256, format, state FROM image WHERE TRUE"
        return (StoredImage(*row) for row in self._db.each(sql, ("sha256",)))

    def local_paths(self, sha256: str) -> list[str]:
        """Return the local files that an image was taken from."""
        return self._db.column(
            "SELECT DISTINCT path FROM origin WHERE path IS NOT NULL AND video IS NULL AND "
            "image=(SELECT id FROM image WHERE sha256=?) ORDER BY path",
            (sha256,),
        )

    def mark_missing(self, sha256: str) -> None:
        """Note that the file of an image is gone, and forget that its places were visited.

        A harvest of them then fetches it again, and samples its videos again.
        """
        with self._db.write():
            image = self._db.number("SELECT id FROM image WHERE sha256=?", (sha256,))
            self._db.run("UPDATE image SET state='missing' WHERE id=?", (image,))
            self._db.run("DELETE FROM fetch WHERE image=?", (image,))
            self._db.run(
                "DELETE FROM video WHERE sha256 IN (SELECT video FROM origin WHERE image=?)",
                (image,),
            )

    def cut_samples(self) -> Iterator[str]:
        """Yield the keys of all samples in use that have a crop, a page at a time."""
        sql = (
            "SELECT s.key FROM sample s JOIN image i ON i.id=s.image WHERE s.status<>'retired' "
            f"AND i.state='ok' AND {HAS_CROP}"
        )
        return (row[0] for row in self._db.each(sql, ("s.key",)))

    def has_image(self, sha256: str, format_: str) -> bool:
        """Return whether a file of the store belongs to an image."""
        return bool(
            self._db.number("SELECT 1 FROM image WHERE sha256=? AND format=?", (sha256, format_))
        )

    def has_hash(self, sha256: str) -> bool:
        """Return whether an image with this hash is in the catalogue."""
        return bool(self._db.number("SELECT 1 FROM image WHERE sha256=?", (sha256,)))

    def has_sample(self, key: str) -> bool:
        """Return whether a file among the crops belongs to a sample."""
        return bool(self._db.number("SELECT 1 FROM sample WHERE key=?", (key,)))

    def found_at(self, url: str) -> list[str]:
        """Return the hashes of images with an origin of that URL, page URL or 'source:id'."""
        source, _, key = url.partition(":")
        return self._db.column(
            "SELECT DISTINCT i.sha256 FROM origin o JOIN image i ON i.id=o.image "
            "WHERE o.url=?1 OR o.page_url=?1 OR (o.source=?2 AND o.key=?3) "
            "ORDER BY i.sha256",
            (clean(url), source, clean(key)),
        )

    def made_by(self, author: str) -> list[str]:
        """Return the hashes of images with an origin of that author, as it is spelled there."""
        return self._db.column(
            "SELECT DISTINCT i.sha256 FROM origin o JOIN image i ON i.id=o.image WHERE o.author=? "
            "ORDER BY i.sha256",
            (clean(author),),
        )

    def sample_keys(self, sha256: str) -> list[str]:
        """Return the samples of an image: their crops have to go with it."""
        return self._db.column(
            "SELECT key FROM sample WHERE image=(SELECT id FROM image WHERE sha256=?) ORDER BY key",
            (sha256,),
        )

    def is_own_or_decided(self, sha256: str) -> bool:
        """Return whether an image is a person's own file, or has a sample in no queue."""
        sql = (
            "SELECT count(*) FROM image i WHERE sha256=? AND (EXISTS(SELECT 1 FROM origin "
            "WHERE image=i.id AND url IS NULL) OR EXISTS(SELECT 1 FROM sample WHERE image=i.id "
            "AND status NOT IN ('queue', 'retired')))"
        )
        return bool(self._db.number(sql, (sha256,)))

    def forget(self, sha256: str, reason: str) -> None:
        """Take an image and all that refers to it out of the catalogue, for good.

        A tombstone and the place it was fetched from stay, so that it does not come back. Its
        decisions go as well: the one case in which the journal loses lines.
        """
        with self._db.write():
            number = self._db.number("SELECT id FROM image WHERE sha256=?", (sha256,))
            self._db.run("INSERT OR REPLACE INTO tombstone VALUES(?,?)", (sha256, clean(reason)))
            self._db.run(
                "UPDATE fetch SET image=NULL, state='rejected', candidate=NULL WHERE image=?",
                (number,),
            )
            for what in (sha256, *self.sample_keys(sha256)):
                # Hashes of content: no stage means anything else by them.
                self._db.run("DELETE FROM rejection WHERE what=?", (what,))
            # No reference: the item of a change may be a class as well.
            self._db.run(
                f"DELETE FROM change WHERE what IN {OF_SAMPLES} AND item IN "
                "(SELECT id FROM sample WHERE image=?)",
                (number,),
            )
            self._db.run(
                "DELETE FROM change WHERE what='report' AND item IN "
                "(SELECT id FROM report WHERE sha256=?)",
                (sha256,),
            )
            self._db.run("DELETE FROM report WHERE sha256=?", (sha256,))
            self._delete("image", [number])
            self._db.run(
                "DELETE FROM track WHERE NOT EXISTS(SELECT 1 FROM sample WHERE track=track.name)"
            )

    def _delete(self, table: str, numbers: Sequence[int]) -> None:
        """Delete rows by `id`, first whatever refers to them, as the schema tells."""
        if not numbers:
            return
        marks = ",".join("?" * len(numbers))
        for other, column, kind in self._referring(table):
            if kind == "SET NULL":
                continue
            chosen = f"{column} IN ({marks})"
            if self._db.number("SELECT 1 FROM pragma_table_info(?) WHERE name='id'", (other,)):
                rows = self._db.column(f"SELECT id FROM {other} WHERE {chosen}", numbers)
                self._delete(other, rows)
            else:
                self._db.run(f"DELETE FROM {other} WHERE {chosen}", numbers)
        self._db.run(f"DELETE FROM {table} WHERE id IN ({marks})", numbers)

    def _referring(self, table: str) -> list[tuple[str, str, str]]:
        rows = self._db.rows(
            'SELECT m.name, f."from", f.on_delete FROM sqlite_master m, '
            "pragma_foreign_key_list(m.name) f WHERE m.type='table' AND f.\"table\"=?",
            (table,),
        )
        return [(row[0], row[1], row[2]) for row in rows]


_EXAMPLES = 5


class Contradiction(NamedTuple):
    """How often something is wrong, and a few of the rows in words."""

    cases: int
    examples: tuple[str, ...] = ()


def contradictions(db: Connection) -> dict[str, Contradiction]:
    """Return each kind of contradiction that was looked for, those without a case included.

    Only reads, and hashes no file: some milliseconds, and a second for 100,000 samples.
    """
    found = {name: look(db) for name, look in _KINDS.items()}
    return {name: Contradiction(len(rows), tuple(rows[:_EXAMPLES])) for name, rows in found.items()}


def _orphan_rows(db: Connection) -> list[str]:
    loose = db.rows("PRAGMA foreign_key_check")
    found = [f"a row of {row[0]} refers to a row of {row[2]} that is gone" for row in loose]
    for words, query in _ORPHANS.items():
        found += [f"{words}: {row[0]}" for row in db.rows(query)]
    return found


_ORPHANS = {
    "an image without an origin": "SELECT sha256 FROM image i WHERE NOT EXISTS(SELECT 1 FROM "
    "origin WHERE image=i.id)",
    "an image that was forgotten": "SELECT sha256 FROM image WHERE sha256 IN (SELECT sha256 FROM "
    "tombstone)",
    "a sample with a face of another image": "SELECT s.key FROM sample s JOIN face f ON "
    "f.id=s.face WHERE f.image<>s.image",
    "a sample labelled without a class, or the other way round": "SELECT key FROM sample "
    "WHERE (status='labelled') <> (label IS NOT NULL)",
    "a change of a class that is gone": f"SELECT id FROM change WHERE what IN {OF_CLASSES} "
    "AND item NOT IN (SELECT id FROM class)",
    "a change of a sample that is gone": f"SELECT id FROM change WHERE what IN {OF_SAMPLES} "
    "AND item NOT IN (SELECT id FROM sample)",
}


def _duplicate_faces(db: Connection) -> list[str]:
    rows = db.rows(
        "SELECT i.sha256, f.x, f.y, f.w, f.h, count(*) FROM face f JOIN image i ON i.id=f.image "
        f"WHERE {IN_FORCE} GROUP BY f.image, f.x, f.y, f.w, f.h HAVING count(*)>1 ORDER BY 1, 2, 3"
    )
    return [f"{row[5]} times {tuple(row)[1:5]} in {row[0]}" for row in rows]


def _straddling_moments(db: Connection) -> list[str]:
    straddling = []
    for trait in ("moment", "image", "grp"):
        rows = db.rows(
            f"SELECT min(key), min(split), max(split) FROM sample WHERE {trait} IS NOT NULL "
            "AND split IS NOT NULL AND status='labelled' AND kept "
            f"GROUP BY {trait} HAVING count(DISTINCT split)>1 ORDER BY 1"
        )
        straddling += [
            f"the {_NAMES.get(trait, trait)} of {row[0]} is in {row[1]} and {row[2]}"
            for row in rows
        ]
    return straddling


_NAMES = {"grp": "group of copies"}
_KINDS: dict[str, Callable[[Connection], list[str]]] = {
    "orphan_rows": _orphan_rows,
    "duplicate_faces": _duplicate_faces,
    "disputed_labels": lambda db: [f"{row.key} is {row.label}" for row in Hints(db).disputed()],
    "straddling_moments": _straddling_moments,
}
