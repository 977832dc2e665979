"""Integrity checks of the catalogue, removals, and merges of other catalogues."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from gleanset.db.classes import (
    CLASS_CHANGE_KINDS,
    SAMPLE_CHANGE_KINDS,
    LabelClasses,
    class_after_merges_sql,
)
from gleanset.db.connection import Connection, Row, Table
from gleanset.db.faces import HAS_CROP, VALID_FACE
from gleanset.db.images import only_in_reports_sql
from gleanset.db.journal import SECOND, add_step, operation_from_row
from gleanset.db.reports import Reports
from gleanset.db.rows import clean
from gleanset.db.samples import Hints
from gleanset.records import HAND


class StoredImage(NamedTuple):
    """Image that should be in the store. `state` is 'ok', or 'missing' after a check."""

    sha256: str
    format: str
    state: str


class Maintenance(Table):
    """Checks and removals over the whole catalogue."""

    def check_integrity(self) -> list[str]:
        """Return errors that SQLite finds in the catalogue; empty if intact."""
        lines = self._db.fetch_column("PRAGMA integrity_check(20)")
        problems = [line for line in lines if line != "ok"]
        return problems + self._db.fetch_column(f"{_DANGLING_ROWS} LIMIT 20")

    def iter_images(self) -> Iterator[StoredImage]:
        """Yield every image by hash, a page in memory at a time."""
        sql = "SELECT sha256, format, state FROM image WHERE TRUE"
        return (StoredImage(*row) for row in self._db.iter_rows(sql, ("sha256",)))

    def list_local_paths(self, sha256: str) -> list[str]:
        """Return the local files that an image was imported from."""
        return self._db.fetch_column(
            """
            SELECT DISTINCT path
            FROM origin
            WHERE path IS NOT NULL
                AND video IS NULL
                AND image=(SELECT id FROM image WHERE sha256=?)
            ORDER BY path
            """,
            (sha256,),
        )

    def mark_missing(self, sha256: str) -> None:
        """Mark an image as missing, so that a harvest gets it again."""
        with self._db.transaction():
            image = self._db.fetch_int("SELECT id FROM image WHERE sha256=?", (sha256,))
            self._db.execute("UPDATE image SET state='missing' WHERE id=?", (image,))
            # Otherwise a harvest would skip it as done.
            self._db.execute("DELETE FROM fetch WHERE image=?", (image,))
            self._db.execute(
                "DELETE FROM video WHERE sha256 IN (SELECT video FROM origin WHERE image=?)",
                (image,),
            )

    def iter_cropped_samples(self) -> Iterator[str]:
        """Yield the keys of samples in use that have a crop file."""
        sql = f"""
            SELECT s.key
            FROM sample s
            JOIN image i ON i.id=s.image
            WHERE s.status<>'retired' AND i.state='ok' AND {HAS_CROP}
            """
        return (row[0] for row in self._db.iter_rows(sql, ("s.key",)))

    def has_image(self, sha256: str, format_: str) -> bool:
        """Return whether the catalogue has this image in this format."""
        return self._db.has_rows(
            "SELECT 1 FROM image WHERE sha256=? AND format=?", (sha256, format_)
        )

    def has_sample(self, key: str) -> bool:
        """Return whether the catalogue has a sample with this key."""
        return self._db.has_rows("SELECT 1 FROM sample WHERE key=?", (key,))

    def find_by_origin(self, url: str) -> list[str]:
        """Return hashes of images by URL, page URL or 'source:id'."""
        source, _, key = url.partition(":")
        return self._find_hashes(
            "o.url=? OR o.page_url=? OR (o.source=? AND o.key=?)",
            url,
            url,
            source,
            key,
        )

    def find_by_author(self, author: str) -> list[str]:
        """Return hashes of images by author (exact spelling)."""
        return self._find_hashes("o.author=?", author)

    def _find_hashes(self, condition: str, *texts: str) -> list[str]:
        return self._db.fetch_column(
            f"""
            SELECT DISTINCT i.sha256
            FROM origin o
            JOIN image i ON i.id=o.image
            WHERE {condition}
            ORDER BY i.sha256
            """,
            texts,
        )

    def list_sample_keys(self, sha256: str) -> list[str]:
        """Return the keys of an image's samples, also retired ones."""
        return self._db.fetch_column(
            "SELECT key FROM sample WHERE image=(SELECT id FROM image WHERE sha256=?) ORDER BY key",
            (sha256,),
        )

    def is_own_or_decided(self, sha256: str) -> bool:
        """Return whether an image is a local file or has decided samples."""
        return self._db.has_rows(
            """
            SELECT 1
            FROM image i
            WHERE sha256=?
                AND (
                    EXISTS(SELECT 1 FROM origin WHERE image=i.id AND url IS NULL)
                    OR EXISTS(
                        SELECT 1
                        FROM sample
                        WHERE image=i.id AND status NOT IN ('queue', 'retired')
                    )
                )
            """,
            (sha256,),
        )

    def forget(self, sha256: str, reason: str) -> None:
        """Delete an image and its decisions; a tombstone prevents another import."""
        with self._db.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO tombstone VALUES(?,?)", (sha256, clean(reason))
            )
            self._remove(sha256)

            numbers = self._db.fetch_column(
                "SELECT id FROM report WHERE sha256=?", (sha256,)
            )
            Reports(self._db).remove(numbers)

    def list_refused_images(self) -> list[tuple[str, str]]:
        """Return (hash, format) of undecided images whose reports were accepted, then refused."""
        refused = only_in_reports_sql("status='refused'")
        sql = f"""
            SELECT sha256, format
            FROM image i
            WHERE {refused}
                AND NOT EXISTS(
                    SELECT 1
                    FROM sample
                    WHERE image=i.id AND status NOT IN ('queue', 'retired')
                )
            """
        return list(map(tuple, self._db.fetch_all(sql)))

    def remove_refused_images(self, hashes: Collection[str]) -> None:
        """Delete those of some images that are still refused; their reports stay."""
        with self._db.transaction():
            for sha256 in dict(self.list_refused_images()).keys() & set(hashes):
                self._remove(sha256)

    def _remove(self, sha256: str) -> None:
        number = self._db.fetch_int("SELECT id FROM image WHERE sha256=?", (sha256,))
        self._db.execute(
            "UPDATE fetch SET image=NULL, state='rejected', candidate=NULL WHERE image=?",
            (number,),
        )
        # An item that is a hash of an image or a key of a sample means the same in every stage.
        self._db.execute(
            """
            DELETE FROM rejection
            WHERE item=?1 OR item IN (SELECT key FROM sample WHERE image=?2)
            """,
            (sha256, number),
        )
        # Not a foreign key, because the item of a change may also be a class.
        self._db.execute(
            f"""
            DELETE FROM change
            WHERE what IN {SAMPLE_CHANGE_KINDS}
                AND item IN (SELECT id FROM sample WHERE image=?1)
                OR what='tags' AND item IN (SELECT id FROM origin WHERE image=?1)
            """,
            (number,),
        )

        # Copies of a removed sample that was kept: `labeler dedup` chooses another one.
        self._db.execute(
            """
            UPDATE sample
            SET kept=1, duplicate_set=NULL
            WHERE image<>?1
                AND duplicate_set IN (
                    SELECT duplicate_set
                    FROM sample
                    WHERE image=?1 AND kept
                )
            """,
            (number,),
        )
        self._delete("image", [number])
        self._db.execute(
            "DELETE FROM track WHERE NOT EXISTS(SELECT 1 FROM sample WHERE track=track.name)"
        )

    def _delete(self, table: str, numbers: Sequence[int]) -> None:
        """Delete rows by `id`, first those with foreign keys to them."""
        if not numbers:
            return
        marks = ",".join("?" * len(numbers))
        foreign_keys = self._db.fetch_all(
            """
            SELECT m.name, f."from"
            FROM sqlite_master m, pragma_foreign_key_list(m.name) f
            WHERE m.type='table' AND f."table"=? AND f.on_delete<>'SET NULL'
            """,
            (table,),
        )

        for other, column in foreign_keys:
            condition = f"{column} IN ({marks})"
            has_id = self._db.has_rows(
                "SELECT 1 FROM pragma_table_info(?) WHERE name='id'", (other,)
            )
            if has_id:
                rows = self._db.fetch_column(
                    f"SELECT id FROM {other} WHERE {condition}", numbers
                )
                self._delete(other, rows)
            else:
                self._db.execute(
                    f"DELETE FROM {other} WHERE {condition}",
                    numbers,
                )

        self._db.execute(
            f"DELETE FROM {table} WHERE id IN ({marks})",
            numbers,
        )


