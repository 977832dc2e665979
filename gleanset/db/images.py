"""Images and their origins."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from gleanset.db.connection import Row, Table
from gleanset.db.rows import (
    MATCHES_SEARCH,
    Search,
    clean,
    dump,
    encode_searches,
    load,
    record_from_row,
    row_from_record,
    to_signed,
    to_unsigned,
)
from gleanset.errors import UsageError
from gleanset.files.store import hash_file
from gleanset.records import REPORT_SOURCE, Image, Measured, Origin


def only_in_reports_sql(condition: str) -> str:
    """Return SQL: an image `i` is known only from reports, which all fulfil a condition."""
    # The minimum of a condition (0 or 1) is 1 if all rows fulfil it.
    others = (
        f"SELECT 1 FROM origin o WHERE o.image=i.id AND o.source<>'{REPORT_SOURCE}'"
    )
    reported = f"SELECT sha256 FROM report GROUP BY 1 HAVING min({condition})"
    return f"(i.sha256 IN ({reported}) AND NOT EXISTS({others}))"


_UNACCEPTED = only_in_reports_sql("status<>'accepted'")
SEARCHABLE = f"state='ok' AND NOT {_UNACCEPTED}"
"""SQL: an image `i` is readable, and not of a report that was accepted and taken back."""
_UNSCANNED = f"""
    {SEARCHABLE}
    AND NOT EXISTS(SELECT 1 FROM scan WHERE image=i.id AND {MATCHES_SEARCH})
    """
_FRESH = f"""
    {SEARCHABLE}
    AND NOT EXISTS(SELECT 1 FROM scan WHERE image=i.id)
    AND NOT EXISTS(SELECT 1 FROM sample s WHERE s.image=i.id AND s.status<>'retired')
    """
"""SQL: no detector has searched an image `i`, and it has no sample yet."""
NOT_FAILED = (
    "NOT EXISTS(SELECT 1 FROM rejection WHERE stage='facecrop' AND item=i.sha256)"
)
"""SQL: no face search of an image `i` failed."""
_NEVER_DECIDED = f"""
    {_FRESH}
    AND NOT EXISTS(
        SELECT 1
        FROM sample s
        JOIN decision d ON d.sample=s.id
        WHERE s.image=i.id
    )
    """
"""SQL: `_FRESH`, and the import of the image was not undone."""


def query_sql(origin: str) -> str:
    """Return SQL for an origin's request: query, imported set, video title or hint."""
    other = f"iif({origin}.video IS NULL, {origin}.hint, {origin}.title)"
    return f"coalesce({origin}.query, {origin}.collection, {other})"


_POST_SOURCE = "iif(o.source IN ('archive', 'folder', 'import'), '', o.source)"
POST = f"iif(o.post IS NULL, NULL, {_POST_SOURCE} || ':' || o.post)"
"""SQL: the post of an origin `o`, or its group of local files."""


_ORIGIN_ORDER = "later, source, length(o.key), o.key, query, hint"
"""SQL: the first origin of an image names it, for good; `copy of` a name comes after the name.

An origin is `later` if the image had been searched or had a sample before it was added.
"""


class OriginSummary(NamedTuple):
    """Paths, post and set of an image: each from the first of its origins that has one."""

    path: str | None = None
    original_path: str | None = None
    post: str | None = None
    collection: str | None = None


NO_SUMMARY = OriginSummary()


