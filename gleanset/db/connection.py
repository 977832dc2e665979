"""Connection to a catalogue: opening, upgrades, transactions, queries and copies."""

import os
import shlex
import shutil
import sqlite3
import time
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import closing, contextmanager, suppress
from itertools import chain, starmap
from pathlib import Path
from typing import Any, NamedTuple

from gleanset.db.rows import Record, clean, insert_sql
from gleanset.errors import (
    CatalogueCorrupt,
    DatasetBusy,
    DatasetNewer,
    DatasetOlder,
    DiskFull,
    GleansetError,
    NotWritable,
    UsageError,
)
from gleanset.files.atomic import disk_errors
from gleanset.installation import update_command

CATALOGUE = "catalog.sqlite"


def is_read_only(path: Path) -> bool:
    """Return whether the catalogue exists and cannot be written to."""
    # A writer needs the folder as well, for the log next to the catalogue.
    is_writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return path.is_file() and not is_writable


def read_only_mode(path: Path) -> str:
    """Return how to open a read-only file (https://www.sqlite.org/wal.html#readonly)."""
    log = path.with_name(f"{path.name}-wal")
    # Without a log no process is writing, so SQLite needs no locks.
    return "ro" if log.is_file() and log.stat().st_size else "ro&immutable=1"


BUSY_TIMEOUT_SECONDS = 30.0
MAX_SQL_VALUES = 500
"""Values per statement; SQLite allows 999 in its older versions."""

Row = sqlite3.Row

OLDEST_COMMIT = "4fea4a6a"
"""Last development version that upgrades older catalogues to `oldest`."""


class CatalogueSchema(NamedTuple):
    """SQL of a new catalogue (`tables`), and migrations (`steps`) for those since `oldest`.

    A migration is a file in `migrations/`, named by its number and subject: they are applied in
    this order.
    """

    tables: str
    oldest: str
    steps: tuple[tuple[str, str], ...] = ()

    @property
    def newest(self) -> str:
        """Name of the last migration; new catalogues already include it."""
        return self.steps[-1][0] if self.steps else self.oldest


_FOLDER = Path(__file__).parent
_MIGRATIONS = sorted(_FOLDER.glob("migrations/*.sql"))
SCHEMA = CatalogueSchema(
    tables=(_FOLDER / "schema.sql").read_text("utf-8"),
    oldest="0030-no-outliers",
    steps=tuple((file.stem, file.read_text("utf-8")) for file in _MIGRATIONS),
)