_DANGLING_ROWS = """
    SELECT 'a row of '||"table"||' refers to a row of '||parent||' that is gone'
    FROM pragma_foreign_key_check
    """
_CONTRADICTIONS = {
    "orphan_rows": f"""
        {_DANGLING_ROWS}
        UNION ALL
        SELECT 'an image without an origin: '||sha256
        FROM image i
        WHERE NOT EXISTS(SELECT 1 FROM origin WHERE image=i.id)
        UNION ALL
        SELECT 'an image that was forgotten: '||sha256
        FROM image
        WHERE sha256 IN (SELECT sha256 FROM tombstone)
        UNION ALL
        SELECT 'a sample with a face of another image: '||s.key
        FROM sample s
        JOIN face f ON f.id=s.face
        WHERE f.image<>s.image
        UNION ALL
        SELECT 'a sample labelled without a class, or the other way round: '||key
        FROM sample
        WHERE (status='labelled') <> (label IS NOT NULL)
        UNION ALL
        SELECT 'a change of a class that is gone: '||id
        FROM change
        WHERE what IN {CLASS_CHANGE_KINDS} AND item NOT IN (SELECT id FROM class)
        UNION ALL
        SELECT 'a change of a sample that is gone: '||id
        FROM change
        WHERE what IN {SAMPLE_CHANGE_KINDS} AND item NOT IN (SELECT id FROM sample)
        """,
    "duplicate_faces": f"""
        SELECT printf('%d times (%d, %d, %d, %d) in %s', count(*), x, y, w, h, i.sha256)
        FROM face f
        JOIN image i ON i.id=f.image
        WHERE {VALID_FACE}
        GROUP BY f.image, x, y, w, h
        HAVING count(*)>1
        ORDER BY i.sha256, x, y
        """,
}
"""SQL of contradictions by kind: a row is the description of one."""

