"""Whole copies of a catalogue that others may be writing to."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from gleanset.db.connection import Connection, translated
from gleanset.errors import DatasetBusy, GleansetError
from gleanset.files.atomic import disk_errors

_TRIES = 5


def copy_catalogue(catalogue: Path, target: Path) -> None:
    """Copy a catalogue, with what only its write-ahead log has, and bring the copy up to date.

    Raises what opening it raises (`CatalogueCorrupt`, `DatasetNewer`), and `DatasetBusy` where
    it never stands still.
    """
    try:
        if not any(_copied(catalogue, target) for _ in range(_TRIES)):
            raise DatasetBusy(
                f"{catalogue} changes all the time", "close the program that writes to it"
            )
        Connection(target).close()
    except sqlite3.Error as error:
        raise (translated(error, catalogue) or error) from error
    except GleansetError as error:
        what = error.what.replace(str(target), str(catalogue))
        raise type(error)(what, error.mend) from error


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