class Images(Table):
    """The `image`, `origin` and `tombstone` tables."""

    def add(self, measured: Measured, origin: Origin) -> bool:
        """Add an image, or restore it, with an origin; return whether new."""
        with self._db.transaction():
            is_new = self._db.insert_new(
                "image", row_from_record(measured, phash=to_signed(measured.phash))
            )
            if not is_new:
                self.mark_present(measured.sha256)
            self.add_origin(measured.sha256, origin)
        return is_new

    def mark_present(self, sha256: str) -> None:
        """Record that the file of a missing image exists again."""
        with self._db.transaction():
            restored = self._db.execute(
                "UPDATE image SET state='ok' WHERE sha256=? AND state='missing'",
                (sha256,),
            )
            if restored:
                self._db.execute(
                    "DELETE FROM rejection WHERE item=? AND reason IN ('file is gone','damaged')",
                    (sha256,),
                )

    def add_origin(self, sha256: str, origin: Origin) -> bool:
        """Add an origin of a known image; return whether it is new."""
        return self._db.insert_new(
            "origin", {"image": self.get_id(sha256)} | _origin_values(origin)
        )

    def has_other_hint(self, sha256: str, origin: Origin) -> bool:
        """Return whether this origin is stored with another hint, or without one."""
        sql = "SELECT 1 FROM origin WHERE image=? AND source=? AND key=? AND hint IS NOT ?"
        return self._db.has_rows(
            sql, (self.get_id(sha256), origin.source, origin.key, origin.hint)
        )

    def remove_origin(self, sha256: str, origin: Origin) -> None:
        """Delete an origin of an image, with all its hints."""
        self._db.execute(
            "DELETE FROM origin WHERE image=? AND source=? AND key=?",
            (self.get_id(sha256), origin.source, clean(origin.key)),
        )

    def remove_hints(self, sha256: str, origin: Origin, hints: Collection[str]) -> None:
        """Delete outdated `hints` of an origin, but never its present one.

        Its row without a hint goes, too, if one with a hint is left.
        """
        place = (self.get_id(sha256), origin.source, origin.key)
        self._db.execute(
            """
            DELETE FROM origin
            WHERE image=?1
                AND source=?2
                AND key=?3
                AND hint IS NOT ?4
                AND hint IN (SELECT value FROM json_each(?5))
            """,
            (*place, origin.hint, dump(sorted(hints))),
        )

        self._db.execute(
            """
            DELETE FROM origin
            WHERE image=?1
                AND source=?2
                AND key=?3
                AND hint IS NULL
                AND EXISTS(
                    SELECT 1
                    FROM origin o
                    WHERE o.image=?1 AND o.source=?2 AND o.key=?3 AND o.hint IS NOT NULL
                )
            """,
            place,
        )

    def update_credit(self, sha256: str, origin: Origin) -> None:
        """Update author, licence, page, post, path, set and tags where `origin` has them."""
        columns = (
            "author",
            "licence",
            "page_url",
            "post",
            "original_path",
            "collection",
            "tags",
        )

        values = _origin_values(origin)
        place = (self.get_id(sha256), origin.source, origin.key)
        # A person edited these tags in an export: this is the text from before.
        is_outdated = self._db.has_rows(
            """
            SELECT 1
            FROM origin o
            JOIN change c ON c.item=o.id AND c.what='tags'
            JOIN step s ON s.id=c.step AND s.undoes IS NULL
            WHERE o.image=? AND o.source=? AND o.key=? AND c.before=?
            """,
            (*place, values["tags"]),
        )
        if not origin.tags or is_outdated:
            # As for all columns, None keeps the stored value.
            values["tags"] = None

        updates = ", ".join(f"{name}=ifnull(?, {name})" for name in columns)
        self._db.execute(
            f"UPDATE origin SET {updates} WHERE image=? AND source=? AND key=?",
            (*(values[name] for name in columns), *place),
        )

    def get_id(self, sha256: str) -> int:
        """Return the row number of an image; 0 if unknown."""
        return self._db.fetch_int("SELECT id FROM image WHERE sha256=?", (sha256,))

    def get_tombstone(self, sha256: str) -> str | None:
        """Return the reason why this image was removed, or None."""
        return self._db.fetch_text(
            "SELECT reason FROM tombstone WHERE sha256=?", (sha256,)
        )

    def count(self) -> int:
        """Return the number of images."""
        return self._db.fetch_int("SELECT count(*) FROM image")

    def set_collection_licence(self, name: str, text: str) -> None:
        """Store the text of the licence files of an imported set."""
        self._db.execute(
            """
            INSERT INTO collection(name, licence)
            VALUES(?1, ?2)
            ON CONFLICT(name) DO UPDATE
            SET licence=?2
            """,
            (name, text),
        )

    def get_collection_licences(self) -> dict[str, str]:
        """Return the text of the licence files of each imported set that has some."""
        return self._db.fetch_dict("SELECT name, licence FROM collection ORDER BY name")

    def count_without_sample(self) -> int:
        """Return the number of images without a face, or not searched for faces."""
        return self._db.fetch_int(
            """
            SELECT count(*)
            FROM image i
            WHERE NOT EXISTS(
                SELECT 1
                FROM sample s
                WHERE s.image=i.id AND s.status<>'retired'
            )
            """
        )

    def get(self, sha256: str) -> Image | None:
        """Return an image with its origins."""
        row = self._db.fetch_one("SELECT * FROM image WHERE sha256=?", (sha256,))
        return self._with_origins([row])[0] if row else None

    def resolve(self, text: str) -> Image:
        """Return the image with a hash, hash prefix or path. Raises `UsageError`."""
        matches = self.find_matches(text)
        if len(matches) > 1:
            raise UsageError(
                f"several images are meant by {text!r}",
                f"say more, for instance {matches[1]}",
            )
        image = self.get(matches[0]) if matches else None
        if not image:
            raise UsageError(
                f"there is no image {text!r} in this dataset",
                "name it by the path of its file, or the beginning of its SHA-256, as listed by: "
                "gleanset list images",
            )
        return image

    def find_matches(self, text: str) -> list[str]:
        """Return up to two image hashes that `text` may mean (see `resolve`)."""
        # `g` follows the hex digits.
        sql = "SELECT sha256 FROM image WHERE sha256>=? AND sha256<? ORDER BY sha256 LIMIT 2"
        for prefix in list_hash_prefixes(text):
            matches = self._db.fetch_column(
                sql,
                (prefix, f"{prefix}g"),
            )
            if matches:
                return matches

        path = Path(text)
        path = path.resolve() if ".." in path.parts else path.absolute()
        return self._db.fetch_column(
            """
            SELECT DISTINCT i.sha256
            FROM origin o
            JOIN image i ON i.id=o.image
            WHERE o.path=?
            ORDER BY i.sha256
            LIMIT 2
            """,
            (str(path),),
        )

    def iterate(self) -> Iterator[Image]:
        """Yield all images by hash."""
        for rows in self._db.iter_pages(
            "SELECT * FROM image WHERE TRUE", key=("sha256",), size=200
        ):
            yield from self._with_origins(rows)

    def get_origins(self, hashes: Collection[str]) -> dict[str, OriginSummary]:
        """Return summaries of origins by image hash; first origins as in `get`."""
        firsts = ", ".join(
            f"""
            (
                SELECT {name}
                FROM origin o
                WHERE image=i.id AND {name}<>''
                ORDER BY {_ORIGIN_ORDER}
                LIMIT 1
            )
            """
            for name in OriginSummary._fields
        )
        rows = self._db.iter_rows_in(
            f"SELECT sha256, {firsts} FROM image i WHERE sha256 IN (:items)", hashes
        )
        return {sha256: OriginSummary(*summary) for sha256, *summary in rows}

    def list_from_source(self, source: str) -> frozenset[str]:
        """Return hashes of the images that a source returned."""
        sql = """
            SELECT DISTINCT i.sha256
            FROM origin o
            JOIN image i ON i.id=o.image
            WHERE o.source=?
            """
        return frozenset(self._db.fetch_column(sql, (source,)))

    def list_report_only(self) -> frozenset[str]:
        """Return hashes of images known only from reports: these stay private."""
        sql = f"""
            SELECT DISTINCT i.sha256
            FROM origin r
            JOIN image i ON i.id=r.image
            WHERE r.source='{REPORT_SOURCE}'
                AND NOT EXISTS(
                    SELECT 1
                    FROM origin o
                    WHERE o.image=i.id AND o.source<>'{REPORT_SOURCE}'
                )
            """
        return frozenset(self._db.fetch_column(sql))

    def _with_origins(self, rows: list[Row]) -> list[Image]:
        origins: dict[int, list[Origin]] = {row["id"]: [] for row in rows}
        for row in self._db.iter_rows_in(
            f"SELECT * FROM origin o WHERE image IN (:items) ORDER BY {_ORIGIN_ORDER}",
            origins,
        ):
            origins[row["image"]].append(origin_from_row(row))

        return [
            record_from_row(
                Image,
                row,
                phash=to_unsigned(row["phash"]),
                origins=tuple(origins[row["id"]]),
            )
            for row in rows
        ]

    def iter_unscanned(self, *searches: Search) -> Iterator[tuple[str, str]]:
        """Yield (hash, format) of images without any of these searches, by hash."""
        sql = f"SELECT sha256, format FROM image i WHERE {_UNSCANNED}"
        rows = self._db.iter_rows(
            sql,
            ("sha256",),
            (encode_searches(searches),),
        )
        return map(tuple, rows)

    def count_unscanned(self, *searches: Search) -> int:
        """Return how many images `iter_unscanned` yields."""
        return self._db.fetch_int(
            f"SELECT count(*) FROM image i WHERE {_UNSCANNED}",
            (encode_searches(searches),),
        )

    def iter_unprocessed(self) -> Iterator[tuple[str, str]]:
        """Yield (hash, format) of images without search and sample, by hash."""
        sql = f"SELECT sha256, format FROM image i WHERE {_FRESH}"
        return map(tuple, self._db.iter_rows(sql, ("sha256",)))

    def find_interrupted_import(self, source: str) -> Path | None:
        """Return the folder of an interrupted import, if any."""
        row = self._db.fetch_one(
            f"""
            SELECT o.path, o.original_path
            FROM origin o
            JOIN image i ON i.id=o.image
            WHERE o.source=? AND o.path IS NOT NULL AND {_NEVER_DECIDED}
            LIMIT 1
            """,
            (source,),
        )

        if not row:
            return None
        path = Path(row["path"])
        path_in_folder = Path(row["original_path"] or path.name)
        # As many levels up as the path within the folder has.
        return path.parents[len(path_in_folder.parts) - 1]

    def count_unprocessed(self) -> int:
        """Return how many images `iter_unprocessed` yields."""
        return self._db.fetch_int(f"SELECT count(*) FROM image i WHERE {_FRESH}")

    def count_new(self) -> int:
        """Return `count_unprocessed` without failed searches and imports that were undone."""
        return self._db.fetch_int(
            f"SELECT count(*) FROM image i WHERE {_NEVER_DECIDED} AND {NOT_FAILED}"
        )


def list_hash_prefixes(text: str) -> list[str]:
    """Return hash prefixes of a text: a file's hash or else the text, and an original's name."""
    path = Path(text)
    prefix = text.lower()
    with suppress(OSError, ValueError):  # ValueError: a NUL in the name
        if path.is_file():
            prefix = hash_file(path)
    # The name of a stored original is its whole hash of 64 digits. A shorter name, such as
    # 0001.jpg, is not a prefix of a hash.
    return re.findall("^[0-9a-f]{4,64}$", prefix) + re.findall(
        "^[0-9a-f]{64}$", path.stem
    )


def _origin_values(origin: Origin) -> dict[str, Any]:
    # macOS writes folder names in another Unicode normal form: it is the same hint.
    hint = origin.hint and unicodedata.normalize("NFC", origin.hint)
    values = row_from_record(
        origin, hint=hint, tags=dump([clean(tag) for tag in origin.tags])
    )
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = clean(value)
    return values


def origin_from_row(row: Row) -> Origin:
    """Return an origin from its row."""
    return record_from_row(
        Origin,
        row,
        tags=tuple(load(row["tags"])),
        ai=None if row["ai"] is None else bool(row["ai"]),
    )