class Connection:
    """Connection to an open catalogue. Statements that write need a `transaction()`.

    `frozen` opens a file that no process writes to, without upgrading it. `exclusive` locks out
    other processes: they get `DatasetBusy`, as does this one if another has the catalogue open.
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
    ):
        self.path = path
        self._schema = schema
        self._create = create
        self._busy_seconds = busy_seconds
        # Of nested transactions.
        self._depth = 0
        self.step_columns: dict[str, object] = {}
        """Columns of the steps that are made next: by whom, and for which request."""
        self._translated_errors = _ErrorTranslation(path)
        self._frozen = frozen
        self._exclusive = exclusive

        self.read_only = frozen or is_read_only(path)
        writing_mode = "rwc" if create else "rw"
        mode = read_only_mode(path) if self.read_only else writing_mode
        with self._translated_errors:
            self._sql = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                # The module would begin transactions by itself.
                isolation_level=None,
                timeout=busy_seconds,
            )
            self._sql.row_factory = sqlite3.Row
            self._prepare()

    def _prepare(self) -> None:
        try:
            if self._exclusive:
                # Must precede the first read. Other processes hold a shared lock while they have
                # the catalogue open: https://www.sqlite.org/wal.html#noshm
                self._sql.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._sql.execute("PRAGMA cache_size=-16384")
            # Otherwise rows of removed images stay readable in the file.
            self._sql.execute("PRAGMA secure_delete=ON")
            # A migration may rebuild a table: dropping the old one must not delete referring rows.
            self._sql.execute("PRAGMA foreign_keys=OFF")
            self._upgrade()
            self._sql.execute("PRAGMA foreign_keys=ON")
        except BaseException:
            self._sql.close()
            raise

    def _upgrade(self) -> None:
        if self._read_migration() == self._schema.newest or self._frozen:
            return

        self.check_writable()
        self._enable_wal()
        with self.transaction():
            # Another process may have upgraded it while this one waited for the lock.
            migration = self._read_migration()
            if not migration:
                self._sql.execute(
                    "CREATE TABLE migration(name TEXT PRIMARY KEY, at TEXT NOT NULL)"
                )
                self._apply(self._schema.newest, self._schema.tables)
                return

            pending = [
                (name, sql) for name, sql in self._schema.steps if name > migration
            ]
            if pending:
                first_name, _ = pending[0]
                backup = self.path.with_name(f"{self.path.name}.before-{first_name}")
                self._back_up_to(backup)
            for name, sql in pending:
                self._apply(name, sql)

    def _enable_wal(self) -> None:
        """Switch to WAL mode, possibly at the same time as another process.

        SQLite refuses one of them immediately, since each holds a lock that the other waits for.
        """
        deadline = time.monotonic() + self._busy_seconds
        while True:
            try:
                self._sql.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def _read_migration(self) -> str:
        tables = set(self.fetch_column("SELECT name FROM sqlite_master"))
        if "migration" not in tables:
            if tables:
                raise _corruption_error(self.path, "it holds other tables")
            if not self._create:
                raise _corruption_error(self.path, "it is empty")
            return ""

        migration = str(self.fetch_value("SELECT ifnull(max(name), '') FROM migration"))
        if migration > self._schema.newest:
            raise DatasetNewer(
                f"{self.path} was written by a newer Gleanset (it knows {migration!r})",
                update_command(),
            )
        if migration < self._schema.oldest:
            raise DatasetOlder(
                f"{self.path} was written by an early development version ({migration!r})",
                f"open it once with an older Gleanset, then with this one: git checkout "
                f"{OLDEST_COMMIT} && gleanset status -d {shlex.quote(str(self.path.parent))}",
            )
        return migration

    def _apply(self, name: str, sql: str) -> None:
        statement = ""
        for line in sql.splitlines(keepends=True):
            statement += line
            # One by one: `executescript` would commit the transaction first.
            if sqlite3.complete_statement(statement):
                self._sql.execute(statement)
                statement = ""
        self._sql.execute("INSERT INTO migration VALUES(?, datetime('now'))", (name,))

    def _back_up_to(self, target: Path) -> None:
        """Copy the catalogue; the copy gets its name once complete.

        Call with the write lock held, so that no process upgrades what is being copied.
        """
        partial = target.with_name(target.name + ".partial")
        with disk_errors(partial):
            partial.unlink(missing_ok=True)
            # A connection cannot back up its own open transaction: use a second one.
            source = sqlite3.connect(self.path)
            copy = sqlite3.connect(partial)
            with closing(source), closing(copy):
                source.backup(copy)
            partial.replace(target)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in one immediate transaction; nested calls join it."""
        self.check_writable()
        with self._translated_errors:
            if self._depth == 0:
                # Immediate: SQLite refuses to make a reading transaction write while another one
                # does.
                self._sql.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._sql.execute("COMMIT")
            except BaseException:
                # Also after a COMMIT on a full disk: it may leave the transaction open.
                if self._depth == 1:
                    with suppress(sqlite3.Error):
                        self._sql.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def _execute(self, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
        try:
            return self._sql.execute(sql, values)
        except UnicodeEncodeError:
            # Paths may contain bytes that are not UTF-8; `clean` escapes them.
            parameters = [
                clean(value) if isinstance(value, str) else value for value in values
            ]
            return self._sql.execute(sql, parameters)
        except OverflowError as error:
            raise UsageError("a number is too large for the catalogue") from error

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute a statement inside a transaction; return the number of changed rows."""
        with self._translated_errors:
            return self._execute(sql, values).rowcount

    def insert(
        self,
        table: str,
        row: Mapping[str, object],
        verb: str = "INSERT",
        then: str = "",
    ) -> int:
        """Insert a row inside a transaction, and return its id.

        `verb` may be INSERT OR REPLACE or the like, `then` an ON CONFLICT clause.
        """
        sql = insert_sql(table, tuple(row), verb, then)
        with self._translated_errors:
            return self._execute(sql, tuple(row.values())).lastrowid or 0

    def insert_new(self, table: str, row: Mapping[str, object]) -> bool:
        """Insert a row inside a transaction unless it exists; return whether it is new."""
        sql = insert_sql(table, tuple(row), "INSERT OR IGNORE")
        return self.execute(sql, tuple(row.values())) > 0

    def execute_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Execute a statement for many rows inside a transaction."""
        with self._translated_errors:
            self._sql.executemany(sql, values)

    def fetch_all(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query with a small result."""
        with self._translated_errors:
            return self._execute(sql, values).fetchall()

    def iter_rows_in(self, sql: str, items: Collection[Any]) -> Iterator[Row]:
        """Yield the rows of a query with `IN (:items)`.

        Items are looked up in chunks of `MAX_SQL_VALUES`: an ORDER BY holds within a chunk only.
        """
        values = list(items)
        for start in range(0, len(values), MAX_SQL_VALUES):
            chunk = values[start : start + MAX_SQL_VALUES]
            marks = ",".join("?" * len(chunk))
            yield from self.fetch_all(
                sql.replace(":items", marks),
                chunk,
            )

    def iter_pages(
        self,
        sql: str,
        key: tuple[str, ...],
        values: Sequence[Any] = (),
        *,
        size: int = 1000,
        within: str = "{page}",
    ) -> Iterator[list[Row]]:
        """Yield pages of `size` rows of a query by ascending `key`.

        `sql` ends with a WHERE clause (`WHERE TRUE` for all rows), to which conditions are added;
        `values` are those of its `?`. `key` names columns as in `sql` (`s.key`). Pages are read by
        keyset pagination, so rows may be written meanwhile. `within` wraps the page in a query with
        its own ORDER BY, for joins with several rows per row of the page.
        """
        columns = ", ".join(key)
        names = [name.rpartition(".")[2] for name in key]
        marks = ",".join("?" * len(key))
        condition = ""
        last_key: tuple[Any, ...] = ()
        while True:
            page = f"{sql} {condition} ORDER BY {columns} LIMIT {size}"
            rows = self.fetch_all(
                within.replace("{page}", page),
                (*values, *last_key),
            )
            if not rows:
                return
            yield rows
            # Rows after the last key: an offset would skip rows that were inserted meanwhile.
            condition = f"AND ({columns})>({marks})"
            last_key = tuple(rows[-1][name] for name in names)

    def iter_rows(
        self,
        sql: str,
        key: tuple[str, ...],
        values: Sequence[Any] = (),
        within: str = "{page}",
    ) -> Iterator[Row]:
        """Yield the rows of `iter_pages`, with one page in memory.

        The arguments are those of `iter_pages`: `sql` ends with a WHERE, `{page}` is the page.
        """
        return chain.from_iterable(self.iter_pages(sql, key, values, within=within))

    def fetch_dict(self, sql: str, values: Sequence[Any] = ()) -> dict[Any, Any]:
        """Return a query's result as in `dict_from_rows`."""
        return dict_from_rows(self.fetch_all(sql, values))

    def fetch_value(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row, or None."""
        row = self.fetch_one(sql, values)
        return row[0] if row else None

    def fetch_records(
        self, kind: Callable[..., Record], sql: str, values: Sequence[Any] = ()
    ) -> list[Record]:
        """Return the rows of a small result as records, whose fields are its columns in order."""
        return list(starmap(kind, self.fetch_all(sql, values)))

    def fetch_text(self, sql: str, values: Sequence[Any]) -> str | None:
        """Return the first column of the first row, which is text, or None."""
        text: str | None = self.fetch_value(sql, values)
        return text

    def fetch_column(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the first column of a query with a small result."""
        return [row[0] for row in self.fetch_all(sql, values)]

    def fetch_one(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """Return the first row of a query, or None."""
        with self._translated_errors:
            row: Row | None = self._execute(sql, values).fetchone()
            return row

    def fetch_int(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Return the single integer of a query, or 0."""
        return int(self.fetch_value(sql, values) or 0)

    def has_rows(self, sql: str, values: Sequence[Any] = ()) -> bool:
        """Return whether a query has a result."""
        return bool(self.fetch_one(sql, values))

    def get_data_version(self) -> int:
        """Return a number that changes when another connection commits."""
        return self.fetch_int("PRAGMA data_version")

    @contextmanager
    def attach_other(self, path: Path) -> Iterator[None]:
        """Attach another catalogue read-only for the block: its tables are `other.TABLE`."""
        mode = read_only_mode(path) if is_read_only(path) else "ro"
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        self.execute("ATTACH DATABASE ? AS other", (uri,))
        try:
            yield
        finally:
            self.execute("DETACH DATABASE other")

    def copy_to(self, target: Path) -> None:
        """Back the catalogue up to a new file. Raises `DiskFull`."""
        with _ErrorTranslation(target), closing(sqlite3.connect(target)) as copy:
            self._sql.backup(copy)

    def restore_from(self, source: Path) -> None:
        """Replace the content by that of another catalogue, in one transaction."""
        with self._translated_errors, closing(sqlite3.connect(source)) as other:
            other.backup(self._sql)

    def close(self) -> None:
        """Close; the last connection merges the write-ahead log."""
        self._sql.close()

    def check_writable(self) -> None:
        """Raise `NotWritable` if the catalogue is read-only."""
        if self.read_only:
            raise NotWritable(
                f"{self.path.parent} can only be read, and this would write to it",
                "copy the dataset to a place of your own, or give yourself write access",
            )


class Table:
    """Base class of query classes: `Samples(dataset.db)`."""

    def __init__(self, db: Connection):
        self._db = db


def dict_from_rows(rows: Iterable[Row]) -> dict[Any, Any]:
    """Map the first column to the second, or to a tuple of all others."""
    values = {}
    for key, *others in rows:
        values[key] = others[0] if len(others) == 1 else tuple(others)
    return values


class _ErrorTranslation:
    """Context manager that translates SQLite errors; a class because it is faster."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        if not isinstance(error, sqlite3.Error):
            return
        translation = translate_error(error, self._path)
        if translation:
            raise translation from error


_PRIMARY_CODE_MASK = 0xFF
"""Mask of the primary result code: https://www.sqlite.org/rescode.html#extrc."""


def translate_error(error: sqlite3.Error, path: Path) -> GleansetError | None:
    """Return the Gleanset error for an SQLite error; None for bugs."""
    # Errors that the sqlite3 module itself raises have no code: they are programming errors.
    code = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR
    if code == sqlite3.SQLITE_IOERR_SHMSIZE:
        code = sqlite3.SQLITE_FULL  # the index of the write-ahead log (shm) cannot grow

    match code & _PRIMARY_CODE_MASK:
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
            return DiskFull(
                f"no space left for {path}", "free some space and run the command again"
            )
        case sqlite3.SQLITE_IOERR if code == sqlite3.SQLITE_IOERR_WRITE:
            return DiskFull(
                f"{path} cannot grow: a limit on the size of files, a quota, or a disk that fails",
                "check ulimit -f and quota, then run the command again; completed work is kept",
            )
        case sqlite3.SQLITE_IOERR:
            return NotWritable(
                f"the disk of {path} does not do what it is asked ({error})",
                "look at the disk and its limits (ulimit -f, quota), and run the command again",
            )
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return _corruption_error(path, str(error))

    return None


def _corruption_error(path: Path, reason: str) -> CatalogueCorrupt:
    return CatalogueCorrupt(
        f"{path} is damaged or is not a catalogue ({reason})",
        "put back a copy (catalog.sqlite.before-… is next to it after an upgrade), or "
        f"rescue what is readable: sqlite3 {path.name} .recover | sqlite3 rescued.sqlite",
    )


_MAX_COPY_ATTEMPTS = 5


def copy_catalogue(catalogue: Path, target: Path) -> None:
    """Copy and upgrade a catalogue. Raises `DatasetBusy` if it keeps changing."""
    try:
        # Until an attempt succeeds: nothing was written to the catalogue meanwhile.
        if not any(_try_copy(catalogue, target) for _ in range(_MAX_COPY_ATTEMPTS)):
            raise DatasetBusy(
                f"{catalogue} changes all the time",
                "close the program that writes to it",
            )
        Connection(target).close()
    except sqlite3.Error as error:
        raise (translate_error(error, catalogue) or error) from error
    except GleansetError as error:
        # Name the catalogue of the user, not the copy that is upgraded.
        raise type(error)(
            error.what.replace(str(target), str(catalogue)), error.fix
        ) from error


def _try_copy(catalogue: Path, target: Path) -> bool:
    """Copy the catalogue; return whether the copy is consistent.

    If the index of the log exists, another process has the catalogue open, and SQLite can read it
    (https://www.sqlite.org/wal.html#readonly). Otherwise SQLite would create an index, so the files
    are copied and their times and sizes compared before and after.
    """
    log = _companion_file(catalogue, "wal")
    index = _companion_file(catalogue, "shm")
    target_log = _companion_file(target, "wal")
    for old_file in (target, target_log, _companion_file(target, "shm")):
        old_file.unlink(missing_ok=True)

    if index.exists():
        source = sqlite3.connect(
            f"{catalogue.absolute().as_uri()}?mode=ro",
            uri=True,
        )
        with closing(source), closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        return True

    before = _read_stamps(catalogue, log)
    with disk_errors(target):
        shutil.copyfile(catalogue, target)
        if log.exists():
            shutil.copyfile(log, target_log)
    # An index that exists by now was made by a process that opened the catalogue meanwhile.
    return _read_stamps(catalogue, log) == before and not index.exists()


def _companion_file(catalogue: Path, ending: str) -> Path:
    return catalogue.with_name(f"{catalogue.name}-{ending}")


def _read_stamps(*files: Path) -> list[tuple[int, int]]:
    """Return modification time (nanoseconds) and size (bytes) of files that exist."""
    stats = [file.stat() for file in files if file.exists()]
    return [(stat.st_mtime_ns, stat.st_size) for stat in stats]