_EXAMPLES = 5


class Contradiction(NamedTuple):
    """Number of contradictory rows, and descriptions of up to `_EXAMPLES` of them."""

    cases: int
    examples: tuple[str, ...]


def find_contradictions(db: Connection) -> dict[str, Contradiction]:
    """Return contradictions by kind; takes a second for 100,000 samples."""
    problems = {kind: db.fetch_column(sql) for kind, sql in _CONTRADICTIONS.items()}
    problems["disputed_labels"] = [
        f"{row.key} is {row.label}" for row in Hints(db).list_disputed()
    ]

    return {
        kind: Contradiction(len(lines), tuple(lines[:_EXAMPLES]))
        for kind, lines in problems.items()
    }


UNLISTED = "unlisted person"
"""State of a sample that was rejected because it shows a person without a class."""
MERGE_KIND = "take-in"
"""Operation kind of the step that records the result of a merge."""

# SQL for rows `o` of the other catalogue. Row numbers differ there: join by hash or name.
_OUR_IMAGE = (
    "JOIN other.image oi ON oi.id=o.image JOIN main.image i ON i.sha256=oi.sha256"
)
_PERHAPS_OUR_IMAGE = """
    LEFT JOIN other.image oi ON oi.id=o.image
    LEFT JOIN main.image i ON i.sha256=oi.sha256
    """
_NOT_SEARCHED_HERE = "NOT EXISTS(SELECT 1 FROM main.scan s WHERE s.image=i.id)"
_NOT_FETCHED_HERE = """
    NOT EXISTS(
        SELECT 1
        FROM main.fetch f
        WHERE f.source=o.source AND f.key=o.item AND f.state='done'
    )
    """
# A video whose frames were not all copied must remain to be sampled here, as their fetches.
_HAS_ALL_FRAMES = """
    NOT EXISTS(
        SELECT 1
        FROM other.origin p
        JOIN other.image oi ON oi.id=p.image
        WHERE p.video=o.sha256
            AND oi.sha256 NOT IN (SELECT sha256 FROM main.image)
            AND oi.sha256 NOT IN (SELECT sha256 FROM main.tombstone)
    )
    """
