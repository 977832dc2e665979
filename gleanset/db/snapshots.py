"""Snapshots: copies of the catalogue, kept as `snapshots/NAME.sqlite` in the dataset folder.

Snapshot files are never written in place: they are created and replaced atomically.
"""

import os
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

from gleanset.config import did_you_mean
from gleanset.db.connection import CATALOGUE, Connection, Row
from gleanset.db.maintenance import Maintenance
from gleanset.db.reports import REMOVAL
from gleanset.db.rows import clean, dump, load, now, record_from_row
from gleanset.errors import CatalogueCorrupt, UsageError
from gleanset.files.atomic import PARTIAL_PREFIX, disk_errors
from gleanset.files.names import make_safe_name
from gleanset.platform import replace_file, sync_folder
from gleanset.records import Snapshot

SNAPSHOT_FOLDER = "snapshots"
_ENDING = ".sqlite"


class Snapshots:
    """The snapshots of a dataset folder."""

    def __init__(self, root: Path):
        self._folder = root / SNAPSHOT_FOLDER

    def list_names(self) -> list[str]:
        """Return the names of all snapshots, in alphabetical order."""
        files = self._folder.glob(f"[!.]*{_ENDING}")
        return sorted(file.name.removesuffix(_ENDING) for file in files)

    def iterate(self) -> Iterator[Snapshot]:
        """Yield all snapshots, the oldest first. Raises `CatalogueCorrupt`."""
        yield from sorted(
            map(self.get, self.list_names()), key=attrgetter("at", "name")
        )

    def get(self, name: str) -> Snapshot:
        """Return a snapshot. Raises `UsageError` and `CatalogueCorrupt`."""
        with self.open(name) as db:
            row = db.fetch_one("SELECT * FROM snapshot")
            if not row:
                raise self._damage_error(
                    name,
                    f"{self._path(name)} is not a snapshot",
                )
            return record_from_row(
                Snapshot,
                row,
                name=name,
                **load(row["counts"]),
            )

    @contextmanager
    def open(self, name: str) -> Iterator[Connection]:
        """Open a snapshot for reading. Raises `UsageError` and `CatalogueCorrupt`."""
        self._check_exists(name)
        try:
            with closing(Connection(self._path(name), frozen=True)) as db:
                yield db
        except CatalogueCorrupt as error:
            raise self._damage_error(name, error.what) from error

    @contextmanager
    def open_all(self) -> Iterator[list[Connection]]:
        """Open all snapshots for reading. Raises `CatalogueCorrupt`."""
        with ExitStack() as stack:
            yield [stack.enter_context(self.open(name)) for name in self.list_names()]

    def create(
        self, db: Connection, name: str, note: str = "", user: str = ""
    ) -> Snapshot:
        """Create a snapshot atomically. Raises `UsageError` and `DiskFull`."""
        name = normalize_snapshot_name(name)
        # On file systems that ignore case, the new file would replace the old one.
        if name.casefold() in map(str.casefold, self.list_names()):
            raise UsageError(
                f"snapshot exists already: {name}",
                f"choose another name, or delete it: gleanset snapshot --delete {name}",
            )

        with _copy_to_change(db, self._path(name)) as copy, copy.transaction():
            row = {
                "at": now(),
                "user": user,
                "note": clean(note),
                "counts": dump(_count_rows(copy)),
            }
            copy.execute("DELETE FROM snapshot")
            copy.insert("snapshot", row)

        return self.get(name)

    def create_before_restore(self, db: Connection, note: str, user: str) -> Snapshot:
        """Create a snapshot named `before-restore` and after the current time (UTC)."""
        time = now().removesuffix("Z").replace("-", "").replace(":", "")
        name = f"before-restore-{time}"
        numbers = count(2)
        taken_names = self.list_names()
        while name in taken_names:
            name = f"before-restore-{time}-{next(numbers)}"
        return self.create(db, name, note, user)

    def delete(self, name: str) -> None:
        """Delete a snapshot, even a damaged one. Raises `UsageError`."""
        self._check_exists(name)
        self._path(name).unlink(missing_ok=True)

    def erase_forgotten(self, present: Connection) -> set[str]:
        """Delete removed images from all snapshots; return keys of their samples."""
        keys = set()
        tombstones = present.fetch_all("SELECT sha256, reason FROM tombstone")
        for name in self.list_names():
            with self.open(name) as db:
                images = _find_forgotten_images(db, tombstones)
                if not images:
                    continue
                for sha256 in images:
                    keys.update(Maintenance(db).list_sample_keys(sha256))

                with _copy_to_change(db, self._path(name)) as copy:
                    _forget(copy, tombstones)
                    with copy.transaction():
                        copy.execute(
                            "UPDATE snapshot SET counts=?", (dump(_count_rows(copy)),)
                        )
                    # Deleted rows stay readable in the file until it is written again.
                    copy.execute("VACUUM")

        return keys

    def _check_exists(self, name: str) -> None:
        names = self.list_names()
        if name in names:
            return
        if names:
            hint = f"{did_you_mean(name, names)}list them: gleanset snapshot"
        else:
            hint = "make one: gleanset snapshot NAME"
        raise UsageError(f"no such snapshot: {name}", hint)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_ENDING}"

    def _damage_error(self, name: str, what: str) -> CatalogueCorrupt:
        return CatalogueCorrupt(what, f"delete it: gleanset snapshot --delete {name}")


