"""An open catalogue: made, upgraded, shared between programs, copied whole, looked into."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from gleanset.db.rows import clean, insert_sql
from gleanset.db.schema import OLDEST_COMMIT, SCHEMA, CatalogueSchema
from gleanset.errors import (
    CatalogueCorrupt,
    DatasetBusy,
    DatasetNewer,
    DatasetOlder,
    DiskFull,
    GleansetError,
    NotWritable,
)
from gleanset.files.atomic import disk_errors
from gleanset.installation import update_command

CATALOGUE = "catalog.sqlite"


def is_read_only(path: Path) -> bool:
    """Return whether the catalogue is there and can only be read (for root: by its medium)."""
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def read_only_mode(path: Path) -> str:
    """Return how to open a read-only file (https://www.sqlite.org/wal.html#readonly)."""
    log = path.with_name(f"{path.name}-wal")
    # Without a log nobody is writing, and SQLite may take the file as it is.
    return "ro" if log.is_file() and log.stat().st_size else "ro&immutable=1"


BUSY_TIMEOUT_SECONDS = 30.0

MAX_SQL_VALUES = 500
"""SQLite binds only so many values to one statement; older ones 999."""

Row = sqlite3.Row

Progress = Callable[[str], None]


class Connection:
    """An open catalogue. `transaction()` groups statements into one transaction.

    A `frozen` one is a file that no process writes to; it is read as it is, and not upgraded. With
    `exclusive` no other process has it open: `DatasetBusy` where one has, and for those that try.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        busy_seconds: float = BUSY_TIMEOUT_SECONDS,
        schema: CatalogueSchema = SCHEMA,
        frozen: bool = False,
        exclusive: bool = False,
    ) -> None:
        self.path = path
        self._schema = schema
        self._may_be_empty = create
        self._busy_seconds = busy_seconds
        self._depth = 0
        self._fixed = _Fixed(path)
        self._frozen, self._exclusive = frozen, exclusive
        self.read_only = frozen or is_read_only(path)
        with self._fixed:
            mode = read_only_mode(path) if self.read_only else "rwc" if create else "rw"
            self._sql = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                isolation_level=None,
                timeout=busy_seconds,
            )
            self._sql.row_factory = sqlite3.Row
            self._prepare()

    def _prepare(self) -> None:
        try:
            if self._exclusive:
                # Before anything is read. Other programs hold a shared lock as long as they have
                # the catalogue open: https://www.sqlite.org/wal.html#noshm
                self._sql.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._sql.execute("PRAGMA cache_size=-16384")
            # A step may make a table anew: dropping the old one is no deletion of its rows.
            self._sql.execute("PRAGMA foreign_keys=OFF")
            self._bring_up_to_date()
            self._sql.execute("PRAGMA foreign_keys=ON")
        except BaseException:
            self._sql.close()
            raise

    def _bring_up_to_date(self) -> None:
        if self._come_to() == self._schema.newest or self._frozen:
            return
        self.check_writable()
        self._begin_log()
        with self.transaction():
            # Another process may have been quicker while we waited for the lock.
            come_to = self._come_to()
            if not come_to:
                self._sql.execute("CREATE TABLE migration(name TEXT PRIMARY KEY, at TEXT NOT NULL)")
                self._apply(self._schema.newest, self._schema.tables)
                return
            pending = [step for step in self._schema.steps if step[0] > come_to]
            if pending:
                self._back_up(self.path.with_name(f"{self.path.name}.before-{pending[0][0]}"))
            for name, sql in pending:
                self._apply(name, sql)

    def _begin_log(self) -> None:
        """Go over to WAL mode, as another process may be doing, too.

        SQLite refuses one of the two at once, because each holds what the other waits for.
        """
        end = time.monotonic() + self._busy_seconds
        while True:
            try:
                self._sql.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.01)
            else:
                return

    def _come_to(self) -> str:
        tables = set(self.fetch_column("SELECT name FROM sqlite_master"))
        if "migration" not in tables:
            if tables or not self._may_be_empty:
                raise _corrupt(self.path, "it holds other tables" if tables else "it is empty")
            return ""
        come_to = str(self.fetch_value("SELECT ifnull(max(name), '') FROM migration"))
        if come_to > self._schema.newest:
            raise DatasetNewer(
                f"{self.path} was written by a newer Gleanset (it knows {come_to!r})",
                update_command(),
            )
        if come_to < self._schema.oldest:
            raise DatasetOlder(
                f"{self.path} was written by an early development version (it came to {come_to!r})",
                f"open it once with commit {OLDEST_COMMIT} of Gleanset (git checkout "
                f"{OLDEST_COMMIT}; gleanset status -d {shlex.quote(str(self.path.parent))}), then "
                "with this one",
            )
        return come_to

    def _apply(self, name: str, sql: str) -> None:
        statement = ""
        for line in sql.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                self._sql.execute(statement)
                statement = ""
        self._sql.execute("INSERT INTO migration VALUES(?, datetime('now'))", (name,))

    def _back_up(self, target: Path) -> None:
        """Copy the catalogue aside; the copy appears under its name only when whole.

        Called while we hold the write lock, so that nobody upgrades what is being copied.
        """
        partial = target.with_name(target.name + ".partial")
        with disk_errors(partial):
            partial.unlink(missing_ok=True)
            # A connection cannot copy what itself is writing; another one reads beside it.
            source, copy = sqlite3.connect(self.path), sqlite3.connect(partial)
            with closing(source), closing(copy):
                source.backup(copy)
            partial.replace(target)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One immediate transaction; inside another one it simply joins it."""
        self.check_writable()
        with self._fixed:
            if self._depth == 0:
                self._sql.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._sql.execute("COMMIT")
            except BaseException:
                # Also after a COMMIT that found no space: it may leave the transaction open.
                if self._depth == 1:
                    with suppress(sqlite3.Error):
                        self._sql.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def _execute(self, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
        """Execute one statement; bytes of a path that are not UTF-8 are kept as `clean` says."""
        try:
            return self._sql.execute(sql, values)
        except UnicodeEncodeError:
            kept = [clean(value) if isinstance(value, str) else value for value in values]
            return self._sql.execute(sql, kept)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute one statement inside `transaction()`; the id of an inserted row."""
        with self._fixed:
            return self._execute(sql, values).lastrowid or 0

    def execute_update(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute one statement inside `transaction()`; how many rows it changed."""
        with self._fixed:
            return self._execute(sql, values).rowcount

    def insert(
        self, table: str, row: Mapping[str, object], how: str = "INSERT", then: str = ""
    ) -> int:
        """Insert a row by its columns, inside `transaction()`; its id. `then` is an ON CONFLICT."""
        return self.execute(insert_sql(table, tuple(row), how, then), tuple(row.values()))

    def execute_many(
        self, sql: str, values: Iterator[Sequence[Any]] | Sequence[Sequence[Any]]
    ) -> None:
        """Execute one statement for many rows inside `transaction()`."""
        with self._fixed:
            self._sql.executemany(sql, values)

    def fetch_all(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query whose answer is small."""
        with self._fixed:
            return self._execute(sql, values).fetchall()

    def iter_rows_in(self, sql: str, items: Collection[Any], rest: str = "") -> Iterator[Row]:
        """Yield the rows of a query whose `sql` ends with the column that is to be one of `items`.

        `rest` follows, such as a GROUP BY; an ORDER BY holds for `MAX_SQL_VALUES` items each.
        """
        values = list(items)
        for start in range(0, len(values), MAX_SQL_VALUES):
            some = values[start : start + MAX_SQL_VALUES]
            yield from self.fetch_all(f"{sql} IN ({','.join('?' * len(some))}) {rest}", some)

    def iter_pages(
        self,
        sql: str,
        key: tuple[str, ...],
        values: Sequence[Any] = (),
        *,
        size: int = 1000,
        within: str = "{page}",
    ) -> Iterator[list[Row]]:
        """Yield the rows of a query by ascending `key`, `size` at a time, however many there are.

        `sql` ends with its tests (a WHERE); `key` names columns as they stand there (`s.key`). Each
        page begins after the last row of the one before: equally quick at any depth, and rows that
        are written meanwhile do no harm. `within` is a query around the page, with an ORDER BY of
        its own, for a join that gives several rows for each of its rows.
        """
        columns, names = ", ".join(key), [name.rpartition(".")[2] for name in key]
        later = f"AND ({columns})>({','.join('?' * len(key))})"
        page = f"{sql} ORDER BY {columns} LIMIT {size}"
        after: tuple[Any, ...] = ()
        while rows := self.fetch_all(within.replace("{page}", page), (*values, *after)):
            yield rows
            page = f"{sql} {later} ORDER BY {columns} LIMIT {size}"
            after = tuple(rows[-1][name] for name in names)

    def iter_rows(
        self,
        sql: str,
        key: tuple[str, ...],
        values: Sequence[Any] = (),
        *,
        size: int = 1000,
        within: str = "{page}",
    ) -> Iterator[Row]:
        """Yield the rows of `pages`, a page in memory at a time."""
        for rows in self.iter_pages(sql, key, values, size=size, within=within):
            yield from rows

    def fetch_dict(self, sql: str, values: Sequence[Any] = ()) -> dict[Any, Any]:
        """Return the first column of a query with the second, or all others as a tuple."""
        return dict_from_rows(self.fetch_all(sql, values))

    def fetch_value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row; None where there is none."""
        row = self.fetch_one(sql, values)
        return None if row is None else row[0]

    def fetch_column(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the first column of a query whose answer is small."""
        return [row[0] for row in self.fetch_all(sql, values)]

    def fetch_one(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """Return the first row of a query, or None."""
        with self._fixed:
            row: Row | None = self._execute(sql, values).fetchone()
            return row

    def fetch_int(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Return the one integer that a query answers; 0 for none."""
        return int(self.fetch_value(sql, values) or 0)

    def get_data_version(self) -> int:
        """Return another number whenever another connection has written; costs next to nothing."""
        return self.fetch_int("PRAGMA data_version")

    def set_busy_timeout(self, seconds: float) -> None:
        """Let what other programs write hold this connection up no longer than so."""
        self.fetch_int(f"PRAGMA busy_timeout={round(1000 * seconds)}")

    def optimize(self) -> None:
        """Let SQLite gather statistics where they are out of date; quick, by samples."""
        with self._fixed:
            self._sql.execute("PRAGMA analysis_limit=1000")
            self._sql.execute("PRAGMA optimize")

    def attach(self, path: Path, name: str) -> None:
        """Put another catalogue beside this one, to be read as `name.table`."""
        with self._fixed:
            mode = read_only_mode(path) if is_read_only(path) else "ro"
            self._sql.execute(
                f"ATTACH DATABASE ? AS {name}", (f"{path.absolute().as_uri()}?mode={mode}",)
            )

    def detach(self, name: str) -> None:
        """Take it away again."""
        with self._fixed:
            self._sql.execute(f"DETACH DATABASE {name}")

    def copy_to(self, target: Path) -> None:
        """Copy the catalogue as it is now to a new file. Raises `DiskFull`."""
        with _Fixed(target), closing(sqlite3.connect(target)) as copy:
            self._sql.backup(copy)

    def restore_from(self, source: Path) -> None:
        """Replace everything by another catalogue, in one transaction."""
        with self._fixed, closing(sqlite3.connect(source)) as other:
            other.backup(self._sql)

    def disable_wal(self) -> None:
        """Leave WAL mode, so that the catalogue is one file that can be read where it is."""
        with self._fixed:
            self._sql.execute("PRAGMA journal_mode=DELETE")

    def vacuum(self) -> None:
        """Give free pages back to the disk; takes as long as copying the catalogue."""
        with self._fixed:
            self._sql.execute("VACUUM")

    def close(self) -> None:
        """Close; the write-ahead log is folded back when nobody else has it open."""
        self._sql.close()

    def check_writable(self) -> None:
        """Raise `NotWritable` where nothing can be written."""
        if self.read_only:
            raise NotWritable(
                f"{self.path.parent} can only be read, and this would write to it",
                "copy the dataset to a place of your own, or give yourself write access",
            )


class Table:
    """Queries of some tables of an open catalogue: `Samples(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db


def dict_from_rows(rows: Iterable[Row]) -> dict[Any, Any]:
    """Return the first column of rows with the second, or with all others as a tuple."""
    return {row[0]: row[1] if len(row) == 2 else tuple(row)[1:] for row in rows}


class _Fixed:
    """Turns SQLite's errors into ours. No generator: it stands around every statement."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error) and (known := translate_error(error, self._path)):
            raise known from error


_PRIMARY_CODE = 0xFF
"""Mask of the primary result code: https://www.sqlite.org/rescode.html#extrc."""


def translate_error(error: sqlite3.Error, path: Path) -> GleansetError | None:
    """Return the error a user can fix behind SQLite's own, or None where it is a bug of ours."""
    # Errors that Python's module raises itself have no code: they are bugs of ours.
    code = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR
    match code & _PRIMARY_CODE:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return DatasetBusy(
                f"another program has been writing to {path} for too long",
                "wait until it has finished, or close it, and run the command again",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return NotWritable(
                f"cannot write to {path}",
                f"give yourself write access, for instance: chmod -R u+w {path.parent}",
            )
        case sqlite3.SQLITE_FULL:
            return _disk_full(path)
        case sqlite3.SQLITE_IOERR:
            return _disk_error(path, code, str(error))
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return _corrupt(path, str(error))
    return None


def _disk_error(path: Path, code: int, text: str) -> GleansetError:
    # A full disk also shows where the index of the write-ahead log cannot grow.
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return _disk_full(path)
    if code == sqlite3.SQLITE_IOERR_WRITE:
        return DiskFull(
            f"{path} cannot grow: a limit on the size of files, a quota, or a disk that fails",
            "look at ulimit -f and quota; what was done is kept: run the command again",
        )
    return NotWritable(
        f"the disk of {path} does not do what it is asked ({text})",
        "look at the disk and its limits (ulimit -f, quota), and run the command again",
    )


def _disk_full(path: Path) -> DiskFull:
    return DiskFull(f"no space left for {path}", "free some space and run the command again")


def _corrupt(path: Path, why: str) -> CatalogueCorrupt:
    return CatalogueCorrupt(
        f"{path} is damaged or is not a catalogue ({why})",
        "put back a copy (catalog.sqlite.before-… lies beside it after an upgrade), or "
        f"rescue what is readable: sqlite3 {path.name} .recover | sqlite3 rescued.sqlite",
    )


_TRIES = 5


def copy_catalogue(catalogue: Path, target: Path) -> None:
    """Copy a catalogue with its log and upgrade the copy. Raises as opening, or `DatasetBusy`."""
    try:
        if not any(_copied(catalogue, target) for _ in range(_TRIES)):
            raise DatasetBusy(
                f"{catalogue} changes all the time", "close the program that writes to it"
            )
        Connection(target).close()
    except sqlite3.Error as error:
        raise (translate_error(error, catalogue) or error) from error
    except GleansetError as error:
        what = error.what.replace(str(target), str(catalogue))
        raise type(error)(what, error.fix) from error


def _copied(catalogue: Path, target: Path) -> bool:
    """Return whether the copy is whole.

    Who has a catalogue open keeps an index of its log beside it, and SQLite can read along
    (https://www.sqlite.org/wal.html#readonly). Without one, reading along would leave an index
    behind, so the files are copied, and are whole where nobody came in between.
    """
    log, index = (_beside(catalogue, ending) for ending in ("wal", "shm"))
    for old in (target, _beside(target, "wal"), _beside(target, "shm")):
        old.unlink(missing_ok=True)
    if index.exists():
        source = sqlite3.connect(f"{catalogue.absolute().as_uri()}?mode=ro", uri=True)
        with closing(source), closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        return True
    before = _stamps(catalogue, log)
    with disk_errors(target):
        shutil.copyfile(catalogue, target)
        if log.exists():
            shutil.copyfile(log, _beside(target, "wal"))
    return _stamps(catalogue, log) == before and not index.exists()


def _beside(catalogue: Path, ending: str) -> Path:
    return catalogue.with_name(f"{catalogue.name}-{ending}")


def _stamps(*files: Path) -> list[tuple[int, int] | None]:
    stats = [file.stat() if file.exists() else None for file in files]
    return [stat and (stat.st_mtime_ns, stat.st_size) for stat in stats]


MOST = 2000