_HAS_DECISION = "EXISTS(SELECT 1 FROM other.decision d WHERE d.sample=o.id)"
_NEW_SAMPLE = f"""
    o.key NOT IN (SELECT key FROM main.sample)
    AND ({_NOT_SEARCHED_HERE} OR {_HAS_DECISION})
    """
_NEW_ORIGIN = """
    NOT EXISTS(
        SELECT 1
        FROM main.origin p
        WHERE p.image=i.id
            AND p.source=o.source
            AND p.key=o.key
            AND ifnull(p.query, '')=ifnull(o.query, '')
            AND ifnull(p.hint, '')=ifnull(o.hint, '')
    )
    """
# Copy each box once, even if the other catalogue has it several times, and only if it is new.
_NEW_BOX = """
    NOT EXISTS(
        SELECT 1
        FROM main.face t
        WHERE (t.image, t.x, t.y, t.w, t.h)=(i.id, o.x, o.y, o.w, o.h)
    )
    AND o.id=(
        SELECT t.id
        FROM other.face t
        WHERE (t.image, t.x, t.y, t.w, t.h)= (o.image, o.x, o.y, o.w, o.h)
        ORDER BY t.gone, NOT EXISTS(SELECT 1 FROM other.sample WHERE face=t.id), t.id
        LIMIT 1
    )
    """
_OUR_FACE = """
    (
        SELECT f.id
        FROM main.face f
        JOIN other.face t ON (f.x, f.y, f.w, f.h)=(t.x, t.y, t.w, t.h)
        WHERE t.id=o.face AND f.image=i.id AND NOT f.gone
        ORDER BY f.id
        LIMIT 1
    )
    """
# By the name of the class that an alias means there: here the alias may be a class.
_OUR_CLASS = class_after_merges_sql(
    "id", f"name={class_after_merges_sql('name', 'id={}', 'other')}"
)


class DecidedState(NamedTuple):
    """Status and class of a sample, with action and provenance of its last decision.

    The status of a rejected sample may be `UNLISTED`.
    """

    status: str
    label: str | None = None
    action: str = ""
    provenance: str = ""