def carry_over(present: Connection, restored: Connection) -> None:
    """Copy tombstones, removal reports and row sequences to a restored snapshot.

    A sequence is the highest row number that a table ever had. With the present ones, numbers that
    were assigned after the snapshot are not used again.
    """
    _forget(restored, present.fetch_all("SELECT sha256, reason FROM tombstone"))
    removals = present.fetch_all(f"SELECT * FROM report WHERE kind='{REMOVAL}'")
    sequences = present.fetch_all("SELECT name, seq FROM sqlite_sequence")
    with restored.transaction():
        restored.execute("DELETE FROM snapshot")
        restored.execute(f"DELETE FROM report WHERE kind='{REMOVAL}'")
        for row in removals:
            restored.insert("report", dict(row))
        numbers = [tuple(row) for row in sequences]
        restored.execute_many(
            """
            INSERT INTO sqlite_sequence
            SELECT ?1, ?2
            WHERE ?1 NOT IN (SELECT name FROM sqlite_sequence)
            """,
            numbers,
        )
        restored.execute_many(
            "UPDATE sqlite_sequence SET seq=max(seq, ?2) WHERE name=?1", numbers
        )


def normalize_snapshot_name(text: str) -> str:
    """Normalize a snapshot name to NFC. Raises `UsageError` if not a file name."""
    name = unicodedata.normalize("NFC", text)
    # With a leading hyphen it would be read as an option.
    safe_name = make_safe_name(text.lstrip("-"))
    if name != safe_name:
        example = safe_name.strip("_") or "v1"
        raise UsageError(
            f"not a name for a snapshot: {text!r}",
            f"use letters, digits, dots and hyphens, for instance {example}",
        )
    return name


def _forget(db: Connection, tombstones: list[Row]) -> None:
    with db.transaction():
        db.execute_many(
            "INSERT OR IGNORE INTO tombstone VALUES(?,?)",
            [tuple(row) for row in tombstones],
        )
        for sha256, reason in _find_forgotten_images(db, tombstones).items():
            Maintenance(db).forget(sha256, reason)


def _find_forgotten_images(db: Connection, tombstones: list[Row]) -> dict[str, str]:
    """Return the reasons of tombstones whose image or report is in a catalogue."""
    reasons = {row["sha256"]: row["reason"] for row in tombstones}
    hashes = set[str]()
    for table in ("image", "report"):
        sql = f"SELECT sha256 FROM {table} WHERE sha256 IN (:items)"
        hashes.update(row["sha256"] for row in db.iter_rows_in(sql, reasons))
    return {sha256: reasons[sha256] for sha256 in sorted(hashes)}


def _count_rows(db: Connection) -> dict[str, int]:
    [counts] = db.fetch_all(
        """
        SELECT (SELECT count(*) FROM image) AS images,
            count(*) FILTER (WHERE status<>'retired') AS samples,
            count(*) FILTER (WHERE status='labelled') AS labelled,
            count(*) FILTER (WHERE status='rejected') AS rejected,
            (SELECT count(*) FROM class WHERE merged_into IS NULL) AS classes,
            count(*) FILTER (WHERE status='labelled' AND kept AND split='train') AS train,
            count(*) FILTER (WHERE status='labelled' AND kept AND split='val') AS val,
            count(*) FILTER (WHERE status='labelled' AND kept AND split='test') AS test
        FROM sample
        """
    )
    return dict(counts)


@contextmanager
def _copy_to_change(db: Connection, path: Path) -> Iterator[Connection]:
    """Yield a copy of a catalogue to change, which then gets the name `path`."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=PARTIAL_PREFIX, dir=path.parent) as folder:
            new = Path(folder) / CATALOGUE
            db.copy_to(new)
            with closing(Connection(new)) as copy:
                yield copy
                # Without a write-ahead log the copy is a single file.
                copy.execute("PRAGMA journal_mode=DELETE")

            with new.open("rb+") as file:
                os.fsync(file.fileno())
            replace_file(new, path)

        sync_folder(path.parent)