class CatalogueMerge(Table):
    """Merge of a catalogue into ours (`main`), while it is attached as `other`."""

    def list_new_images(self) -> list[tuple[str, str]]:
        """Return (hash, format) of images to copy, without those removed here."""
        sql = """
            SELECT sha256, format
            FROM other.image o
            WHERE state='ok'
                AND NOT EXISTS(
                    SELECT 1
                    FROM main.image
                    WHERE sha256=o.sha256 AND state='ok'
                )
                AND NOT EXISTS(SELECT 1 FROM main.tombstone WHERE sha256=o.sha256)
            ORDER BY sha256
            """
        return list(map(tuple, self._db.fetch_all(sql)))

    def count_changes(self) -> tuple[int, int, int]:
        """Count origins and samples that would be added, and our images that the other removed."""
        count = self._db.fetch_int
        return (
            count(
                f"SELECT count(*) FROM other.origin o {_OUR_IMAGE} WHERE {_NEW_ORIGIN}"
            ),
            count(
                f"SELECT count(*) FROM other.sample o {_OUR_IMAGE} WHERE {_NEW_SAMPLE}"
            ),
            count("SELECT count(*) FROM main.image JOIN other.tombstone USING(sha256)"),
        )

    def add_image(self, sha256: str) -> None:
        """Add an image whose file was copied. Call inside a transaction."""
        self._copy("image", "o.sha256=?", values=(sha256,))
        self._db.execute("UPDATE main.image SET state='ok' WHERE sha256=?", (sha256,))

    def add_origins(self) -> None:
        """Add origins, fetches, videos, rejections, tombstones. Call inside a transaction."""
        # Rows `o` are of the other catalogue; `i` is our row of an image.
        # A fetch whose image was not copied must remain to be fetched here.
        has_image = "(o.image IS NULL OR i.id IS NOT NULL)"
        image = {"image": "i.id"}
        self._copy("fetch", has_image, joins=_PERHAPS_OUR_IMAGE, own=image)
        self._copy("video", _HAS_ALL_FRAMES)
        self._copy("rejection", _NOT_FETCHED_HERE)
        self._copy("tombstone", "o.sha256 NOT IN (SELECT sha256 FROM main.image)")
        self._copy("origin", joins=_OUR_IMAGE, own=image)
        self._copy("collection")

    def add_samples(self) -> None:
        """Add faces and samples of images not searched here. Call inside a transaction."""
        self._copy(
            "face",
            f"{_NOT_SEARCHED_HERE} AND {_NEW_BOX}",
            joins=_OUR_IMAGE,
            own={"image": "i.id"},
        )
        # Of images that were searched here, only the faces that somebody decided on there. Those of
        # a detector are `gone`: our search did not find them.
        is_decided = f"o.id IN (SELECT face FROM other.sample o WHERE {_HAS_DECISION})"
        self._copy(
            "face",
            f"{is_decided} AND NOT ({_NOT_SEARCHED_HERE}) AND {_NEW_BOX}",
            joins=_OUR_IMAGE,
            own={"image": "i.id", "gone": f"o.detector<>'{HAND}'"},
        )

        # Decisions are merged later, step by step; duplicates and splits are of each dataset.
        own = {
            "image": "i.id",
            "face": _OUR_FACE,
            "status": f"iif(o.status='retired' OR {_OUR_FACE} IS NULL, 'retired', 'queue')",
            "label": "NULL",
            "duplicate_set": "NULL",
            "split_group": "NULL",
            "split": "NULL",
            "last_split": "NULL",
        }

        self._copy("sample", _NEW_SAMPLE, joins=_OUR_IMAGE, own=own)
        self._copy("track", "o.name IN (SELECT track FROM main.sample)")
        self._copy("scan", _NOT_SEARCHED_HERE, joins=_OUR_IMAGE, own={"image": "i.id"})

    def add_classes(self) -> dict[str, str]:
        """Add classes and aliases. Call inside a transaction.

        Return the classes here that are the same as classes of other names there: former names, and
        names in other case.
        """
        new_names = self._db.fetch_column(
            "SELECT name FROM other.class WHERE name NOT IN (SELECT name FROM main.class)"
        )
        classes = LabelClasses(self._db)
        meanings = {name: classes.resolve_alias(name) for name in new_names}
        self._copy("class", own={"merged_into": "NULL"})
        self._db.execute_many(
            f"""
            UPDATE main.class
            SET merged_into=(
                SELECT c.id
                FROM other.class o
                JOIN main.class c ON c.name={class_after_merges_sql("name", "id=o.id", "other")}
                WHERE o.name=?1 AND o.merged_into NOT NULL
            )
            WHERE name=?1
            """,
            [(name,) for name in new_names],
        )

        # Names that are aliases in the other catalogue already are not joined here.
        classes_in_use = set(classes)
        joined = {
            name: meaning
            for name, meaning in meanings.items()
            if meaning != name and name in classes_in_use
        }
        self._db.execute_many(
            """
            UPDATE main.class
            SET merged_into=(SELECT id FROM main.class WHERE name=?2)
            WHERE name=?1
            """,
            joined.items(),
        )
        return joined

    def _copy(
        self,
        table: str,
        condition: str = "1",
        *,
        joins: str = "",
        own: dict[str, str] | None = None,
        values: tuple[object, ...] = (),
    ) -> None:
        """Insert the rows `o` of the other catalogue that are missing in this one.

        `joins` and `condition` are SQL about `o` (the default "1" is true for every row), `values`
        those of `?` in them. `own` maps columns to SQL for our values, such as our number of an
        image; the other columns are copied as they are.
        """
        # Numbers of rows are assigned here, except where `id` is a text.
        columns = [
            row["name"]
            for row in self._db.fetch_all(f"PRAGMA main.table_info({table})")
            if not (row["name"] == "id" and row["type"] == "INTEGER")
        ]
        cells = [(own or {}).get(name, f"o.{name}") for name in columns]
        # Numbered rows get new numbers in their old order, that of import. The rows of other tables
        # are sorted by the first column of the SELECT, which 1 stands for.
        order = "o.id" if table in _NUMBERED else "1"
        self._db.execute(
            f"""
            INSERT OR IGNORE INTO main.{table}({",".join(columns)})
            SELECT {", ".join(cells)}
            FROM other.{table} o {joins}
            WHERE {condition}
            ORDER BY {order}
            """,
            values,
        )

    def list_steps(self, schema: str) -> list[Row]:
        """Return steps of `main` or `other`, oldest first, without merges."""
        return self._db.fetch_all(
            f"""
            WITH RECURSIVE merge(id) AS (
                SELECT id
                FROM {schema}.step
                WHERE kind='{MERGE_KIND}'
                UNION
                SELECT s.id
                FROM merge
                JOIN {schema}.step s ON s.undoes=merge.id
            )
            SELECT *
            FROM {schema}.step
            WHERE id NOT IN (SELECT id FROM merge)
            ORDER BY id
            """
        )

    def get_decisions(self, schema: str, step: int) -> dict[str, str]:
        """Return a step's actions by sample key, for samples that both have."""
        return self._db.fetch_dict(
            f"""
            SELECT s.key, d.action
            FROM {schema}.decision d
            JOIN {schema}.sample s ON s.id=d.sample
            WHERE d.step=? AND {_SHARED[schema]}
            ORDER BY d.id
            """,
            (step,),
        )

    def add_step(self, step: Row, our_step: int | None, undoes: int | None) -> int:
        """Append the other's step, or complete `our_step`, our copy of it; return its number."""
        if not our_step:
            # A step is undone by one other step at most.
            is_undone = self._db.has_rows(
                "SELECT 1 FROM main.step WHERE undoes=?", (undoes,)
            )
            if is_undone:
                undoes = None
            our_step = add_step(
                self._db, step["at"], step["user"], operation_from_row(step), undoes
            )
            self._db.execute(
                "UPDATE main.step SET merged=1, person=? WHERE id=?",
                (step["person"], our_step),
            )

        self._db.execute(
            f"""
            INSERT INTO main.decision(
                step, sample, action, value, before_status, before_label, provenance
            )
            SELECT ?1, s.id, d.action, {_OUR_CLASS.format("d.value")}, d.before_status,
                {_OUR_CLASS.format("d.before_label")}, d.provenance
            FROM other.decision d
            JOIN other.sample o ON o.id=d.sample
            JOIN main.sample s ON s.key=o.key
            WHERE d.step=?2
                AND s.id NOT IN (SELECT sample FROM main.decision WHERE step=?1)
            ORDER BY d.id
            """,
            (our_step, step["id"]),
        )

        return our_step

    def get_state(self, schema: str, key: str) -> DecidedState | None:
        """Return a sample's state in `main` or `other`, with our class; None if missing there."""
        last = f"""
            (
                SELECT max(id)
                FROM {schema}.decision
                WHERE sample=s.id AND provenance<>'{SECOND}'
            )
            """
        row = self._db.fetch_one(
            f"""
            SELECT iif(s.status='rejected' AND n.mark='other', '{UNLISTED}', s.status),
                {class_after_merges_sql("name", "name=c.name")},
                ifnull(d.action, ''), ifnull(d.provenance, '')
            FROM {schema}.sample s
            LEFT JOIN {schema}.sorting_note n ON n.sample=s.id
            LEFT JOIN {schema}.class c ON c.id=s.label
            LEFT JOIN {schema}.decision d ON d.id={last}
            WHERE s.key=?
            """,
            (key,),
        )

        return DecidedState(*row) if row else None

    def list_steps_of_sample(self, key: str) -> set[int]:
        """Return our steps that decided on a sample."""
        sql = "SELECT step FROM main.decision WHERE sample=(SELECT id FROM main.sample WHERE key=?)"
        return set(self._db.fetch_column(sql, (key,)))


_NUMBERED = ("image", "origin", "video", "class", "face", "sample")
# SQL: both catalogues have a sample `s` of one of them. Of the other one that is a sample of an
# image in both: samples that it decided on were copied before their steps.
_SHARED = {
    "main": "s.key IN (SELECT key FROM other.sample)",
    "other": """
        EXISTS(
            SELECT 1
            FROM other.image
            JOIN main.image USING(sha256)
            WHERE other.image.id=s.image
        )
        """,
}
